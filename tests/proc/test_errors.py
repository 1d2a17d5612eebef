"""The status table of the HTTP interface: each row has its tests here. Raw sockets where a client library would not let us."""
import json
import re
import socket
import time

import pytest
from harness import ACTIVITY, STRETCH, TASKS, http_call, wait_until

MIB = 1024 * 1024


class Raw:
    """One connection: sends octets, reads whole answers."""

    def __init__(self, port, timeout=20):
        self.s = socket.create_connection(('127.0.0.1', port), timeout=timeout * STRETCH)
        self.buf = b''

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode('latin-1'))
        return self

    def _more(self):
        got = self.s.recv(65536)
        if not got:
            raise EOFError('closed after %r' % self.buf[:300])
        self.buf += got

    def answer(self, head_only=False):
        while b'\r\n\r\n' not in self.buf:
            self._more()
        head, self.buf = self.buf.split(b'\r\n\r\n', 1)
        lines = head.decode('latin-1').split('\r\n')
        status = int(re.fullmatch(r'HTTP/1\.[01] (\d{3})( .*)?', lines[0]).group(1))
        headers = {}
        for line in lines[1:]:
            k, v = line.split(':', 1)
            headers[k.lower()] = v.strip()
        body = b''
        if not head_only and 'content-length' in headers:
            n = int(headers['content-length'])
            while len(self.buf) < n:
                self._more()
            body, self.buf = self.buf[:n], self.buf[n:]
        elif not head_only and headers.get('transfer-encoding') == 'chunked':
            while True:
                while b'\r\n' not in self.buf:
                    self._more()
                size, self.buf = self.buf.split(b'\r\n', 1)
                n = int(size, 16)
                while len(self.buf) < n + 2:
                    self._more()
                body, self.buf = body + self.buf[:n], self.buf[n + 2:]
                if n == 0:
                    break
        return status, headers, body

    def closed(self):
        """The other side ends with FIN, not with a reset."""
        while True:
            got = self.s.recv(65536)
            if not got:
                return True

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


def ask(i, text, gw=0, head_only=False):
    with Raw(i.port(gw)) as r:
        return r.send(text).answer(head_only)


def refused(i, text, status, close=True):
    """The answer is `status` in our form, and the connection ends with FIN where the framing cannot be trusted."""
    with Raw(i.port(0)) as r:
        r.send(text)
        got, headers, body = r.answer()
        assert got == status, (got, body)
        j = json.loads(body)
        assert j['status'] == status and j['code'] and j['error'] and j['requestId'] == headers['x-request-id']
        assert headers['date'] and headers['x-content-type-options'] == 'nosniff'
        if close:
            assert r.closed()
        return headers, j


def create(i, **kw):
    return i.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': i.desktop, **kw})


# ---------------------------------------------------------------- 400

@pytest.mark.parametrize('body', [b'{', b'{"a":}', b'not json', b'{"a":1}x', b"{'a':1}", b'\xc3\x28', b'{"content":"\xff"}', b'[1]', b'1', b'null'])
def test_400_malformed_json(shared, body):
    shared.api('POST', TASKS, body=body).error(400)


def test_400_json_too_deep(shared):
    shared.api('POST', TASKS, body=b'{"x":' + b'[' * 70 + b']' * 70 + b'}').error(400)


@pytest.mark.parametrize('field,value', [
    ('title', 5), ('title', 'x' * 201), ('priority', 'urgent'), ('priority', 3), ('priority', ''), ('requiresApproval', 'true'),
    ('timeoutSeconds', 'x'), ('timeoutSeconds', -1), ('timeoutSeconds', 1.5), ('retries', '1'), ('retries', -1), ('run', 'yes'),
    ('content', {'a': 1}), ('desktopId', 'desktop_424242'), ('desktopId', 'task_1'), ('type', 'COMMAND')])
def test_400_wrong_type_or_value(shared, field, value):
    create(shared, **{field: value}).error(400, field=field)


@pytest.mark.parametrize('field', ['type', 'content', 'desktopId'])
def test_400_missing_and_empty(shared, field):
    create(shared, **{field: ''}).error(400, field=field)


