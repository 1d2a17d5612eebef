// The figures the programs count and GET /metrics shows. Numbers go over the wire: never reorder, never reuse, add at the end of a
// program's table, or inside it with the next number. The rows of one family must stand together.
#pragma once
#include <stdint.h>
#include "prom.h"

//    number, name, metric, type, decimals, label, its value, help
#define PROCESS_FIGURES(F, P, M) \
    F(1,  P##_RESIDENT,   "mc_" M "_resident_memory_bytes",  "gauge",   0, NULL, NULL, "Memory of the program that is in RAM") \
    F(2,  P##_FDS,        "mc_" M "_open_fds",               "gauge",   0, NULL, NULL, "File descriptors in use") \
    F(3,  P##_CPU,        "mc_" M "_cpu_seconds_total",      "counter", 6, NULL, NULL, "Processor time used") \
    F(4,  P##_START,      "mc_" M "_start_time_seconds",     "gauge",   3, NULL, NULL, "When the program was started, since 1970")

#define GATEWAY_FIGURES(F) \
    PROCESS_FIGURES(F, GATEWAY, "gateway") \
    F(10, GATEWAY_CONNECTIONS, "mc_gateway_connections",             "gauge",   0, NULL, NULL, "Connections that are open") \
    F(11, GATEWAY_ACCEPTED,    "mc_gateway_connections_total",       "counter", 0, NULL, NULL, "Connections accepted") \
    F(12, GATEWAY_HELD,        "mc_gateway_request_memory_bytes",    "gauge",   0, NULL, NULL, "Memory that heads and bodies of requests hold") \
    F(13, GATEWAY_STREAMS,     "mc_gateway_streams",                 "gauge",   0, NULL, NULL, "Event streams that are open") \
    F(14, GATEWAY_OPENED,      "mc_gateway_streams_total",           "counter", 0, NULL, NULL, "Event streams opened") \
    F(15, GATEWAY_RESYNCS,     "mc_gateway_stream_resyncs_total",    "counter", 0, NULL, NULL, "Streams told that their last event is not kept any more") \
    F(16, GATEWAY_CUTS,        "mc_gateway_stream_cuts_total",       "counter", 0, NULL, NULL, "Streams cut off: behind, or no longer allowed") \
    F(17, GATEWAY_BEHIND,      "mc_gateway_stream_log_reads_total",  "counter", 0, NULL, NULL, "Times a stream was so far behind that the log had to be read for it") \
    F(20, GATEWAY_HITS,        "mc_gateway_cache_requests_total",    "counter", 0, "result", "hit", "Requests for answers that are kept, by what came of it") \
    F(21, GATEWAY_SHARED,      "mc_gateway_cache_requests_total",    "counter", 0, "result", "shared", "") \
    F(22, GATEWAY_MISSES,      "mc_gateway_cache_requests_total",    "counter", 0, "result", "miss", "") \
    F(23, GATEWAY_CACHE,       "mc_gateway_cache_bytes",             "gauge",   0, NULL, NULL, "Memory of the answers that are kept") \
    F(30, GATEWAY_COMMANDS,    "mc_gateway_broker_items_total",      "counter", 0, "kind", "command", "What the broker was asked, by kind") \
    F(31, GATEWAY_QUERIES,     "mc_gateway_broker_items_total",      "counter", 0, "kind", "query", "") \
    F(32, GATEWAY_WAITS,       "mc_gateway_broker_items_total",      "counter", 0, "kind", "wait", "") \
    F(33, GATEWAY_ASKS,        "mc_gateway_broker_requests_total",   "counter", 0, NULL, NULL, "Requests to the broker, of one item or more") \
    F(34, GATEWAY_UNANSWERED,  "mc_gateway_broker_failures_total",   "counter", 0, NULL, NULL, "Requests to the broker that were not answered") \
    F(35, GATEWAY_BROKER_UP,   "mc_gateway_broker_up",               "gauge",   0, NULL, NULL, "1 while the broker can be reached") \
    F(36, GATEWAY_NEWEST,      "mc_gateway_newest_event",            "gauge",   0, NULL, NULL, "Newest event number this gateway knows of")

#define BROKER_FIGURES(F) \
    PROCESS_FIGURES(F, BROKER, "broker") \
    F(10, BROKER_COMMANDS,     "mc_broker_commands_total",           "counter", 0, NULL, NULL, "Commands applied") \
    F(11, BROKER_TURNS,        "mc_broker_turns_total",              "counter", 0, NULL, NULL, "Turns committed") \
    F(12, BROKER_EVENTS,       "mc_broker_events_total",             "counter", 0, NULL, NULL, "Events written to the log") \
    F(13, BROKER_NEWEST,       "mc_broker_newest_event",             "gauge",   0, NULL, NULL, "Newest event number") \
    F(14, BROKER_OLDEST,       "mc_broker_oldest_event",             "gauge",   0, NULL, NULL, "Oldest event number that is kept") \
    F(20, BROKER_REQUESTS,     "mc_broker_requests_total",           "counter", 0, NULL, NULL, "Requests of gateways and workers") \
    F(21, BROKER_QUERIES,      "mc_broker_queries_total",            "counter", 0, NULL, NULL, "Queries answered") \
    F(22, BROKER_PEERS,        "mc_broker_connections",              "gauge",   0, NULL, NULL, "Connections of gateways and workers") \
    F(23, BROKER_POLLS,        "mc_broker_held_polls",               "gauge",   0, NULL, NULL, "Polls of workers that wait for something to say") \
    F(24, BROKER_BUS_MESSAGES, "mc_broker_bus_messages_total",       "counter", 0, NULL, NULL, "Messages published on the bus") \
    F(25, BROKER_BUS_OCTETS,   "mc_broker_bus_bytes_total",          "counter", 0, NULL, NULL, "Octets published on the bus") \
    F(30, BROKER_STORE_USED,   "mc_broker_store_bytes",              "gauge",   0, NULL, NULL, "Size the database has grown to; it never shrinks, and uses again what was freed in it") \
    F(31, BROKER_STORE_MAX,    "mc_broker_store_max_bytes",          "gauge",   0, NULL, NULL, "Size the database may grow to") \
    F(40, BROKER_WORKERS,      "mc_broker_workers",                  "gauge",   0, NULL, NULL, "Workers that are connected") \
    F(41, BROKER_PENDING,      "mc_broker_tasks",                    "gauge",   0, "status", "pending", "Tasks of the asker's workspace") \
    F(42, BROKER_RUNNING,      "mc_broker_tasks",                    "gauge",   0, "status", "running", "") \
    F(43, BROKER_REVIEW,       "mc_broker_tasks",                    "gauge",   0, "status", "review", "") \
    F(44, BROKER_DONE,         "mc_broker_tasks",                    "gauge",   0, "status", "done", "") \
    F(45, BROKER_FAILED,       "mc_broker_tasks",                    "gauge",   0, "status", "failed", "") \
    F(46, BROKER_CANCELLED,    "mc_broker_tasks",                    "gauge",   0, "status", "cancelled", "") \
    F(47, BROKER_WAITING,      "mc_broker_tasks_waiting",            "gauge",   0, NULL, NULL, "Tasks of the asker's workspace that wait for a worker, a desktop or a slot") \
    F(48, BROKER_APPROVALS,    "mc_broker_pending_approvals",        "gauge",   0, NULL, NULL, "Approvals of the asker's workspace that wait for a decision")

// The broker says the ones from 10 to 13; the worker all others, of its own life.
#define WORKER_FIGURES(F) \
    PROCESS_FIGURES(F, WORKER, "worker") \
    F(10, WORKER_CONNECTED,    "mc_worker_connected",                "gauge",   0, NULL, NULL, "1 while the broker hears the worker") \
    F(11, WORKER_SLOTS,        "mc_worker_slots",                    "gauge",   0, NULL, NULL, "Sessions it executes at once") \
    F(12, WORKER_RUNNING,      "mc_worker_running_sessions",         "gauge",   0, NULL, NULL, "Sessions it holds") \
    F(13, WORKER_DRAINING,     "mc_worker_draining",                 "gauge",   0, NULL, NULL, "1 while it takes no more work") \
    F(20, WORKER_STARTED,      "mc_worker_sessions_started_total",   "counter", 0, NULL, NULL, "Sessions it was given") \
    F(21, WORKER_COMPLETED,    "mc_worker_sessions_ended_total",     "counter", 0, "result", "completed", "Sessions that ended, by how") \
    F(22, WORKER_EXIT_NONZERO, "mc_worker_sessions_ended_total",     "counter", 0, "result", "exit_nonzero", "") \
    F(23, WORKER_TIMEOUT,      "mc_worker_sessions_ended_total",     "counter", 0, "result", "timeout", "") \
    F(24, WORKER_AGENT_ERROR,  "mc_worker_sessions_ended_total",     "counter", 0, "result", "agent_error", "") \
    F(25, WORKER_OTHER,        "mc_worker_sessions_ended_total",     "counter", 0, "result", "other", "") \
    F(30, WORKER_SPOOL,        "mc_worker_spool_bytes",              "gauge",   0, NULL, NULL, "Octets in its spool: what the broker has not confirmed, and the journal") \
    F(31, WORKER_UNCONFIRMED,  "mc_worker_unconfirmed_sessions",     "gauge",   0, NULL, NULL, "Sessions that ended and that the broker has not confirmed") \
    F(50, WORKER_HOOKS,        "mc_worker_webhook_deliveries",       "gauge",   0, NULL, NULL, "Deliveries to webhooks under way, or ended and not confirmed by the broker") \
    F(51, WORKER_HOOK_TAKEN,   "mc_worker_webhook_attempts_total",   "counter", 0, "result", "delivered", "Attempts at deliveries to webhooks that ended, by how") \
    F(52, WORKER_HOOK_FAILED,  "mc_worker_webhook_attempts_total",   "counter", 0, "result", "failed", "") \
    F(40, WORKER_PROBED,       "mc_worker_probed_desktops",          "gauge",   0, NULL, NULL, "Desktops it looks after") \
    F(41, WORKER_PROBES,       "mc_worker_probes_total",             "counter", 0, NULL, NULL, "Times it measured a desktop")

// FIGURE_x is its place in the table of its program; x_FIGURE_N how many there are.
#define F(number, name, metric, type, decimals, label, value, help) FIGURE_##name,
enum gateway_figure { GATEWAY_FIGURES(F) GATEWAY_FIGURE_N };
enum broker_figure { BROKER_FIGURES(F) BROKER_FIGURE_N };
enum worker_figure { WORKER_FIGURES(F) WORKER_FIGURE_N };
#undef F

enum figure_program { FIGURES_GATEWAY, FIGURES_BROKER, FIGURES_WORKER };
// The definitions, by place. Lent, for ever.
const struct prom_def *figure_defs(enum figure_program p, unsigned *ret_n);
// Between a place in the table and the number on the wire. figure_place gives a number >= the table's length for what it has not.
uint32_t figure_number(enum figure_program p, unsigned place);
unsigned figure_place(enum figure_program p, uint32_t number);

// Histograms: numbers on the wire and bounds.
enum { HISTOGRAM_COMMIT = 1, HISTOGRAM_TURN = 2 };
extern const uint64_t figure_time_bounds[12];  // microseconds
extern const uint64_t figure_turn_bounds[9];   // commands
