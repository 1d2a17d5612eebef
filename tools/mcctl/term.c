// The handler of SIGINT, SIGTERM and SIGHUP does what a handler may: it puts the terminal back and ends,
// or calls what was asked for (uv_async_send).
#include "term.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "crypto.h"
#include "escape.h"

enum { SAY_MAX = 16 * 1024, WIDTH_DEFAULT = 80, HEIGHT_DEFAULT = 24, WIDTH_MAX = 2000 };

static bool no_colours;
static volatile sig_atomic_t progress_shown, echo_off;
static struct termios before;
static void (*volatile interrupt_cb)(void);

// ---------------------------------------------------------------- Ctrl-C

static void interrupt(int signum)
{
    static const char clear[] = "\r\033[K", newline[] = "\n";
    int kept = errno;
    void (*cb)(void) = signum == SIGINT ? interrupt_cb : NULL;

    if (cb) {
        interrupt_cb = NULL;
        cb();
        errno = kept;
        return;
    }
    if (echo_off) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
        kept = (int)write(STDERR_FILENO, newline, 1);
    } else if (progress_shown) {
        kept = (int)write(STDERR_FILENO, clear, sizeof clear - 1);
    }
    _exit(128 + signum);
}

void term_on_interrupt(void (*cb)(void))
{
    interrupt_cb = cb;
}

void term_init(bool no_colour)
{
    struct sigaction act = { .sa_handler = interrupt, .sa_flags = SA_RESTART }, ignore = { .sa_handler = SIG_IGN };

    (void)setlocale(LC_CTYPE, "C.UTF-8"); // what we write is UTF-8 whatever the user's locale is: for wcwidth()
    no_colours = no_colour || getenv("NO_COLOR");
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGHUP, &act, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

// ---------------------------------------------------------------- the terminal

bool term_tty(int fd)
{
    return isatty(fd) == 1;
}

bool term_colour(int fd)
{
    const char *term = getenv("TERM");
    return !no_colours && term_tty(fd) && term && strcmp(term, "dumb") != 0;
}

static unsigned size(bool width)
{
    struct winsize w;

    if (!term_tty(STDOUT_FILENO))
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_col || !w.ws_row)
        return width ? WIDTH_DEFAULT : HEIGHT_DEFAULT;
    return width ? (w.ws_col < WIDTH_MAX ? w.ws_col : WIDTH_MAX) : w.ws_row;
}

unsigned term_width(void)
{
    return size(true);
}

unsigned term_height(void)
{
    return size(false);
}

// ---------------------------------------------------------------- out

void term_write(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n) {
        ssize_t w = write(fd, at, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EPIPE)
            exit(EXIT_PIPE);
        if (w < 0) {
            if (fd != STDERR_FILENO)
                term_say("cannot write: %s", strerror(errno));
            exit(EXIT_FAILED);
        }
        at += w;
        n -= (size_t)w;
    }
}

void term_buf(int fd, struct buf *b)
{
    if (b->err) {
        term_say("%s", err_text(b->err));
        exit(EXIT_FAILED);
    }
    if (fd == STDOUT_FILENO)
        term_progress(NULL);
    term_write(fd, b->data, b->len);
    buf_reset(b);
}

void term_say(const char *fmt, ...)
{
    char text[SAY_MAX];
    struct buf line;
    va_list ap;

    term_progress(NULL);
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_init(&line, (size_t)SAY_MAX * 8);
    buf_puts(&line, "mcctl: ");
    escape_text(&line, text, strlen(text), false);
    buf_putc(&line, '\n');
    if (!line.err)
        term_write(STDERR_FILENO, line.data, line.len);
    buf_fini(&line);
}

void term_progress(const char *text)
{
    struct buf line;

    if (!term_tty(STDERR_FILENO) || (!text && !progress_shown))
        return;
    buf_init(&line, SAY_MAX);
    buf_puts(&line, "\r\033[K");
    if (text)
        escape_text(&line, text, strnlen(text, 200), false);
    progress_shown = text != NULL;
    term_write(STDERR_FILENO, line.data, line.len);
    buf_fini(&line);
}

// ---------------------------------------------------------------- in

static bool read_line(char *out, size_t size_)
{
    size_t n = 0;
    bool any = false;

    for (;;) { // an octet at a time: what stands behind the line is the next question's
        char c;
        ssize_t r = read(STDIN_FILENO, &c, 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0 && !any)
            return false;
        if (r <= 0 || c == '\n')
            break;
        any = true;
        if (n + 1 >= size_)
            return false;
        out[n++] = c;
    }
    if (n && out[n - 1] == '\r')
        n--;
    out[n] = 0;
    return true;
}

bool term_secret(const char *question, char *out, size_t size_)
{
    struct termios quiet;

    if (!term_tty(STDIN_FILENO))
        return read_line(out, size_);
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return false;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    echo_off = 1;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) < 0) {
        echo_off = 0;
        return false;
    }
    term_write(STDERR_FILENO, question, strlen(question));
    bool ok = read_line(out, size_);
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    echo_off = 0;
    term_write(STDERR_FILENO, "\n", 1);
    return ok;
}

static bool refuse_file(const char *path, const char *why)
{
    term_say("%s: %s", path, why);
    return false;
}

bool term_read_file(const char *path, size_t max, struct buf *ret)
{
    bool in = strcmp(path, "-") == 0;
    int fd = in ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char piece[16 * 1024];
    ssize_t n = 0;

    if (fd < 0)
        return refuse_file(path, strerror(errno));
    while (ret->len <= max && ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0)
            buf_put(ret, piece, (size_t)n);
    int error = errno;
    crypto_wipe(piece, sizeof piece);
    if (!in)
        (void)close(fd);
    if (n < 0)
        return refuse_file(path, strerror(error));
    if (ret->len > max || ret->err)
        return refuse_file(path, "it is too large");
    return true;
}