@pytest.mark.parametrize('q', ['limit=x', 'limit=', 'limit=1x', 'limit=-', 'before=x', 'status=nope', 'type=nope', 'desktopId=%00'])
def test_400_query(shared, q):
    shared.api('GET', '%s?%s' % (TASKS, q)).error(400, field=q.split('=')[0])


def test_query_numbers_out_of_range_are_clamped(shared):
    shared.task('true')
    assert len(shared.api('GET', TASKS + '?limit=0').ok()) <= 1
    assert isinstance(shared.api('GET', TASKS + '?limit=99999999999').ok(), list)


def test_unknown_event_type_matches_nothing(shared):
    with shared.stream(ACTIVITY + '?types=nonsense') as s:
        assert s.status == 200
        shared.wait_task(shared.task('true', run=True)['id'], 'done')
        assert s.frames == []


@pytest.mark.parametrize('text', [
    'GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n folded\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n',
    'GET /healthz HTTP/1.1\r\n\r\n',
    'GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n',
    'POST /api/mission-control/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'POST /api/mission-control/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc',
    'POST /api/mission-control/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'POST /api/mission-control/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    'POST /api/mission-control/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nx-api-key: KEY\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n',
    'GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /healthz\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n'])
def test_400_outside_the_grammar_closes(shared, text):
    refused(shared, text.replace('KEY', shared.key), 400)


# ---------------------------------------------------------------- 401, 403, 404, 405, 409

def test_401_before_anything_else(shared):
    for method, path in (('GET', TASKS), ('POST', TASKS), ('GET', '/no/such/route'), ('DELETE', TASKS), ('PATCH', TASKS + '/task_x'),
                         ('GET', '/api/workers'), ('GET', '/api/auth/api-keys'), ('GET', '/api/mission-control/settings')):
        for key in (None, 'wrong', 'mc_k_' + 'C' * 43):
            a = shared.api(method, path, key=key)
            a.error(401)
            assert a.headers['WWW-Authenticate']


def test_401_forms_of_the_credential(shared):
    k = shared.key
    assert shared.api('GET', TASKS, key=None, headers={'Authorization': 'Bearer ' + k}).status == 200
    assert shared.api('GET', TASKS, key=None, headers={'authorization': 'bearer ' + k}).status == 200
    assert shared.api('GET', TASKS, key=None, headers={'X-API-Key': k}).status == 200
    shared.api('GET', TASKS, key=None, headers={'Authorization': 'Basic ' + k}).error(401)
    shared.api('GET', TASKS, key=None, headers={'Authorization': 'Bearer x', 'x-api-key': k}).error(401)


def test_open_routes_need_no_credential(shared):
    for path in ('/healthz', '/readyz'):
        assert shared.api('GET', path, key=None).status == 200


def test_403_role_too_low(shared):
    t = shared.task('true')
    viewer, operator = shared.make_key('viewer'), shared.make_key('operator')
    assert shared.api('GET', TASKS, key=viewer).status == 200
    for method, path, body in (('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': shared.desktop}),
                               ('POST', '%s/%s/run' % (TASKS, t['id']), None), ('POST', '%s/%s/cancel' % (TASKS, t['id']), None),
                               ('DELETE', '%s/%s' % (TASKS, t['id']), None), ('POST', '/api/desktops/%s/stop' % shared.desktop, None)):
        shared.api(method, path, body, key=viewer).error(403)
    for method, path, body in (('POST', '/api/desktops', {'name': 'x', 'driver': 'local'}),
                               ('PUT', '/api/mission-control/settings', {'requireApproval': True}),
                               ('DELETE', '/api/desktops/' + shared.desktop, None)):
        shared.api(method, path, body, key=operator).error(403)
        shared.api(method, path, body, key=viewer).error(403)
    assert shared.get_task(t['id']) == t
    assert shared.api('GET', '/api/mission-control/settings').ok()['requireApproval'] is False
    shared.api('POST', TASKS + '/task_999999/run', key=viewer).error(403)    # before anybody learns whether it exists


