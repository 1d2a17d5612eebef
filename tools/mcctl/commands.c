// Every command, once. Groups stand together; help shows them in this order.
#include "command.h"
#include "run.h"
#include "verbs.h"

#define MC "/api/mission-control/"
#define END { NULL, 0, OPT_SWITCH, NULL, NULL, NULL, NULL }
#define OPTIONS(...) ((const struct option *const[]){ __VA_ARGS__, NULL })
#define COLUMNS(...) ((const struct column[]){ __VA_ARGS__, { NULL, NULL, CELL_TEXT, false } })

const struct option global_options[] = {
    { "url", 0, OPT_TEXT, "URL", NULL, NULL, "where Mission Control is (MC_URL, else http://127.0.0.1:8080)" },
    { "key-file", 0, OPT_TEXT, "FILE", NULL, NULL, "file with the API key (MC_KEY_FILE)" },
    { "ca-file", 0, OPT_TEXT, "FILE", NULL, NULL, "certificates to believe, PEM (MC_CA_FILE, else the system's)" },
    { "json", 0, OPT_SWITCH, NULL, NULL, NULL, "print JSON, for programs" },
    { "raw", 0, OPT_SWITCH, NULL, NULL, NULL, "print what others wrote as it is, control characters too" },
    { "no-color", 0, OPT_SWITCH, NULL, NULL, NULL, "no colours (NO_COLOR)" },
    { "help", 'h', OPT_SWITCH, NULL, NULL, NULL, "what a command does and takes" },
    { "version", 0, OPT_SWITCH, NULL, NULL, NULL, "the version of mcctl" },
    END,
};

// ---------------------------------------------------------------- options

#define PRIORITIES "low|medium|high|critical"
#define ROLES "viewer|operator|admin"
#define STATUSES "pending|running|review|done|failed|cancelled"

