"""The description of the API is true: every example of every operation that is served is played, every answer is judged by the
description, and every status it names is produced, or stands on a list with the reason why not."""
import collections
import hmac
import http.client
import http.server
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from described import BY_ID, DOC, MISSING_ID, OPERATIONS, errors, examples, undescribed
from harness import SANITIZED, STRETCH, TASKS, Answer, Install, Stream, http_call, wait_until

pytestmark = pytest.mark.xdist_group('openapi')     # the last test looks at what the others have seen

STREAMS = [op for op in OPERATIONS if op.stream]
APPROVALS, DESKTOPS, KEYS, WORKERS, USERS = ('/api/mission-control/approvals', '/api/desktops', '/api/auth/api-keys', '/api/workers',
                                                '/api/users')
PASSWORD = 'seven lamps above the pier'     # as in the examples
NOWHERE = 'http://127.0.0.1:9/hook'          # examples of webhooks send nothing out of this machine
produced = {}      # operationId -> statuses as described
played = set()


def note(op, a):
    produced.setdefault(op.id, set()).add(op.judge(a))
    return a


# ---------------------------------------------------------------- what the examples are about

class World:
    """An installation, and a maker of whatever an operation needs to succeed."""

    def __init__(self):
        self.i = Install(gateways=2, workers=2, env={'MC_WEBHOOK_ALLOW': '127.0.0.1'})
        self.viewer, self.operator = self.i.make_key('viewer'), self.i.make_key('operator')
        self.n, self.turn, self.runners, self.later = 0, 0, [], []     # later: what takes back what a conflict was made of
        self.streams = [(op, self.i.stream(op.path + '?include=output,metrics', gw=1)) for op in STREAMS]

    def post(self, path, body=None, status=201):
        return self.i.api('POST', path, body).ok(status)

    def name(self, what):
        self.n += 1
        return '%s-%d' % (what, self.n)

    # Each gives the id that the path needs; a dictionary: more of the request.
    def pending(self):
        return self.i.task('true')['id']

    def done(self):
        t = self.i.task('echo out; echo err >&2', run=True)
        return self.i.wait_task(t['id'], 'done')['id']

    def review(self):
        t = self.i.task('true', run=True, requiresApproval=True)
        return self.i.wait_task(t['id'], 'review')['id']

    def running(self):
        t = self.i.task('sleep 1000', run=True)
        wait_until('a worker has it', lambda: self.i.get_task(t['id'])['sessionId'])
        self.runners.append(t['id'])
        return t['id']

    def cancelled(self):
        t = self.pending()
        self.i.act(t, 'cancel').ok()
        return t

    def approval(self):
        return self.i.get_task(self.review())['approvalId']

    def session(self):
        return self.i.get_task(self.done())['sessionId']

    def desktop(self):
        return self.i.make_desktop(self.name('made'))['id']

    def stopped(self):
        d = self.desktop()
        self.post('%s/%s/stop' % (DESKTOPS, d), status=200)
        return d

    def agent(self):
        return self.i.api('GET', '%s/%s' % (DESKTOPS, self.desktop())).ok()['agentId']

    def drainable(self):
        """The second worker; one that has drained, and so ended, is started anew."""
        w = self.i.workers[1]
        if w.expect is not None:
            w.wait()
            w.start()

        def working():
            return next((x['id'] for x in self.i.api('GET', WORKERS).ok() if x['name'] == 'worker-2' and x['connected'] and not x['draining']), None)
        found = wait_until('it works', working)
        w.expect = (0,)
        return found

    def full_of_comments(self):
        """A task with as many comments as there may be, over connections that do not wait for answers."""
        t = self.pending()
        body = b'{"content":"x"}'
        one = ('POST %s/%s/comments HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n'
               % (TASKS, t, self.i.key, len(body))).encode() + body
        def fill(n):
            with socket.create_connection(('127.0.0.1', self.i.port(n % 2)), timeout=30 * STRETCH) as s:
                for _ in range(25):      # as many at a time as any socket takes
                    s.sendall(one * 25)
                    made, rest = 0, b''
                    while made < 25 or not rest.endswith(b'}'):
                        got = s.recv(1 << 16)
                        assert got, 'closed'
                        *heads, rest = (rest + got).split(b'HTTP/1.1 201 ')
                        made += len(heads)
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(fill, range(16)))
        return t

    def user(self, role='operator', **more):
        return self.post(USERS, {'username': self.name('person'), 'role': role, **more})['id']

    def signed_in(self, role='operator', gw=0):
        """As headers: a session of a new user, whose requests come from our own pages."""
        who = {'username': self.name('person'), 'password': PASSWORD}
        self.post(USERS, {**who, 'role': role})
        a = self.i.api('POST', '/api/auth/login', who, key=None, gw=gw)
        a.ok()
        return {'Cookie': a.headers['Set-Cookie'].split(';')[0], 'Origin': 'http://127.0.0.1:%d' % self.i.port(gw)}

    def by_cookie(self):
        return {'id': None, 'key': '', 'headers': self.signed_in()}

    def mara(self):
        """The one whom the example of signing in names."""
        body = BY_ID['login'].examples['login']
        self.i.api('POST', USERS, {'username': body['username'], 'role': 'operator', 'password': body['password']})

    def other_admin(self):
        """An admin key of another workspace."""
        return self.post('/api/workspaces', {'name': 'other', 'admin': {'username': self.name('person')}})['key']

    def webhook(self, **more):
        return self.post('/api/webhooks', {'url': NOWHERE, 'events': ['task.failed'], **more})['id']

    def full_of_webhooks(self):
        while True:
            a = self.i.api('POST', '/api/webhooks', {'url': NOWHERE, 'events': ['task.failed']})
            if a.status != 201:
                return
            self.later.append(lambda h=a.json['id']: self.i.api('DELETE', '/api/webhooks/' + h).ok(204))

    def full_of_tests(self):
        """A webhook whose tests nobody takes, since the workers stand still."""
        h = self.webhook()
        for worker in self.i.workers:
            worker.pause()
            self.later.append(worker.resume)
        for _ in range(8):
            self.post('/api/webhooks/%s/test' % h, status=202)
        return h

    def key(self):
        return self.post(KEYS, {'name': 'to be revoked'})['id']

    def close(self):
        for _, s in self.streams:
            s.close()
        for t in self.runners:
            self.i.act(t, 'cancel')
            wait_until('it has ended', lambda t=t: not any(x['status'] == 'running' for x in self.i.sessions(t)))
        self.i.close()


