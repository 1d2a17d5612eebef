"""Streams as hostile networks and impatient clients leave them: cut anywhere, resumed at the other gateway, read slowly or not
at all, opened while nobody can say whether they may be."""
import json
import random
import re
import socket
import struct
import threading
import time

import pytest

from harness import ACTIVITY, SANITIZED, STRETCH, TASKS, Stream, wait_until

FEED = '/api/mission-control/stream'
DESKTOPS = '/api/desktops/stream'


# ---------------------------------------------------------------- a client that keeps the octets

class Raw:
    """Reads a stream in pieces of its own choice and keeps whole frames as the octets they came in. Cuts with RST."""

    def __init__(self, ports, path, key, last_id, rng):
        self.ports, self.path, self.key, self.rng = ports, path, key, rng
        self.last_id, self.frames, self.refused = last_id, [], []
        self.turn = rng.randrange(len(ports))
        self.cuts = 0
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            self.turn += 1
            try:
                self._once(self.ports[self.turn % len(self.ports)])
            except OSError:
                time.sleep(0.02)    # that gateway is down: the client's own pause

    def _once(self, port):
        s = socket.create_connection(('127.0.0.1', port), 5 * STRETCH)
        try:
            s.settimeout(0.2)
            s.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nLast-Event-ID: %d\r\n\r\n'
                       % (self.path, self.key, self.last_id)).encode())
            # Sometimes a few octets, sometimes a lot; sometimes until nothing has come for a while.
            budget = self.rng.choice([self.rng.randrange(1, 600), self.rng.randrange(1, 20000), 1 << 30])
            quiet = time.monotonic() + self.rng.uniform(0.05, 1.0)
            got = b''
            while budget > 0 and not self.stopping:
                try:
                    data = s.recv(min(budget, 65536))
                except TimeoutError:
                    if time.monotonic() > quiet:
                        break
                    continue
                if not data:
                    break
                budget -= len(data)
                got += data
            if self.rng.random() < 0.5:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        finally:
            s.close()
        self.cuts += 1
        self._take(got)

    def _take(self, got):
        head, _, body = got.partition(b'\r\n\r\n')
        if not head.startswith(b'HTTP/1.1 200 '):
            if head and b'\r\n' in head:
                self.refused.append(head[:80])
            return
        text = b''
        while True:
            size, crlf, rest = body.partition(b'\r\n')
            if not crlf or size == b'0':
                break
            n = int(size, 16)
            if len(rest) < n:   # what EventSource does with a frame that was cut: it drops it
                break
            text += rest[:n]
            body = rest[n + 2:]
        for event in text.split(b'\n\n')[:-1]:
            m = re.search(rb'^id: (\d+)$', event, re.M)
            if m:
                self.last_id = int(m.group(1))
            if b'data: ' in event and m:
                self.frames.append(event)

    def stop(self):
        self.stopping = True
        self.thread.join(20 * STRETCH)


def whole(i, path, gw, upto):
    """The view's slice of the log as a fresh reader sees it: the octets of each frame."""
    s = socket.create_connection(('127.0.0.1', i.port(gw)), 10 * STRETCH)
    r = Raw.__new__(Raw)
    r.frames, r.refused, r.last_id = [], [], 0
    got = b''
    try:
        s.settimeout(10 * STRETCH)
        s.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nLast-Event-ID: 0\r\n\r\n' % (path, i.key)).encode())
        mark = b'"evt_%d"' % upto
        while mark not in got or not got.endswith(b'\r\n'):
            data = s.recv(65536)
            assert data, 'the stream ended before event %d' % upto
            got += data
    finally:
        s.close()
    r._take(got)
    return [f for f in r.frames if int(re.match(rb'id: (\d+)', f).group(1)) <= upto]


