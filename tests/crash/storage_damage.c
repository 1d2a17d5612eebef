// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// Damage of a store, by chance that a seed plays again.
//
//     storage_damage try STORE SCRATCH MUTANTS SEED    each mutant is checked as the broker does at start, in a process of its own; what
//                                                      passes is opened, read whole, compared with what it was, and written to
//     storage_damage make STORE SCRATCH MUTANT SEED    only makes that one, at SCRATCH/store.mdb, and says what it is
//
// Prints a line for each that is wrong, and in the end: refused N, right N, wrong N.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "log.h"
#include "rnd.h"
#include "store_check.h"
#include "storage_read.h"

enum { RIGHT, REFUSED = 10, OTHER, UNREADABLE, NO_WRITE, TOLD_TWICE, TRY_S = 5, PAGE = 4096 };

static uint8_t *whole, *mutant;
static size_t whole_n, mutant_n;
static char path[4096];
static uint64_t digest, records;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "storage_damage: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void load(const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0)
        die(file);
    whole_n = (size_t)st.st_size;
    whole = malloc(whole_n);
    mutant = malloc(whole_n + PAGE);
    if (!whole || !mutant || read(fd, whole, whole_n) != (ssize_t)whole_n)
        die(file);
    close(fd);
}

static void save(const uint8_t *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, p, n) != (ssize_t)n || close(fd) != 0)
        die(path);
}

// ---------------------------------------------------------------- damage

static uint8_t *page(void) { return mutant + rnd(whole_n / PAGE) * PAGE; }

static void octets(void)
{
    for (uint64_t n = 1 + rnd(16); n > 0; n--)
        mutant[rnd(whole_n)] ^= (uint8_t)(1 + rnd(255));
}
static void bit(void) { mutant[rnd(whole_n)] ^= (uint8_t)(1u << rnd(8)); }
static void head_of_page(void) { page()[rnd(64)] ^= (uint8_t)(1 + rnd(255)); }
static void head(void) { mutant[rnd(2) * PAGE + rnd(16 + 136)] ^= (uint8_t)(1u << rnd(8)); }
static void cut(void) { mutant_n = rnd(whole_n); if (!mutant_n) mutant_n = 1; }
static void cut_at_page(void) { mutant_n = (1 + rnd(whole_n / PAGE - 1)) * PAGE; }
static void empty_page(void) { memset(page(), 0, PAGE); }
static void empty_pages(void)
{
    size_t from = rnd(whole_n / PAGE), n = 1 + rnd(32);
    memset(mutant + from * PAGE, 0, (from + n) * PAGE > whole_n ? whole_n - from * PAGE : n * PAGE);
}
static void junk_page(void)
{
    uint8_t *p = page();
    for (int i = 0; i < PAGE; i++)
        p[i] = (uint8_t)rnd(256);
}
static void other_page(void) { memcpy(page(), whole + rnd(whole_n / PAGE) * PAGE, PAGE); }
static void two_pages(void)
{
    uint8_t *a = page(), *b = page(), keep[PAGE];
    memcpy(keep, a, PAGE);
    memmove(a, b, PAGE);
    memcpy(b, keep, PAGE);
}
static void half_page(void) { memset(page() + PAGE / 2, 0, PAGE / 2); }
static void number(void) // one that is near: what a check of ranges lets pass
{
    uint8_t *p = page() + 2 * rnd(PAGE / 2 - 4);
    uint64_t n = (uint64_t)p[0] + rnd(7) - 3;
    p[0] = (uint8_t)n;
}
static void heads_exchanged(void)
{
    memcpy(mutant, whole + PAGE, PAGE);
    memcpy(mutant + PAGE, whole, PAGE);
}
static void newer_head_gone(void)
{
    uint64_t a, b;
    memcpy(&a, whole + 16 + 128, 8);
    memcpy(&b, whole + PAGE + 16 + 128, 8);
    memcpy(mutant + (b > a ? PAGE : 0), whole + (b > a ? 0 : PAGE), PAGE);
}
static void garbage(void)
{
    for (size_t i = rnd(2) * 2 * PAGE; i < whole_n; i++)
        mutant[i] = (uint8_t)rnd(256);
}
static void longer(void)
{
    memset(mutant + whole_n, (int)rnd(256), PAGE);
    mutant_n = whole_n + 1 + rnd(PAGE);
}

static const struct { const char *name; void (*make)(void); } kinds[] = {
    { "some octets", octets }, { "a bit", bit }, { "an octet of a page's head", head_of_page }, { "a bit of a head", head },
    { "cut off", cut }, { "cut off at a page", cut_at_page }, { "an empty page", empty_page }, { "empty pages", empty_pages },
    { "a page of junk", junk_page }, { "a page in another's place", other_page }, { "two pages exchanged", two_pages },
    { "half a page", half_page }, { "a number that is nearly right", number }, { "the heads exchanged", heads_exchanged },
    { "the older head in both places", newer_head_gone }, { "garbage", garbage }, { "longer", longer },
};