def test_404(shared):
    for path in ('/no/such/route', '/api', '/api/mission-control', TASKS + '/task_999999', TASKS + '/task_1x', TASKS + '/x', TASKS + '/',
                 '/api/desktops/desktop_999', '/api/mission-control/approvals/approval_999', '/api/mission-control/sessions/session_99999',
                 '/api/desktops/task_1'):
        shared.api('GET', path).error(404)


@pytest.mark.parametrize('method,path,allow', [('DELETE', TASKS, {'GET', 'HEAD', 'POST'}), ('PUT', TASKS + '/task_1', {'GET', 'HEAD', 'PATCH', 'DELETE'}),
                                               ('GET', TASKS + '/task_1/run', {'POST'}), ('POST', '/healthz', {'GET', 'HEAD'}),
                                               ('POST', ACTIVITY, {'GET', 'HEAD'}), ('POST', '/api/mission-control/overview', {'GET', 'HEAD'})])
def test_405_with_allow(shared, method, path, allow):
    a = shared.api(method, path)
    a.error(405)
    got = {x.strip() for x in a.headers['Allow'].split(',')} - {'OPTIONS'}
    assert got | {'HEAD'} == allow | {'HEAD'}


def test_409_wrong_state(shared):
    t = shared.task('true')
    shared.act(t['id'], 'retry').error(409)
    shared.act(t['id'], 'review', {'decision': 'approve'}).error(409)
    shared.act(t['id'], 'cancel').ok()
    shared.act(t['id'], 'cancel').error(409)
    shared.act(t['id'], 'run').error(409)
    r = shared.task('sleep 60', run=True)
    shared.api('DELETE', '%s/%s' % (TASKS, r['id'])).error(409)
    shared.api('PATCH', '%s/%s' % (TASKS, r['id']), {'content': 'x'}).error(409)
    shared.act(r['id'], 'cancel').ok()


def test_409_desktop_stopped_and_no_agent_and_in_use(shared):
    d = shared.make_desktop('errors')
    t = shared.task('true', desktopId=d['id'])
    shared.api('POST', '/api/desktops/%s/stop' % d['id']).ok()
    shared.act(t['id'], 'run').error(409, 'DESKTOP_STOPPED')
    count = len(shared.api('GET', TASKS).ok())
    create(shared, desktopId=d['id'], run=True).error(409, 'DESKTOP_STOPPED')
    p = shared.task('hello', type='prompt')
    shared.act(p['id'], 'run').error(409, 'NO_AGENT')
    create(shared, type='prompt', run=True).error(409, 'NO_AGENT')
    assert len(shared.api('GET', TASKS).ok()) == count + 1
    shared.api('DELETE', '/api/desktops/' + d['id']).error(409)
    shared.act(t['id'], 'cancel').ok()
    assert shared.api('DELETE', '/api/desktops/' + d['id']).status == 204
    shared.api('GET', '/api/desktops/' + d['id']).error(404)


# ---------------------------------------------------------------- 413, 414, 415, 421, 431, 501, 505

def head(i, method='POST', path=TASKS, **headers):
    h = {'Host': 'localhost', 'x-api-key': i.key, **{k.replace('_', '-'): v for k, v in headers.items()}}
    return '%s %s HTTP/1.1\r\n%s\r\n' % (method, path, ''.join('%s: %s\r\n' % kv for kv in h.items() if kv[1] is not None))


def test_413_judged_before_the_body_is_read(shared):
    refused(shared, head(shared, Content_Type='application/json', Content_Length=str(MIB + 1)), 413)
    refused(shared, head(shared, Content_Type='application/json', Content_Length='99999999999999'), 413)


def test_413_chunked(shared):
    with Raw(shared.port(0)) as r:
        r.send(head(shared, Content_Type='application/json', Transfer_Encoding='chunked'))
        piece = b'10000\r\n' + b' ' * 65536 + b'\r\n'
        try:
            for _ in range(17):
                r.send(piece)
        except OSError:
            pass
        assert r.answer()[0] == 413