static const struct option task_fields[] = {
    { "desktop", 'd', OPT_DESKTOP, "DESKTOP", NULL, "desktopId", "where it runs, id or name; the only one if there is one" },
    { "title", 't', OPT_TEXT, "TEXT", NULL, "title", "title (the first line of the content unless given)" },
    { "priority", 0, OPT_WORD, "WORD", PRIORITIES, "priority", "how urgent it is" },
    { "approval", 0, OPT_BOOL, "YES-OR-NO", NULL, "requiresApproval", "whether its result needs an approval" },
    { "timeout", 0, OPT_NUMBER, "SECONDS", NULL, "timeoutSeconds", "how long one attempt may take" },
    { "retries", 0, OPT_NUMBER, "N", NULL, "retries", "how often a failed attempt is repeated" },
    END,
};
static const struct option task_content[] = {
    { "prompt", 'p', OPT_TEXT, "TEXT", NULL, NULL, "a prompt for the desktop's agent instead of a command" },
    { "file", 'f', OPT_TEXT, "FILE", NULL, NULL, "read the content from a file; - is standard input" },
    { "type", 0, OPT_WORD, "WORD", "command|prompt", NULL, "what the content is" },
    END,
};
static const struct option task_edit[] = {
    { "title", 't', OPT_TEXT, "TEXT", NULL, "title", "title" },
    { "priority", 0, OPT_WORD, "WORD", PRIORITIES, "priority", "how urgent it is" },
    { "content", 0, OPT_TEXT, "TEXT", NULL, "content", "content (while it is pending, as all below)" },
    { "desktop", 'd', OPT_DESKTOP, "DESKTOP", NULL, "desktopId", "where it runs, id or name" },
    { "approval", 0, OPT_BOOL, "YES-OR-NO", NULL, "requiresApproval", "whether its result needs an approval" },
    { "timeout", 0, OPT_NUMBER, "SECONDS", NULL, "timeoutSeconds", "how long one attempt may take" },
    { "retries", 0, OPT_NUMBER, "N", NULL, "retries", "how often a failed attempt is repeated" },
    END,
};
static const struct option waiting[] = {
    { "wait", 'w', OPT_SWITCH, NULL, NULL, NULL, "show its output and end with its status" },
    END,
};
static const struct option wait_more[] = {
    { "wait-approval", 0, OPT_SWITCH, NULL, NULL, NULL, "wait through the approval too" },
    { "quiet", 'q', OPT_SWITCH, NULL, NULL, NULL, "wait without showing the output" },
    { "cancel-on-interrupt", 0, OPT_SWITCH, NULL, NULL, NULL, "Ctrl-C cancels the task" },
    END,
};
static const struct option retry_run[] = {
    { "run", 0, OPT_SWITCH, NULL, NULL, NULL, "run it at once" },
    END,
};
static const struct option task_filters[] = {
    { "status", 's', OPT_WORD, "WORD", STATUSES, "?status", "only those in this state" },
    { "desktop", 'd', OPT_DESKTOP, "DESKTOP", NULL, "?desktopId", "only those of this desktop" },
    { "type", 0, OPT_WORD, "WORD", "command|prompt", "?type", "only those of this type" },
    { "search", 'q', OPT_TEXT, "TEXT", NULL, "?q", "only those with this text in title or content" },
    { "before", 0, OPT_TEXT, "TASK", NULL, "?before", "only those older than this one" },
    END,
};
static const struct option limit[] = {
    { "limit", 'n', OPT_NUMBER, "N", NULL, NULL, "how many at most (50 unless given; 0: all)" },
    END,
};
static const struct option watch[] = {
    { "watch", 'w', OPT_SWITCH, NULL, NULL, NULL, "draw it again every two seconds, until Ctrl-C" },
    END,
};
static const struct option before[] = {
    { "before", 0, OPT_TEXT, "ID", NULL, "?before", "only those older than this one" },
    END,
};
static const struct option session_filters[] = {
    { "status", 's', OPT_WORD, "WORD", "running|completed|failed|cancelled", "?status", "only those in this state" },
    { "desktop", 'd', OPT_DESKTOP, "DESKTOP", NULL, "?desktopId", "only those on this desktop" },
    END,
};
static const struct option approval_filters[] = {
    { "status", 's', OPT_WORD, "WORD", "pending|approved|rejected|cancelled", "?status", "those in this state (pending unless given)" },
    END,
};
static const struct option feedback[] = {
    { "feedback", 'm', OPT_TEXT, "TEXT", NULL, "feedback", "a word to whoever asked" },
    END,
};
static const struct option log_options[] = {
    { "follow", 'f', OPT_SWITCH, NULL, NULL, NULL, "go on until the task is over" },
    { "session", 0, OPT_SESSION, "SESSION", NULL, "?session", "of this attempt (the latest unless given)" },
    { "stream", 0, OPT_WORD, "WORD", "stdout|stderr", "?stream", "only this stream" },
    { "offset", 0, OPT_NUMBER, "BYTES", NULL, "?offset", "from this byte on" },
    END,
};
static const struct option event_filters[] = {
    { "follow", 'f', OPT_SWITCH, NULL, NULL, NULL, "show what happens from now on, until Ctrl-C" },
    { "type", 't', OPT_TEXT, "TYPES", NULL, "?type", "only these types: task.created,session.failed" },
    { "severity", 0, OPT_TEXT, "WORDS", NULL, "?severity", "only these: info,warning,critical" },
    { "agent", 0, OPT_AGENT, "AGENT", NULL, "?agent", "only of this agent" },
    { "desktop", 'd', OPT_DESKTOP, "DESKTOP", NULL, "?desktop", "only of this desktop" },
    { "entity", 0, OPT_TEXT, "ID", NULL, "?entity", "only of this task, session or agent" },
    { "from", 0, OPT_TIME, "TIME", NULL, "?from", "since then: 2026-03-15T10:00:00Z, or 15m, 2h, 7d ago" },
    { "to", 0, OPT_TIME, "TIME", NULL, "?to", "until then" },
    { "search", 'q', OPT_TEXT, "TEXT", NULL, "?q", "only those with this text" },
    { "before", 0, OPT_TEXT, "ID", NULL, NULL, "only those older than this one" },
    { "after", 0, OPT_TEXT, "ID", NULL, NULL, "with --follow: begin after this one" },
    { "limit", 'n', OPT_NUMBER, "N", NULL, NULL, "how many at most (50 unless given; 0: all); with --follow: end after so many" },
    END,
};
static const struct option activity_filters[] = {
    { "follow", 'f', OPT_SWITCH, NULL, NULL, NULL, "that is what it does" },
    { "type", 't', OPT_TEXT, "TYPES", NULL, "?types", "only these types: task.started,task.failed" },
    { "agent", 0, OPT_AGENT, "AGENT", NULL, "?agentId", "only of this agent" },
    { "desktop", 'd', OPT_DESKTOP, "DESKTOP", NULL, "?desktopId", "only of this desktop" },
    { "include", 0, OPT_TEXT, "WORDS", NULL, "?include", "also output, metrics" },
    { "after", 0, OPT_TEXT, "ID", NULL, NULL, "begin after this event" },
    { "limit", 'n', OPT_NUMBER, "N", NULL, NULL, "end after so many" },
    END,
};
static const struct option desktop_stream[] = {
    { "after", 0, OPT_TEXT, "ID", NULL, NULL, "begin after this event" },
    { "limit", 'n', OPT_NUMBER, "N", NULL, NULL, "end after so many" },
    END,
};
static const struct option audit_filters[] = {
    { "type", 't', OPT_TEXT, "TYPES", NULL, "?type", "only these types: task.created,key.revoked" },
    { "actor", 0, OPT_TEXT, "NAME", NULL, "?actor", "only what this user or agent did" },
    { "entity-type", 0, OPT_TEXT, "WORD", NULL, "?entity_type", "only about a task, agent, comment, desktop, user, key, webhook ..." },
    { "since", 0, OPT_UNIX, "TIME", NULL, "?since", "only after then: 2026-03-15T10:00:00Z, or 15m, 2h, 7d ago" },
    { "before", 0, OPT_NUMBER, "ID", NULL, NULL, "only those older than this one" },
    { "after", 0, OPT_NUMBER, "ID", NULL, "?after_id", "only those newer than this one" },
    END,
};
static const struct option hours[] = {
    { "hours", 0, OPT_NUMBER, "N", NULL, "?hours", "how far back (24 unless given)" },
    END,
};
#define CHAT_OPTIONS \
    { "chat-url", 0, OPT_TEXT, "URL", NULL, "chat.url", "the agent's chat endpoint" }, \
    { "chat-model", 0, OPT_TEXT, "NAME", NULL, "chat.model", "the model it is asked for" }, \
    { "chat-mode", 0, OPT_WORD, "WORD", "agent|model", "chat.mode", "what answers there" }, \
    { "chat-system-prompt", 0, OPT_TEXT, "TEXT", NULL, "chat.systemPrompt", "what it is told first" }, \
    { "chat-key-file", 0, OPT_FILE, "FILE", NULL, "chat.key", "file with the key it wants" }
