// Requests from gateways and workers: who is at the other end (the greeting), what each item is, and its answer back to where it
// came from. Commands go to the turns, queries are answered from a read transaction, polls go to the fleet.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "err.h"
#include "query.h"

struct intake;
struct bus_request;
struct fleet;
struct hooks;
struct store;
struct turns;
struct Wire__Answer;

struct intake_conf {
    uv_loop_t *loop;
    struct store *store;
    struct turns *turns;
    struct fleet *fleet;
    struct hooks *hooks;
    const char *bus_url, *live_url;   // told in the greeting
    const uint8_t *seal_key;          // SEAL_KEY_SIZE octets: chat keys are sealed before they become part of a command
    program_figures_cb *figures;
    void *figures_u;
};
MUST_USE enum err intake_new(const struct intake_conf *conf, struct intake **ret);
// The bus's callbacks (bus_server_cbs); u is the intake.
void intake_request(void *u, struct bus_request *r);
void intake_pipe_gone(void *u, uint32_t pipe);
// A poll that the fleet held is answered.
void intake_answer_poll(void *poll, struct Wire__Answer *a);
void intake_committed(struct intake *in, uint64_t epoch, uint64_t newest); // wakes who waits for a number
void intake_tick(struct intake *in);                                       // greetings that came to nothing, waits that are over
struct intake_counts {
    uint64_t requests, queries;       // since the start
    unsigned pipes, polls;            // now
};
struct intake_counts intake_counts(const struct intake *in);
unsigned intake_open(const struct intake *in);                             // requests not answered yet, polls left out