@pytest.mark.parametrize('path', [ACTIVITY, FEED])
def test_cut_anywhere_resumed_anywhere_octet_for_octet(fresh, path):
    i = fresh(gateways=2, workers=1)
    rng = random.Random(path)
    ports = [i.port(0), i.port(1)]
    clients = [Raw(ports, path, i.key, 0, random.Random(rng.random())) for _ in range(6 if SANITIZED else 12)]
    made = []

    def make(n):
        for _ in range(n):
            t = i.task('true', run=rng.random() < 0.5, title='t' * rng.randrange(1, 200), gw=rng.randrange(2))
            made.append(t['id'])
    make(15 if SANITIZED else 40)
    i.gateways[1].kill9()
    i.gateways[1].start()
    i.wait_ready()
    make(15 if SANITIZED else 40)
    i.broker.kill9()
    i.broker.start()
    i.wait_ready(30)
    make(10)
    last = i.task('true')
    with i.stream(path, last_id=0) as s:
        end = s.wait(lambda fs: next((f for f in fs if f.type == 'task.created' and
                                      last['id'] in (f.payload.get('taskId'), f.payload.get('task_id'))), None), 20).id
    try:
        wait_until(lambda: 'all came to event %d: %s' % (end, [c.last_id for c in clients]),
                   lambda: all(c.last_id >= end for c in clients), 60)
        wait_until('there were many cuts', lambda: sum(c.cuts for c in clients) >= 5 * len(clients), 60)
    finally:
        for c in clients:
            c.stop()
    want = whole(i, path, 0, end)
    assert want == whole(i, path, 1, end)
    assert len(want) > 60
    for c in clients:
        assert not c.refused, c.refused[:3]
        got = [f for f in c.frames if int(re.match(rb'id: (\d+)', f).group(1)) <= end]
        assert got == want, 'gap, repeat, inversion or change: %d frames instead of %d' % (len(got), len(want))


def test_desktop_stream_cut_and_resumed(shared):
    names = ['d%d' % n for n in range(6)]
    for n in names:
        shared.make_desktop(n)
    with shared.stream(DESKTOPS, last_id=0) as s:
        frames = s.wait(lambda fs: [f for f in fs if f.id] if sum(f.payload.get('name') in names for f in fs if f.id) >= 6 else None)
        s.check()
    for cut in range(0, len(frames), 3):
        with shared.stream(DESKTOPS, gw=cut % 2, last_id=frames[cut].id) as s:
            s.wait(lambda fs: sum(1 for f in fs if f.id) >= len(frames) - cut - 1 or not frames[cut + 1:] or None)
            assert [f.data for f in s.frames if f.id][:len(frames) - cut - 1] == [f.data for f in frames[cut + 1:]]
            s.check()


# ---------------------------------------------------------------- held, never refused

@pytest.mark.parametrize('path', [ACTIVITY, FEED, DESKTOPS])
def test_opened_while_the_broker_is_away(fresh, path):
    i = fresh(gateways=1, workers=1)
    old = i.task('true')
    i.broker.kill9()
    key = 'mc_k_' + 'A' * 43
    with i.stream(path) as good, i.stream(path, key=key) as wrong, i.stream(path, last_id=1) as resumed:
        assert (good.status, wrong.status, resumed.status) == (200, 200, 200)
        assert not good.frames and not good.ended and not wrong.ended
        i.broker.start()
        i.wait_ready(30)
        assert wrong.wait_end(10) == 'clean'
        assert not wrong.frames
        if path == DESKTOPS:
            i.make_desktop('later')
            good.wait(lambda fs: [f for f in fs if f.payload['name'] == 'later'])
        else:
            t = i.task('true', run=True)
            key_of = 'taskId' if path == ACTIVITY else 'task_id'
            good.wait(lambda fs: [f for f in fs if f.payload.get(key_of) == t['id'] and f.id])
            assert not [f for f in good.frames if f.payload.get(key_of) == old['id']]
            resumed.wait(lambda fs: [f for f in fs if f.payload.get(key_of) == old['id']])
        for s in (good, resumed):
            s.check()
            assert not s.ended
    again = i.stream(path, key=key)
    assert again.status == 401 and 'WWW-Authenticate' in again.headers