#define DESKTOP_OPTIONS \
    { "address", 0, OPT_TEXT, "ADDRESS", NULL, "address", "user@host[:port] for ssh, the container's name" }, \
    { "pool", 0, OPT_TEXT, "NAME", NULL, "pool", "the pool of workers that serves it" }, \
    { "labels", 0, OPT_LIST, "A,B", NULL, "labels", "labels" }, \
    { "max-tasks", 0, OPT_NUMBER, "N", NULL, "maxTasks", "how many tasks at once (8 unless given)" }, \
    { "start-command", 0, OPT_TEXT, "COMMAND", NULL, "startCommand", "what starts it" }, \
    { "stop-command", 0, OPT_TEXT, "COMMAND", NULL, "stopCommand", "what stops it" }, \
    { "host-key", 0, OPT_TEXT, "KEY", NULL, "hostKey", "the host key that ssh expects" }
static const struct option desktop_fields[] = {
    { "driver", 0, OPT_WORD, "WORD", "local|sandbox|ssh|container", "driver", "how it is reached" },
    DESKTOP_OPTIONS, CHAT_OPTIONS, END,
};
static const struct option desktop_edit[] = {
    { "name", 0, OPT_TEXT, "NAME", NULL, "name", "name" },
    DESKTOP_OPTIONS, CHAT_OPTIONS,
    { "no-chat", 0, OPT_NULL, NULL, NULL, "chat", "take the chat endpoint away" },
    END,
};
static const struct option metrics_range[] = {
    { "from", 0, OPT_TIME, "TIME", NULL, "?from", "since then (an hour ago unless given)" },
    { "to", 0, OPT_TIME, "TIME", NULL, "?to", "until then" },
    { "step", 0, OPT_NUMBER, "SECONDS", NULL, "?step", "one row for so many seconds" },
    END,
};
static const struct option agent_fields[] = {
    { "name", 0, OPT_TEXT, "NAME", NULL, "name", "name" },
    { "role", 0, OPT_TEXT, "TEXT", NULL, "role", "what it is for" },
    END,
};
static const struct option out_file[] = {
    { "out", 'o', OPT_TEXT, "FILE", NULL, NULL, "put the secret into this new file, which only you may read" },
    END,
};
static const struct option key_fields[] = {
    { "role", 0, OPT_WORD, "WORD", ROLES, "role", "no more than your own (your own unless given)" },
    { "expires", 0, OPT_TIME, "TIME", NULL, "expiresAt", "when it ends: 2026-03-15T10:00:00Z, or +30d" },
    END,
};
static const struct option user_fields[] = {
    { "role", 0, OPT_WORD, "WORD", ROLES, "role", "what it may do" },
    { "password", 0, OPT_PASSWORD, NULL, NULL, "password", "ask for a password (or read it from standard input)" },
    END,
};
static const struct option user_edit[] = {
    { "disabled", 0, OPT_BOOL, "YES-OR-NO", NULL, "disabled", "whether it is shut out" },
    END,
};
static const struct option workspace_fields[] = {
    { "admin", 0, OPT_TEXT, "USERNAME", NULL, "admin.username", "its first user, an admin" },
    { "password", 0, OPT_PASSWORD, NULL, NULL, "admin.password", "ask for that user's password (or read it from standard input)" },
    END,
};
static const struct option settings_fields[] = {
    { "require-approval", 0, OPT_BOOL, "YES-OR-NO", NULL, "requireApproval", "whether every result needs an approval" },
    { "alert-cpu", 0, OPT_DECIMAL, "PERCENT", NULL, "alertThresholds.cpu", "above this a desktop's processor raises an alert" },
    { "alert-memory", 0, OPT_DECIMAL, "PERCENT", NULL, "alertThresholds.memory", "above this its memory does" },
    { "alert-disk", 0, OPT_DECIMAL, "PERCENT", NULL, "alertThresholds.disk", "above this its disk does" },
    { "retention-days", 0, OPT_NUMBER, "DAYS", NULL, "retentionDays", "how long events and output are kept" },
    { "default-timeout", 0, OPT_NUMBER, "SECONDS", NULL, "defaultTimeoutSeconds", "of tasks that give none" },
    END,
};
static const struct option maintenance_fields[] = {
    { "minutes", 0, OPT_NUMBER, "N", NULL, "expectedDurationMinutes", "how long it is expected to take" },
    END,
};
static const struct option webhook_fields[] = {
    { "name", 0, OPT_TEXT, "NAME", NULL, "name", "name" },
    { "events", 0, OPT_LIST, "A,B", NULL, "events", "types it is told of: task.failed,approval.created (all unless given)" },
    { "secret-file", 0, OPT_FILE, "FILE", NULL, "secret", "file with the secret that signs (one is made unless given)" },
    { "enabled", 0, OPT_BOOL, "YES-OR-NO", NULL, "enabled", "whether it is told anything" },
    END,
};
static const struct option webhook_edit[] = {
    { "send-to", 0, OPT_TEXT, "URL", NULL, "url", "where it is sent from now on" },
    END,
};
static const struct option health_options[] = {
    { "live", 0, OPT_SWITCH, NULL, NULL, NULL, "only whether the gateway is there, with or without its broker" },
    END,
};
static const struct option metrics_of[] = {
    { "of", 0, OPT_WORD, "WORD", "broker|workers", "?of", "of these instead of the gateway" },
    END,
};

