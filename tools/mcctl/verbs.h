// What is more than one request and its answer. Each gives the exit status.
#pragma once

struct run;

// do_task.c
int do_task_create(struct run *r); // also "task run": creates and runs, or runs the one that is named
int do_task_start(struct run *r);
int do_task_retry(struct run *r);
int do_task_wait(struct run *r);
int do_task_review(struct run *r);
int do_approve(struct run *r);
int do_reject(struct run *r);
int do_comment(struct run *r);
int do_logs(struct run *r);
// do_event.c
int do_events(struct run *r);
int do_activity(struct run *r);
int do_activities(struct run *r);
int do_stats(struct run *r);
int do_desktop_watch(struct run *r);
// do_account.c
int do_passwd(struct run *r);
int do_login(struct run *r);
int do_logout(struct run *r);
int do_key_create(struct run *r);
int do_worker_add(struct run *r);
int do_secret_add(struct run *r); // what shows a secret once: workspaces, webhooks
// do_view.c
int do_overview(struct run *r);
int do_top(struct run *r);
int do_desktop_metrics(struct run *r);
int do_health(struct run *r);
int do_completion(struct run *r);
int do_man(struct run *r);
int do_help(struct run *r);
int do_version(struct run *r);

// How `task run --wait` and `task wait` end where the task was not simply done or its command did not simply end.
enum { TASK_EXIT_CANCELLED = 120, TASK_EXIT_REJECTED = 121, TASK_EXIT_LOST = 122, TASK_EXIT_AGENT = 123, TASK_EXIT_TIMEOUT = 124,
       TASK_EXIT_REVIEW = 125 };