def test_over_the_limit_is_held_not_refused(fresh):
    i = fresh(gateways=1, workers=1, env={'MC_RATE_LIMIT': '60'})     # ten at once, then one a second
    streams = []
    try:
        for _ in range(16):
            streams.append(i.stream(last_id=0))
        assert [s.status for s in streams] == [200] * 16
        for s in streams:
            s.wait(lambda fs: [f for f in fs if f.id], 40)      # each in its time
            s.check()
    finally:
        for s in streams:
            s.close()


@pytest.mark.parametrize('query,field', [
    ('types=a&types=b', 'types'), ('types=', 'types'), ('desktopId=1', 'desktopId'), ('agentId=desktop_1', 'agentId'),
    ('include=x', 'include'), ('lastEventId=1&lastEventId=2', 'lastEventId')])
def test_bad_parameters(shared, query, field):
    for path in (ACTIVITY, FEED, DESKTOPS):
        a = shared.api('GET', path + '?' + query)
        a.error(400, field=field)
        shared.api('GET', path + '?' + query, key=None).error(401)


def test_a_number_too_large_is_a_number(shared):
    shared.task('true')
    with shared.stream(last_id='99999999999999999999999') as s:
        assert s.wait('stream.resync').payload == {'oldest': 1}
        s.wait(lambda fs: [f for f in fs if f.id])


def test_workspaces_and_filters_move_the_id_on(shared):
    """A stream that shows nothing still says how far it has looked, right at its beginning."""
    t = shared.task('true')
    with shared.stream() as s:
        first = wait_until('the stream begins with an id', lambda: s.last_id)
    with shared.stream(ACTIVITY + '?types=none.such', last_id=first) as s:
        assert not s.frames
    assert t['id']


# ---------------------------------------------------------------- slow readers

def test_readers_that_do_not_read(fresh):
    """Thousands of frames for readers that take nothing: the others are whole, and memory does not follow."""
    i = fresh(gateways=1, workers=1)
    n = 20 if SANITIZED else 100
    tasks = 60 if SANITIZED else 400
    i.task('true')
    gw = i.gateways[0]
    slow = []
    with i.stream(FEED, last_id=0) as healthy:
        for _ in range(n):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.connect(('127.0.0.1', i.port(0)))
            s.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nLast-Event-ID: 0\r\n\r\n' % (FEED, i.key)).encode())
            slow.append(s)
        try:
            wait_until('frames come', lambda: len(healthy.frames) > 0)
            before = gw.rss_kib()
            for k in range(tasks):
                last = i.task('true', title='<' * 190)
            healthy.wait(lambda fs: [f for f in fs if f.payload.get('task_id') == last['id']], 20)
            healthy.check()
            grown = gw.rss_kib() - before
            assert SANITIZED or grown < 24 * 1024, 'grew by %d KiB for %d readers that do not read' % (grown, n)
        finally:
            for s in slow:
                s.close()


# ---------------------------------------------------------------- output, followed

def test_output_followed_through_cuts_and_kills(fresh):
    i = fresh(gateways=2, workers=1)
    t = i.task('i=0; while [ $i -lt 300 ]; do printf "%04d: \\303\\251 \\342\\202\\254 \\360\\237\\230\\200\\n" $i; i=$((i+1)); '
               'if [ $((i%20)) = 0 ]; then sleep 0.1; fi; done; exit 7', run=True)
    path = '%s/%s/output' % (TASKS, t['id'])
    rng = random.Random(7)
    at, text, ends, turn = 0, '', [], 0
    limit = time.monotonic() + 60 * STRETCH
    while not ends:
        assert time.monotonic() < limit
        turn += 1
        if turn == 4:
            i.gateways[0].kill9()
            i.gateways[0].start()
            i.port(0)
        try:
            s = Stream(i.port(turn % 2), path, i.key, last_id=at, headers={'Accept': 'text/event-stream'})
        except (OSError, EOFError):
            wait_until('gateway answers', lambda: _answers(i.port(turn % 2)))
            continue
        assert s.status == 200
        want = rng.randrange(1, 12)
        with s.cond:
            s.cond.wait_for(lambda: len(s.frames) >= want or s.ended, 10 * STRETCH)
        s.close()
        s.check()
        for f in s.frames:
            if f.type == 'task.output.end':
                ends.append(f.payload)
            else:
                assert f.payload['offset'] == at, 'octets %d..%d are missing or come twice' % (at, f.payload['offset'])
                text += f.payload['data']
                at = f.id
    assert ends[0]['status'] == 'failed' and ends[0]['exitCode'] == 7 and ends[0]['taskId'] == t['id']
    assert text == i.output(t['id'], gw=1).text
    assert len(text.splitlines()) == 300 and '\ufffd' not in text


