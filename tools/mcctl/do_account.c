// Passwords, sessions, and secrets that are shown once.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto.h"
#include "run.h"
#include "show.h"
#include "term.h"
#include "verbs.h"

enum { PATH_MAX_ = 4096 };

// ---------------------------------------------------------------- a secret into a file

// The file is made first: a key that cannot be kept is not made.
static int reserve(const char *path, int *ret_fd)
{
    *ret_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*ret_fd >= 0)
        return EXIT_OK;
    term_say("%s: %s", path, errno == EEXIST ? "there is such a file already" : strerror(errno));
    return EXIT_FAILED;
}

static int give_up(const char *path, int fd)
{
    (void)close(fd);
    (void)unlink(path);
    return EXIT_FAILED;
}

static int keep(const char *path, int fd, const char *text)
{
    size_t n = strlen(text);
    bool newline = n && text[n - 1] == '\n';
    bool ok = fchmod(fd, 0600) == 0 && write(fd, text, n) == (ssize_t)n && (newline || write(fd, "\n", 1) == 1) && fsync(fd) == 0;
    int error = errno;

    if (close(fd) == 0 && ok)
        return EXIT_OK;
    term_say("%s: %s; the secret was made and is lost: delete it and make another", path, strerror(error));
    (void)unlink(path);
    return EXIT_FAILED;
}

// Asks for what the command makes; its secret goes to the file, or is shown.
static int add_secret(struct run *r, const char *member, const char *path)
{
    unsigned n;
    int code, fd = -1;

    if (!run_body(r, NULL, &n) || !run_path(r, r->command->path, 0))
        return r->status;
    code = path ? reserve(path, &fd) : EXIT_OK;
    if (code)
        return code;
    json_t *o = run_ask(r, "POST", true, &code);
    const char *secret = show_text(o, member);
    if (path && (code || !*secret)) {
        code = code ? code : EXIT_FAILED;
        (void)give_up(path, fd);
    } else if (path) {
        code = keep(path, fd, secret);
        if (!code)
            term_say("the secret is in %s", path);
        json_object_del(o, member);
    }
    if (o && r->json && !path)
        run_print_json(r);
    else if (o && !code && r->json) {
        struct buf text;
        buf_init(&text, SHOW_MAX);
        struct json j = json_to(&text);
        show_json(&j, o);
        run_put_json(r, buf_cstr(&text), text.len);
        buf_fini(&text);
        buf_putc(&r->out, '\n');
        term_buf(STDOUT_FILENO, &r->out);
    } else if (o && !code) {
        show_object(&r->out, o, r->raw);
        term_buf(STDOUT_FILENO, &r->out);
        if (!path && *secret)
            term_say("the secret is shown only now");
    }
    json_decref(o);
    return code;
}

int do_key_create(struct run *r)
{
    return add_secret(r, "key", run_opt(r, "out"));
}

int do_secret_add(struct run *r)
{
    return add_secret(r, strncmp(r->command->words, "webhook", 7) == 0 ? "secret" : "key", run_opt(r, "out"));
}

int do_worker_add(struct run *r)
{
    char path[PATH_MAX_];
    const char *out = run_opt(r, "out"), *name = run_arg(r, 0);

    if (!out && (strchr(name, '/') || name[0] == '.'))
        return run_usage(r, "'%.100s' cannot be the name of a file: say with --out where the key goes", name);
    snprintf(path, sizeof path, "%s.key", name);
    return add_secret(r, "key", out ? out : path);
}

// ---------------------------------------------------------------- passwords

static const char *current; // password
static const char *chosen;

static void put_passwords(struct run *r, struct json *j)
{
    (void)r;
    if (current && *current) {
        json_key(j, "currentPassword");
        json_str(j, current);
    }
    json_key(j, current ? "newPassword" : "password");
    json_str(j, chosen);
}