// ---------------------------------------------------------------- columns

static const struct column task_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "STATUS", "status", CELL_STATUS, false }, { "PRIORITY", "priority", CELL_TEXT, false },
    { "DESKTOP", "desktopId", CELL_TEXT, false }, { "CREATED", "createdAt", CELL_TIME, false }, { "EXIT", "exitCode", CELL_TEXT, false },
    { "TITLE", "title", CELL_TEXT, true },    { NULL, NULL, CELL_TEXT, false },
};
static const struct column session_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "TASK", "taskId", CELL_TEXT, false },       { "ATTEMPT", "attempt", CELL_TEXT, false },
    { "TRIGGER", "trigger", CELL_TEXT, false }, { "STATUS", "status", CELL_STATUS, false },  { "WORKER", "workerId", CELL_TEXT, false },
    { "STARTED", "startedAt", CELL_TIME, false }, { "TOOK", "durationMs", CELL_MS, false },  { "EXIT", "exitCode", CELL_TEXT, false },
    { "ERROR", "error.message", CELL_TEXT, true }, { NULL, NULL, CELL_TEXT, false },
};
static const struct column approval_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "STATUS", "status", CELL_STATUS, false },   { "TASK", "taskId", CELL_TEXT, false },
    { "DESKTOP", "task.desktopId", CELL_TEXT, false }, { "CREATED", "createdAt", CELL_TIME, false },
    { "BY", "resolvedBy", CELL_TEXT, true },  { "CONTENT", "task.content", CELL_TEXT, true }, { NULL, NULL, CELL_TEXT, false },
};
static const struct column desktop_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "NAME", "name", CELL_TEXT, true },          { "DRIVER", "driver", CELL_TEXT, false },
    { "STATUS", "status", CELL_STATUS, false }, { "CPU", "cpu", CELL_PERCENT, false },      { "MEMORY", "memory", CELL_PERCENT, false },
    { "DISK", "disk", CELL_PERCENT, false },  { "ADDRESS", "address", CELL_TEXT, true },    { "ERROR", "error", CELL_TEXT, true },
    { NULL, NULL, CELL_TEXT, false },
};

