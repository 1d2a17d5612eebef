// Every closed set of words the product speaks: states, kinds, roles. One table each; enums and names come from it.
// Numbers are stored and go over the wire: never reorder, never reuse, add at the end. 0 is always "none".
#pragma once
#include <stddef.h>
#include <stdint.h>

#define TASK_STATUS_NAMES(N)     N(TASK_PENDING, "pending") N(TASK_RUNNING, "running") N(TASK_REVIEW, "review") \
                                 N(TASK_DONE, "done") N(TASK_FAILED, "failed") N(TASK_CANCELLED, "cancelled")
#define TASK_TYPE_NAMES(N)       N(TYPE_PROMPT, "prompt") N(TYPE_COMMAND, "command")
#define PRIORITY_NAMES(N)        N(PRIORITY_LOW, "low") N(PRIORITY_MEDIUM, "medium") N(PRIORITY_HIGH, "high") \
                                 N(PRIORITY_CRITICAL, "critical")
#define FAILURE_NAMES(N)         N(FAILURE_EXIT_NONZERO, "exit_nonzero") N(FAILURE_TIMEOUT, "timeout") \
                                 N(FAILURE_WORKER_LOST, "worker_lost") N(FAILURE_DESKTOP_LOST, "desktop_lost") \
                                 N(FAILURE_AGENT_ERROR, "agent_error") N(FAILURE_REJECTED, "rejected")
#define SESSION_STATUS_NAMES(N)  N(SESSION_RUNNING, "running") N(SESSION_COMPLETED, "completed") \
                                 N(SESSION_FAILED, "failed") N(SESSION_CANCELLED, "cancelled")
#define TRIGGER_NAMES(N)         N(TRIGGER_MANUAL, "manual") N(TRIGGER_RETRY, "retry") N(TRIGGER_SCHEDULE, "schedule")
#define APPROVAL_STATUS_NAMES(N) N(APPROVAL_PENDING, "pending") N(APPROVAL_APPROVED, "approved") \
                                 N(APPROVAL_REJECTED, "rejected") N(APPROVAL_CANCELLED, "cancelled")
#define DECISION_NAMES(N)        N(DECISION_APPROVE, "approve") N(DECISION_REJECT, "reject")
#define DESKTOP_STATUS_NAMES(N)  N(DESKTOP_BOOTING, "booting") N(DESKTOP_RUNNING, "running") \
                                 N(DESKTOP_STOPPED, "stopped") N(DESKTOP_ERROR, "error")
#define DRIVER_NAMES(N)          N(DRIVER_LOCAL, "local") N(DRIVER_SANDBOX, "sandbox") N(DRIVER_SSH, "ssh") \
                                 N(DRIVER_CONTAINER, "container")
#define AGENT_STATUS_NAMES(N)    N(AGENT_OFFLINE, "offline") N(AGENT_ERROR, "error") N(AGENT_ONLINE, "online") \
                                 N(AGENT_IDLE, "idle") N(AGENT_BUSY, "busy")
#define ROLE_NAMES(N)            N(ROLE_VIEWER, "viewer") N(ROLE_OPERATOR, "operator") N(ROLE_ADMIN, "admin")
#define SEVERITY_NAMES(N)        N(SEVERITY_INFO, "info") N(SEVERITY_WARNING, "warning") N(SEVERITY_CRITICAL, "critical")
#define STREAM_NAMES(N)          N(STREAM_STDOUT, "stdout") N(STREAM_STDERR, "stderr")
#define WAITING_NAMES(N)         N(WAITING_WORKER, "worker") N(WAITING_DESKTOP, "desktop") N(WAITING_SLOT, "slot")
#define DESKTOP_ACT_NAMES(N)     N(ACT_START, "start") N(ACT_STOP, "stop") N(ACT_RESTART, "restart")
#define WEBHOOK_STATUS_NAMES(N)  N(WEBHOOK_OK, "ok") N(WEBHOOK_FAILING, "failing") N(WEBHOOK_OPEN, "open")
#define DELIVERY_STATUS_NAMES(N) N(DELIVERY_PENDING, "pending") N(DELIVERY_DELIVERED, "delivered") N(DELIVERY_FAILED, "failed")
#define CHAT_MODE_NAMES(N)       N(CHAT_AGENT, "agent") N(CHAT_MODEL, "model")
// The kinds of object; the name is the prefix of its ids and the entity type of its rows.
#define ENTITY_NAMES(N)          N(ENTITY_TASK, "task") N(ENTITY_DESKTOP, "desktop") N(ENTITY_AGENT, "agent") \
                                 N(ENTITY_APPROVAL, "approval") N(ENTITY_SESSION, "session") N(ENTITY_COMMENT, "comment") \
                                 N(ENTITY_USER, "user") N(ENTITY_KEY, "key") N(ENTITY_WEBHOOK, "webhook") \
                                 N(ENTITY_WORKSPACE, "workspace") N(ENTITY_EVENT, "evt") N(ENTITY_WORKER, "worker") \
                                 N(ENTITY_SYSTEM, "system") N(ENTITY_DELIVERY, "delivery")

// Set, its table, the prefix of its "how many"
#define NAME_SETS(S) \
    S(task_status, TASK_STATUS_NAMES, TASK_STATUS)             S(task_type, TASK_TYPE_NAMES, TASK_TYPE) \
    S(priority, PRIORITY_NAMES, PRIORITY)                      S(failure, FAILURE_NAMES, FAILURE) \
    S(session_status, SESSION_STATUS_NAMES, SESSION_STATUS)    S(trigger, TRIGGER_NAMES, TRIGGER) \
    S(approval_status, APPROVAL_STATUS_NAMES, APPROVAL_STATUS) S(decision, DECISION_NAMES, DECISION) \
    S(desktop_status, DESKTOP_STATUS_NAMES, DESKTOP_STATUS)    S(driver, DRIVER_NAMES, DRIVER) \
    S(agent_status, AGENT_STATUS_NAMES, AGENT_STATUS)          S(role, ROLE_NAMES, ROLE) \
    S(severity, SEVERITY_NAMES, SEVERITY)                      S(stream, STREAM_NAMES, STREAM) \
    S(webhook_status, WEBHOOK_STATUS_NAMES, WEBHOOK)           S(delivery_status, DELIVERY_STATUS_NAMES, DELIVERY) \
    S(waiting, WAITING_NAMES, WAITING)                         S(desktop_act, DESKTOP_ACT_NAMES, DESKTOP_ACT) \
    S(chat_mode, CHAT_MODE_NAMES, CHAT_MODE)                   S(entity, ENTITY_NAMES, ENTITY)

#define N(value, name) value,
#define S(set, TABLE, PREFIX)                          \
    enum set { PREFIX##_NONE, TABLE(N) PREFIX##_COUNT }; \
    const char *set##_name(unsigned value);            \
    const char *set##_words(void);                     \
    enum set set##_find(const char *name);
NAME_SETS(S)
#undef S
#undef N
// x_name(): NULL for 0 and for numbers outside the set. x_words(): "low, medium, high, critical".
// x_find(): X_NONE (0) for a word that is not in it, and for NULL.
// X_COUNT is one more than the largest value.

// "task_42". 0 < n < 2^63.
enum { ID_TEXT_MAX = 40 };
// Writes prefix_n and a NUL; returns the length.
size_t id_format(char out[ID_TEXT_MAX], enum entity kind, uint64_t n);
// 0 when text is not exactly the prefix of kind, '_' and a decimal number without sign or leading zero.
uint64_t id_parse(enum entity kind, const char *text);
