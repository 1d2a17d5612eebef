"""Webhooks against real receivers: what arrives, signed how, in what order, once more when; what stops it; where it may never go."""
import hashlib
import hmac
import json
import os
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import TASKS, Install, wait_until

HOOKS = '/api/webhooks'
ALLOW = {'MC_WEBHOOK_ALLOW': '127.0.0.0/8'}
QUICK = ('--webhook-retry-base-ms', '1')


class Got:
    def __init__(self, path, headers, body, at):
        self.path, self.headers, self.body, self.at = path, headers, body, at
        self.json = json.loads(body)
        self.delivery, self.type = headers['X-Mc-Delivery'], headers['X-Mc-Event']

    def signed(self, secret):
        text = ('%s.%s.' % (self.headers['X-Mc-Timestamp'], self.delivery)).encode() + self.body
        return self.headers['X-Mc-Signature'] == 'v1=' + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


class Receiver:
    """Keeps what it is sent; .answer(got) gives the status, or 'hang' (until released), 'drop', 'endless', 'slow', or (status, headers)."""

    def __init__(self):
        self.got, self.lock, self.release = [], threading.Lock(), threading.Event()
        self.answer = lambda got: 200
        self.connections = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                owner.serve(self)

            def do_GET(self):
                owner.connections += 1000000     # nothing of ours ever sends one
                self.send_error(400)

            def log_message(self, *a):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def get_request(self):
                got = super().get_request()
                owner.connections += 1
                return got

            def handle_error(self, request, address):
                pass                             # a client that went away
        self.server = Server(('127.0.0.1', 0), Handler)
        self.port = self.server.server_address[1]
        self.url = 'http://127.0.0.1:%d' % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def serve(self, h):
        body = h.rfile.read(int(h.headers['Content-Length']))
        got = Got(h.path, h.headers, body, time.monotonic())
        with self.lock:
            self.got.append(got)
        how = self.answer(got)
        more = {}
        if isinstance(how, tuple):
            how, more = how
        if how == 'hang':
            self.release.wait(60)
            how = 200
        if how == 'drop':
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
            return
        if how in ('endless', 'slow'):
            h.send_response(200)
            h.send_header('Connection', 'close')
            h.end_headers()
            piece = b'x' * 65536 if how == 'endless' else b'x'
            while not self.release.wait(0 if how == 'endless' else 0.2):
                h.wfile.write(piece)
            h.close_connection = True
            return
        h.send_response(how)
        for k, v in more.items():
            h.send_header(k, v)
        h.send_header('Content-Length', '0')
        h.end_headers()

    def all(self, type=None):
        with self.lock:
            return [g for g in self.got if type is None or g.type == type]

    def wait(self, n, type=None, seconds=15):
        return wait_until(lambda: '%d of %s, there are %s' % (n, type, [(g.type, g.delivery) for g in self.all()][-30:]),
                          lambda: self.all(type) if len(self.all(type)) >= n else None, seconds)

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = []

    def make():
        made.append(Receiver())
        return made[-1]
    yield make
    for r in made:
        r.close()


@pytest.fixture(scope='module')
def own():
    """An installation of this file's own that may send to this machine, and tries again soon."""
    i = Install(gateways=2, workers=2, env=ALLOW, broker_args=QUICK)
    yield i
    i.close()


@pytest.fixture
def hook(own):
    """Makes webhooks on `own` that are gone after the test."""
    made = []

    def make(url, gw=0, **fields):
        w = own.api('POST', HOOKS, {'url': url, **fields}, gw=gw).ok(201)
        made.append(w['id'])
        return w
    yield make
    for w in made:
        assert own.api('DELETE', '%s/%s' % (HOOKS, w)).status in (204, 404)


def get_hook(i, wid, gw=0):
    return next((w for w in i.api('GET', HOOKS, gw=gw).ok() if w['id'] == wid), None)


def wait_hook(i, wid, what, fn, seconds=15):
    last = {}

    def look():
        last.update(get_hook(i, wid))
        return fn(last) and last
    return wait_until(lambda: '%s: %s' % (what, last), look, seconds)


def deliveries(i, wid, query='', gw=0):
    return i.api('GET', '%s/%s/deliveries%s' % (HOOKS, wid, query), gw=gw).ok()