def test_a_body_of_one_mebibyte_is_read(shared):
    body = json.dumps({'type': 'command', 'content': 'true', 'desktopId': shared.desktop}).encode()
    assert shared.api('POST', TASKS, body=body + b' ' * (MIB - len(body))).status == 201


def test_414_and_the_line_that_is_served(shared):
    long = '/healthz?x=' + 'a' * (8000 - len('GET /healthz?x= HTTP/1.1'))
    assert ask(shared, 'GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n' % long)[0] == 200
    refused(shared, 'GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n' % ('a' * 17000), 414)


def test_415(shared):
    for kind in ('text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'):
        shared.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': shared.desktop}, headers={'Content-Type': kind}).error(415)
    assert shared.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': shared.desktop},
                      headers={'Content-Type': 'application/json; charset=utf-8'}).status == 201


def test_421_host_is_not_ours(shared):
    for host in ('evil.example', 'localhost.evil.example', 'evil.example:%d' % shared.port(0)):
        status, _, body = ask(shared, 'GET %s HTTP/1.1\r\nHost: %s\r\nx-api-key: %s\r\n\r\n' % (TASKS, host, shared.key))
        assert status == 421 and json.loads(body)['status'] == 421
        assert ask(shared, 'GET %s HTTP/1.1\r\nHost: %s\r\n\r\n' % (ACTIVITY, host))[0] == 421
    for host in ('localhost', '127.0.0.1', '[::1]', '10.1.2.3:80', socket.gethostname()):
        assert ask(shared, 'GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n' % host)[0] == 200, host


