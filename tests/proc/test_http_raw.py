"""HTTP/1.1 conformance over raw sockets, against the real gateway. Each case is named by its section of RFC 9112 (9110 where
that is said), so that a failure names the rule. Most cases need no broker; those with bodies use a whole installation."""
import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import types
import warnings

import pytest

from harness import BUILD, STRETCH, Prog, http_call, wait_until

GATEWAY = os.path.join(BUILD, 'bin', 'mc-gateway')
HOST = b'Host: 127.0.0.1\r\n'
GET = b'GET /healthz HTTP/1.1\r\n' + HOST + b'\r\n'


# ---------------------------------------------------------------- a gateway alone

class Alone:
    """A gateway whose broker is away, in a directory of its own."""

    def __init__(self, *args, **env):
        self.dir = tempfile.mkdtemp(prefix='mch-', dir='/tmp')
        os.mkdir(self.dir + '/log')
        with open(os.open(self.dir + '/gateway.key', os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
            f.write('mc-peer gateway alone %s\n' % base64.b64encode(os.urandom(32)).decode())
        environment = {'PATH': os.environ['PATH'], 'MC_DATA': self.dir, 'MC_RATE_LIMIT': '0', **env}
        for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS'):
            if name in os.environ:
                environment[name] = os.environ[name]
        self.prog = Prog(types.SimpleNamespace(dir=self.dir), 'gateway',
                         [GATEWAY, '--http', '127.0.0.1:0', '--port-file', self.dir + '/port', *args], environment)
        try:
            self.prog.start()
            wait_until(lambda: 'the gateway listens: ' + self.prog.log_text(), self._look, 10)
        except BaseException:
            self.prog.kill9()
            shutil.rmtree(self.dir, ignore_errors=True)
            raise

    def _look(self):
        assert self.prog.alive, self.prog.log_text()
        try:
            with open(self.dir + '/port') as f:
                self.port = int(f.read())
            return True
        except (OSError, ValueError):
            return False

    def close(self):
        try:
            self.prog.term()
            assert not self.prog.faults, '%s\n%s' % (self.prog.faults, self.prog.log_text()[-3000:])
            assert 'Sanitizer' not in self.prog.log_text() and 'runtime error' not in self.prog.log_text(), self.prog.log_text()[-3000:]
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def lines(self):
        return [json.loads(line) for line in self.prog.log_text().splitlines()]


@pytest.fixture(scope='module')
def gateway():
    g = Alone()
    yield g
    g.close()


@pytest.fixture
def alone():
    made = []

    def make(*args, **env):
        made.append(Alone(*args, **env))
        return made[-1]
    yield make
    for g in made:
        g.close()


# ---------------------------------------------------------------- a raw client

class Got:
    def __init__(self, status, head, body):
        self.status, self.head, self.body = status, head, body
        self.fields = {}
        for line in head.split(b'\r\n')[1:]:
            name, value = line.split(b':', 1)
            assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), line
            self.fields.setdefault(name.decode().lower(), []).append(value.strip().decode('latin-1'))

    def __repr__(self):
        return '<%d %r>' % (self.status, self.body[:200])


class Raw:
    """A connection that speaks octets."""

    def __init__(self, port, context=None):
        self.s = socket.create_connection(('127.0.0.1', port), timeout=15 * STRETCH)
        if context:
            self.s = context.wrap_socket(self.s, server_hostname='localhost')
        self.buf = b''
        self.eof = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data, step=None):
        try:
            if step:
                self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(0, len(data), step):
                    self.s.sendall(data[i:i + step])
            else:
                self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass    # it has heard enough; what it answered is still to be read
        return self

    def more(self):
        got = self.s.recv(65536)
        if not got:
            self.eof = True
        self.buf += got
        return bool(got)

    def answer(self, head_only=False):
        """The next answer, interim ones included; None at the end."""
        while b'\r\n\r\n' not in self.buf:
            if not self.more():
                assert self.buf == b'', 'cut off: %r' % self.buf
                return None
        head, self.buf = self.buf.split(b'\r\n\r\n', 1)
        m = re.match(rb'HTTP/1\.1 (\d{3}) [^\r\n]+', head)
        assert m, head
        status = int(m.group(1))
        got = Got(status, head, b'')
        n = int(got.fields.get('content-length', ['0'])[0])
        if head_only or status < 200 or status in (204, 304):
            return got
        while len(self.buf) < n:
            assert self.more(), 'body cut off'
        got.body, self.buf = self.buf[:n], self.buf[n:]
        return got

    def all(self):
        """Every answer up to the FIN, which must be one (a reset raises)."""
        out = []
        while True:
            a = self.answer()
            if a is None:
                return out
            out.append(a)


def ask(port, data, step=None):
    with Raw(port) as c:
        return c.send(data, step).answer()


