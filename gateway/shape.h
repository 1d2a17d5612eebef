// What the wire says of an object, as the public JSON: each writes one object (contract.md section 2). Bodies in: shape_body.h; the
// files of these names are the only ones that know both. Pure.
#pragma once
#include "json_out.h"
#include "wire.pb-c.h"

void shape_task(struct json *j, const Wire__Task *t);
void shape_session(struct json *j, const Wire__Session *s);
void shape_approval(struct json *j, const Wire__Approval *a);
void shape_desktop(struct json *j, const Wire__Desktop *d);
void shape_settings(struct json *j, const Wire__Settings *s);
void shape_overview(struct json *j, const Wire__Overview *o);
void shape_key(struct json *j, const Wire__Key *k, const char *secret);         // secret: shown once, in the 201; else NULL
void shape_worker(struct json *j, const Wire__Worker *w, const char *key_file); // the same
void shape_webhook(struct json *j, const Wire__Webhook *h, const char *secret);  // the same
void shape_delivery(struct json *j, const Wire__Delivery *d);
void shape_user(struct json *j, const Wire__Credential *c);
void shape_person(struct json *j, const Wire__User *u);
void shape_workspace(struct json *j, const Wire__Workspace *w);
void shape_workspace_made(struct json *j, const Wire__WorkspaceMade *w, const char *secret);
