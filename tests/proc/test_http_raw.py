"""The gateway as a server, over raw sockets and without a broker: its limits on clients, logs, proxies, host names, TLS, its command
line and its end. What RFC 9110 and 9112 ask for is a table of its own: tests/conformance, run by test_conformance.py."""
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


def test_9110_9_3_2_head_in_sync_while_the_broker_is_away(gateway):
    def comparable(a):
        return {n: v for n, v in a.fields.items() if n not in ('date', 'x-request-id')}
    with Raw(gateway.port) as c:
        get = c.send(req(b'GET /readyz HTTP/1.1')).answer()
        head = c.send(req(b'HEAD /readyz HTTP/1.1')).answer(head_only=True)
        assert (head.status, comparable(head)) == (get.status, comparable(get)) and get.status == 503
        check_common(get)
        assert c.send(GET).answer().status == 200   # and no body came in between


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


def test_a_stranger_does_not_choose_its_address(alone):
    """Who is no trusted proxy moves neither its limit nor the log, whatever it says of itself."""
    g = alone(MC_ACCESS_LOG='1', MC_RATE_LIMIT='20', MC_TRUSTED_PROXIES='10.0.0.1')
    statuses = []
    with Raw(g.port) as c:
        for n in range(60):
            a = b'10.9.8.%d' % n
            statuses.append(c.send(req(b'GET /api/openapi.json HTTP/1.1', b'X-Forwarded-For: ' + a + b', 10.0.0.1', b'X-Real-IP: ' + a, b'Forwarded: for=' + a,
                                       b'X-Client-IP: ' + a, b'CF-Connecting-IP: ' + a, b'True-Client-IP: ' + a, b'Via: 1.1 ' + a)).answer().status)
    assert 429 in statuses and set(statuses) == {200, 429}, statuses
    assert statuses.count(200) <= 25, statuses      # what one address has, and what came back meanwhile
    lines = wait_until('every request has its line', lambda: [x for x in g.lines() if x['msg'] == 'request'][59:] and g.lines())
    assert {x['address'] for x in lines if x['msg'] == 'request'} == {'127.0.0.1'}


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
