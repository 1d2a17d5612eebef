// Takes an SSE answer apart: the head, the chunks, the frames. Each frame is handed out once it is whole, wherever the reads and
// the chunks were cut. For one connection.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stream_state { STREAM_HEAD, STREAM_BODY, STREAM_END };
struct stream {
    uint8_t state;             // enum stream_state
    uint8_t in;                // where in a chunk: its size, its octets, the line end behind them
    bool chunked, sized;       // sized: a digit of the size has been seen
    uint32_t left;             // octets of the chunk that have not come; of its size so far
    uint32_t n, cap;           // what is kept of a head or a frame that has not come whole
    char *kept;
    uint64_t frames;
};

// text: a frame up to and with the empty line that ends it.
typedef void stream_frame(void *u, const char *text, size_t n);
// Takes n octets of the connection. NULL, or what is wrong with them (static text; the first octets of a head that is not a
// 200 are in `kept`).
const char *stream_feed(struct stream *s, const char *data, size_t n, stream_frame *frame, void *u);
void stream_fini(struct stream *s);