# What an operation needs before its examples succeed, where that is not just anything that exists.
NEEDS = {
    'getTask': World.done, 'editTask': World.pending, 'deleteTask': World.pending, 'runTask': World.pending, 'reviewTask': World.review,
    'cancelTask': World.pending, 'retryTask': World.cancelled, 'getTaskOutput': World.done, 'listTaskSessions': World.done,
    'getSession': World.session, 'getApproval': World.approval, 'resolveApproval': World.approval,
    'getDesktop': lambda w: 'desktop_1', 'editDesktop': World.desktop, 'deleteDesktop': World.desktop, 'startDesktop': World.stopped,
    'stopDesktop': World.desktop, 'restartDesktop': World.desktop, 'getDesktopMetrics': lambda w: 'desktop_1', 'getAgent': lambda w: 'agent_1',
    'editAgent': World.agent, 'drainWorker': World.drainable, 'revokeKey': World.key, 'login': World.mara, 'logout': World.by_cookie,
    'editWebhook': World.webhook, 'deleteWebhook': World.webhook, 'listDeliveries': World.webhook, 'testWebhook': World.webhook,
    'changePassword': World.by_cookie, 'editUser': World.user, 'deleteUser': World.user,
}


# What makes each conflict that is described: an id of the path, body, header fields.
def _mismatch(w):
    h = {'Idempotency-Key': 'mismatch'}
    w.i.task('true', headers=h)
    return None, {'type': 'command', 'content': 'false', 'desktopId': 'desktop_1'}, h


def _create_on(desktop, kind='command'):
    return lambda w: (None, {'type': kind, 'content': 'true', 'desktopId': desktop(w), 'run': True}, {})


def _run_stopped(w):
    d = w.desktop()
    t = w.i.task('true', desktopId=d)['id']
    w.post('%s/%s/stop' % (DESKTOPS, d), status=200)
    return t, None, {}


def _in_use(w):
    d = w.desktop()
    w.i.task('true', desktopId=d)
    return d, None, {}