static const char *make(uint64_t k, uint64_t from)
{
    seed = (from * 1000003 + k) * 0x9e3779b97f4a7c15u | 1;
    for (int i = 0; i < 8; i++)
        (void)rnd(2);
    memcpy(mutant, whole, whole_n);
    mutant_n = whole_n;
    kinds[k % (sizeof kinds / sizeof *kinds)].make();
    save(mutant, mutant_n);
    return kinds[k % (sizeof kinds / sizeof *kinds)].name;
}

// ---------------------------------------------------------------- judged

static int lines_naming(int fd)
{
    static char text[65536];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    int lines = 0, naming = 0;
    text[n > 0 ? n : 0] = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++)
        naming += strstr(line, path) != NULL;
    return lines == 1 && naming == 1;
}

static _Noreturn void attempt(const char *dir, int err_fd)
{
    struct pages_found found;
    struct store *s;
    struct txn *t;
    struct key k = { .n = 0 };
    uint64_t d, n;
    static uint8_t value[9000];
    alarm(TRY_S * 4); // of a machine that is busy
    if (dup2(err_fd, STDERR_FILENO) < 0)
        _exit(99);
    enum err e = store_check(dir, NULL, &found);
    if (e)
        _exit(lines_naming(err_fd) ? REFUSED : TOLD_TWICE);
    if (store_open(dir, 1 << 30, false, &s) || digest_of(s, &d, &n))
        _exit(UNREADABLE);
    if (d != digest || n != records)
        _exit(OTHER);
    // Pages that are free by the lists are written over: what is read must not change.
    for (uint64_t i = 0; i < 40; i++) {
        k.n = 0;
        key_u64(key_u64(&k, UINT64_MAX), i);
        if (store_begin(s, true, &t) || store_put(t, DB_BLOB, &k, value, sizeof value) || store_commit(t))
            _exit(NO_WRITE);
    }
    for (uint64_t i = 0; i < 40; i++) {
        k.n = 0;
        key_u64(key_u64(&k, UINT64_MAX), i);
        if (store_begin(s, true, &t) || store_del(t, DB_BLOB, &k) || store_commit(t))
            _exit(NO_WRITE);
    }
    _exit(digest_of(s, &d, &n) || d != digest || n != records ? OTHER : RIGHT);
}

static int try(const char *dir, uint64_t n, uint64_t from)
{
    static const char *const said[] = { [OTHER] = "is served and is not what it was", [UNREADABLE] = "passed and cannot be read",
                                        [NO_WRITE] = "passed and cannot be written", [TOLD_TWICE] = "is refused without one line that names it" };
    uint64_t refused = 0, right = 0, wrong = 0;
    char err_path[4096];
    struct store *s;
    save(whole, whole_n);
    if (store_open_to_read(dir, &s) || digest_of(s, &digest, &records))
        die("the store itself cannot be read");
    store_close(s);
    snprintf(err_path, sizeof err_path, "%s/said", dir);
    for (uint64_t k = 0; k < n; k++) {
        int status, err_fd = open(err_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
        const char *what = make(k, from);
        pid_t child = err_fd < 0 ? -1 : fork();
        if (child == 0)
            attempt(dir, err_fd);
        if (child < 0 || waitpid(child, &status, 0) != child)
            die("a process");
        close(err_fd);
        if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED) {
            refused++;
        } else if (WIFEXITED(status) && WEXITSTATUS(status) == RIGHT) {
            right++;
        } else {
            wrong++;
            if (WIFSIGNALED(status))
                printf("mutant %" PRIu64 " of seed %" PRIu64 " (%s): ended by signal %d\n", k, from, what, WTERMSIG(status));
            else
                printf("mutant %" PRIu64 " of seed %" PRIu64 " (%s) %s (%d)\n", k, from, what,
                       WEXITSTATUS(status) >= OTHER && WEXITSTATUS(status) <= TOLD_TWICE ? said[WEXITSTATUS(status)] : "ended the process", WEXITSTATUS(status));
        }
        if ((k + 1) % 1000 == 0)
            fprintf(stderr, "%" PRIu64 " mutants\n", k + 1);
    }
    printf("refused %" PRIu64 ", right %" PRIu64 ", wrong %" PRIu64 "\n", refused, right, wrong);
    return wrong != 0;
}

int main(int argc, char **argv)
{
    if (argc != 6 || (strcmp(argv[1], "try") != 0 && strcmp(argv[1], "make") != 0)) {
        fprintf(stderr, "usage: storage_damage try STORE SCRATCH MUTANTS SEED | make STORE SCRATCH MUTANT SEED\n");
        return 2;
    }
    log_init("storage-damage", LOG_ERROR);
    snprintf(path, sizeof path, "%s/store.mdb", argv[2]);
    load(path);
    snprintf(path, sizeof path, "%s/store.mdb", argv[3]);
    uint64_t n = strtoull(argv[4], NULL, 10), from = strtoull(argv[5], NULL, 10);
    if (strcmp(argv[1], "make") == 0) {
        printf("%s\n", make(n, from));
        return 0;
    }
    return try(argv[3], n, from);
}