static int send_password(struct run *r, const char *method)
{
    unsigned n;
    int code;

    if (!run_body(r, put_passwords, &n))
        return r->status;
    json_decref(run_ask(r, method, true, &code));
    if (!code && !r->json)
        term_say("the password was set");
    return code;
}

static int own_password(struct run *r)
{
    char text[RUN_SECRET_MAX];

    if (!term_secret("Current password (empty if there is none): ", text, sizeof text)) {
        term_say("no password was given");
        return EXIT_FAILED;
    }
    current = text;
    if (!run_password(r, &chosen))
        return r->status;
    buf_reset(&r->path);
    buf_puts(&r->path, "/api/auth/password");
    int code = send_password(r, "POST");
    crypto_wipe(text, sizeof text);
    return code;
}

static int other_password(struct run *r, const char *user)
{
    const char *id = run_id(r, "user", user);

    current = NULL;
    if (!id || !run_password(r, &chosen))
        return r->status;
    buf_reset(&r->path);
    buf_printf(&r->path, "/api/users/%s", id);
    return send_password(r, "PATCH");
}

// One's own with the current password; with a name an admin sets anybody's, also one's own that was forgotten or never set.
int do_passwd(struct run *r)
{
    const char *user = run_arg(r, 0);
    int code;

    buf_reset(&r->path);
    buf_puts(&r->path, "/api/auth/me");
    json_t *me = run_ask(r, NULL, false, &code);
    if (code)
        return code;
    bool admin = strcmp(show_text(me, "role"), "admin") == 0, self = !user || strcmp(user, show_text(me, "username")) == 0;
    json_decref(me);
    return user && (admin || !self) ? other_password(r, user) : own_password(r);
}

// ---------------------------------------------------------------- sessions

static int keep_session(struct run *r, const struct client_answer *a)
{
    char why[200];
    json_t *o = NULL;

    if (!a->head.cookie[0]) {
        term_say("the answer sets no session");
        return EXIT_FAILED;
    }
    if (!keyring_store(&r->client.keyring, a->head.cookie))
        return EXIT_FAILED;
    if (json_in_parse(a->body.data, a->body.len, &o, why, sizeof why) == ERR_OK && !r->json)
        term_say("signed in to %s as %s (%s)", r->client.keyring.url, show_text(o, "username"), show_text(o, "role"));
    json_decref(o);
    if (r->client.keyring.key[0] && !r->client.keyring.ambient)
        term_say("yet %s goes before this session", r->client.keyring.from);
    return EXIT_OK;
}

int do_login(struct run *r)
{
    struct client_answer a;
    char password[RUN_SECRET_MAX];

    if (!term_secret("Password: ", password, sizeof password)) {
        term_say("no password was given");
        return EXIT_FAILED;
    }
    struct json j = json_to(&r->body);
    json_open(&j, '{');
    json_key(&j, "username");
    json_str(&j, run_arg(r, 0));
    json_key(&j, "password");
    json_str(&j, password);
    json_close(&j, '}');
    crypto_wipe(password, sizeof password);
    const struct client_req q = { .method = "POST", .path = "/api/auth/login", .body = buf_cstr(&r->body), .body_n = r->body.len,
                                  .idempotency = NULL, .bare = true };
    client_answer_init(&a);
    int code = client_do(&r->client, &q, &a);
    if (!code)
        code = keep_session(r, &a);
    client_answer_fini(&a);
    return code;
}

int do_logout(struct run *r)
{
    struct keyring *k = &r->client.keyring;
    int code = EXIT_OK;

    if (!keyring_session(k)) {
        term_say("there is no session for %s", k->url);
        return EXIT_OK;
    }
    buf_reset(&r->path);
    buf_puts(&r->path, "/api/auth/logout");
    json_decref(run_ask(r, "POST", false, &code));
    if (code == EXIT_OK || code == EXIT_REFUSED) { // refused: it had ended already
        keyring_forget();
        code = EXIT_OK;
        if (!r->json)
            term_say("signed out of %s", k->url);
    }
    return code;
}