CONFLICTS = {
    'createTask': {'mismatch': _mismatch, 'stopped': _create_on(World.stopped), 'noAgent': _create_on(lambda w: 'desktop_1', 'prompt')},
    'editTask': {'notPending': lambda w: (w.done(), {'content': 'false'}, {})},
    'deleteTask': {'running': lambda w: (w.running(), None, {})},
    'runTask': {'notPending': lambda w: (w.done(), None, {}), 'stopped': _run_stopped, 'noAgent': lambda w: (w.i.task('hello', type='prompt')['id'], None, {})},
    'reviewTask': {'notInReview': lambda w: (w.pending(), {'decision': 'approve'}, {})},
    'cancelTask': {'over': lambda w: (w.done(), None, {})},
    'retryTask': {'notOver': lambda w: (w.pending(), None, {})},
    'resolveApproval': {'resolved': lambda w: (_resolved(w), {'decision': 'approve'}, {})},
    'deleteDesktop': {'inUse': _in_use},
    'startDesktop': {'state': lambda w: ('desktop_1', None, {})},
    'stopDesktop': {'state': lambda w: (w.stopped(), None, {})},
    'restartDesktop': {'state': lambda w: (w.stopped(), None, {})},
    'createWorker': {'taken': lambda w: (None, _taken_worker(w), {})},
    'createComment': {'full': lambda w: (w.full_of_comments(), {'content': 'one more'}, {})},
    'createWebhook': {'full': lambda w: (w.full_of_webhooks(), {'url': NOWHERE}, {})},
    'testWebhook': {'disabled': lambda w: (w.webhook(enabled=False), None, {}), 'waiting': lambda w: (w.full_of_tests(), None, {})},
    'createUser': {'taken': lambda w: (None, {'username': 'ADMIN', 'role': 'viewer'}, {})},
    'editUser': {'last': lambda w: ('user_1', {'role': 'viewer'}, {})},
    'deleteUser': {'last': lambda w: ('user_1', None, {})},
    'createWorkspace': {'taken': lambda w: (None, {'name': 'x', 'admin': {'username': 'admin'}}, {})},
    'drainWorker': {'away': lambda w: (w.post(WORKERS, {'name': w.name('away')})['id'], None, {})},
}


def _resolved(w):
    a = w.approval()
    w.post('%s/%s/resolve' % (APPROVALS, a), {'decision': 'approve'}, 200)
    return a


def _taken_worker(w):
    body = {'name': w.name('twice')}
    w.post(WORKERS, body)
    return body


# Statuses that are described and not produced here: (operationId, status) -> the reason.
NOT_PRODUCED = {('createComment', '409'): 'takes ten thousand requests'} if SANITIZED else {}

# What an example names that must be there: (operationId, parameter) -> the real value, given the id in the path.
REFERRED = {
    ('getTaskOutput', 'session'): lambda w, task: w.i.get_task(task)['sessionId'],
}
# Parameters that are not played together with the others: they ask for another thing.
ALONE = {'session', 'stats'}
# Bodies of examples that can be sent only once as they are.
ONCE = {
    'createWorker': lambda w, body: {**body, 'name': w.name(body['name'])},
    'createWebhook': lambda w, body: {**body, 'url': NOWHERE},
    'createUser': lambda w, body: {**body, 'username': w.name(body['username'])},
    'createWorkspace': lambda w, body: {**body, 'admin': {**body['admin'], 'username': w.name('quinn')}},
}


@pytest.fixture(scope='module')
def world():
    w = World()
    yield w
    w.close()


def call(w, op, url, body=None, headers=None, key=None, gw=0):
    """One request of an operation; of a stream its head."""
    if op.stream:
        s = Stream(w.i.port(gw), url, key=w.i.key if key is None else key or None, headers=headers)
        a = Answer(s.status, s.headers, s.body)
        s.close()
        return a
    return w.i.api(op.method, url, json=body, headers=headers, gw=gw, **({} if key is None else {'key': key}))


def need(w, op):
    if op.id in NEEDS:
        return NEEDS[op.id](w)
    return w.pending() if op.kind == 'task' else None


# ---------------------------------------------------------------- the examples that are requests

