// One SSE frame from one row of the log, as a view shows it (contract.md section 4), and the frames that are not logged.
// Pure. The same row always gives the same octets: a frame that was cut in the middle is gone on with at the same octet after
// the row has been fetched again, perhaps by another gateway.
//
// A logged frame is "id: N\ndata: {json}\n\n" (the object is event_json.h's); one that is not logged has no id line. None is larger
// than FRAME_MAX.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "event.h"
#include "wire.pb-c.h"

enum {
    FRAME_MAX = 32 * 1024,
    FRAME_OUTPUT_MAX = 16 * 1024, // octets of output in one frame, at most
};

// Appends the row's frame. False: the view does not show it (nothing is appended). VIEW_ACTIVITIES has no frames.
bool frame_row(struct buf *out, const Wire__Row *row, enum event_view view);

// ---- not logged
void frame_metrics(struct buf *out, const Wire__LiveMetrics *m);
void frame_resync(struct buf *out, uint64_t oldest);
// How many of the n octets of output go into one frame: at most FRAME_OUTPUT_MAX, fewer where escapes would make the frame
// too large, and never cut inside a UTF-8 character that is whole. At least 1 for n > 0.
size_t frame_output_fit(const uint8_t *data, size_t n);
// Octets at the end of data that begin a UTF-8 character whose rest has not come yet: 0 to 3.
size_t frame_output_rest(const uint8_t *data, size_t n);
struct frame_output {
    uint64_t task, session;
    uint64_t offset; // of data in the output of the session
    uint32_t stream; // enum stream
    const uint8_t *data;
    size_t n;        // at most what frame_output_fit says
};
// next: the offset that becomes the frame's id line, for GET .../output; NULL: no id line (activity stream).
void frame_output(struct buf *out, const struct frame_output *o, const uint64_t *next);
// The last frame of GET .../output as a stream; without an id line: the offset stays that of the last output. status: enum
// session_status. exit: NULL if the run had none.
void frame_output_end(struct buf *out, uint64_t task, uint64_t session, uint32_t status, const int32_t *exit);