def check_common(a):
    for name in ('date', 'x-request-id', 'x-content-type-options', 'referrer-policy', 'cache-control'):
        assert len(a.fields.get(name, [])) == 1, (name, a.head)
    assert a.fields['x-content-type-options'] == ['nosniff']
    assert re.fullmatch(r'(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} '
                        r'\d\d:\d\d:\d\d GMT', a.fields['date'][0])
    if a.status >= 400:
        j = json.loads(a.body)
        assert j['status'] == a.status and j['requestId'] == a.fields['x-request-id'][0] and j['code'] and j['error'], j
    if a.status == 401:
        assert 'www-authenticate' in a.fields
    if a.status in (429, 503):
        assert 'retry-after' in a.fields


def req(line=b'GET /healthz HTTP/1.1', *fields, host=b'Host: 127.0.0.1', body=b''):
    return b'\r\n'.join((line,) + ((host,) if host is not None else ()) + fields) + b'\r\n\r\n' + body


POST = b'POST /healthz HTTP/1.1'
TE = b'Transfer-Encoding: chunked'
# Refused: status, then the connection is closed with FIN.
REFUSED = [
    ('3 HTTP/0.9', 400, b'GET /healthz\r\n\r\n'),
    ('3 two blanks', 400, req(b'GET  /healthz HTTP/1.1')),
    ('3 blank at the end', 400, req(b'GET /healthz HTTP/1.1 ')),
    ('3 tab for a blank', 400, req(b'GET\t/healthz\tHTTP/1.1')),
    ('3 no method', 400, req(b' /healthz HTTP/1.1')),
    ('3 control octet', 400, req(b'GET /health\x01z HTTP/1.1')),
    ('3 raw UTF-8 in the target', 400, req('GET /é HTTP/1.1'.encode())),
    ('3 rubbish', 400, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'),
    ('3.1 no token as method', 400, req(b'GE{T /healthz HTTP/1.1')),
    ('9110-9.1 unknown method', 501, req(b'BREW /healthz HTTP/1.1')),
    ('9110-9.1 methods are case-sensitive', 501, req(b'get /healthz HTTP/1.1')),
    ('9110-9.3.6 CONNECT', 501, req(b'CONNECT 127.0.0.1:80 HTTP/1.1')),
    ('9110-9.3.8 TRACE', 501, req(b'TRACE /healthz HTTP/1.1')),
    ('2.3 HTTP/2 preface', 505, b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    ('2.3 HTTP/1.2', 505, req(b'GET /healthz HTTP/1.2')),
    ('2.3 lower-case name', 400, req(b'GET /healthz http/1.1')),
    ('2.3 version of many digits', 400, req(b'GET /healthz HTTP/1.1111')),
    ('2.2 bare LF', 400, req().replace(b'\r\n', b'\n')),
    ('2.2 bare LF in one line', 400, req(b'GET /healthz HTTP/1.1', b'X: a\nY: b')),
    ('2.2 bare CR in a value', 400, req(b'GET /healthz HTTP/1.1', b'X: a\rb')),
    ('2.2 bare CR in the request line', 400, req(b'GET /health\rz HTTP/1.1')),
    ('2.2 blank before the first field', 400, b'GET /healthz HTTP/1.1\r\n Host: 127.0.0.1\r\n\r\n'),
    ('2.2 two empty lines in front', 400, b'\r\n\r\n' + req()),
    ('3.2 no Host', 400, req(host=None)),
    ('3.2 two Hosts', 400, req(b'GET /healthz HTTP/1.1', b'Host: 127.0.0.1')),
    ('3.2 two Hosts in HTTP/1.0', 400, req(b'GET /healthz HTTP/1.0', b'Host: localhost')),
    ('3.2 empty Host', 400, req(host=b'Host:')),
    ('3.2 Host with a path', 400, req(host=b'Host: 127.0.0.1/x')),
    ('3.2 Host with a user', 400, req(host=b'Host: a@127.0.0.1')),
    ('3.2 Host list', 400, req(host=b'Host: 127.0.0.1, 127.0.0.1')),
    ('3.2 Host with a bad port', 400, req(host=b'Host: 127.0.0.1:http')),
    ('3.2 Host with an overlong port', 400, req(host=b'Host: 127.0.0.1:99999')),
    ('3.2 Host with broken brackets', 400, req(host=b'Host: [::1')),
    ('3.2.1 fragment', 400, req(b'GET /healthz#x HTTP/1.1')),
    ('3.2.1 half an escape', 400, req(b'GET /healthz%4 HTTP/1.1')),
    ('3.2.1 relative', 400, req(b'GET healthz HTTP/1.1')),
    ('3.2.2 no Host beside an absolute target', 400, req(b'GET http://127.0.0.1/healthz HTTP/1.1', host=None)),
    ('3.2.2 user in the authority', 400, req(b'GET http://u:p@127.0.0.1/healthz HTTP/1.1')),
    ('3.2.2 another scheme', 400, req(b'GET file:///healthz HTTP/1.1')),
    ('3.2.3 authority form', 400, req(b'GET 127.0.0.1:80 HTTP/1.1')),
    ('3.2.4 asterisk', 400, req(b'GET * HTTP/1.1')),
    ('5 no colon', 400, req(b'GET /healthz HTTP/1.1', b'X')),
    ('5 no name', 400, req(b'GET /healthz HTTP/1.1', b': a')),
    ('5.1 blank before the colon', 400, req(b'GET /healthz HTTP/1.1', b'X : a')),
    ('5.1 blank before the colon of Host', 400, req(host=b'Host : 127.0.0.1')),
    ('5.1 no token as name', 400, req(b'GET /healthz HTTP/1.1', b'X"Y: a')),
    ('5.2 obs-fold', 400, req(b'GET /healthz HTTP/1.1', b'X: a', b' b')),
    ('5.2 obs-fold by tab', 400, req(b'GET /healthz HTTP/1.1', b'X: a', b'\tb')),
    ('5.5 NUL in a value', 400, req(b'GET /healthz HTTP/1.1', b'X: a\0b')),
    ('5.5 control octet in a value', 400, req(b'GET /healthz HTTP/1.1', b'X: a\x08b')),
    ('5.5 DEL in a value', 400, req(b'GET /healthz HTTP/1.1', b'X: a\x7fb')),
    ('6.1 with Content-Length', 400, req(POST, TE, b'Content-Length: 5', body=b'0\r\n\r\n')),
    ('6.1 behind Content-Length', 400, req(POST, b'Content-Length: 5', TE, body=b'0\r\n\r\n')),
    ('6.1 in HTTP/1.0', 400, req(b'POST /healthz HTTP/1.0', TE, body=b'0\r\n\r\n')),
    ('6.1 unknown coding', 501, req(POST, b'Transfer-Encoding: gzip, chunked', body=b'0\r\n\r\n')),
    ('6.1 identity', 501, req(POST, b'Transfer-Encoding: identity')),
    ('6.1 xchunked', 501, req(POST, b'Transfer-Encoding: xchunked', body=b'0\r\n\r\n')),
    ('6.1 twice', 400, req(POST, b'Transfer-Encoding: chunked, chunked', body=b'0\r\n\r\n')),
    ('6.1 twice in two fields', 400, req(POST, TE, TE, body=b'0\r\n\r\n')),
    ('6.1 with a parameter', 400, req(POST, b'Transfer-Encoding: chunked;a=b', body=b'0\r\n\r\n')),
    ('6.1 empty', 400, req(POST, b'Transfer-Encoding:')),
    ('6.1 name with a blank', 400, req(POST, b'Transfer-Encoding : chunked', body=b'0\r\n\r\n')),
    ('6.1 vertical tab', 400, req(POST, b'Transfer-Encoding: \x0bchunked', body=b'0\r\n\r\n')),
    ('6.3 chunked not last', 400, req(POST, b'Transfer-Encoding: chunked, gzip', body=b'0\r\n\r\n')),
    ('6.2 sign', 400, req(POST, b'Content-Length: +5', body=b'hello')),
    ('6.2 minus', 400, req(POST, b'Content-Length: -5', body=b'hello')),
    ('6.2 empty', 400, req(POST, b'Content-Length:', body=b'hello')),
    ('6.2 hex', 400, req(POST, b'Content-Length: 0x5', body=b'hello')),
    ('6.2 fraction', 400, req(POST, b'Content-Length: 5.0', body=b'hello')),
    ('6.2 blank inside', 400, req(POST, b'Content-Length: 5 5', body=b'hello')),
    ('6.3 list of equals', 400, req(POST, b'Content-Length: 5, 5', body=b'hello')),
    ('6.3 two equal', 400, req(POST, b'Content-Length: 5', b'Content-Length: 5', body=b'hello')),
    ('6.3 two different', 400, req(POST, b'Content-Length: 5', b'Content-Length: 6', body=b'hello')),
    ('6.3 overflow', 400, req(POST, b'Content-Length: 18446744073709551621', body=b'hello')),
    ('9110-10.1.1 unknown expectation', 417, req(POST, b'Expect: cake', b'Content-Length: 5')),
    ('3 line over 16 KiB', 414, req(b'GET /' + b'a' * 16400 + b' HTTP/1.1')),
    ('3 endless line', 414, b'G' * 200000),
    ('6585-5 head over 32 KiB', 431, req(b'GET /healthz HTTP/1.1', b'X: ' + b'a' * 33000)),
    ('6585-5 endless head', 431, b'GET /healthz HTTP/1.1\r\n' + b'X: a\r\n' * 50000),
    ('6585-5 101 fields', 431, req(b'GET /healthz HTTP/1.1', *[b'X: a'] * 100)),
]


@pytest.mark.parametrize('status,data', [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused(gateway, status, data):
    with Raw(gateway.port) as c:
        answers = c.send(data + GET).all()        # what follows must not be taken for a request
    assert [a.status for a in answers] == [status], answers
    check_common(answers[0])
    assert answers[0].fields.get('connection') == ['close']


# Served: the status, and the connection goes on.
SERVED = [
    ('3 plain', 200, req()),
    ('2.2 one empty line in front', 200, b'\r\n' + req()),
    ('3 line of 8,000 octets', 404, req(b'GET /' + b'a' * (8000 - 14) + b' HTTP/1.1')),
    ('3.2 port', 200, req(host=b'Host: 127.0.0.1:8080')),
    ('3.2 localhost', 200, req(host=b'Host: localhost')),
    ('3.2 case of the name', 200, req(host=b'hOST: LOCALHOST:1')),
    ('3.2 IPv6', 200, req(host=b'Host: [::1]:8080')),
    ('3.2 other literal', 200, req(host=b'Host: 10.1.2.3')),
    ('3.2 hostile name', 421, req(host=b'Host: evil.example')),
    ('3.2 hostile name that begins like ours', 421, req(host=b'Host: 127.0.0.1.evil.example')),
    ('3.2.2 absolute', 200, req(b'GET http://127.0.0.1:9/healthz HTTP/1.1')),
    ('3.2.2 its authority counts, not Host', 200, req(b'GET http://localhost/healthz HTTP/1.1', host=b'Host: evil.example')),
    ('3.2.2 hostile authority', 421, req(b'GET http://evil.example/healthz HTTP/1.1')),
    ('3.2.4 OPTIONS *', 204, req(b'OPTIONS * HTTP/1.1')),
    ('5.1 no blank behind the colon', 200, req(host=b'Host:127.0.0.1')),
    ('5.1 tabs around the value', 200, req(host=b'Host:\t127.0.0.1 \t')),
    ('5.5 obs-text', 200, req(b'GET /healthz HTTP/1.1', b'X: \xff\xfe')),
    ('5 100 fields', 200, req(b'GET /healthz HTTP/1.1', *[b'X: a'] * 99)),
    ('6.2 length 0', 200, req(b'GET /healthz HTTP/1.1', b'Content-Length: 0')),
    ('9110-7.8 Upgrade is passed over', 200, req(b'GET /healthz HTTP/1.1', b'Connection: Upgrade, HTTP2-Settings', b'Upgrade: h2c',
                                                 b'HTTP2-Settings: AAMAAABkAAQAAP__')),
    ('9110-15.5.5 nowhere', 404, req(b'GET /nowhere HTTP/1.1')),
    ('9110-15.5.6 not by this method', 405, req(b'PUT /healthz HTTP/1.1')),
    ('9110-15.5.2 no credential', 401, req(b'GET /api/mission-control/tasks HTTP/1.1')),
    ('9110-11.6.2 credential in a strange scheme', 401, req(b'GET /api/mission-control/tasks HTTP/1.1', b'Authorization: Basic YTpi')),
]


@pytest.mark.parametrize('status,data', [c[1:] for c in SERVED], ids=[c[0] for c in SERVED])
@pytest.mark.parametrize('step', [None, 1], ids=['whole', 'octets'])
def test_served(gateway, status, data, step):
    if step and len(data) > 3000:
        step = 100
    with Raw(gateway.port) as c:
        a = c.send(data, step).answer()
        # Without a credential an unknown route may say 401 as well as 404, and the wrong method 401 as well as 405.
        allowed = {404: (404, 401), 405: (405, 401)}.get(status, (status,))
        assert a.status in allowed, a
        if status != 204:
            check_common(a)
        assert 'connection' not in a.fields
        assert c.send(GET).answer().status == 200


def test_9_3_2_pipelining(gateway):
    wanted = [(b'/healthz', 200), (b'/readyz', 503), (b'/api/mission-control/overview', 401)] * 60
    data = b''.join(req(b'GET %s HTTP/1.1' % path) for path, _ in wanted)
    with Raw(gateway.port) as c:
        c.send(data)
        assert [c.answer().status for _ in wanted] == [status for _, status in wanted]


def test_9_3_2_pipelining_stops_at_a_close(gateway):
    with Raw(gateway.port) as c:
        assert [a.status for a in c.send(req(b'GET /healthz HTTP/1.1', b'Connection: close') + GET).all()] == [200]
    with Raw(gateway.port) as c:
        assert [a.status for a in c.send(GET + b'nonsense\r\n\r\n' + GET).all()] == [200, 400]


@pytest.mark.parametrize('value', [b'close', b'Close', b'keep-alive, close', b'a,,CLOSE ,b'])
def test_9_6_close(gateway, value):
    with Raw(gateway.port) as c:
        a, = c.send(req(b'GET /healthz HTTP/1.1', b'Connection: ' + value)).all()
        assert a.status == 200 and a.fields['connection'] == ['close']


def test_9_3_http10_closes(gateway):
    for data in (b'GET /healthz HTTP/1.0\r\n\r\n', req(b'GET /healthz HTTP/1.0', b'Connection: keep-alive')):
        with Raw(gateway.port) as c:
            a, = c.send(data).all()
            assert a.status == 200 and a.fields['connection'] == ['close'] and 'transfer-encoding' not in a.fields


def test_9_6_the_answer_survives_unread_octets(gateway):
    """A close with unread octets would be a reset, and could take the answer with it."""
    with Raw(gateway.port) as c:
        c.send(b'nonsense\r\n\r\n' + b'x' * 3000000)
        assert [a.status for a in c.all()] == [400]


def test_9_6_drained_two_seconds(gateway):
    with Raw(gateway.port) as c:
        c.send(b'nonsense\r\n\r\n')
        assert [a.status for a in c.all()] == [400]
        start = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() < start + 10 * STRETCH:
                c.s.sendall(b'x')
                time.sleep(0.05)
        assert 1 < time.monotonic() - start < 5 * STRETCH


def test_9110_9_3_2_head_in_sync(gateway):
    def comparable(a):
        return {n: v for n, v in a.fields.items() if n not in ('date', 'x-request-id')}
    for path in (b'/healthz', b'/readyz', b'/nowhere', b'/api/mission-control/tasks'):
        with Raw(gateway.port) as c:
            get = c.send(req(b'GET %s HTTP/1.1' % path)).answer()
            head = c.send(req(b'HEAD %s HTTP/1.1' % path)).answer(head_only=True)
            assert (head.status, comparable(head)) == (get.status, comparable(get))
            assert c.send(GET).answer().status == 200   # and no body came in between


def test_half_closed_client_is_answered(gateway):
    with Raw(gateway.port) as c:
        c.send(GET * 3)
        c.s.shutdown(socket.SHUT_WR)
        assert [a.status for a in c.all()] == [200] * 3


def test_unread_body_ends_the_connection(gateway):
    """6.3: what may be a request hidden in the body of a refused one is never read as one."""
    hidden = GET
    with Raw(gateway.port) as c:
        answers = c.send(req(b'POST /api/mission-control/tasks HTTP/1.1', b'Content-Length: %d' % len(hidden), body=hidden)).all()
        assert [a.status for a in answers] == [401]
    with Raw(gateway.port) as c:
        answers = c.send(req(b'POST /api/mission-control/tasks HTTP/1.1', TE, body=b'0\r\n\r\n' + hidden)).all()
        assert [a.status for a in answers] == [401]


def test_hostile_fields_stay_out_of_the_log(alone):
    g = alone(MC_ACCESS_LOG='1')
    secret = 'mc_k_' + 'S' * 43
    paths = ['/healthz?apiKey=' + secret, '/healthz?APIKEY=' + secret, '/healthz?api%4bey=' + secret, '/healthz?x=%6dc_k_' + 'S' * 43,
             '/' + secret, '/healthz?a=%0d%0a%1b[2J', '/api/mission-control/stream?apiKey=' + secret, '/healthz?' + 'a' * 7000]
    sent = 0
    for path in paths:
        data = req(b'GET %s HTTP/1.1' % path.replace('[', '%5B').encode(), b'Authorization: Bearer ' + secret.encode(),
                   b'User-Agent: \xff"}\\', b'Connection: close')
        with Raw(g.port) as c:
            c.send(data)
            if '/stream' in path:
                c.answer(head_only=True)
            else:
                c.all()
        sent += 1
    for data in (b'\x1b]0;x\x07\r\n\r\n', b'GET /\x00 HTTP/1.1\r\n\r\n', req(b'GET /healthz HTTP/1.1', b'X\r: ' + secret.encode())):
        assert ask(g.port, data).status == 400
        sent += 1
    lines = wait_until('every request has its line', lambda: [x for x in g.lines() if x['msg'] == 'request'][sent - 1:] and
                       [x for x in g.lines() if x['msg'] == 'request'])
    assert len(lines) == sent
    assert secret not in g.prog.log_text() and 'S' * 43 not in g.prog.log_text()
    assert not re.search(r'[\x00-\x09\x0b-\x1f\x7f]', g.prog.log_text())
    assert all(line['address'] == '127.0.0.1' and re.fullmatch('[0-9a-f]{32}', line['requestId']) for line in lines)


def test_trusted_proxies(alone):
    g = alone(MC_ACCESS_LOG='1', MC_TRUSTED_PROXIES='127.0.0.0/8, 10.0.0.1')
    cases = [(b'1.2.3.4', '1.2.3.4'), (b'6.6.6.6, 1.2.3.4, 10.0.0.1', '1.2.3.4'), (b'junk', '127.0.0.1'), (b'2001:db8::1', '2001:db8::1')]
    for value, want in cases:
        assert ask(g.port, req(b'GET /healthz HTTP/1.1', b'X-Forwarded-For: ' + value)).status == 200
        wait_until('the line says ' + want, lambda want=want: [x for x in g.lines() if x['msg'] == 'request'][-1:] and
                   [x for x in g.lines() if x['msg'] == 'request'][-1]['address'] == want)


def test_allowed_hosts(alone):
    g = alone('--allowed-hosts', 'mission.example, other.example')
    for host, status in ((b'mission.example', 200), (b'OTHER.example.:443', 200), (b'x.mission.example', 421),
                         (socket.gethostname().encode(), 200)):
        assert ask(g.port, req(host=b'Host: ' + host)).status == status, host
    # before authentication, and for every route
    for path in (b'/api/mission-control/tasks', b'/api/mission-control/stream', b'/nowhere', b'/'):
        assert ask(g.port, req(b'GET %s HTTP/1.1' % path, host=b'Host: evil.example')).status == 421


def test_slow_heads(gateway):
    """Nobody may take longer than 10 s for a head; hundreds who try do not slow others."""
    start = time.monotonic()
    silent = [Raw(gateway.port) for _ in range(20)]
    drippers = [Raw(gateway.port) for _ in range(200)]
    quick, slowest, at = [], 0.0, 0
    line = req(b'GET /healthz HTTP/1.1', b'X: ' + b'a' * 1000)
    while time.monotonic() < start + 8.5:
        for d in drippers:
            d.send(line[at:at + 1])
        at += 1
        before = time.monotonic()
        assert ask(gateway.port, GET).status == 200
        quick.append(time.monotonic() - before)
        time.sleep(0.2)
    for d in drippers:
        assert [a.status for a in d.all()] == [408]
        slowest = time.monotonic() - start
        d.s.close()
    for s in silent:
        assert s.all() == []
        s.s.close()
    assert 9.9 < slowest < 15 * STRETCH
    assert sorted(quick)[len(quick) // 2] < 0.1 * STRETCH


def cpu_ticks(pid):
    with open('/proc/%d/stat' % pid) as f:
        return sum(int(x) for x in f.read().rsplit(')', 1)[1].split()[11:13])


def test_connections_beyond_the_limit_wait(alone):
    g = alone('--max-connections', '10')
    held = [Raw(g.port) for _ in range(10)]
    for c in held:
        assert c.send(GET).answer().status == 200
    late = Raw(g.port)
    late.send(GET)
    late.s.settimeout(0.5)
    with pytest.raises(socket.timeout):
        late.answer()
    ticks = cpu_ticks(g.prog.pid)
    with pytest.raises(socket.timeout):
        late.answer()
    assert cpu_ticks(g.prog.pid) - ticks < 20, 'it spins while one waits'
    held[0].s.close()
    late.s.settimeout(10 * STRETCH)
    assert late.answer().status == 200
    for c in held[1:] + [late]:
        c.s.close()


@pytest.mark.skipif('asan' in BUILD or 'tsan' in BUILD, reason='a sanitizer has memory of its own')
def test_an_idle_connection_costs_a_kibibyte(alone):
    g = alone()
    warm = [Raw(g.port) for _ in range(300)]
    for c in warm:
        assert c.send(GET).answer().status == 200
    base = g.prog.rss_kib()
    more = [Raw(g.port) for _ in range(500)]
    for c in more:
        assert c.send(GET).answer().status == 200
    grown = g.prog.rss_kib() - base
    assert grown <= 500, '%d KiB for 500 connections' % grown
    for c in warm + more:
        c.s.close()


# ---------------------------------------------------------------- bodies: a whole installation

TASKS = b'POST /api/mission-control/tasks HTTP/1.1'


def create(shared, *fields, body=b'', kind=b'application/json', step=None):
    data = req(TASKS, b'x-api-key: ' + shared.key.encode(), b'Content-Type: ' + kind, *fields, body=body)
    with Raw(shared.port()) as c:
        return c.send(data, step).answer()


def task_body(shared, pad=0):
    return json.dumps({'type': 'command', 'content': 'true', 'desktopId': shared.desktop}).encode() + b' ' * pad


def chunks(body, size, extension=b''):
    out = b''.join(b'%x%s\r\n%s\r\n' % (len(body[i:i + size]), extension, body[i:i + size]) for i in range(0, len(body), size))
    return out + b'0\r\n'


def test_6_bodies(shared):
    body = task_body(shared)
    assert create(shared, b'Content-Length: %d' % len(body), body=body).status == 201
    assert create(shared, b'Content-Length: %d' % len(body), body=body, step=1).status == 201
    assert create(shared, TE, body=chunks(body, 1) + b'\r\n').status == 201
    assert create(shared, TE, body=chunks(body, 7, b';a="b;c"') + b'X: trailer\r\n\r\n').status == 201
    assert create(shared, TE, body=chunks(body, 1000) + b'\r\n', step=1).status == 201
    big = task_body(shared, 1024 * 1024 - len(body))
    assert create(shared, b'Content-Length: %d' % len(big), body=big).status == 201
    assert create(shared, TE, body=chunks(big, 60000) + b'\r\n').status == 201


BAD_CHUNKS = [
    ('7.1 no size', b'\r\nabc\r\n0\r\n\r\n'), ('7.1 sign', b'+3\r\nabc\r\n0\r\n\r\n'), ('7.1 0x', b'0x3\r\nabc\r\n0\r\n\r\n'),
    ('7.1 blank in front', b' 3\r\nabc\r\n0\r\n\r\n'), ('7.1 17 digits', b'0' * 16 + b'3\r\nabc\r\n0\r\n\r\n'),
    ('7.1 bare LF', b'3\nabc\r\n0\r\n\r\n'), ('7.1 longer than said', b'3\r\nabcd\r\n0\r\n\r\n'),
    ('7.1 shorter than said', b'5\r\nabc\r\n0\r\n\r\n'), ('7.1 bare LF behind data', b'3\r\nabc\n0\r\n\r\n'),
    ('7.1.1 bare CR in the extension', b'3;a\rb\r\nabc\r\n0\r\n\r\n'), ('7.1.1 LF in the extension', b'3;a\nb\r\nabc\r\n0\r\n\r\n'),
    ('7.1.1 endless extension', b'3;' + b'a' * 100000), ('7.1.2 trailer with a blank before the colon', b'0\r\nX : a\r\n\r\n'),
    ('7.1.2 folded trailer', b'0\r\nX: a\r\n b\r\n\r\n'), ('7.1.2 bare LF in the trailer', b'0\r\nX: a\n\r\n'),
    ('7.1 more framing than content', b'1;' + b'a' * 200 + b'\r\nx\r\n' + (b'1;' + b'a' * 200 + b'\r\nx\r\n') * 300),
]


@pytest.mark.parametrize('body', [c[1] for c in BAD_CHUNKS], ids=[c[0] for c in BAD_CHUNKS])
def test_bad_chunks(shared, body):
    data = req(TASKS, b'x-api-key: ' + shared.key.encode(), b'Content-Type: application/json', TE, body=body)
    with Raw(shared.port()) as c:
        answers = c.send(data + GET).all()
    assert [a.status for a in answers] == [400], answers
    check_common(answers[0])


def test_7_1_2_endless_trailer(shared):
    assert create(shared, TE, body=b'0\r\n' + b'X: aaaaaaaaaaaaaaaaaaaaaa\r\n' * 3000).status == 431


def test_7_1_2_credentials_in_a_trailer_count_for_nothing(shared):
    body = task_body(shared)
    data = req(TASKS, b'Content-Type: application/json', TE,
               body=chunks(body, 100) + b'x-api-key: ' + shared.key.encode() + b'\r\nAuthorization: Bearer ' + shared.key.encode() + b'\r\n\r\n')
    assert ask(shared.port(), data).status == 401


def test_9110_15_5_14_too_big(shared):
    # By its length: judged before a single octet of it is read.
    a = create(shared, b'Content-Length: %d' % (1024 * 1024 + 1))
    assert a.status == 413 and json.loads(a.body)['code'] == 'TOO_BIG'
    check_common(a)
    assert create(shared, b'Content-Length: 18446744073709551615').status == 413
    # In chunks: as soon as it is known.
    with Raw(shared.port()) as c:
        c.send(req(TASKS, b'x-api-key: ' + shared.key.encode(), b'Content-Type: application/json', TE,
                   body=b'100001\r\n' + b' ' * 3000000))
        assert [a.status for a in c.all()] == [413]


def test_9110_10_1_1_expect(shared):
    body = task_body(shared)
    with Raw(shared.port()) as c:
        c.send(req(TASKS, b'x-api-key: ' + shared.key.encode(), b'Content-Type: application/json', b'Expect: 100-continue',
                   b'Content-Length: %d' % len(body)))
        assert c.answer().status == 100
        assert c.send(body).answer().status == 201
        # Not asked for when it is not wanted.
        c.send(req(TASKS, b'Content-Type: application/json', b'Expect: 100-continue', b'Content-Length: %d' % len(body)))
        assert [a.status for a in c.all()] == [401]


def test_slow_body(shared):
    start = time.monotonic()
    with Raw(shared.port()) as c:
        c.send(req(TASKS, b'x-api-key: ' + shared.key.encode(), b'Content-Type: application/json', b'Content-Length: 5000'))
        while time.monotonic() < start + 9:
            c.send(b' ' * 10)
            time.sleep(0.3)
        a = c.answer()
        assert a.status == 408
        check_common(a)
    assert 9.9 < time.monotonic() - start < 15 * STRETCH


def test_smuggled_requests_have_no_effect(shared):
    """6.1, 6.3: whatever a proxy might think of these, nothing behind the first head is executed."""
    def n_tasks():
        return int(shared.api('GET', '/api/mission-control/tasks?limit=1').headers['X-Total-Count'])
    inner_body = task_body(shared)
    inner = req(TASKS, b'x-api-key: ' + shared.key.encode(), b'Content-Type: application/json',
                b'Content-Length: %d' % len(inner_body), body=inner_body)
    before = n_tasks()
    post = (b'x-api-key: ' + shared.key.encode(), b'Content-Type: application/json')
    for fields in ((b'Content-Length: 0', TE), (TE, b'Content-Length: 5'), (b'Content-Length: 0', b'Content-Length: 5'),
                   (b'Transfer-Encoding: xchunked',), (b'Transfer-Encoding: chunked', b'Transfer-Encoding: x'),
                   (b'X: a\nTransfer-Encoding: chunked',), (b'Transfer-Encoding\t: chunked',), (b'Content-Length: 0,0',),
                   (b'Foo: bar\r\n Content-Length: 5',), (b'Content-Length: 5\x00',)):
        with Raw(shared.port()) as c:
            answers = c.send(req(TASKS, *post, *fields, body=b'0\r\n\r\n' + inner)).all()
            assert len(answers) == 1 and answers[0].status in (400, 501), (fields, answers)
    assert n_tasks() == before


# ---------------------------------------------------------------- TLS

@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    d = tmp_path_factory.mktemp('tls')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', d / 'key', '-out', d / 'cert'],
                   check=True, capture_output=True, timeout=60)
    return str(d / 'cert'), str(d / 'key')


def test_tls(alone, certificate):
    cert, key = certificate
    g = alone(MC_TLS_CERT=cert, MC_TLS_KEY=key)
    context = ssl.create_default_context(cafile=cert)
    context.set_alpn_protocols(['h2', 'http/1.1'])
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = version
        context.minimum_version = version
        with Raw(g.port, context) as c:
            assert c.s.selected_alpn_protocol() == 'http/1.1'
            assert c.send(GET).answer().status == 200
            c.send(GET * 200)
            assert [c.answer().status for _ in range(200)] == [200] * 200
            assert c.send(GET, 1).answer().status == 200
            c.send(b'nonsense\r\n\r\n')
            assert [a.status for a in c.all()] == [400]     # and then TLS's own good-bye: no ragged end


def test_tls_refuses_what_is_none(alone, certificate):
    g = alone(MC_TLS_CERT=certificate[0], MC_TLS_KEY=certificate[1])
    with Raw(g.port) as c:
        c.send(GET)
        try:
            while c.more():
                pass
        except ConnectionResetError:
            pass
        assert b'HTTP/' not in c.buf
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers('ALL:@SECLEVEL=0')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        Raw(g.port, old)
    context = ssl.create_default_context(cafile=certificate[0])
    with Raw(g.port, context) as c:
        assert c.send(GET).answer().status == 200


# ---------------------------------------------------------------- the program

def run(*args, **env):
    return subprocess.run([GATEWAY, *args], env={'PATH': os.environ['PATH'], **env}, capture_output=True, text=True, timeout=30 * STRETCH)


def test_usage(tmp_path, certificate):
    assert run('--help').returncode == 0 and '--rate-limit' in run('--help').stdout
    assert run('--version').returncode == 0
    for bad in (['--nonsense'], ['--http', 'nowhere'], ['--http', '127.0.0.1:99999'], ['--http', '::1:80'], ['--rate-limit', 'x'],
                ['--max-connections', '0'], ['--log-level', 'loud'], ['--tls-cert', 'x'], ['--allowed-hosts', 'a b'],
                ['--trusted-proxies', 'x']):
        g = Alone.__new__(Alone)
        g.dir = str(tmp_path)
        with open(os.open(g.dir + '/gateway.key', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as f:
            f.write('mc-peer gateway alone %s\n' % base64.b64encode(os.urandom(32)).decode())
        r = run(*bad, MC_DATA=g.dir)
        assert r.returncode == 2, (bad, r)
        assert len(r.stderr.splitlines()) == 1, r.stderr
    key = str(tmp_path / 'other')
    for text, what in ((None, 'no such key'), ('rubbish\n', 'key file'), ('mc-peer worker w %s\n' % base64.b64encode(bytes(32)).decode(), "gateway's")):
        if text:
            with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as f:
                f.write(text)
        r = run('--gateway-key', key, MC_DATA=str(tmp_path), MC_HTTP='127.0.0.1:0')
        assert r.returncode == 1 and what in r.stderr, r
    r = run('--http', '127.0.0.1:0', '--tls-cert', certificate[0], '--tls-key', certificate[0], MC_DATA=str(tmp_path))
    assert r.returncode == 1 and 'TLS' in r.stderr, r


def test_port_in_use(gateway, tmp_path):
    with open(os.open(str(tmp_path / 'gateway.key'), os.O_WRONLY | os.O_CREAT, 0o600), 'w') as f:
        f.write('mc-peer gateway alone %s\n' % base64.b64encode(os.urandom(32)).decode())
    r = run('--http', '127.0.0.1:%d' % gateway.port, MC_DATA=str(tmp_path))
    assert r.returncode == 1 and 'in use' in r.stderr, r


def test_drain(alone):
    g = alone()
    kept = Raw(g.port)
    assert kept.send(GET).answer().status == 200
    start = time.monotonic()
    g.prog.term(wait=False)
    wait_until('nothing new is accepted', lambda: refused(g.port))
    a = kept.send(req(b'GET /readyz HTTP/1.1')).answer()
    if a is not None:       # it was in time: told that we are about to stop, and that the connection ends
        assert a.status == 503 and a.fields['connection'] == ['close']
    assert kept.all() == []
    assert g.prog.wait(10) == 0
    assert time.monotonic() - start < 5 * STRETCH


def test_second_signal_stops_at_once(alone):
    g = alone()
    c = Raw(g.port)
    assert c.send(GET).answer().status == 200
    g.prog.term(wait=False)
    wait_until('it drains', lambda: refused(g.port))
    g.prog.signal(signal.SIGINT)
    start = time.monotonic()
    assert g.prog.wait(5) == 0
    assert time.monotonic() - start < 1 * STRETCH


def refused(port):
    try:
        http_call(port, 'GET', '/healthz', timeout=2)
        return False
    except OSError:
        return True