def test_the_description_is_served(world):
    a = http_call(world.i.port(), 'GET', '/api/openapi.json')
    assert a.ok() == DOC and a.headers['Content-Type'] == 'application/json' and a.headers['Cache-Control'] == 'no-cache'
    assert DOC['openapi'].startswith('3.1') and len(a.headers.get_all('ETag')) == 1
    head = http_call(world.i.port(1), 'HEAD', '/api/openapi.json')
    assert head.status == 200 and head.raw == b'' and head.headers['ETag'] == a.headers['ETag']
    assert int(head.headers['Content-Length']) == len(a.raw)
    for form in ['%s', 'W/%s', '"other", %s', '*']:
        b = http_call(world.i.port(), 'GET', '/api/openapi.json', headers={'If-None-Match': form.replace('%s', a.headers['ETag'])})
        assert b.status == 304 and b.raw == b''
    assert http_call(world.i.port(), 'GET', '/api/openapi.json', headers={'If-None-Match': '"0123456789abcdef"'}).status == 200


def test_examples_of_answers_are_as_described():
    wrong = []
    for op in OPERATIONS:
        for status, r in op.responses.items():
            for kind, media in r.get('content', {}).items():
                for name, value in examples(media).items():
                    wrong += ['%s %s %s: %s' % (op, status, name, e) for e in errors(media['schema'], value)]
                    if kind == 'text/event-stream':
                        for line in value.split('\n'):
                            if line.startswith('data: '):
                                wrong += ['%s %s: %s' % (op, status, e) for e in errors(media['schema']['contentSchema'], json.loads(line[6:]))]
        for p in op.params + op.in_path:
            for name, value in examples(p).items():
                wrong += ['%s %s: %s' % (op, p['name'], e) for e in errors(p['schema'], value)]
        if op.needs_body:
            for name, value in op.examples.items():
                wrong += ['%s body %s: %s' % (op, name, e) for e in errors(op.body, value)]
    assert not wrong, '\n'.join(wrong)


def replay(w, op, body, query=(), headers=()):
    """query: (parameter, example) pairs; headers: a dictionary."""
    target = need(w, op)
    more = target if isinstance(target, dict) else {'id': target}
    parts = ['%s=%s' % (p['name'], op.query(REFERRED[op.id, p['name']](w, more['id']) if (op.id, p['name']) in REFERRED else value))
             for p, value in query]
    if op.id in ONCE:
        body = ONCE[op.id](w, body)
    url = (op.url(more['id']) if op.kind else op.url()) + ('?' + '&'.join(parts) if parts else '')
    w.turn = 1 - w.turn     # one gateway after the other
    h = {**dict(headers), **more.get('headers', {})}
    if 'Origin' in h:
        h['Origin'] = w.i.url(w.turn)
    a = call(w, op, url, body, h, more.get('key'), w.turn)
    assert 200 <= a.status < 300, '%s %s %s %s' % (op, url, body, a)
    assert not op.stream or a.headers['X-Accel-Buffering'] == 'no'
    return note(op, a)


@pytest.mark.parametrize('op', OPERATIONS, ids=repr)
def test_examples(world, op):
    """Each body; then each parameter alone, and all together."""
    for body in op.examples.values() if op.needs_body else [None]:
        a = replay(world, op, body)
        if op.method == 'GET' and not op.stream:
            head = world.i.api('HEAD', op.url(need(world, op)) if op.kind else op.url())
            assert head.status == a.status and head.raw == b''
    if op.takes_body and not op.needs_body:
        replay(world, op, {})
    body = next(iter(op.examples.values()), None)
    query, headers = [], {}
    for p in op.params:
        for value in examples(p).values():
            if p['in'] == 'query':
                replay(world, op, body, [(p, value)])
                if p['name'] not in ALONE:
                    query.append((p, value))
            else:
                replay(world, op, body, headers={p['name']: value})
                if p['name'] != 'Idempotency-Key':
                    headers[p['name']] = value
    replay(world, op, body, query, headers)
    played.add(('examples', op.id))


@pytest.mark.parametrize('op', [op for op in OPERATIONS if '304' in op.responses], ids=repr)
def test_not_modified(world, op):
    def unchanged():       # figures of desktops move
        url = op.url() + ('?limit=5' if op.id == 'listTasks' else '')
        a = call(world, op, url)
        b = call(world, op, url, headers={'If-None-Match': a.headers['ETag']})
        return b if b.status == 304 else None
    note(op, wait_until('304 of %s' % op, unchanged))


# ---------------------------------------------------------------- errors