static const struct column comment_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "CREATED", "createdAt", CELL_TIME, false },  { "AUTHOR", "author", CELL_TEXT, true },
    { "CONTENT", "content", CELL_TEXT, true }, { NULL, NULL, CELL_TEXT, false },
};
static const struct column agent_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "NAME", "name", CELL_TEXT, true },          { "ROLE", "role", CELL_TEXT, true },
    { "STATUS", "status", CELL_STATUS, false }, { "DESKTOP", "desktopId", CELL_TEXT, false }, { "CREATED", "createdAt", CELL_TIME, false },
    { NULL, NULL, CELL_TEXT, false },
};
static const struct column worker_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "NAME", "name", CELL_TEXT, true },          { "CONNECTED", "connected", CELL_TEXT, false },
    { "RUNNING", "running", CELL_TEXT, false }, { "SLOTS", "slots", CELL_TEXT, false },      { "DRAINING", "draining", CELL_TEXT, false },
    { "SEEN", "lastSeenAt", CELL_TIME, false }, { "VERSION", "version", CELL_TEXT, false },  { NULL, NULL, CELL_TEXT, false },
};
static const struct column key_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "NAME", "name", CELL_TEXT, true },          { "ROLE", "role", CELL_TEXT, false },
    { "USER", "username", CELL_TEXT, true },  { "ENDS IN", "last4", CELL_TEXT, false },     { "CREATED", "createdAt", CELL_TIME, false },
    { "EXPIRES", "expiresAt", CELL_TIME, false }, { "USED", "lastUsedAt", CELL_TIME, false }, { NULL, NULL, CELL_TEXT, false },
};
static const struct column user_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "USERNAME", "username", CELL_TEXT, true },  { "ROLE", "role", CELL_TEXT, false },
    { "DISABLED", "disabled", CELL_TEXT, false }, { "PASSWORD", "hasPassword", CELL_TEXT, false },
    { "CREATED", "createdAt", CELL_TIME, false }, { "SIGNED IN", "lastLoginAt", CELL_TIME, false }, { NULL, NULL, CELL_TEXT, false },
};
static const struct column workspace_columns[] = {
    { "ID", "id", CELL_TEXT, false }, { "NAME", "name", CELL_TEXT, true }, { "CREATED", "createdAt", CELL_TIME, false },
    { NULL, NULL, CELL_TEXT, false },
};
static const struct column webhook_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "NAME", "name", CELL_TEXT, true },          { "STATUS", "status", CELL_STATUS, false },
    { "ENABLED", "enabled", CELL_TEXT, false }, { "FAILURES", "failures", CELL_TEXT, false }, { "URL", "url", CELL_TEXT, true },
    { "EVENTS", "events", CELL_TEXT, true },  { "LAST ERROR", "lastError", CELL_TEXT, true }, { NULL, NULL, CELL_TEXT, false },
};
static const struct column delivery_columns[] = {
    { "ID", "id", CELL_TEXT, false },         { "CREATED", "createdAt", CELL_TIME, false },  { "TYPE", "type", CELL_TEXT, false },
    { "EVENT", "eventId", CELL_TEXT, false }, { "ATTEMPT", "attempt", CELL_TEXT, false },    { "STATUS", "status", CELL_STATUS, false },
    { "HTTP", "httpStatus", CELL_TEXT, false }, { "TOOK", "durationMs", CELL_MS, false },    { "ERROR", "error", CELL_TEXT, true },
    { NULL, NULL, CELL_TEXT, false },
};

// ---------------------------------------------------------------- the table