def test_431(shared):
    refused(shared, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n' + 'X-Big: %s\r\n' % ('a' * 33000) + '\r\n', 431)
    refused(shared, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n' + ''.join('X-%d: a\r\n' % n for n in range(101)) + '\r\n', 431)
    assert ask(shared, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n' + ''.join('X-%d: a\r\n' % n for n in range(98)) + '\r\n')[0] == 200


def test_501_and_505(shared):
    assert ask(shared, 'BREW /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')[0] == 501
    for version in ('2.0', '1.2', '0.9', '3.0'):
        assert ask(shared, 'GET /healthz HTTP/%s\r\nHost: localhost\r\n\r\n' % version)[0] == 505, version


def test_head_has_no_body_and_keeps_in_step(shared):
    with Raw(shared.port(0)) as r:
        r.send('HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert r.answer(head_only=True)[0] == 200
        assert r.answer()[0] == 200


def test_pipelined_requests_are_answered_in_order(shared):
    with Raw(shared.port(0)) as r:
        t = [shared.task('echo %d' % n)['id'] for n in range(5)]
        r.send(''.join('GET %s/%s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\n\r\n' % (TASKS, x, shared.key) for x in t))
        assert [json.loads(r.answer()[2])['id'] for _ in t] == t


def test_post_that_needs_no_body_may_come_without(shared):
    t = shared.task('true')
    status, _, body = ask(shared, head(shared, path='%s/%s/run' % (TASKS, t['id'])))
    assert status == 200 and json.loads(body)['id'] == t['id']


def test_every_answer_has_its_headers(shared):
    for a in (shared.api('GET', TASKS), shared.api('GET', '/no'), create(shared), shared.api('GET', TASKS, key=None),
              shared.api('GET', '/healthz')):
        assert a.headers['X-Request-Id'] and a.headers['Date'] and a.headers['X-Content-Type-Options'] == 'nosniff'
    for a in (shared.api('GET', TASKS), create(shared), shared.api('GET', '/api/mission-control/overview')):
        assert int(a.headers['X-Mc-Sequence']) > 0
        assert 'no-store' in a.headers['Cache-Control'] or (a.headers['ETag'] and 'no-cache' in a.headers['Cache-Control'])


def test_min_sequence_waits_then_503(shared):
    newest = int(shared.api('GET', TASKS).headers['X-Mc-Sequence'])
    assert shared.api('GET', TASKS, headers={'X-Mc-Min-Sequence': str(newest)}).status == 200
    began = time.monotonic()
    shared.api('GET', TASKS, headers={'X-Mc-Min-Sequence': str(newest + 10**6)}).error(503)
    assert 0.8 < time.monotonic() - began < 3 * STRETCH


# ---------------------------------------------------------------- time-outs

def test_a_head_must_be_whole_in_ten_seconds(shared):
    with Raw(shared.port(0), timeout=30) as idle, Raw(shared.port(0), timeout=30) as drip:
        began = time.monotonic()
        drip.send('GET /healthz HTTP/1.1\r\n')
        drip.s.settimeout(0.5)
        while True:     # an octet now and then does not help
            try:
                if not drip.s.recv(4096):
                    break
            except socket.timeout:
                assert time.monotonic() - began < 20 * STRETCH
                try:
                    drip.send('X')
                except OSError:
                    break
            except OSError:
                break
        took = time.monotonic() - began
        assert 8 < took < 15 * STRETCH
        assert idle.closed()


# ---------------------------------------------------------------- 429, 503

def test_429_with_retry_after_and_headers(fresh):
    i = fresh(gateways=1, workers=1, env={'MC_RATE_LIMIT': '60'}, ready=False)
    wait_until('ready', lambda: http_call(i.port(), 'GET', '/readyz').status == 200, 15)
    codes = []
    for _ in range(40):
        a = i.api('GET', '/api/mission-control/settings')
        codes.append(a.status)
        assert int(a.headers['X-RateLimit-Limit']) == 60 and int(a.headers['X-RateLimit-Remaining']) >= 0
        assert 'q=60' in a.headers['RateLimit-Policy'] and 'r=' in a.headers['RateLimit']
        if a.status == 429:
            a.error(429)
            assert 1 <= int(a.headers['Retry-After']) <= 60
            break
    assert codes[0] == 200 and codes[-1] == 429 and 5 <= codes.count(200) <= 20
    with i.stream() as s:      # a stream is held, never refused
        assert s.status == 200
    assert wait_until('served again', lambda: i.api('GET', '/api/mission-control/settings').status == 200, 15, step=0.2)


def test_503_while_the_broker_is_away(fresh):
    i = fresh(gateways=1, workers=1)
    known = i.key
    i.api('GET', TASKS).ok()
    i.broker.kill9()
    for key in (known, 'mc_k_' + 'D' * 43):          # also when only the credential cannot be looked up
        for method, path, body in (('GET', TASKS, None), ('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': i.desktop})):
            began = time.monotonic()
            a = i.api(method, path, body, key=key)
            a.error(503)
            assert a.headers['Retry-After']
            assert time.monotonic() - began < 2.5 * max(1, STRETCH / 1.5)
    assert i.api('GET', '/healthz', key=None).status == 200
    assert i.api('GET', '/readyz', key=None).status == 503
    i.broker.start()
    i.wait_ready()
    i.api('GET', TASKS).ok()


def test_503_outcome_unknown_and_the_repeat_by_idempotency_key(fresh):
    """A broker that stops answering may have taken the request: the client is told so, and a repeat finds out."""
    i = fresh(gateways=1, workers=1)
    body = {'type': 'command', 'content': i.mark('x'), 'desktopId': i.desktop, 'run': True}
    i.api('GET', TASKS).ok()
    i.broker.pause()
    began = time.monotonic()
    a = i.api('POST', TASKS, body, headers={'Idempotency-Key': 'k1'})
    a.error(503, 'OUTCOME_UNKNOWN')
    assert time.monotonic() - began < 2.5 * max(1, STRETCH / 1.5) and a.headers['Retry-After']
    wait_until('no more requests are sent here', lambda: i.api('GET', '/readyz', key=None).status == 503, 15)
    i.broker.resume()
    i.wait_ready()
    t = i.api('POST', TASKS, body, headers={'Idempotency-Key': 'k1'}).ok(201)
    i.wait_task(t['id'], 'done')
    assert [x['id'] for x in i.api('GET', TASKS).ok()] == [t['id']] and i.marks() == ['x']