@pytest.mark.parametrize('op', OPERATIONS, ids=repr)
def test_errors(world, op):
    """401, 403, 404, 400, 413 and 415, where they are described."""
    body = next(iter(op.examples.values()), None)
    if op.security:
        a = note(op, call(world, op, op.url(), body, key=''))
        assert a.status == 401
        a = note(op, call(world, op, op.url(), body, key='', headers={'x-api-key': 'mc_k_' + 'A' * 43}))
        assert a.status == 401
    if op.role in ('operator', 'admin'):
        a = note(op, call(world, op, op.url(), body, key=world.viewer))
        a.error(403, 'FORBIDDEN')
    if op.kind:
        note(op, call(world, op, op.url(MISSING_ID), body)).error(404, 'NOT_FOUND')
        note(op, call(world, op, op.url('nothing'), body)).error(404, 'NOT_FOUND')
    if op.stream:
        note(op, call(world, op, op.url() + '?include=nothing')).error(400, 'INVALID_FIELD', field='include')
    elif op.needs_body:
        target = op.url(MISSING_ID)
        note(op, world.i.api(op.method, target, body=b'{"a":')).error(400, 'BAD_JSON')
        note(op, world.i.api(op.method, target)).error(400, 'BAD_JSON')
        note(op, world.i.api(op.method, target, body=b'[]')).error(400, 'BAD_JSON')
        for member in op.body.get('required', []):
            a = note(op, world.i.api(op.method, target, {k: v for k, v in body.items() if k != member}))
            assert a.error(400, 'MISSING_FIELD')['field'].split('.')[0] == member, a
    elif '400' in op.responses:
        target = op.url(need(world, op)) if op.kind else op.url()
        note(op, call(world, op, target, headers={'X-Mc-Min-Sequence': 'x'})).error(400, 'INVALID_FIELD', field='X-Mc-Min-Sequence')
    if op.takes_body:
        note(op, world.i.api(op.method, op.url(), body=b'a=b', headers={'Content-Type': 'application/x-www-form-urlencoded'})).error(415)
        note(op, too_big(world, op)).error(413, 'TOO_BIG')
    for method in ('GET', 'POST', 'PUT', 'PATCH', 'DELETE'):
        if method.lower() not in DOC['paths'][op.path]:
            a = world.i.api(method, op.url())
            a.error(405, 'METHOD_NOT_ALLOWED')
            op.judge(a)
    played.add(('errors', op.id))


def too_big(w, op):
    """Judged by its length alone: nothing of the body is sent."""
    with socket.create_connection(('127.0.0.1', w.i.port()), timeout=10 * STRETCH) as s:
        s.sendall(('%s %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n'
                   % (op.method, op.url(), w.i.key)).encode())
        r = http.client.HTTPResponse(s, method=op.method)
        r.begin()
        return Answer(r.status, r.headers, r.read())


# What is forbidden for another reason than the role: body, and the key of who asks.
FORBIDDEN = {
    'createKey': lambda w: (None, {'name': 'too strong', 'role': 'admin'}, w.viewer),
    'revokeKey': lambda w: (w.post(KEYS, {'name': 'stronger', 'role': 'admin'})['id'], None, w.viewer),
    'listWorkspaces': lambda w: (None, None, w.other_admin()),
    'createWorkspace': lambda w: (None, {'name': 'x', 'admin': {'username': 'nobody'}}, w.other_admin()),
}


def test_what_is_not_visible_yet(world):
    """X-Mc-Min-Sequence far ahead: 503 within its second, and nothing is done; all at once, since each waits."""
    asked = [op for op in OPERATIONS if any(p['name'] == 'X-Mc-Min-Sequence' for p in op.params)]
    h = {'X-Mc-Min-Sequence': '9000000000000000000'}
    targets = {op.id: op.url(need(world, op)) if op.kind == 'task' else op.url() for op in asked}
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda op: call(world, op, targets[op.id], next(iter(op.examples.values()), None), headers=h), asked))
    for op, a in zip(asked, answers):
        note(op, a).error(503)
    for op in asked:
        if op.method == 'DELETE' and op.kind == 'task':
            world.i.api('GET', targets[op.id]).ok()


@pytest.mark.parametrize('op', [op for op in OPERATIONS if op.id in FORBIDDEN], ids=repr)
def test_forbidden(world, op):
    target, body, key = FORBIDDEN[op.id](world)
    note(op, world.i.api(op.method, op.url(target) if op.kind else op.url(), body, key=key)).error(403, 'FORBIDDEN')


