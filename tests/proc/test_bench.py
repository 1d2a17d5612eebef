"""The load generators of make bench, small: that they build, that what they count is right, and that they notice what is wrong."""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from harness import ACTIVITY, BUILD, REPO, STRETCH, TASKS, end, forget, popen

sys.path.insert(0, os.path.join(REPO, 'tests', 'bench'))
import peers  # noqa: E402

CREATE = '{"type":"command","content":"true @@","desktopId":"desktop_1"}'


def start(name, *argv):
    return popen([os.path.join(BUILD, 'bench', name), *map(str, argv)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def over(p):
    """Its status, what it said as JSON (None when nothing), and its complaint."""
    try:
        out, err = p.communicate(timeout=20 * STRETCH)
    finally:
        if p.poll() is None:
            end(p)
    forget(p)
    last = out.strip().split('\n')[-1]
    return p.returncode, json.loads(last) if last.startswith('{') else None, err


def run(name, *argv):
    return over(start(name, *argv))


def good(got):
    assert got[0] == 0, got
    return got[1]


def address(i):
    return '127.0.0.1:%d' % i.port(0)


def key(i):
    return '-H', 'x-api-key: ' + i.key


def create(i, *argv):
    return good(run('put', 'http', address(i), '-p', TASKS, '-b', CREATE, *key(i), *argv))


def test_each_subscriber_is_given_each_event(shared):
    s = start('sse', address(shared), ACTIVITY, '-n', 20, '-e', 300, *key(shared))
    assert s.stdout.readline() == 'ready\n'
    put = create(shared, '-c', 8, '-n', 300)
    r = good(over(s))
    assert put['requests'] == 300 and put['p50_us'] > 0
    assert r['deliveries'] == 6000 and r['subscribers'] == 20 and r['octets'] > 6000 * 200 and 0 < r['p50_us'] <= r['p99_us'] <= r['max_us'] * 1.02


def test_a_publisher_keeps_its_rate_and_a_replay_begins_where_it_is_told(shared):
    before = int(shared.api('GET', '/api/mission-control/overview').headers['X-Mc-Sequence'])
    put = create(shared, '-c', 2, '-n', 50, '-r', 500)
    assert put['seconds'] >= 49 / 500
    r = good(run('sse', address(shared), ACTIVITY, '-n', 3, '-e', 50, '-H', 'Last-Event-ID: %d' % before, *key(shared)))
    assert r['deliveries'] == 150


def test_idle_subscribers_are_held_until_stdin_ends(shared):
    s = start('sse', address(shared), ACTIVITY, '-n', 5, '-e', 0, *key(shared))
    assert s.stdout.readline() == 'ready\n'
    assert s.poll() is None
    assert over(s)[0] == 0


def test_the_first_octet_of_a_task(fresh):
    i = fresh(gateways=1, workers=1)
    r = good(run('first', address(i), '-k', i.key, '-n', 3))
    assert r['rounds'] == 3 and r['p50_us'] > 100


def test_a_refused_request_is_told(shared):
    status, said, complaint = run('put', 'http', address(shared), '-p', TASKS, '-b', '{}', '-n', 1, *key(shared))
    assert status == 1 and said is None and 'wrong answer: HTTP/1.1 4' in complaint
    status, said, complaint = run('sse', address(shared), ACTIVITY, '-n', 1, '-e', 1)
    assert status == 1 and said is None and '401' in complaint


class Server:
    """Answers each connection by a function of (socket, its count)."""

    def __init__(self, serve):
        self.serve = serve
        self.s = socket.create_server(('127.0.0.1', 0))
        self.address = '127.0.0.1:%d' % self.s.getsockname()[1]
        self.open = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            while True:
                c = self.s.accept()[0]
                self.open.append(c)
                threading.Thread(target=self.one, args=(c, len(self.open) - 1), daemon=True).start()
        except OSError:
            pass

    def one(self, c, n):
        try:
            self.serve(c, n)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.s.close()
        for c in self.open:
            c.close()


def mark(n):
    return '@%010d,%019d@' % (n, 1000)


def frame(n, number=None):
    return 'id: %d\ndata: {"title":"%s"}\n\n' % (number or n + 1, mark(n))


def chunked(frames):
    return ''.join('%x\r\n%s\r\n' % (len(f), f) for f in frames)


HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%s\r\n'
CHUNKS = 'Transfer-Encoding: chunked\r\n'


def streams(texts, piece=None):
    """Serves the n-th text to the n-th subscriber, in pieces."""
    def serve(c, n):
        c.recv(65536)
        data = texts[n % len(texts)].encode()
        for at in range(0, len(data), piece or len(data)):
            c.sendall(data[at:at + (piece or len(data))])
        c.recv(1)  # until it is closed
    return serve


def hear(texts, n=1, events=3, piece=None, wait=60):
    with Server(streams(texts, piece)) as s:
        return run('sse', s.address, '/', '-n', n, '-e', events, '-w', wait)


@pytest.mark.parametrize('piece', [None, 1, 2, 3, 7, 50])
def test_frames_are_found_however_they_are_cut(piece):
    frames = ['retry: 1\n: connected\n\n', frame(1), ': heartbeat\n\n', frame(0, 5), frame(2, 6)]
    for text in (HEAD % CHUNKS + chunked(frames), HEAD % '' + ''.join(frames), HEAD % CHUNKS + chunked([''.join(frames)[:40], ''.join(frames)[40:]])):
        assert good(hear([text], piece=piece))['deliveries'] == 3


@pytest.mark.parametrize('frames, complaint', [
    ([frame(0), frame(1)], 'nothing has come'),
    ([frame(0), frame(0, 2), frame(2)], 'given twice'),
    ([frame(0), frame(1), frame(7)], 'has the mark 7'),
    ([frame(0), frame(1, 1), frame(2)], 'id 1 after 1'),
    ([frame(0), frame(1).replace(',', ';'), frame(2)], 'damaged'),
    ([frame(0), frame(1), frame(2), frame(0, 9)], 'more than'),
])
def test_what_is_wrong_with_events_is_noticed(frames, complaint):
    status, said, told = hear([HEAD % CHUNKS + chunked(frames)], wait=1 if len(frames) < 3 else 60)
    assert status == 1 and said is None and complaint in told


def test_an_order_that_differs_is_noticed():
    texts = [HEAD % '' + ''.join(frame(n, 1 + at) for at, n in enumerate(order)) for order in ((0, 1, 2), (0, 2, 1))]
    status, said, told = hear(texts, n=2)
    assert status == 1 and said is None and 'in another order' in told
    assert good(hear(texts[:1], n=2))['deliveries'] == 6


def test_a_stream_that_ends_or_breaks_is_noticed():
    def ends(c, n):
        c.recv(65536)
        c.sendall((HEAD % CHUNKS + chunked([frame(0)])).encode())
        c.close()
    with Server(ends) as s:
        assert 'ended (closed) after 1 of 3' in run('sse', s.address, '/', '-n', 1, '-e', 3)[2]
    assert 'has no size' in hear([HEAD % CHUNKS + 'zz\r\n'])[2]
    assert 'longer than its size' in hear([HEAD % CHUNKS + '1\r\n' + frame(0)])[2]


@pytest.mark.parametrize('protocol, answer, wrong', [
    ('beanstalk', 'INSERTED 12\r\n', 'BURIED 12\r\n'),
    ('redis', '$5\r\n123-0\r\n', '-ERR unknown command\r\n'),
    ('http', 'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}', 'HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n'),
])
def test_answers_are_judged_in_each_protocol(protocol, answer, wrong):
    asked = []

    def answers(texts):
        def serve(c, n):
            for text in texts:
                asked.append(c.recv(65536))
                for octet in text.encode():
                    c.sendall(bytes([octet]))
            c.recv(1)
        return serve
    with Server(answers([answer] * 3)) as s:
        assert good(run('put', protocol, s.address, '-b', 'x @@ y', '-n', 3))['requests'] == 3
    assert len(asked) == 3 and all(b'x @%010d,' % n in a for n, a in enumerate(asked))
    with Server(answers([answer, wrong])) as s:
        status, said, told = run('put', protocol, s.address, '-b', 'x', '-n', 3)
        assert status == 1 and said is None and 'wrong answer' in told


def test_a_connection_that_is_closed_while_idle_is_made_again():
    third = threading.Event()

    def serve(c, n):
        if n == 2:
            third.set()
            c.recv(1)
            return
        c.recv(65536)
        if n == 1: # answered once the other has come back
            assert third.wait(30 * STRETCH)
        c.sendall(b'INSERTED 1\r\n')
        if n == 0:
            c.close()
        else:
            c.recv(1)
    with Server(serve) as s:
        assert good(run('put', 'beanstalk', s.address, '-b', 'x', '-n', 2, '-c', 2))['requests'] == 2
    assert third.is_set()


@pytest.mark.skipif(not shutil.which('beanstalkd', path=peers.PATH), reason='beanstalkd is not there (tools/deps bench)')
def test_the_worker_of_beanstalkd(tmp_path):
    bean = peers.Beanstalkd(str(tmp_path)).start()
    try:
        w = start('beanwork', bean.address, '-c', 2, '-n', 10)
        assert w.stdout.readline() == 'ready\n'
        assert good(run('put', 'beanstalk', bean.address, '-b', 'x', '-n', 10, '-c', 2))['requests'] == 10
        assert good(over(w))['jobs'] == 10
    finally:
        bean.stop()