def _answers(port):
    try:
        socket.create_connection(('127.0.0.1', port), 2).close()
        return True
    except OSError:
        return False


def test_output_stream_key_in_the_query_and_unknown_task(shared):
    t = shared.task('echo hi', run=True)
    shared.wait_task(t['id'], 'done')
    with Stream(shared.port(0), '%s/%s/output?apiKey=%s' % (TASKS, t['id'], shared.key), None) as s:
        s.wait('task.output.end')
        assert ''.join(f.payload['data'] for f in s.frames if f.type == 'task.output') == 'hi\n'
    s = Stream(shared.port(0), '%s/task_999999/output' % TASKS, shared.key)
    assert s.status == 404 and json.loads(s.body)['code'] == 'NOT_FOUND'


# ---------------------------------------------------------------- output, followed live, is a stream like the others

SSE = {'Accept': 'text/event-stream'}


def test_followed_output_holds_while_the_broker_is_away(fresh):
    """Nobody can say whether the key is good: it is held, and once the broker is back comes whole - or ends, for a wrong key."""
    i = fresh(gateways=1, workers=1)
    t = i.task('echo held', run=True)
    i.wait_task(t['id'], 'done')
    path = '%s/%s/output' % (TASKS, t['id'])
    i.gateways[0].kill9()
    i.gateways[0].start()               # it knows no key by heart
    i.broker.kill9()
    wait_until('gateway answers', lambda: _answers(i.port(0)))
    with i.stream(path, headers=SSE) as good, i.stream(path, headers=SSE, key='mc_k_' + 'x' * 43) as wrong:
        assert (good.status, wrong.status) == (200, 200)
        i.broker.start()
        good.wait('task.output.end', 20)
        assert ''.join(f.payload['data'] for f in good.frames if f.type == 'task.output') == 'held\n'
        assert wrong.wait_end(20) == 'clean'
        assert not wrong.frames
    i.wait_ready(30)


def test_followed_output_over_the_limit_is_held(fresh):
    i = fresh(gateways=1, workers=1, env={'MC_RATE_LIMIT': '60'})     # ten at once, then one a second
    t = i.task('echo slowly', run=True)
    streams = []
    try:
        for _ in range(14):
            streams.append(i.stream('%s/%s/output' % (TASKS, t['id']), headers=SSE))
        assert [s.status for s in streams] == [200] * 14
        for s in streams:
            s.wait('task.output.end', 40)
    finally:
        for s in streams:
            s.close()


def test_revoked_key_ends_followed_output(shared):
    k = shared.api('POST', '/api/auth/api-keys', json={'name': 'soon gone', 'role': 'viewer'}).ok(201)
    t = shared.task('echo begun; sleep 30', run=True)
    with shared.stream('%s/%s/output' % (TASKS, t['id']), key=k['key'], headers=SSE) as s:
        s.wait('task.output')
        assert shared.api('DELETE', '/api/auth/api-keys/' + k['id']).status == 204
        s.wait_end(2)
    shared.api('POST', '%s/%s/cancel' % (TASKS, t['id'])).ok(200)