def test_an_event_arrives_signed(own, hook, receiver):
    r = receiver()
    w = hook(r.url + '/in?x=1', name='Mine', events=['task.created', 'task.failed'], secret='topsecret')
    assert w['secret'] == 'topsecret' and w['status'] == 'ok' and w['enabled'] and w['failures'] == 0
    t = own.task('true', title='One & "two" <b>é', gw=1)
    got = r.wait(1)[0]
    assert got.path == '/in?x=1' and got.type == 'task.created' and got.signed('topsecret') and not got.signed('other')
    assert got.headers['Content-Type'] == 'application/json' and got.headers['User-Agent'].startswith('mission-control/')
    assert re.fullmatch(r'delivery_\d+', got.delivery) and abs(int(got.headers['X-Mc-Timestamp']) - time.time()) < 60
    assert got.json['type'] == 'task.created' and got.json['payload']['taskId'] == t['id'] and got.json['payload']['title'] == t['title']
    d = wait_until('it is in the log', lambda: deliveries(own, w['id']))
    assert d[0] == {'id': got.delivery, 'eventId': got.json['id'], 'type': 'task.created', 'attempt': 1, 'status': 'delivered',
                    'httpStatus': 200, 'error': None, 'durationMs': d[0]['durationMs'], 'createdAt': d[0]['createdAt']}
    seen = wait_hook(own, w['id'], 'delivered', lambda w: w['lastDeliveryAt'])
    assert 'secret' not in seen and seen['lastError'] is None and seen['nextAttemptAt'] is None


# ---------------------------------------------------------------- what is sent

def run_one(i, content='true', **fields):
    t = i.task(content, run=True, **fields)
    return i.wait_task(t['id'], 'done', 'failed', 'review')


FEED_TYPES = ['task.updated', 'session.started', 'session.completed', 'session.failed']


@pytest.mark.parametrize('path,events,types', [
    ('/api/mission-control/activity/stream', ['*'], ['task.created', 'task.started', 'task.failed']),
    ('/api/mission-control/stream', FEED_TYPES, FEED_TYPES)], ids=['activity', 'feed'])
def test_the_object_is_what_its_stream_shows(own, hook, receiver, path, events, types):
    r = receiver()

    def last(e):
        return e['type'] == 'task.failed' or e['type'] == 'task.updated' and e['payload']['new_value'] == 'failed'
    with own.stream(path) as s:
        w = hook(r.url, events=events)
        assert re.fullmatch(r'mc_w_[A-Za-z0-9_-]{43}', w['secret']) and w['name'] == '127.0.0.1:%d' % r.port
        assert run_one(own, 'exit 3')['status'] == 'failed'
        s.wait(lambda fs: [f for f in fs if last(f.data)])
        wait_until('the last one came', lambda: [g for g in r.all() if last(g.json)])
        frames = {f.data['id']: f.data for f in s.frames if f.id}
    got = [g for g in r.all() if g.json['id'] in frames]
    assert all(g.json == frames[g.json['id']] and g.type == g.json['type'] and g.signed(w['secret']) for g in got)
    assert set(types) <= {g.type for g in got}
    assert events == ['*'] or {g.type for g in r.all()} == set(events)