@pytest.mark.parametrize('op', [op for op in OPERATIONS if '409' in op.responses], ids=repr)
def test_conflicts(world, op):
    """Each one that is described by an example comes with its code."""
    media = op.responses['409']['content']['application/json']
    want = {name: e['code'] for name, e in examples(media).items()}
    assert set(want) == set(CONFLICTS.get(op.id, {}))
    for name, make in CONFLICTS[op.id].items():
        if op.id == 'createComment' and SANITIZED:
            continue     # ten thousand requests
        target, body, headers = make(world)
        a = note(op, world.i.api(op.method, op.url(target) if op.kind else op.url(), body, headers=headers))
        while world.later:
            world.later.pop()()
        j = a.error(409, want[name])
        assert j.get('field') == examples(media)[name].get('field'), j
    played.add(('conflicts', op.id))


@pytest.mark.parametrize('op', [op for op in OPERATIONS if op.method in ('PATCH', 'PUT')], ids=repr)
def test_nothing_to_change(world, op):
    """An edit that names nothing, or what is there already, is answered 200 and writes no row."""
    target = op.url(need(world, op)) if op.kind else op.url()
    there = call(world, op, target, {})
    assert note(op, there).status == 200
    again = {k: v for k, v in there.json.items() if k in op.body['properties'] and k != 'chat'}
    a = note(op, call(world, op, target, again))
    assert a.ok() == {**a.json, **again}
    n = op.kind and int(target.split('_')[-1])
    rows = world.i.api('GET', '/api/activities?type=%s.updated&limit=500' % (op.kind or 'settings')).ok()['activities']
    assert not [r for r in rows if op.kind and r['entity_id'] == n], rows


def test_a_query_key_is_for_streams_only(world):
    for op in OPERATIONS:
        if not op.security:
            continue
        there = {'apiKeyInQuery': []} in op.security
        url = op.url(need(world, op)) if op.kind and there else op.url()
        a = call(world, op, url + '?apiKey=' + world.i.key, key='', headers={'Accept': 'text/event-stream'})
        assert (a.status == 200) == there and (there or a.status == 401), (op, a)


@pytest.mark.parametrize('op', [op for op in OPERATIONS if 'login' in BY_ID and op.method != 'GET'], ids=repr)
def test_cross_origin(world, op):
    """What another site's page makes a browser ask changes nothing; our own pages' requests go as far as any other."""
    if not hasattr(world, 'browser'):
        world.browser = world.signed_in('admin')
    body = next(iter(op.examples.values()), None)
    for origin in ({'Origin': 'http://elsewhere.example'}, {'Origin': 'null'}, {'Sec-Fetch-Site': 'cross-site'}):
        h = {'Cookie': world.browser['Cookie'], **origin}
        note(op, world.i.api(op.method, op.url(), body, key=None, headers=h)).error(403, 'CROSS_ORIGIN')
    if op.kind:
        note(op, world.i.api(op.method, op.url(), body, key=None, headers=world.browser)).error(404)


@pytest.mark.parametrize('op', [op for op in OPERATIONS if op.id == 'login'], ids=repr)
def test_wrong_passwords(world, op):
    """They all look the same, and too many are held up: at the other gateway, so that nobody else here has to wait."""
    body = {**op.examples['login'], 'password': 'not the password'}
    for wrong in (body, {**body, 'username': 'nobody at all'}, {**body, 'username': 'nobody'}):
        note(op, world.i.api(op.method, op.path, wrong, key=None, gw=1)).error(401, 'UNAUTHORIZED')
    a = wait_until('it is throttled', lambda: _refused(world, op, body))
    note(op, a).error(429, 'LOGIN_THROTTLED')


def _refused(w, op, body):
    a = w.i.api(op.method, op.path, body, key=None, gw=1)
    return a if a.status != 401 else None


# ---------------------------------------------------------------- frames

