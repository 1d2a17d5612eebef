"""The page "Streaming endpoints": both streams, its clients as they are (the printed Node and Python samples, EventSource, curl),
and reconnection by id: to the same gateway, to another one, and across restarts."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

import pytest
from harness import ACTIVITY, TASKS, Stream, end, popen, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
DESKTOPS = '/api/desktops/stream'
NODE = shutil.which('node')


class Lines:
    """A client program whose standard output is read line by line."""

    def __init__(self, argv, **kw):
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith('_proxy')}
        self.p = popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=HERE, **kw)
        self.lines, self.err = [], []
        self.threads = [threading.Thread(target=self._read, args=x, daemon=True)
                        for x in ((self.p.stdout, self.lines), (self.p.stderr, self.err))]
        for t in self.threads:
            t.start()

    def _read(self, f, out):
        for line in f:
            out.append(line.decode().rstrip('\n'))

    def wait(self, what, fn, seconds=15):
        return wait_until(lambda: '%s; printed: %s; %s' % (what, self.lines[-10:], self.err[-10:]), lambda: fn(list(self.lines)), seconds)

    def close(self):
        end(self.p)
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            f.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


class Es(Lines):
    def __init__(self, *urls):
        super().__init__([NODE, os.path.join(HERE, 'eventsource.mjs'), *urls])

    def events(self, n=0):
        return [e for e in map(json.loads, list(self.lines)) if e['n'] == n and 'type' in e]

    def wait_open(self, n=0, times=1):
        self.wait('open', lambda ls: sum(1 for e in map(json.loads, ls) if e['n'] == n and e.get('open')) >= times)

    def wait_event(self, fn, n=0, seconds=15):
        return self.wait('event', lambda ls: next((e for e in self.events(n) if fn(e)), None), seconds)


def run_one(i, gw=0, content='true'):
    t = i.task(content, run=True, gw=gw)
    i.wait_task(t['id'], 'done', 'failed', gw=gw)
    return t['id']


def has_task(tid, kind):
    return lambda e: e['type'] == kind and e['payload'].get('taskId') == tid


# ---------------------------------------------------------------- the wire

@pytest.mark.parametrize('path', [ACTIVITY, DESKTOPS])
def test_head_and_first_bytes(shared, path):
    with shared.stream(path) as s:
        assert s.status == 200
        assert s.headers['Content-Type'].split(';')[0] == 'text/event-stream'
        assert 'no-store' in s.headers['Cache-Control']
        assert s.headers['X-Accel-Buffering'] == 'no'
        assert s.headers['X-Content-Type-Options'] == 'nosniff'
        assert s.headers['X-Request-Id'] and s.headers['Date']
        assert s.chunked
        wait_until('retry and a comment come at once', lambda: s.retry and s.comments, 3)
        assert 500 <= s.retry <= 1500
        s.check()


def test_http10_gets_no_chunks(shared):
    with shared.stream(http10=True) as s:
        assert s.status == 200 and not s.chunked
        tid = run_one(shared)
        s.wait_task(tid, 'task.completed')
        s.check()


def test_activity_event_format(shared):
    with shared.stream() as s:
        t = shared.task('true', run=True, title='the title')
        f = s.wait_task(t['id'], 'task.completed')
        p = f.payload
        done = shared.wait_task(t['id'], 'done')
        assert p['taskId'] == t['id'] and p['desktopId'] == shared.desktop and p['status'] == 'done'
        assert p['completedAt'] == done['completedAt'] and p['title'] == 'the title'
        assert f.data['id'] == 'evt_%d' % f.id
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z', f.data['timestamp'])
        started = s.wait_task(t['id'], 'task.started').payload
        assert started['status'] == 'running' and started['startedAt'] and started['completedAt'] is None
        s.check()


def test_desktop_event_format(shared):
    with shared.stream(DESKTOPS) as s:
        d = shared.make_desktop('my-agent')
        f = s.wait(lambda fs: next((f for f in fs if f.type == 'desktop.status' and f.payload['id'] == d['id']
                                    and f.payload['status'] == 'running'), None))
        assert f.payload['name'] == 'my-agent' and f.data['id'] == 'evt_%d' % f.id
        assert {'id', 'name', 'status', 'ipAddress', 'cpu', 'memory'} <= set(f.payload)
        m = s.wait(lambda fs: next((f for f in fs if f.type == 'desktop.metrics' and f.payload['id'] == d['id']), None), 20)
        assert m.id is None
        for k in ('cpu', 'memory', 'disk'):
            assert isinstance(m.payload[k], (int, float)) and 0 <= m.payload[k] <= 100
        shared.api('POST', '/api/desktops/%s/stop' % d['id']).ok()
        s.wait(lambda fs: [f for f in fs if f.type == 'desktop.status' and f.payload['id'] == d['id'] and f.payload['status'] == 'stopped'])
        shared.api('POST', '/api/desktops/%s/start' % d['id']).ok()
        last = f.id
        s.wait(lambda fs: [f for f in fs if f.type == 'desktop.status' and f.payload['id'] == d['id'] and f.payload['status'] == 'running'
                           and f.id > last])
        s.wait(lambda fs: [f for f in fs if f.type == 'desktop.agentReady' and f.payload['id'] == d['id']])
        s.check()


def test_desktop_stream_has_no_task_events_and_the_other_way_round(shared):
    with shared.stream(DESKTOPS) as ds, shared.stream(ACTIVITY) as acts:
        tid = run_one(shared)
        d = shared.make_desktop('apart')
        acts.wait_task(tid, 'task.completed')
        ds.wait(lambda fs: [f for f in fs if f.type == 'desktop.status' and f.payload['id'] == d['id']])
        acts.wait(lambda fs: [f for f in fs if f.type == 'desktop.started' and f.payload['desktopId'] == d['id']])
        assert all(f.type in ('desktop.status', 'desktop.metrics', 'desktop.agentReady') for f in ds.frames)
        assert all(f.type.split('.')[0] in ('task', 'approval', 'desktop') and f.type != 'desktop.status' for f in acts.frames)


def test_filters(shared):
    d = shared.make_desktop('filter')
    with shared.stream(ACTIVITY + '?types=task.completed,task.failed') as a, \
            shared.stream(ACTIVITY + '?desktopId=' + d['id']) as b, shared.stream(ACTIVITY + '?types=no.such.type') as c:
        here = run_one(shared)
        t = shared.task('exit 1', run=True, desktopId=d['id'])
        a.wait_task(t['id'], 'task.failed')
        b.wait_task(t['id'], 'task.failed')
        assert {f.type for f in a.frames} <= {'task.completed', 'task.failed'}
        a.wait_task(here, 'task.completed')
        assert {f.payload.get('desktopId') for f in b.frames} == {d['id']}
        assert c.frames == []


def test_live_output_when_asked_for(shared):
    with shared.stream(ACTIVITY + '?include=output') as s, shared.stream(ACTIVITY) as plain:
        for n in range(10): # each is over before the worker could name it in its next poll
            t = shared.task('echo one; echo two >&2', run=True, gw=n % 2)
            plain.wait_task(t['id'], 'task.completed')
            f = s.wait_task(t['id'], 'task.output')
            assert f.id is None and f.payload['stream'] in ('stdout', 'stderr')
            assert {'sessionId', 'offset', 'data'} <= set(f.payload)
        assert not [f for f in plain.frames if f.type == 'task.output']


def test_bad_key_is_401(shared):
    for path in (ACTIVITY, DESKTOPS):
        for key in (None, 'mc_k_' + 'B' * 43):
            with shared.stream(path, key=key) as s:
                assert s.status == 401 and s.headers['WWW-Authenticate']


def test_key_in_the_query(shared):
    with Stream(shared.port(1), '%s?apiKey=%s' % (ACTIVITY, shared.key)) as s:
        assert s.status == 200
        tid = run_one(shared)
        s.wait_task(tid, 'task.completed')
    shared.api('GET', '%s?apiKey=%s' % (TASKS, shared.key), key=None).error(401)
    for p in shared.progs():
        assert shared.key not in p.log_text()


# ---------------------------------------------------------------- the clients

@pytest.mark.parametrize('path', [ACTIVITY, DESKTOPS])
@pytest.mark.parametrize('argv', [[NODE, 'sample_node.mjs'], [sys.executable, 'sample_python.py']], ids=['node', 'python'])
def test_printed_sample(shared, argv, path):
    with Lines([*argv, shared.url(1) + path, shared.key]) as c:
        # The sample says nothing when it is connected: give it something to see until it has seen something.
        def poke(lines):
            if path == ACTIVITY:
                shared.task('true', run=True)
            else:
                shared.api('POST', '/api/desktops/%s/restart' % shared.desktop)
            return any(x.startswith('Event: %s' % ('task.' if path == ACTIVITY else 'desktop.')) for x in lines)
        wait_until(lambda: 'the sample printed an event: %s %s' % (c.lines, c.err), lambda: poke(list(c.lines)), 20, step=0.3)
        if path == ACTIVITY:
            t = shared.task('true', run=True, requiresApproval=True)
            shared.wait_task(t['id'], 'review')
            shared.act(t['id'], 'review', {'decision': 'approve'}).ok()
            for kind in ('task.created', 'task.started', 'task.review', 'approval.created', 'approval.resolved', 'task.completed'):
                c.wait(kind, lambda ls, kind=kind: [x for x in ls if x.startswith('Event: ' + kind)])
            c.wait('the task', lambda ls: any(t['id'] in x for x in ls))
        assert c.p.poll() is None, c.err
        assert not c.err, c.err
    wait_until('the desktop runs', lambda: shared.api('GET', '/api/desktops/' + shared.desktop).ok()['status'] == 'running', 20)


def test_curl(shared):
    with Lines(['curl', '-sN', '-H', 'x-api-key: ' + shared.key, shared.url(0) + ACTIVITY]) as c:
        c.wait('first bytes', lambda ls: ls)
        tid = run_one(shared)
        c.wait('the frame', lambda ls: any(x.startswith('data: ') and '"task.completed"' in x and tid in x for x in ls))
        assert any(re.fullmatch(r'id: \d+', x) for x in c.lines)
        assert not any(x.startswith('event:') for x in c.lines)


@pytest.mark.parametrize('path', [ACTIVITY, DESKTOPS])
def test_eventsource(shared, path):
    url = '%s%s?apiKey=%s' % (shared.url(0), path, shared.key)
    with Es(url) as es:
        es.wait_open()
        if path == ACTIVITY:
            tid = run_one(shared)
            e = es.wait_event(has_task(tid, 'task.completed'))
        else:
            d = shared.make_desktop('es')
            e = es.wait_event(lambda e: e['type'] == 'desktop.status' and e['payload']['id'] == d['id'])
        assert e['event'] == 'message' and int(e['id']) > 0


# ---------------------------------------------------------------- reconnection

def ids_after(i, n, until, gw, path=ACTIVITY):
    """All frames after number n, up to and with number `until`, as a new client of that gateway gets them."""
    with i.stream(path, gw=gw, last_id=n) as s:
        s.wait(lambda fs: any(f.id == until for f in fs), 20)
        s.check()
        return [(f.id, f.type, json.dumps(f.data, sort_keys=True)) for f in s.frames if f.id is not None and f.id <= until]


def test_replay_by_id_from_every_point_on_both_gateways(shared):
    with shared.stream(gw=0) as s:
        for _ in range(4):
            tid = run_one(shared)
        last = s.wait_task(tid, 'task.completed').id
        seen = [(f.id, f.type, json.dumps(f.data, sort_keys=True)) for f in s.frames if f.id <= last]
        s.check()
    for k in range(len(seen) - 1):
        assert ids_after(shared, seen[k][0], last, gw=k % 2) == seen[k + 1:]


def test_replay_then_live_without_a_seam(shared):
    """Clients that join by id while events are being made get every one once."""
    with shared.stream(gw=0) as s:
        first = s.wait_task(run_one(shared), 'task.created').id
        made, stop = [], threading.Event()

        def make():
            while not stop.is_set():
                made.append(shared.task('true', run=True, gw=len(made) % 2)['id'])
        t = threading.Thread(target=make)
        t.start()
        joined = []
        try:
            for k in range(12):
                joined.append(shared.stream(gw=k % 2, last_id=first))
        finally:
            stop.set()
            t.join()
        for tid in made:
            shared.wait_task(tid, 'done', seconds=40)
        last = s.wait_task(made[-1], 'task.completed', 20).id
        want = [f.id for f in s.frames if f.id and first < f.id <= last]
        for j in joined:
            j.wait(lambda fs: any(f.id and f.id >= last for f in fs), 20)
            assert [n for n in j.ids() if n <= last] == want
            j.check()
            j.close()
        s.check()


def test_eventsource_resumes_after_a_gateway_restart(fresh):
    i = fresh(gateways=2, workers=1)
    urls = ['%s%s?apiKey=%s' % (i.url(n), ACTIVITY, i.key) for n in (0, 1)]
    with Es(*urls) as es:
        es.wait_open(0)
        es.wait_open(1)
        t1 = run_one(i)
        es.wait_event(has_task(t1, 'task.completed'))
        i.gateways[0].kill9()
        missed = [run_one(i, gw=1) for _ in range(3)]
        i.gateways[0].start()
        es.wait_open(0, times=2)
        after = run_one(i, gw=1)
        for n in (0, 1):
            es.wait_event(has_task(after, 'task.completed'), n=n)
        got = [[(e['id'], e['type']) for e in es.events(n)] for n in (0, 1)]
        last = min(g[-1] for g in (sorted(g, key=lambda x: int(x[0])) for g in got))
        assert all(any(e['payload'].get('taskId') == m for e in es.events(0)) for m in missed)
        assert [x for x in got[0] if int(x[0]) <= int(last[0])] == [x for x in got[1] if int(x[0]) <= int(last[0])]
        ids = [int(x[0]) for x in got[0]]
        assert ids == sorted(set(ids))


def test_eventsource_moves_to_another_gateway_by_last_event_id_in_the_query(shared):
    base = [shared.url(n) + ACTIVITY for n in (0, 1)]
    with Es('%s?apiKey=%s' % (base[0], shared.key)) as es:
        es.wait_open()
        tid = run_one(shared)
        seen = es.wait_event(has_task(tid, 'task.completed'))
    missed = run_one(shared)
    with Es('%s?apiKey=%s&lastEventId=%s' % (base[1], shared.key, seen['id'])) as es:
        es.wait_event(has_task(missed, 'task.created'))
        es.wait_event(has_task(missed, 'task.completed'))
        assert all(int(e['id']) > int(seen['id']) for e in es.events())
        assert not [e for e in es.events() if e['payload'].get('taskId') == tid]


def test_header_wins_over_the_query(shared):
    with shared.stream() as s:
        a, b = [s.wait_task(run_one(shared), 'task.completed').id for _ in range(2)]
    with shared.stream(ACTIVITY + '?lastEventId=%d' % b, last_id=a) as s:
        assert a < s.wait(1)[0].id <= b


def test_resync_for_an_id_from_the_future(shared):
    run_one(shared)
    for gw in (0, 1):
        for future in (10**15, 10**22):
            with shared.stream(gw=gw, last_id=future) as s:
                f = s.wait(2)
                assert f[0].type == 'stream.resync' and f[0].id is None
                assert f[1].id >= f[0].payload['oldest']
                assert [x.type for x in f].count('stream.resync') == 1


def test_not_a_number_is_live_only(shared):
    run_one(shared)
    for bad in ('abc', '-1', '1e3', '1x', ''):
        with shared.stream(last_id=bad) as s:
            tid = run_one(shared)
            s.wait_task(tid, 'task.completed')
            assert next(f for f in s.frames if f.type.startswith('task.')).payload['taskId'] == tid, bad


def test_heartbeat_after_30_seconds_carries_an_id(shared):
    with shared.stream(ACTIVITY + '?types=no.such.type') as s:
        tid = run_one(shared)
        s.wait_comment('heartbeat', 40)
        assert s.last_id and s.frames == []
        with shared.stream(last_id=s.last_id) as t:
            nxt = run_one(shared)
            t.wait_task(nxt, 'task.completed')
            assert not [f for f in t.frames if f.payload.get('taskId') == tid]
        s.check()


def test_revoking_a_key_ends_its_streams(shared):
    made = shared.api('POST', '/api/auth/api-keys', {'name': 'short', 'role': 'viewer'}).ok(201)
    with shared.stream(gw=0, key=made['key']) as a, shared.stream(gw=1, key=made['key']) as b, shared.stream(gw=1) as other:
        assert a.status == b.status == 200
        assert shared.api('DELETE', '/api/auth/api-keys/' + made['id']).status == 204
        assert a.wait_end(2) == 'clean' and b.wait_end(2) == 'clean'
        other.wait_task(run_one(shared), 'task.completed')
    shared.api('GET', TASKS, key=made['key']).error(401)


def test_many_subscribers_get_the_same(shared):
    streams = [shared.stream(gw=n % 2) for n in range(60)]
    try:
        tid = [run_one(shared) for _ in range(3)][-1]
        want = None
        for s in streams:
            last = s.wait_task(tid, 'task.completed', 20).id
            got = [f.id for f in s.frames if f.id <= last]
            want = want or got
            assert got == want
            s.check()
    finally:
        for s in streams:
            s.close()


def test_a_reader_that_stops_reading_slows_nobody(shared):
    """It is served again from where it was, or cut off and can resume by id; the others do not notice."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(('127.0.0.1', shared.port(0)))
    sock.sendall(('GET %s?include=output HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\n\r\n' % (ACTIVITY, shared.key)).encode())
    try:
        with shared.stream() as s:
            for _ in range(3):
                t = shared.task('head -c 400000 /dev/zero | tr "\\0" x', run=True)
                s.wait_task(t['id'], 'task.completed', 20)
            s.check()
    finally:
        sock.close()
