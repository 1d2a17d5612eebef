// Lists of the commonest passwords of twelve characters and more are made of a few things: repetition, runs along the alphabet or
// the keyboard, a handful of words with digits around them or for their letters, and the user's own name. These are refused
// for what they are, so that no list is needed but that of the words.
#include "password_rule.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "check.h"
#include "utf8.h"

enum { OCTETS_MAX = 4 * PASSWORD_MAX, DISTINCT_MIN = 5, USER_MIN = 3 };

static const char *const words[] = {
    "password", "passwort", "passwd", "pass", "word", "admin", "administrator", "root", "user", "login", "welcome", "willkommen",
    "letmein", "changeme", "change", "please", "default", "secret", "qwerty", "qwertz", "azerty", "iloveyou", "love", "you", "me",
    "my", "the", "dragon", "monkey", "football", "baseball", "superman", "batman", "princess", "sunshine", "master", "shadow",
    "trustno", "starwars", "computer", "internet", "server", "system", "test", "testing", "temp", "guest", "abc", "mission",
    "control", "summer", "winter", "spring", "autumn", "hello", "world", "access", "this", "is", "not", "new", "old", "one", "two",
    "in", "let", "now", "here", "correcthorsebatterystaple", "correct", "horse", "battery", "staple",
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

// A letter, whatever it is written as; anything else as it is.
static char letter(char c)
{
    static const char from[] = "0134578@$!+|", to[] = "oieastbasitl";
    const char *at = strchr(from, c);

    return c && at ? to[at - from] : lower(c);
}

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

static size_t distinct(const char *s)
{
    bool seen[256] = { false };
    size_t n = 0;

    for (; *s; s++) {
        n += !seen[(unsigned char)*s];
        seen[(unsigned char)*s] = true;
    }
    return n;
}

// All of it is one piece, again and again; the last time perhaps not whole.
static bool repeats(const char *s, size_t n)
{
    for (size_t period = 1; period <= n / 2; period++)
        if (memcmp(s, s + period, n - period) == 0)
            return true;
    return false;
}

static bool neighbours(char a, char b)
{
    static const char *const rows[] = { "1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm" };

    if (a == b || a + 1 == b || a - 1 == b)
        return true;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *at = strchr(rows[i], a);
        if (at && (at[1] == b || (at > rows[i] && at[-1] == b)))
            return true;
    }
    return false;
}

// Three of four steps go to the next letter, digit or key.
static bool runs(const char *s, size_t n)
{
    size_t steps = 0;

    for (size_t i = 1; i < n; i++)
        steps += neighbours(lower(s[i - 1]), lower(s[i]));
    return steps * 4 >= (n - 1) * 3;
}

// Some way through the letters of s, word by word: ok[i] says that the first i of them can be read so.
static bool all_words(const char *s, size_t n)
{
    bool ok[OCTETS_MAX + 1] = { true };

    for (size_t i = 0; i < n; i++)
        for (size_t w = 0; ok[i] && w < sizeof words / sizeof *words; w++) {
            size_t k = strlen(words[w]);
            if (k <= n - i && memcmp(s + i, words[w], k) == 0)
                ok[i + k] = true;
        }
    return ok[n];
}

// Nothing but such words, once what stands between them is taken away, and around them unless that is letters too: read as it
// is; with digits and signs for letters; the same without those at its end.
static bool wordy(const char *s, size_t n)
{
    for (int way = 0; way < 3; way++) {
        char core[OCTETS_MAX + 1];
        size_t to = n, k = 0;
        while (way != 1 && to && !is_letter(lower(s[to - 1])))
            to--;
        for (size_t i = 0; i < to; i++) {
            char c = way ? letter(s[i]) : lower(s[i]);
            if (is_letter(c))
                core[k++] = c;
            else if ((unsigned char)c >= 0x80)
                return false; // of another script: no word of ours
        }
        if (k >= 4 && all_words(core, k))
            return true;
    }
    return false;
}

static bool contains(const char *s, const char *what)
{
    size_t n = strlen(what);

    if (n < USER_MIN)
        return false;
    for (; *s; s++) {
        size_t i = 0;
        while (i < n && s[i] && lower(s[i]) == lower(what[i]))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

const char *password_rule(const char *password, const char *user)
{
    size_t n = strlen(password), characters = 0;

    for (size_t i = 0, k; i < n; i += k, characters++)
        if (characters > PASSWORD_MAX || !(k = utf8_len((const uint8_t *)password + i, n - i)))
            return "At least 12 and at most 256 characters";
    if (characters < PASSWORD_MIN || characters > PASSWORD_MAX)
        return "At least 12 and at most 256 characters";
    if (contains(password, user))
        return "It must not contain the user's name";
    if (distinct(password) < DISTINCT_MIN || repeats(password, n) || runs(password, n))
        return "It is too regular: others would try it first";
    if (wordy(password, n))
        return "It is too common: others would try it first";
    return NULL;
}