def test_frames(world):
    """What the streams have shown meanwhile is as described; and a stream's resync, and output that is followed."""
    t = world.review()
    world.i.act(t, 'review', {'decision': 'reject', 'feedback': 'no'}).ok()
    t = world.i.task('exit 3', run=True)['id']
    world.i.wait_task(t, 'failed')
    world.i.api('DELETE', '%s/%s' % (TASKS, t)).ok(204)
    t = world.pending()
    world.i.api('PATCH', '%s/%s' % (TASKS, t), {'priority': 'low', 'desktopId': world.desktop()}).ok()
    seen = {}
    for op, s in world.streams:
        s.wait(lambda fs: 'desktop.metrics' in [f.type for f in fs] if op.id != 'streamFeed' else
               any(f.type == 'task.updated' and f.payload['field'] == 'assignee' for f in fs), 20)
        s.check()
        frames = s.frames[:]
        seen[op.id] = {f.type for f in frames}
        judged = collections.Counter()
        for f in frames:
            judged[f.type] += 1
            if judged[f.type] <= 30:     # there are thousands of some
                assert not errors(op.frame_schema(), f.data), (op, f.data, errors(op.frame_schema(), f.data))
                assert not undescribed(op.frame_schema(), f.data), (op, f.data)
            assert (f.id is None) == (f.type in ('desktop.metrics', 'task.output', 'stream.resync')), f
        with world.i.stream(op.path + '?lastEventId=99999999999') as again:
            f = again.wait('stream.resync')
            assert not errors(op.frame_schema(), f.data)
    assert {'task.created', 'task.started', 'task.completed', 'task.failed', 'task.review', 'task.cancelled', 'approval.created', 'approval.resolved',
            'desktop.started', 'desktop.stopped', 'task.output', 'desktop.metrics'} <= seen['streamActivity']
    assert {'task.created', 'task.updated', 'task.deleted', 'task.reviewed', 'session.started', 'session.completed', 'session.failed',
            'agent.status_changed', 'task.commented', 'system.maintenance'} <= seen['streamFeed']
    assert {'desktop.status', 'desktop.agentReady', 'desktop.metrics'} <= seen['streamDesktops']
    op = BY_ID['getTaskOutput']
    with world.i.stream(op.url(world.done())) as s:
        s.wait('task.output.end')
        note(op, Answer(s.status, s.headers, b''))
        for f in s.frames:
            assert not errors(op.frame_schema(), f.data), f.data


