// links: gateway common protobuf-c sodium jansson uv systemd ssl crypto -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=strdup,--wrap=protobuf_c_message_unpack,--wrap=protobuf_c_message_free_unpacked -Wl,--wrap=crypto_random,--wrap=crypto_password_verify,--wrap=crypto_password_hash -Wl,--wrap=shutdown,--wrap=setsockopt,--wrap=setpriority
// fuzz: -max_len=2048 -entropic=0 -dict=tests/fuzz/http.dict
// A connection of the whole gateway: the octets of a client, all at once, one by one and in pieces of a size the input names, must bring
// the same answers, octet for octet (but for 100 Continue, which is sent only while a body is still to come).
#define GATEWAY_ONLY
#include "fuzz_gateway.c"

enum { ANSWERS_MAX = 1 << 20 };
static struct {
    uint8_t *p;
    size_t n;
} answers[3], *now;

static void sent_cb(unsigned client, const void *p, size_t n)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (client != 0 || (n == sizeof go_on - 1 && memcmp(p, go_on, n) == 0) || n > ANSWERS_MAX - now->n)
        return;
    memcpy(now->p + now->n, p, n);
    now->n += n;
}

static void run(const uint8_t *data, size_t size, unsigned piece)
{
    open_gateway();
    struct client *c = &on.client[0];
    memcpy(c->in, data, size);
    c->in_n = size;
    c->piece = piece;
    c->head = memmem(data, size, "HEAD", 4) != NULL;
    settle();
    close_gateway();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > sizeof on.client[0].in)
        return 0;
    sent = sent_cb;
    const unsigned pieces[3] = { 0, 1, 2 + data[0] % 61 };
    for (unsigned i = 0; i < 3; i++) {
        now = &answers[i];
        if (!now->p)
            require((now->p = malloc(ANSWERS_MAX)) != NULL);
        now->n = 0;
        run(data + 1, size - 1, pieces[i]);
        require(answers[i].n == answers[0].n && memcmp(answers[i].p, answers[0].p, answers[0].n) == 0);
    }
    return 0;
}