def test_all_in_order_once_and_nothing_of_its_own(own, hook, receiver):
    """Hundreds of events made at both gateways at once: each arrives, in the log's order; webhook.triggered never does."""
    r = receiver()
    with own.stream() as a, own.stream('/api/mission-control/stream') as f:
        w = hook(r.url)
        threads = [threading.Thread(target=lambda g: [own.task('true', gw=g) for _ in range(60)], args=(n % 2,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        r.wait(240, 'task.created', seconds=30) # an alert of a busy machine may be among them
        got = r.all()
        wanted = sorted({int(x.data['id'][4:]) for s in (a, f) for x in s.frames if x.id})
    ids = [int(g.json['id'][4:]) for g in got]
    assert ids == sorted(set(ids)) and set(ids) <= set(wanted)
    assert len([g for g in got if g.type == 'task.created']) == 240
    assert not [g for g in got if g.type.startswith('webhook')]
    assert len({g.delivery for g in got}) == len(got)
    assert all(g.signed(w['secret']) for g in got)
    # the last 200 are kept, newest first, in pages
    wait_until('the last is delivered', lambda: deliveries(own, w['id'])[0]['id'] == r.all()[-1].delivery)
    all_of_them = deliveries(own, w['id'])
    assert len(all_of_them) == 200
    numbers = [int(d['id'].split('_')[1]) for d in all_of_them]
    assert numbers == sorted(numbers, reverse=True)
    page = own.api('GET', '%s/%s/deliveries?limit=150' % (HOOKS, w['id']))
    link = re.fullmatch(r'<([^>]+)>; rel="next"', page.headers['Link']).group(1)
    rest = own.api('GET', link, gw=1)
    assert page.ok() + rest.ok() == all_of_them and rest.headers['Link'] is None
    assert deliveries(own, w['id'], '?before=%s&limit=3' % numbers[5]) == all_of_them[6:9]
    for bad in ['limit=x', 'before=task_1', 'limit=']:
        own.api('GET', '%s/%s/deliveries?%s' % (HOOKS, w['id'], bad)).error(400, 'INVALID_FIELD', field=bad.split('=')[0])


def test_only_what_it_asked_for(own, hook, receiver):
    r, other = receiver(), receiver()
    hook(r.url, events=['task.deleted', 'approval.created'])
    hook(other.url, events=['task.created'])
    t = own.task('true')
    own.api('DELETE', '%s/%s' % (TASKS, t['id'])).ok(204)
    assert [g.type for g in r.wait(1)] == ['task.deleted'] and r.all()[0].json['payload']['task_id'] == t['id']
    assert [g.type for g in other.wait(1)] == ['task.created']


# ---------------------------------------------------------------- tried again

@pytest.mark.parametrize('how,error', [(500, 'The receiver answered 500'),
                                       ((302, {'Location': 'http://127.0.0.1:1/'}), 'The receiver answered 302'),
                                       (404, 'The receiver answered 404'), ('drop', None)])
def test_failures_are_tried_again_under_the_same_delivery(own, hook, receiver, how, error):
    r = receiver()
    r.answer = lambda got: how if len(r.all()) < 4 else 200
    w = hook(r.url, events=['task.created'])
    first, second = own.task('true'), own.task('true')
    got = r.wait(5)
    assert len({g.delivery for g in got[:4]}) == 1 and got[4].delivery != got[0].delivery
    assert len({g.body for g in got[:4]}) == 1 and all(g.signed(w['secret']) for g in got)
    assert [g.json['payload']['taskId'] for g in got] == [first['id']] * 4 + [second['id']]     # nothing overtakes
    wait_until('both are in the log', lambda: len([d for d in deliveries(own, w['id']) if d['status'] == 'delivered']) == 2)
    d = deliveries(own, w['id'])
    assert [(x['attempt'], x['status'], x['httpStatus']) for x in d] == [(1, 'delivered', 200), (4, 'delivered', 200)]
    r.answer = lambda got: how
    own.task('true')
    seen = wait_hook(own, w['id'], 'failing', lambda w: w['failures'] >= 2)
    assert seen['status'] in ('failing', 'open') and seen['nextAttemptAt'] and seen['lastError']
    assert not error or seen['lastError'] == error


def test_a_receiver_that_is_not_there_yet(own, hook):
    r = Receiver()
    r.close()
    w = hook(r.url, events=['task.created'])
    t = own.task('true')
    seen = wait_hook(own, w['id'], 'refused', lambda w: w['failures'] >= 1)
    assert 'refused' in seen['lastError'].lower(), seen
    server = socket.create_server(('127.0.0.1', r.port))
    server.settimeout(30)
    c, _ = server.accept()
    with c, server:
        data = b''
        while b'"taskId":"%s"' % t['id'].encode() not in data:
            data += c.recv(65536)
        c.sendall(b'HTTP/1.1 204 No Content\r\n\r\n')
    wait_hook(own, w['id'], 'delivered', lambda w: w['status'] == 'ok' and w['failures'] == 0)


def test_the_breaker_opens_and_the_event_is_given_up(own, hook, receiver):
    r = receiver()
    r.answer = lambda got: 503
    w = hook(r.url, events=['task.created'])
    first, second = own.task('true'), own.task('true')
    seen = wait_hook(own, w['id'], 'open', lambda w: w['status'] == 'open')
    assert seen['failures'] >= 10 and seen['nextAttemptAt']
    got = r.wait(21, seconds=30)
    assert [g.json['payload']['taskId'] for g in got[:21]] == [first['id']] * 20 + [second['id']]
    fired = own.api('GET', '/api/activities?type=webhook.triggered&limit=1').ok()['activities'][0]
    assert fired['data'] == {'name': w['name'], 'event_type': 'task.created', 'event_id': int(got[0].json['id'][4:]), 'status': 'failed',
                             'delivery_id': int(got[0].delivery.split('_')[1]), 'error': 'The receiver answered 503'}
    given_up = next(d for d in deliveries(own, w['id']) if d['id'] == got[0].delivery)
    assert given_up['status'] == 'failed' and given_up['attempt'] == 20 and given_up['httpStatus'] == 503
    r.answer = lambda got: 200
    wait_hook(own, w['id'], 'closed', lambda w: w['status'] == 'ok')
    assert r.all()[-1].json['payload']['taskId'] == second['id']
    n = len(r.all())
    own.task('true')
    r.wait(n + 1)


def test_a_new_address_is_tried_at_once(fresh, receiver):
    i = fresh(workers=1, env=ALLOW)       # the ordinary schedule: seconds, soon minutes
    r = receiver()
    w = i.api('POST', HOOKS, {'url': 'http://127.0.0.1:1/', 'events': ['task.created']}).ok(201)
    t = i.task('true')
    seen = wait_hook(i, w['id'], 'failing', lambda w: w['failures'] >= 2)
    assert seen['status'] == 'failing'
    changed = i.api('PATCH', '%s/%s' % (HOOKS, w['id']), {'url': r.url}).ok()
    assert changed['failures'] == 0 and changed['status'] == 'ok' and changed['url'] == r.url
    assert r.wait(1)[0].json['payload']['taskId'] == t['id']


def test_what_the_workers_count(fresh, receiver):
    i = fresh(workers=1, env=ALLOW, broker_args=QUICK)
    r = receiver()
    r.answer = lambda got: 500 if len(r.all()) < 3 else 200
    i.api('POST', HOOKS, {'url': r.url, 'events': ['task.deleted']}).ok(201)
    for _ in range(2):
        i.api('DELETE', '%s/%s' % (TASKS, i.task('true')['id'])).ok(204)
    r.wait(4)

    def counted():
        run_one(i)                         # figures go with polls
        lines = {re.sub(r'\{.*\}', '', x) if 'result' not in x else re.sub(r'\{.*result="(\w+)".*\}', r' \1', x)
                 for x in i.api('GET', '/metrics?of=workers').text.split('\n')}
        return {'mc_worker_webhook_attempts_total delivered 2', 'mc_worker_webhook_attempts_total failed 2',
                'mc_worker_webhook_deliveries 0'} <= lines
    wait_until('they were told', counted, 20)


def test_slow_and_endless_receivers_stall_nobody(own, hook, receiver):
    kinds = {}
    for how in ('hang', 'slow', 'endless'):
        r = receiver()
        r.answer = lambda got, how=how: how
        kinds[how] = (r, hook(r.url, events=['task.created']))
    good = receiver()
    hook(good.url, events=['task.created'])
    for n in range(10):
        own.task('true')
        good.wait(n + 1)
        assert run_one(own)['status'] == 'done'
    endless, w = kinds['endless']
    endless.wait(3)                        # a 2xx was said: more than a mebibyte of answer is not waited for
    assert {d['status'] for d in deliveries(own, w['id'])} == {'delivered'}
    slow, w = kinds['slow']
    slow.wait(2, seconds=25)
    assert deliveries(own, w['id'])[-1]['status'] == 'delivered'
    hang, w = kinds['hang']
    got = hang.wait(2, seconds=25)
    assert got[0].delivery == got[1].delivery
    assert deliveries(own, w['id'])[0]['error'] == 'The receiver did not answer in time'


# ---------------------------------------------------------------- ends of processes

def test_killed_programs_lose_nothing(fresh, receiver):
    """Worker, gateway and broker are killed while deliveries are on their way: each event arrives, all its copies under one number."""
    i = fresh(gateways=2, workers=2, env=ALLOW, broker_args=QUICK)
    r = receiver()
    w = i.api('POST', HOOKS, {'url': r.url, 'events': ['task.created']}).ok(201)
    made = []

    def burst(n):
        made.extend(i.task('true')['id'] for _ in range(n))

    def delivered():
        return {g.json['payload']['taskId'] for g in r.all()}
    for victim in (i.workers[0], i.broker, i.workers[1], i.broker):
        hold, held = threading.Event(), threading.Event()
        r.answer = lambda got, hold=hold, held=held: (held.set(), hold.wait(20), 200)[2]
        burst(10)
        wait_until('one is on its way', held.is_set)
        victim.kill9()
        hold.set()
        victim.start()
        i.wait_ready()
        burst(5)
    wait_until(lambda: 'missing: %s' % (set(made) - delivered()), lambda: set(made) <= delivered(), 60)
    ids = {}
    for g in r.all():
        ids.setdefault(g.json['id'], set()).add(g.delivery)
    assert all(len(d) == 1 for d in ids.values()), ids
    order = list(dict.fromkeys(g.json['payload']['taskId'] for g in r.all()))
    assert order == made
    assert wait_hook(i, w['id'], 'at rest', lambda w: w['failures'] == 0)['status'] == 'ok'


@pytest.mark.parametrize('point', ['received', 'posted', 'reporting', 'reported', 'acked'])
def test_a_worker_killed_at_each_step(fresh, receiver, point):
    i = fresh(workers=1, env={**ALLOW, 'MC_FAULT': 'hook_%s:1' % point}, broker_args=QUICK)
    r = receiver()
    w = i.api('POST', HOOKS, {'url': r.url, 'events': ['task.created']}).ok(201)
    tasks = [i.task('true')['id'] for _ in range(3)]
    worker = i.workers[0]
    wait_until('it was killed', lambda: not worker.alive)
    worker.expect = (-9,)
    i.extra_env.pop('MC_FAULT')
    worker.start()
    wait_until('all arrived', lambda: {g.json['payload']['taskId'] for g in r.all()} == set(tasks))
    assert list(dict.fromkeys(g.json['payload']['taskId'] for g in r.all())) == tasks
    assert len({g.delivery for g in r.all()}) == 3
    wait_until('all is told', lambda: [d['attempt'] for d in deliveries(i, w['id']) if d['status'] == 'delivered'] == [1, 1, 1])


def test_a_draining_worker_finishes_what_it_has(fresh, receiver):
    i = fresh(workers=1, env=ALLOW, broker_args=QUICK)
    r = receiver()
    hold = threading.Event()
    r.answer = lambda got: (hold.wait(20), 200)[1]
    w = i.api('POST', HOOKS, {'url': r.url, 'events': ['task.created']}).ok(201)
    i.task('true')
    r.wait(1)
    i.workers[0].term(wait=False)
    wait_until('it drains', lambda: 'draining' in i.workers[0].log_text())
    hold.set()
    i.workers[0].wait(10)
    d = wait_until('it was told', lambda: [d for d in deliveries(i, w['id']) if d['status'] == 'delivered'])
    assert d[0]['attempt'] == 1
    i.workers[0].start()
    i.task('true')
    assert len(r.wait(2)) == 2


# ---------------------------------------------------------------- what admins do

def test_disabled_and_deleted_ones_are_sent_nothing(own, hook, receiver):
    r, other = receiver(), receiver()
    r.answer = lambda got: 500
    w = hook(r.url, events=['task.created'])
    watch = hook(other.url, events=['task.created'])
    where = '%s/%s' % (HOOKS, w['id'])
    own.task('true')
    r.wait(1)
    off = own.api('PATCH', where, {'enabled': False}, gw=1).ok()
    assert off['enabled'] is False and off['nextAttemptAt'] is None and off['status'] == 'ok'
    own.api('POST', where + '/test').error(409, 'BAD_STATE')
    n = len(r.all())
    for k in range(5):
        own.task('true')
    other.wait(6)                          # what came after the change has been through
    assert len(r.all()) <= n + 1           # one may have been on its way
    r.answer = lambda got: 200
    own.api('PATCH', where, {'enabled': True}).ok()
    t = own.task('true')
    wait_until('the new one', lambda: [g for g in r.all() if g.json['payload']['taskId'] == t['id']])
    assert len(r.all()) <= n + 2           # what happened while it was off stays away
    own.api('DELETE', where, gw=1).ok(204)
    own.api('DELETE', where).error(404, 'NOT_FOUND')
    own.api('PATCH', where, {'name': 'x'}).error(404)
    own.api('POST', where + '/test').error(404)
    own.api('GET', where + '/deliveries').error(404)
    n = len(r.all())
    own.task('true')
    other.wait(8)
    assert len(r.all()) == n and get_hook(own, w['id']) is None and get_hook(own, watch['id'])


def test_a_test_delivery(own, hook, receiver):
    r = receiver()
    w = hook(r.url, events=['task.deleted'])
    a = own.api('POST', '%s/%s/test' % (HOOKS, w['id']))
    d = a.ok(202)
    assert d['eventId'] is None and d['type'] == 'webhook.test' and d['status'] == 'pending' and d['attempt'] == 0
    got = r.wait(1)[0]
    assert got.delivery == d['id'] and got.type == 'webhook.test' and got.signed(w['secret'])
    assert got.json == {'id': None, 'type': 'webhook.test', 'timestamp': d['createdAt'],
                        'payload': {'webhookId': w['id'], 'message': got.json['payload']['message']}}
    wait_until('it is in the log', lambda: deliveries(own, w['id'])[0]['status'] == 'delivered')
    # of a receiver that fails it tells that, once, and does not disturb what waits
    r.answer = lambda got: 500
    t = own.task('true')
    own.api('DELETE', '%s/%s' % (TASKS, t['id'])).ok(204)
    wait_hook(own, w['id'], 'failing', lambda w: w['failures'] >= 3)
    d = own.api('POST', '%s/%s/test' % (HOOKS, w['id']), gw=1).ok(202)
    wait_until('it failed', lambda: next(x for x in deliveries(own, w['id']) if x['id'] == d['id'])['status'] == 'failed')
    assert len([g for g in r.all() if g.delivery == d['id']]) == 1
    r.answer = lambda got: 200
    wait_hook(own, w['id'], 'closed', lambda w: w['status'] == 'ok')


def test_editing(own, hook, receiver):
    r = receiver()
    w = hook(r.url, events=['task.deleted'], name='before')
    where = '%s/%s' % (HOOKS, w['id'])
    for n in range(3):
        own.task('true')
    e = own.api('PATCH', where, {'name': 'after', 'events': ['task.created', '*'], 'secret': 'another one'.replace(' ', '-')}, gw=1).ok()
    assert e['name'] == 'after' and e['events'] == ['task.created', '*'] and 'secret' not in e
    t = own.task('true')
    got = r.wait(1)
    assert got[0].json['payload']['taskId'] == t['id'] and got[0].signed('another-one')   # not what was before the edit
    assert own.api('PATCH', where, {}).ok()['name'] == 'after'
    for bad, field in [({'url': 'ftp://x/'}, 'url'), ({'url': ''}, 'url'), ({'events': []}, 'events'), ({'events': ['nope']}, 'events'),
                       ({'events': 'task.created'}, 'events'), ({'enabled': 'yes'}, 'enabled'), ({'name': ''}, 'name'),
                       ({'secret': ''}, 'secret'),
                       ({'secret': 'a b'}, 'secret'), ({'secret': 'x' * 257}, 'secret'), ({'events': ['webhook.triggered']}, 'events')]:
        own.api('PATCH', where, bad).error(400, 'INVALID_FIELD', field=field)
    assert get_hook(own, w['id'], gw=1)['events'] == ['task.created', '*']


def test_the_audit_trail(own, hook, receiver):
    """Every change and every end of a delivery is in it; secrets and what an address hides in its path are not."""
    r = receiver()
    w = hook(r.url + '/hidden-path', events=['task.created'], name='audited', secret='hidden-secret')
    number = int(w['id'].split('_')[1])
    own.task('true')
    r.wait(1)
    wait_until('it is told', lambda: deliveries(own, w['id']))
    own.api('PATCH', '%s/%s' % (HOOKS, w['id']), {'url': r.url + '/other-hidden-path', 'secret': 'hidden-too', 'name': 'renamed',
                                                  'enabled': False}).ok()
    viewer = own.make_key('viewer')

    def trail():
        got = own.api('GET', '/api/activities?entity_type=webhook&limit=100', key=viewer)
        return got.text, [a for a in got.ok()['activities'] if a['entity_id'] == number]
    wait_until('all of it is there', lambda: len(trail()[1]) >= 6)
    text, rows = trail()
    assert 'hidden' not in text
    assert [(a['type'], a['data'].get('field')) for a in rows][::-1] == [
        ('webhook.created', None), ('webhook.triggered', None), ('webhook.updated', 'name'),
        ('webhook.updated', 'url'), ('webhook.updated', 'secret'), ('webhook.updated', 'enabled')]
    fired = rows[-2]
    assert fired['actor'] == 'system' and fired['entity'] == {**fired['entity'], 'type': 'webhook', 'name': 'renamed'}
    assert fired['data'] == {'name': 'audited', 'event_type': 'task.created', 'event_id': int(r.all()[0].json['id'][4:]),
                             'delivery_id': int(r.all()[0].delivery.split('_')[1]), 'status': 'delivered'}
    assert rows[1]['data'] == {'name': 'renamed', 'field': 'secret', 'old_value': '', 'new_value': 'changed'}
    assert rows[1]['actor'] == 'admin'
    assert rows[2]['data']['old_value'] == rows[2]['data']['new_value'] == r.url
    own.api('DELETE', '%s/%s' % (HOOKS, w['id'])).ok(204)
    rows = wait_until('its end', lambda: [a for a in trail()[1] if a['type'] == 'webhook.deleted'] and trail()[1])
    assert rows[0]['type'] == 'webhook.deleted' and all(a['entity'] is None for a in rows)


def test_no_more_than_a_hundred(fresh):
    i = fresh(workers=0)
    for n in range(100):
        i.api('POST', HOOKS, {'url': 'https://example.com/%d' % n}).ok(201)
    i.api('POST', HOOKS, {'url': 'https://example.com/'}).error(409, 'BAD_STATE')
    assert [w['id'] for w in i.api('GET', HOOKS).ok()] == ['webhook_%d' % n for n in range(100, 0, -1)]


def test_secrets_are_nowhere_in_clear(fresh, receiver):
    i = fresh(workers=1, env=ALLOW, worker_args=('--log-level', 'debug'), broker_args=QUICK + ('--log-level', 'debug'))
    r = receiver()
    secret = 'a-secret-that-nobody-finds-0123456789'
    w = i.api('POST', HOOKS, {'url': r.url, 'secret': secret, 'events': ['task.created']}).ok(201)
    i.api('PATCH', '%s/%s' % (HOOKS, w['id']), {'secret': secret + 'x', 'url': r.url + '/other'}).ok()
    i.task('true')
    assert r.wait(1)[0].signed(secret + 'x')
    for path in ('/api/webhooks', '%s/%s/deliveries' % (HOOKS, w['id'])):
        assert secret not in i.api('GET', path).text
    for root, _, files in os.walk(i.data):
        for name in files:
            if name.endswith('.ipc'):
                continue
            with open(os.path.join(root, name), 'rb') as f:
                assert secret.encode() not in f.read(), name
    for p in i.progs():
        assert secret not in p.log_text(), p.name


def test_a_secret_that_cannot_be_opened(fresh, receiver):
    """Another seal.key: nothing goes out with a wrong signature, and the webhook says what to do."""
    i = fresh(workers=1, env=ALLOW, broker_args=QUICK)
    r = receiver()
    w = i.api('POST', HOOKS, {'url': r.url, 'events': ['task.created']}).ok(201)
    i.broker.term()
    with open(os.path.join(i.data, 'seal.key'), 'r+b') as f:
        f.write(os.urandom(32))
    i.broker.start()
    i.wait_ready()
    i.task('true')
    wait_hook(i, w['id'], 'it says so', lambda w: w['lastError'] == 'The secret cannot be opened: set it anew')
    assert not r.all()
    i.api('PATCH', '%s/%s' % (HOOKS, w['id']), {'secret': 'anew'}).ok()
    assert r.wait(1)[0].signed('anew')


def test_two_workspaces(own, hook, receiver):
    a = own.api('POST', '/api/workspaces', {'name': 'Other', 'admin': {'username': 'other-admin'}})
    if a.status == 404:
        pytest.skip('this version makes no workspaces')
    key = a.ok(201)['key']
    mine, theirs = receiver(), receiver()
    w = hook(mine.url, events=['*'])
    other = own.api('POST', HOOKS, {'url': theirs.url, 'events': ['task.created', 'system.maintenance']}, key=key).ok(201)
    assert [x['id'] for x in own.api('GET', HOOKS, key=key).ok()] == [other['id']]
    own.api('PATCH', '%s/%s' % (HOOKS, w['id']), {'name': 'x'}, key=key).error(404, 'NOT_FOUND')
    own.api('DELETE', '%s/%s' % (HOOKS, other['id'])).error(404, 'NOT_FOUND')
    own.api('POST', '%s/%s/test' % (HOOKS, w['id']), key=key).error(404)
    own.task('true')
    own.api('POST', '%s/%s/test' % (HOOKS, other['id']), key=key).ok(202)
    theirs.wait(1)
    mine.wait(1)
    assert [g.type for g in theirs.all()] == ['webhook.test']


# ---------------------------------------------------------------- where it may never go (assurance T11)

SPELLINGS = ['http://127.0.0.1:%d/', 'http://127.1:%d/', 'http://0x7f.1:%d/', 'http://2130706433:%d/',
             'http://0177.0.0.1:%d/', 'http://localhost:%d/', 'http://LOCALHOST:%d/', 'http://127.0.0.2:%d/',
             'http://0.0.0.0:%d/', 'http://0:%d/', 'http://[::1]:%d/', 'http://[::ffff:127.0.0.1]:%d/',
             'http://[::ffff:7f00:1]:%d/', 'http://[::127.0.0.1]:%d/', 'http://[::]:%d/',
             'http://[64:ff9b::7f00:1]:%d/', 'http://[fe80::1%%25lo]:%d/', 'https://127.0.0.1:%d/',
             'http://%%31%%32%%37.0.0.1:%d/']
NO_URLS = ['http://a@127.0.0.1:%d/', 'http://a:b@127.0.0.1:%d/', 'gopher://127.0.0.1:%d/', 'file:///etc/passwd?%d',
           'http://127.0.0.1:%d/\r\nX-A: b', 'http://127.0.0.1:%d/\nx', 'ftp://127.0.0.1:%d/', '//127.0.0.1:%d/',
           '127.0.0.1:%d', 'http:127.0.0.1:%d/', 'http://:%d/', 'http://127.0.0.1:%d/#x',
           'http://127.0.0.1\\@example.com:%d/', 'http:///x%d', 'HTTP+UNIX://127.0.0.1:%d/', 'http://127.0.0.1:%d/\x00']


class Canary:
    """Listens everywhere on this machine and counts who comes."""

    def __init__(self):
        self.n = 0
        self.sock = socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            self.n += 1
            c.close()

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def test_never_to_this_machine_unless_it_is_named(fresh, receiver):
    r, canary = receiver(), Canary()
    i = fresh(workers=1, env={'MC_WEBHOOK_ALLOW': '127.0.0.1:%d' % r.port}, broker_args=QUICK)
    try:
        r.answer = lambda got: (302, {'Location': 'http://127.0.0.1:%d/' % canary.port}) if got.path == '/away' else 200
        own_address = socket.gethostbyname(socket.gethostname())
        urls = [u % canary.port for u in SPELLINGS] + ['http://%s:%d/' % (own_address, canary.port), r.url + '/away']
        hooks = [i.api('POST', HOOKS, {'url': u, 'events': ['task.created']}).ok(201) for u in urls]
        hooks.append(i.api('POST', HOOKS, {'url': r.url + '/good', 'events': ['task.created']}).ok(201))
        for u in NO_URLS:
            a = i.api('POST', HOOKS, {'url': u % canary.port})
            assert a.status == 400 and a.json.get('field', 'url') == 'url', (u, a)
        i.task('true')
        for w in hooks[:-2]:
            seen = wait_hook(i, w['id'], 'refused', lambda w: w['failures'] >= 2)
            assert not re.search('refused|reset|SSL|eof', seen['lastError'], re.I), seen     # nobody was asked
        assert wait_hook(i, hooks[-2]['id'], 'no redirects', lambda w: w['failures'] >= 2)['lastError'] == 'The receiver answered 302'
        wait_until('the one that is named', lambda: [g for g in r.all() if g.path == '/good'])
        assert canary.n == 0
    finally:
        canary.close()


@pytest.mark.parametrize('text', ['127.0.0.1/33', '127.0.0.0/8:0', '10.1.2.3/8', 'x', '127.0.0.0/8,', '[::1', '::1/129',
                                  '127.0.0.1:65536'])
def test_a_list_that_is_none(own, text):
    import subprocess
    argv = own.workers[0].argv
    p = subprocess.run([argv[0], '--webhook-allow', text], capture_output=True, text=True, timeout=20)
    assert p.returncode == 2 and '--webhook-allow' in p.stderr and p.stderr.count('\n') == 1, p