# ---------------------------------------------------------------- what webhooks receive

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.got.append((self.headers, self.rfile.read(int(self.headers['Content-Length']))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *a):
        pass


@pytest.mark.skipif('createWebhook' not in BY_ID, reason='no webhooks are served')
def test_what_a_webhook_receives(world):
    """Each request is as `webhooks` describes it: header fields, body, and a signature that can be checked."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Receiver)
    server.got = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = DOC['webhooks']['event']['post']
    try:
        hook = world.post('/api/webhooks', {'url': 'http://127.0.0.1:%d/in' % server.server_port, 'secret': 'a-secret'})
        world.i.act(world.review(), 'review', {'decision': 'approve'}).ok()
        world.post('/api/mission-control/maintenance', {'description': 'soon', 'expectedDurationMinutes': 5})
        world.post('/api/webhooks/%s/test' % hook['id'], status=202)
        want = {'task.created', 'task.started', 'task.completed', 'task.review', 'approval.created', 'approval.resolved', 'session.started',
                'session.completed', 'system.maintenance', 'webhook.test'}
        wait_until(lambda: 'all came: %s' % [h['X-Mc-Event'] for h, _ in server.got], lambda: want <= {h['X-Mc-Event'] for h, _ in server.got}, 30)
        for head, body in list(server.got):
            for p in told['parameters']:
                assert not errors(p['schema'], head[p['name']]), (p['name'], head[p['name']])
            event = json.loads(body)
            schema = told['requestBody']['content']['application/json']['schema']
            assert not errors(schema, event) and not undescribed(schema, event), event
            assert event['type'] == head['X-Mc-Event'] and head['Content-Type'] == 'application/json'
            signed = ('%s.%s.' % (head['X-Mc-Timestamp'], head['X-Mc-Delivery'])).encode() + body
            assert head['X-Mc-Signature'] == 'v1=' + hmac.new(b'a-secret', signed, 'sha256').hexdigest()
        world.i.api('DELETE', '/api/webhooks/' + hook['id']).ok(204)
    finally:
        server.shutdown()
        server.server_close()


def test_all_that_was_made(world):
    """Whatever has come to be here, the lists show it as described, page by page; and what is left of what was deleted."""
    t = world.review()
    world.i.act(t, 'review', {'decision': 'approve'}).ok()
    kept = world.i.get_task(t)['approvalId']
    world.i.api('DELETE', '%s/%s' % (TASKS, t)).ok(204)
    assert note(BY_ID['getApproval'], world.i.api('GET', '%s/%s' % (APPROVALS, kept))).json['task'] == {'id': t, 'type': None, 'content': '', 'desktopId': None}
    for op in OPERATIONS:
        if op.method == 'GET' and not op.kind and not op.stream:
            note(op, call(world, op, op.path))
    for status in ('approved', 'rejected', 'cancelled'):
        note(BY_ID['listApprovals'], world.i.api('GET', APPROVALS + '?status=' + status))
    types, seen = DOC['components']['schemas']['Activity']['properties']['type']['enum'], set()
    for kind in types:
        a = note(BY_ID['listActivities'], world.i.api('GET', '/api/activities?limit=100&type=' + kind)).json
        seen |= {x['type'] for x in a['activities']}
    if ('examples', 'createWorkspace') in played:      # what else was run has made the rest
        assert seen == set(types), set(types) - seen
    for ref in DOC['components']['schemas']['FeedEvent']['oneOf']:
        for kind in DOC['components']['schemas'][ref['$ref'].split('/')[-1]]['allOf'][1]['properties']['type']['enum']:
            note(BY_ID['listEvents'], world.i.api('GET', '/api/mission-control/events?limit=100&type=' + kind))


# ---------------------------------------------------------------- over the limit, and without a broker

def test_over_the_limit():
    """429 where it is described; streams are held instead; what is free stays free."""
    i = Install(gateways=1, workers=0, env={'MC_RATE_LIMIT': '1'})
    try:
        i.api('GET', '/api/auth/me')
        http_call(i.port(), 'GET', '/api/openapi.json')
        for op in OPERATIONS:
            if op.stream or op.id in ('getHealth', 'getReadiness'):
                with Stream(i.port(), op.path, key=i.key if op.stream else None) as s:
                    assert s.status == 200
                continue
            a = note(op, i.api(op.method, op.url(), next(iter(op.examples.values()), None), key=i.key if op.security else None))
            j = a.error(429, 'RATE_LIMITED')
            assert j and a.headers['RateLimit'], op
        played.add(('limit', ''))
    finally:
        i.close()


def test_without_a_broker():
    """503 where it is described, within the time; streams are held instead."""
    i = Install(gateways=1, workers=0)
    try:
        i.api('GET', '/api/auth/me').ok()
        i.broker.kill9()
        wait_until('the gateway knows', lambda: http_call(i.port(), 'GET', '/readyz').status == 503)

        def ask(op):
            if op.stream:
                with Stream(i.port(), op.path, key=i.key) as s:
                    return Answer(s.status, s.headers, b'')
            url = op.url() + ('?of=broker' if op.id == 'getMetrics' else '')     # a gateway has figures of its own
            return i.api(op.method, url, next(iter(op.examples.values()), None), key=i.key if op.security else None)
        answers = {}
        threads = [threading.Thread(target=lambda op=op: answers.__setitem__(op.id, ask(op))) for op in OPERATIONS]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for op in OPERATIONS:
            a = note(op, answers[op.id])
            if op.id == 'logout':
                assert a.status == 204     # of a key there is nothing to end
            elif '503' in op.responses:
                assert a.error(503)['code'] in ('UNAVAILABLE', 'OUTCOME_UNKNOWN') and a.headers['Retry-After'], op
            else:
                assert a.status == 200, (op, a)
        played.add(('broker', ''))
    finally:
        i.close()


def test_every_status_was_produced():
    """Of each operation, when all of this file has run."""
    want = {('examples', op.id) for op in OPERATIONS} | {('errors', op.id) for op in OPERATIONS} | {('limit', ''), ('broker', '')}
    if not want <= played:
        pytest.skip('only a part of this file was run')
    missing = [(op.id, s) for op in OPERATIONS for s in op.responses if s != 'default' and s not in produced[op.id] and (op.id, s) not in NOT_PRODUCED]
    assert not missing, missing
    idle = [k for k in NOT_PRODUCED if k[0] in BY_ID and k[1] in produced[k[0]]]
    assert not idle, 'produced all the same: %s' % idle