#define TASKS MC "tasks"
#define APPROVALS MC "approvals"
#define KEYS "/api/auth/api-keys"
// words, other words, arguments, what it does
#define C(words_, alias_, args_, about_, ...) { .words = words_, .alias = alias_, .args = args_, .about = about_, __VA_ARGS__ }
// how it is done, with which request
#define GET(run_, path_) .run = run_, .path = path_
#define ASK(run_, method_, path_) .run = run_, .method = method_, .path = path_

const struct command commands[] = {
    C("task run", "run", "[COMMAND...]", "Create a task and run it", ASK(do_task_create, "POST", TASKS),
      .options = OPTIONS(task_fields, task_content, waiting, wait_more),
      .more = "The command stands after --. One argument is a line for the shell (mcctl task run -- 'make test | tail'); of several the "
              "program gets exactly those (mcctl task run -- make test). With the id of a pending task, and nothing else, that one is "
              "run. Without --wait it prints the task and ends at once; with it the output is shown as it comes, what the command "
              "writes to standard error on standard error, and the exit status is the task's. Waiting ends when the run ends: where an "
              "approval is needed then, with 125, or, with --wait-approval, when that is decided."),
    C("task create", "task add|task new", "[COMMAND...]", "Create a task that is run later", ASK(do_task_create, "POST", TASKS),
      .options = OPTIONS(task_fields, task_content), .more = "Its command is given as for task run."),
    C("task start", NULL, "TASK", "Run a task that is pending", ASK(do_task_start, "POST", TASKS "/{task}/run"),
      .options = OPTIONS(waiting, wait_more)),
    C("task wait", "wait", "TASK", "Wait for a task, show its output, end with its status", GET(do_task_wait, TASKS "/{task}"),
      .options = OPTIONS(wait_more)),
    C("task list", "tasks|task ls|ps", "", "List tasks, the newest first",
      GET(run_list, TASKS), .options = OPTIONS(task_filters, limit, watch),
      .columns = task_columns),
    C("task show", "task get", "TASK", "Show a task", GET(run_get, TASKS "/{task}")),
    C("task edit", NULL, "TASK", "Change a task", ASK(run_act, "PATCH", TASKS "/{task}"), .options = OPTIONS(task_edit)),
    C("task cancel", "cancel", "TASK...", "Cancel tasks", ASK(run_act, "POST", TASKS "/{task}/cancel")),
    C("task retry", "retry", "TASK", "Put a task that is over back to pending", ASK(do_task_retry, "POST", TASKS "/{task}/retry"),
      .options = OPTIONS(retry_run, waiting, wait_more)),
    C("task delete", "task rm", "TASK...", "Delete tasks", ASK(run_act, "DELETE", TASKS "/{task}")),
    C("task review", "review", "TASK DECISION", "Decide on a task in review: approve or reject",
      ASK(do_task_review, "POST", TASKS "/{task}/review"),
      .options = OPTIONS(feedback)),
    C("task sessions", NULL, "TASK", "List the attempts at a task", GET(run_list, TASKS "/{task}/sessions"), .columns = session_columns),
    C("logs", "task output|task logs|log", "TASK", "Show a task's output",
      GET(do_logs, TASKS "/{task}/output"), .options = OPTIONS(log_options),
      .more = "With --follow it goes on through all attempts until the task is over. --raw gives the output's octets as they are."),
    C("comments", "comment list", "TASK", "List the comments on a task",
      GET(run_list, TASKS "/{task}/comments"), .columns = comment_columns),
    C("comment", "comment add", "TASK [TEXT...]", "Comment on a task", ASK(do_comment, "POST", TASKS "/{task}/comments"),
      .more = "Without a text it is read from standard input."),

    C("approvals", "approval list|approval ls", "", "List what waits for a decision", GET(run_list, APPROVALS),
      .options = OPTIONS(approval_filters, watch), .columns = approval_columns),
    C("approval show", "approval get", "APPROVAL", "Show an approval", GET(run_get, APPROVALS "/{approval}")),
    C("approve", "approval approve", "APPROVAL...", "Approve what tasks have done",
      ASK(do_approve, "POST", APPROVALS "/{approval}/resolve"),
      .options = OPTIONS(feedback), .more = "An approval may also be named by its task: mcctl approve task_42."),
    C("reject", "approval reject", "APPROVAL...", "Reject what tasks have done", ASK(do_reject, "POST", APPROVALS "/{approval}/resolve"),
      .options = OPTIONS(feedback), .more = "An approval may also be named by its task: mcctl reject task_42."),

    C("overview", "status", "", "Show how it all stands", GET(do_overview, MC "overview"), .options = OPTIONS(watch)),
    C("top", NULL, "", "Watch how it all stands, and what runs", GET(do_top, MC "overview")),
    C("events", "event list", "", "List the feed's events, the newest first, or follow them", GET(do_events, MC "events"),
      .options = OPTIONS(event_filters)),
    C("activity", NULL, "", "Follow the activity stream", GET(do_activity, MC "activity/stream"), .options = OPTIONS(activity_filters)),
    C("activities", "audit|activity list", "", "List who did what, the newest first", GET(do_activities, "/api/activities"),
      .options = OPTIONS(audit_filters, limit)),
    C("stats", "activity stats", "", "Count who did what", GET(do_stats, "/api/activities?stats=true"), .options = OPTIONS(hours)),
    C("sessions", "session list|session ls", "", "List attempts at tasks, the newest first", GET(run_list, MC "sessions"),
      .options = OPTIONS(session_filters, before, limit, watch), .columns = session_columns),
    C("session show", "session get", "SESSION", "Show one attempt", GET(run_get, MC "sessions/{session}")),

    C("desktop list", "desktops|desktop ls", "", "List desktops", GET(run_list, "/api/desktops"), .options = OPTIONS(watch),
      .columns = desktop_columns),
    C("desktop show", "desktop get", "DESKTOP", "Show a desktop", GET(run_get, "/api/desktops/{desktop}")),
    C("desktop add", "desktop create", "NAME", "Add a desktop", ASK(run_act, "POST", "/api/desktops"), .member = "name",
      .options = OPTIONS(desktop_fields)),
    C("desktop edit", NULL, "DESKTOP", "Change a desktop",
      ASK(run_act, "PATCH", "/api/desktops/{desktop}"), .options = OPTIONS(desktop_edit)),
    C("desktop delete", "desktop rm", "DESKTOP...", "Delete desktops", ASK(run_act, "DELETE", "/api/desktops/{desktop}")),
    C("desktop start", NULL, "DESKTOP...", "Start desktops", ASK(run_act, "POST", "/api/desktops/{desktop}/start")),
    C("desktop stop", NULL, "DESKTOP...", "Stop desktops", ASK(run_act, "POST", "/api/desktops/{desktop}/stop")),
    C("desktop restart", NULL, "DESKTOP...", "Restart desktops", ASK(run_act, "POST", "/api/desktops/{desktop}/restart")),
    C("desktop metrics", NULL, "DESKTOP", "Show a desktop's load over time", GET(do_desktop_metrics, "/api/desktops/{desktop}/metrics"),
      .options = OPTIONS(metrics_range)),
    C("desktop watch", NULL, "", "Follow what becomes of desktops", GET(do_desktop_watch, "/api/desktops/stream"),
      .options = OPTIONS(desktop_stream)),
    C("agent list", "agents|agent ls", "", "List agents",
      GET(run_list, "/api/agents"), .options = OPTIONS(watch), .columns = agent_columns),
    C("agent show", "agent get", "AGENT", "Show an agent", GET(run_get, "/api/agents/{agent}")),
    C("agent edit", NULL, "AGENT", "Change an agent", ASK(run_act, "PATCH", "/api/agents/{agent}"), .options = OPTIONS(agent_fields)),
    C("worker list", "workers|worker ls", "", "List workers",
      GET(run_list, "/api/workers"), .options = OPTIONS(watch), .columns = worker_columns),
    C("worker add", "worker create", "NAME", "Make a worker's key", ASK(do_worker_add, "POST", "/api/workers"), .member = "name",
      .options = OPTIONS(out_file), .more = "The key goes into NAME.key in this directory unless --out says where; the worker is given it "
                                            "with mc-worker --worker-key FILE."),
    C("worker drain", NULL, "WORKER...", "Let workers finish what they run, and give them no more",
      ASK(run_act, "POST", "/api/workers/{worker}/drain")),

    C("key list", "keys|key ls", "", "List API keys", GET(run_list, KEYS), .columns = key_columns),
    C("key create", "key add|key new", "NAME", "Make an API key", ASK(do_key_create, "POST", KEYS), .member = "name",
      .options = OPTIONS(key_fields, out_file), .more = "The key is shown once, or goes into the file that --out names."),
    C("key delete", "key revoke|key rm", "KEY...", "Revoke API keys", ASK(run_act, "DELETE", KEYS "/{key}")),
    C("user list", "users|user ls", "", "List users", GET(run_list, "/api/users"), .columns = user_columns),
    C("user add", "user create", "USERNAME", "Add a user", ASK(run_act, "POST", "/api/users"), .member = "username",
      .options = OPTIONS(user_fields)),
    C("user edit", NULL, "USER", "Change a user", ASK(run_act, "PATCH", "/api/users/{user}"), .options = OPTIONS(user_fields, user_edit)),
    C("user delete", "user rm", "USER...", "Delete users, with their keys and sessions", ASK(run_act, "DELETE", "/api/users/{user}")),
    C("workspace list", "workspaces|workspace ls", "", "List workspaces", GET(run_list, "/api/workspaces"), .columns = workspace_columns),
    C("workspace add", "workspace create", "NAME", "Add a workspace with its first user", ASK(do_secret_add, "POST", "/api/workspaces"),
      .member = "name", .options = OPTIONS(workspace_fields, out_file),
      .more = "That user's API key is shown once, or goes into the file that --out names."),
    C("passwd", NULL, "[USER]", "Set a password", ASK(do_passwd, "POST", "/api/auth/password"),
      .more = "It is asked for twice without echo. Without a name it is one's own, and the current one is asked for first. With a name "
              "an admin sets anybody's: mcctl passwd admin, with the admin's key, sets the first one of all. Where standard "
              "input is no terminal each is one line of it."),
    C("login", NULL, "USERNAME", "Sign in, and stay so for this address", ASK(do_login, "POST", "/api/auth/login"),
      .more = "Keeps a session of seven days in $XDG_CONFIG_HOME/mcctl/session (or ~/.config), which only you may read. For programs a "
              "key is better: mcctl key create."),
    C("logout", NULL, "", "End that session", ASK(do_logout, "POST", "/api/auth/logout")),
    C("whoami", "me", "", "Show who one is", GET(run_get, "/api/auth/me")),

    C("settings", "settings get|settings show", "", "Show the settings", GET(run_get, MC "settings")),
    C("settings set", "settings edit", "", "Change settings", ASK(run_act, "PUT", MC "settings"), .options = OPTIONS(settings_fields)),
    C("maintenance", NULL, "DESCRIPTION", "Announce maintenance in the feed",
      ASK(run_act, "POST", MC "maintenance"), .member = "description",
      .options = OPTIONS(maintenance_fields)),
    C("webhook list", "webhooks|webhook ls", "", "List webhooks", GET(run_list, "/api/webhooks"), .columns = webhook_columns),
    C("webhook add", "webhook create", "URL", "Add a webhook", ASK(do_secret_add, "POST", "/api/webhooks"), .member = "url",
      .options = OPTIONS(webhook_fields, out_file),
      .more = "The secret that signs is shown once, or goes into the file that --out names."),
    C("webhook edit", NULL, "WEBHOOK", "Change a webhook", ASK(run_act, "PATCH", "/api/webhooks/{webhook}"),
      .options = OPTIONS(webhook_edit, webhook_fields)),
    C("webhook delete", "webhook rm", "WEBHOOK...", "Delete webhooks", ASK(run_act, "DELETE", "/api/webhooks/{webhook}")),
    C("webhook test", NULL, "WEBHOOK", "Send a webhook a test", ASK(run_act, "POST", "/api/webhooks/{webhook}/test")),
    C("webhook deliveries", NULL, "WEBHOOK", "List what a webhook was sent", GET(run_list, "/api/webhooks/{webhook}/deliveries"),
      .options = OPTIONS(before, limit), .columns = delivery_columns),

    C("health", "ready", "", "Ask whether Mission Control is ready", GET(do_health, "/readyz"), .options = OPTIONS(health_options)),
    C("metrics", NULL, "", "Print metrics in Prometheus' format", GET(run_text, "/metrics"), .options = OPTIONS(metrics_of)),
    C("openapi", NULL, "", "Print the description of the API", GET(run_text, "/api/openapi.json")),
    C("completion", NULL, "SHELL", "Print the completion for bash or zsh", .run = do_completion,
      .more = "For bash: eval \"$(mcctl completion bash)\". For zsh: mcctl completion zsh >_mcctl in a directory of $fpath."),
    C("help", NULL, "[COMMAND] [WORD]", "Say what there is, or what a command takes", .run = do_help),
    C("version", NULL, "", "Print the version of mcctl", .run = do_version),
    C("man", NULL, "", NULL, .run = do_man), // for the build: the manual page
    { .words = NULL },
};
