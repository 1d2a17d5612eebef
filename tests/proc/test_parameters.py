"""Bad input, generated from the description of the API: each class of value for each query parameter of each route and for each
member of each body, each form of id, each role. Whatever comes, the answer is one that is described, in the form of the contract,
and names what is at fault; a number out of range is clamped; nothing is ever a 5xx, and nothing hangs."""
import collections
import http.client
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from described import MISSING_ID, OPERATIONS, deref, errors
from harness import STRETCH, Answer, Install

pytestmark = pytest.mark.xdist_group('parameters')
ROLES = ['none', 'viewer', 'operator', 'admin']


class Client:
    """One kept connection. Of a stream that opens only the head is read."""

    def __init__(self, i, gw=0):
        self.key = i.key
        self.c = http.client.HTTPConnection('127.0.0.1', i.port(gw), timeout=10 * STRETCH)

    def __call__(self, method, url, body=None, key=None, headers=None):
        h = {'x-api-key': self.key if key is None else key} if key != '' else {}
        if body is not None:
            h['Content-Type'] = 'application/json'
        h.update(headers or {})
        return self.answer(lambda: self.c.request(method, url, body=body, headers=h))

    def twice(self, method, url, name, value, body, key=None):
        """A header field that stands there twice."""
        def ask():
            self.c.putrequest(method, url)
            if key != '':
                self.c.putheader('x-api-key', self.key)
            self.c.putheader(name, value)
            self.c.putheader(name, value)
            if body is not None:
                self.c.putheader('Content-Type', 'application/json')
                self.c.putheader('Content-Length', str(len(body)))
            self.c.endheaders(body)
        return self.answer(ask)

    def answer(self, ask):
        for again in (False, True):
            try:
                ask()
                r = self.c.getresponse()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.c.close()      # it was closed behind the answer before
                if again:
                    raise
        if r.status == 200 and (r.headers['Content-Type'] or '').startswith('text/event-stream'):
            self.c.close()
            return Answer(200, r.headers, b'')
        return Answer(r.status, r.headers, r.read())


@pytest.fixture(scope='module')
def own():
    """An installation of this file's own, with something of most kinds in it, and a connection to each of its gateways."""
    i = Install(gateways=2, workers=1)
    i.real = {'desktop': i.desktop, 'task': i.task('true', run=True, requiresApproval=True)['id'], 'agent': 'agent_1', 'worker': 'worker_1'}
    t = i.wait_task(i.real['task'], 'review')
    i.real.update(session=t['sessionId'], approval=t['approvalId'])
    i.keys = {'none': '', 'admin': i.key, 'viewer': i.make_key('viewer'), 'operator': i.make_key('operator')}
    i.calls = [Client(i), Client(i, 1)]
    yield i
    i.close()


def target(i, op):
    if op.kind is None:
        return op.url()
    if op.kind not in i.real:
        path, body = MADE[op.kind]
        i.real[op.kind] = i.api('POST', path, body).ok(201)['id']
    return op.url(i.real[op.kind])


MADE = {'key': ('/api/auth/api-keys', {'name': 'k'}), 'user': ('/api/users', {'username': 'somebody', 'role': 'viewer'}),
        'webhook': ('/api/webhooks', {'url': 'http://127.0.0.1:9/hook', 'events': ['task.failed']})}


# ---------------------------------------------------------------- query parameters

ODD = ['%FF', '%C3%28', '%ED%A0%80', '%F0%9F%98%80', 'x' * 7000, "%27;--", '..%2F..', '%3Cb%3E', '%0d%0aX:%20y', '%20', ',', ',,,', '-', '_', 'null', '%5B%5D', '%7B%7D']
NUMBERS_BAD = ['x', '1x', '-', '--1', '+1', '%2B1', '1.5', '1e3', '0x1', '1%20', '%201', 'NaN', 'true', '1,2', '%FF', '%D9%A1', '%EF%BC%91']
NUMBERS_OK = ['0', '1', '-1', '007', '9' * 30, '-' + '9' * 30, '18446744073709551615', '18446744073709551616', '9223372036854775808']


def classes(p):
    """(value as it goes over the wire, 'ok', 'bad', or None: either), of a parameter."""
    s = deref(p['schema'])
    yield from [('%00', 'bad'), ('a%00b', 'bad')]
    if p['name'] != 'lastEventId':
        yield '', 'bad'
    if s['type'] == 'integer':
        yield from [(v, 'bad') for v in NUMBERS_BAD] + [(v, 'ok') for v in NUMBERS_OK]
    elif s['type'] == 'boolean':
        yield from [('true', 'ok'), ('false', 'ok'), ('yes', 'bad'), ('TRUE', 'bad'), ('1', 'bad')]
    elif s['type'] == 'array':
        item = deref(s['items'])
        if 'enum' in item:
            yield from [(w, 'ok') for w in item['enum']] + [(','.join(item['enum'] * 2), 'ok')]
            yield from [(w.upper(), 'bad') for w in item['enum']] + [(item['enum'][0] + ',', 'bad'), (item['enum'][0] + ',nope', 'bad')]
        elif 'pattern' in item:
            one = p['example'][0]
            yield from [(one, 'ok'), (','.join([one] * s['maxItems']), 'ok'), (','.join([one] * (s['maxItems'] + 1)), 'bad')]
            yield from [(v, 'bad') for v in ('nope', one.upper(), one[:-1] + '0', one + ',', ',' + one, one + ',,' + one, one + '1x', 'task_', one + '%20')]
        else:
            yield from [(v, 'ok') for v in ('nope', 'nope,nope', 'TASK.CREATED', ','.join(p['example']), ','.join(['x'] * 500))]
    elif 'enum' in s:
        yield from [(w, 'ok') for w in s['enum']]
        yield from [(w.upper(), 'bad') for w in s['enum']] + [(v, 'bad') for v in ('nope', s['enum'][0] + ',' + s['enum'][-1], '1', s['enum'][0] + '%20')]
    elif s.get('format') == 'date-time':
        yield from [('2026-03-15T10:00:00Z', 'ok'), ('2026-03-15T10:00:00.123Z', 'ok'), ('1970-01-01T00:00:01Z', 'ok'), ('9999-12-31T23:59:59Z', 'ok')]
        yield from [(v, 'bad') for v in ('yesterday', '2026-13-01T00:00:00Z', '2026-02-30T00:00:00Z', '2026-03-15', '1700000000', '2026-03-15T10:00:00', '2026-03-15T25:00:00Z', '-1')]
    elif 'pattern' in s:            # a page begins at an id, or its number
        yield from [(p['example'], 'ok'), ('1', 'ok'), ('9' * 40, 'ok'), ('-5', 'ok')]
        yield from [(v, 'bad') for v in ('x', '1.5', '1x', 'nope_1', p['example'] + 'x', p['example'].upper(), p['example'].split('_')[0] + '_', '_1')]
    elif 'maxLength' in s:
        yield from [('x' * s['maxLength'], 'ok'), ('x' * (s['maxLength'] + 1), 'bad'), ('%FF', 'bad'), ('%C3%28', 'bad')]
    for v in ODD:
        yield v, None
    yield 'x', None


def judged(op, a, what):
    assert a.status < 500, (what, a)
    op.judge(a)
    if a.status >= 400:
        a.error(a.status)
    return a


# Parameters that are read only beside another one.
BESIDE = {('listActivities', 'hours'): 'stats=true&'}
QUERY = [(op, p) for op in OPERATIONS for p in op.params if p['in'] == 'query']


@pytest.mark.parametrize('op,p', QUERY, ids=['%s-%s' % (op, p['name']) for op, p in QUERY])
def test_query(own, op, p):
    url, name = target(own, op), p['name']
    seen = []

    def call(method, where):      # the last id matters to streams alone, and output is one only for who asks for it
        where = where.replace('?', '?' + BESIDE.get((op.id, name), ''), 1)
        return own.calls[len(name) % 2](method, where, headers={'Accept': 'text/event-stream'} if name == 'lastEventId' else {})
    for v, want in [*classes(p), *([(own.real['session'], 'ok')] if name == 'session' else [])]:
        a = judged(op, call(op.method, '%s?%s=%s' % (url, name, v)), (name, v))
        if want == 'bad':
            assert a.status == 400 and a.json.get('field') == name, (name, v, a)
            assert v != 'nope' or all(w in a.json['error'] for w in deref(p['schema']).get('enum', [])), (name, a)   # it says what may stand there
        elif want == 'ok':
            assert a.status == 200, (name, v, a)
        else:
            assert a.status in (200, 404) or a.json.get('field') == name, (name, v, a)
        seen.append((v, a.status))
        if a.status == 200:
            b = judged(op, call(op.method, '%s?%s=%s&%s=%s' % (url, name, v, name, v)), (name, v, 'twice'))
            assert b.status == 400 and b.json.get('field') == name, (name, v, 'twice', b)
    if name != 'lastEventId':
        assert judged(op, call(op.method, '%s?%s' % (url, name)), name).json.get('field') == name
    for odd in ('%', '%z', '%4', '%zz', 'a%'):
        a = judged(op, call(op.method, '%s?%s=%s' % (url, name, odd)), (name, odd))
        assert a.status == 400
    good = next(v for v, status in seen if status == 200)
    for more in ('unknown=1', 'unknown=%FF', 'x' * 500, '&&&', '=', '%s%%00=1' % name, name.upper() + '=nope', 'unknown=1&unknown=2'):
        a = judged(op, call(op.method, '%s?%s&%s=%s' % (url, more, name, good)), (name, more))
        assert a.status == 200, (more, a)
    encoded = ''.join('%%%02x' % ord(ch) for ch in name)
    a = judged(op, call(op.method, '%s?%s=%s&%s=%s' % (url, encoded, good, name, good)), (name, 'encoded'))
    assert a.status == 400 and a.json.get('field') == name        # it is the same parameter


# ---------------------------------------------------------------- bodies

def deep(n):
    return '[' * n + ']' * n


OTHERS = {'boolean': ['true'], 'integer': ['7'], 'number': ['7.5'], 'string': ['"x"'], 'array': ['[]', '["x"]', '[{}]'], 'object': ['{}', '{"x":1}'], 'null': ['null']}


def types_of(s):
    if 'oneOf' in s:
        return {t for x in s['oneOf'] for t in types_of(deref(x))}
    t = s['type']
    return set(t if isinstance(t, list) else [t])


def rule(s):
    """The alternative of a schema that is not null."""
    s = deref(s)
    return next((rule(x) for x in s['oneOf'] if deref(x).get('type') != 'null'), s) if 'oneOf' in s else s


def values(s):
    """JSON texts a member of this schema must not have."""
    allowed = types_of(deref(s))
    if 'number' in allowed:
        allowed = allowed | {'integer'}
    for kind, texts in OTHERS.items():
        if kind not in allowed and kind != 'null':
            yield from texts
    s = rule(s)
    words = [w for w in s.get('enum', []) if w is not None]
    if words:
        yield from (json.dumps(w) for w in ['', 'nope', words[0] + ' ', words[0].upper(), words[0] + '\0'])
    if 'pattern' in s:
        yield from ['"nope!"', '"%20"', '""']
    if s.get('minLength'):
        yield '""'
        if s['minLength'] > 1:
            yield json.dumps('x' * (s['minLength'] - 1))
    if 'maxLength' in s and s['maxLength'] < 1000000:
        yield json.dumps('x' * (s['maxLength'] + 1))
    if 'minimum' in s:
        yield str(s['minimum'] - 1)
    if 'exclusiveMinimum' in s:
        yield from [str(s['exclusiveMinimum']), '-1']
    if 'maximum' in s:
        yield from [str(s['maximum'] + 1), '4294967296', '4294967297', '9223372036854775807', '1e30']
    if 'integer' in types_of(s):
        yield from ['1.5', '1e2', '-1', '-9223372036854775808', '"1"']
    if 'maxItems' in s:
        yield json.dumps(['x'] * (s['maxItems'] + 1))
    if 'items' in s:
        yield from ['[1]', '[null]', '[[]]'] + ['[%s]' % v for v in values(s['items']) if v.startswith('"')]


def right_values(s):
    """JSON texts a member of this schema may have: the ends of its ranges, every word, other scripts."""
    allowed = types_of(deref(s))
    if 'null' in allowed:
        yield 'null'
    s = rule(s)
    if 'enum' in s:
        yield from (json.dumps(w) for w in s['enum'] if w is not None)
    elif 'boolean' in allowed:
        yield from ['true', 'false']
    elif 'string' in allowed:
        most = min(s.get('maxLength', 200), 100000)
        if s.get('pattern', '').startswith('^http'):
            yield from ['"http://x"', '"https://x:1/y?z=%41"', '"http://[::1]/"', json.dumps('http://' + 'x' * (most - 7))]
        elif 'pattern' not in s and not s.get('writeOnly'):
            yield from (json.dumps(c * n, ensure_ascii=False) for c in ('x', '\u00e9', '\u4e2d', '\U0001f600', '"', '\\', '<', "'") for n in (max(s.get('minLength', 1), 1), most))
    elif 'integer' in allowed:
        yield from (str(s[k]) for k in ('minimum', 'maximum') if k in s)
    elif 'number' in allowed:
        yield from ['0.01', '1', '99.99', str(s['maximum'])]
    elif 'array' in allowed and 'minItems' not in s:
        yield from ['[]', json.dumps(['x' * 200] * s['maxItems'])]


# No JSON, whatever the member: the body as a whole is refused, and no field is named.
NO_JSON = ['"\\ud800"', '"\\udc00x"', '"\\u0000"', '1e999', '9223372036854775808', '99999999999999999999999', '01', '+1', '.5', 'NaN', "'x'", 'tru', deep(65), deep(100000), '"\x01"', '']


def members(s, at=()):
    """(path, schema, needed) of each member of a body."""
    for name, m in s.get('properties', {}).items():
        needed = name in s.get('required', [])
        yield at + (name,), m, needed
        r = rule(m)
        if 'properties' in r:
            yield from members(r, at + (name,))


def with_member(body, path, text):
    """The body as JSON text with one member replaced by a text (None: left out)."""
    head = path[0]
    parts = ['%s:%s' % (json.dumps(k), json.dumps(v)) for k, v in body.items() if k != head]
    if len(path) > 1:
        inner = body.get(head)
        parts.append('%s:%s' % (json.dumps(head), with_member(inner if isinstance(inner, dict) else {}, path[1:], text)))
    elif text is not None:
        parts.append('%s:%s' % (json.dumps(head), text))
    return '{%s}' % ','.join(parts)



def allowed(s, text):
    """What a refusal is to tell: the words of a closed set, the ends of a range of whole numbers."""
    s = rule(s)
    if text == '"nope"':
        return [w for w in s.get('enum', []) if w is not None]
    if 'minimum' in s and 'maximum' in s and text in (str(s['minimum'] - 1), str(s['maximum'] + 1)):
        return [str(s['minimum']), str(s['maximum'])]
    return []


BODIES = [(op, path, m, needed) for op in OPERATIONS if op.needs_body for path, m, needed in members(op.body)]


def right_body(op, path):
    """An example that has the member's object, where there is one."""
    for e in list(op.examples.values()):
        if len(path) == 1 or isinstance(e.get(path[0]), dict):
            return e
    return next(iter(op.examples.values()))


@pytest.mark.parametrize('op,path,m,needed', BODIES, ids=['%s-%s' % (op, '.'.join(path)) for op, path, _, _ in BODIES])
def test_member(own, op, path, m, needed):
    """On an object that is not there, so that nothing but the body is judged: right ones get the 404. A password is judged with
    the name of its user, who must be there for that."""
    there = op.id == 'editUser'
    url, field, right = target(own, op) if there else op.url(MISSING_ID), '.'.join(path), right_body(op, path)
    call = own.calls[len(field) % 2]

    def send(text):
        return judged(op, call(op.method, url, text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text), (field, text[:200]))
    for v in values(m):
        if not errors(m, json.loads(v)) and v != '1e2':     # that it is a whole number is a matter of opinion; not of ours
            continue
        a = send(with_member(right, path, v))
        j = a.error(400)
        named = j.get('field', '')
        assert named == field or (j['code'] == 'BAD_JSON' and '\\u0000' in v), (field, v, a)
        assert all(w in j['error'] for w in allowed(m, v)), (field, v, a)
    for v in NO_JSON:
        a = send(with_member(right, path, v))
        j = a.error(400)
        assert j['code'] == 'BAD_JSON' or j.get('field') == field, (field, v[:100], a)
    for octets in (b'"\xff"', b'"\xc3\x28"', b'"\xed\xa0\x80"', b'"a\x00b"'):
        text = with_member(right, path, '"@@"').encode().replace(b'"@@"', octets)
        send(text).error(400, 'BAD_JSON')
    twice = with_member(right, path, '"@@"')
    send(twice[:-1] + ',' + json.dumps(path[0]) + ':1}').error(400, 'BAD_JSON')
    if needed and len(path) == 1:
        for v in (None, 'null'):
            assert send(with_member(right, path, v)).error(400, 'MISSING_FIELD')['field'].split('.')[0] == field
    elif op.kind and len(path) == 1:
        for v in (None, 'null'):
            a = send(with_member(right, path, v))
            assert a.status == (200 if there else 404), a


# Right values of these do something that cannot be done over and over: wrong passwords are throttled.
NOT_REPEATED = {'login', 'changePassword'}
# Described as refused in this version, which has local desktops only.
LOCAL_ONLY = {('createDesktop', 'driver'), ('createDesktop', 'address')}
RIGHT = [b for b in BODIES if b[0].id not in NOT_REPEATED and (b[0].id, b[1][0]) not in LOCAL_ONLY]


@pytest.mark.parametrize('op,path,m,needed', RIGHT, ids=['%s-%s' % (op, '.'.join(path)) for op, path, _, _ in RIGHT])
def test_right_member(own, op, path, m, needed):
    """What the schema allows is taken: the other end of test_member."""
    right, once = right_body(op, path), ('username', 'name')[op.id == 'createWorker']
    made = []
    for v in right_values(m):
        assert not errors(m, json.loads(v)), v
        body = json.loads(with_member(right, path, v))
        if op.id in ('createUser', 'createWorker') and path != (once,):
            body[once] = '%s-%d' % ('.'.join(path), len(made))
        if op.id == 'createWorkspace':
            body['admin'] = {**body['admin'], 'username': '%s-%d' % ('.'.join(path), len(made))}
        if op.id == 'createWebhook' and path != ('url',):
            body['url'] = 'http://127.0.0.1:9/hook'
        a = judged(op, own.calls[len(made) % 2](op.method, op.url(MISSING_ID), json.dumps(body, ensure_ascii=False).encode()), (path, v[:100]))
        assert a.status in (200, 201) or (op.kind and a.status == 404), (path, v[:200], a)
        made.append(a)
    if op.id in ('createDesktop', 'createWebhook'):      # there may only be so many
        for a in made:
            own.calls[0]('DELETE', '%s/%s' % (op.path, a.json['id'])).ok(204)


@pytest.mark.parametrize('op', [op for op in OPERATIONS if op.needs_body and op.kind], ids=repr)
def test_unknown_members(own, op):
    for e in op.examples.values():
        for more in ({'unknown': 1}, {'unknown': {'a': [None]}}, {'': ''}, {'__proto__': {}}, {'x' * 5000: 1}, {'\u202e': '\x07'}):
            judged(op, own.calls[0](op.method, op.url(MISSING_ID), json.dumps({**e, **more}).encode()), more).error(404)


@pytest.mark.parametrize('op', [op for op in OPERATIONS if op.takes_body], ids=repr)
def test_no_object(own, op):
    for text in [b'[]', b'1', b'"x"', b'null', b'true', b'{', b'}', b'{}{}', b'{"a":1,}', b'{a:1}', b'\xff\xfe{\x00}\x00', b'\xef\xbb\xbf{}', b'{"a":1}\x00', b' ', b'//\n{}',
                 b'{"a":' * 70 + b'1' + b'}' * 70, b'[' * 200000]:
        judged(op, own.calls[1](op.method, op.url(MISSING_ID), text), text[:40]).error(400, 'BAD_JSON')


# ---------------------------------------------------------------- header fields

FIELDS = [b'', b'x', b'-1', b'1.5', b'0x1', b'1 2', b',,,', b'"', b'W/"', b'\xff\xfe', b'\xc3\xa9', b'x' * 5000, b'0', b'1', b'*', b'null', b"';--", b'%00', b'\x80' * 300]
HEADERS = [(op, p) for op in OPERATIONS for p in op.params if p['in'] == 'header']


@pytest.mark.parametrize('op,p', HEADERS, ids=['%s-%s' % (op, p['name']) for op, p in HEADERS])
def test_header(own, op, p):
    """On an object that is not there, or a read; a field at fault is named."""
    body = b'{}' if op.needs_body else None
    for gw in (0, 1):
        for v in FIELDS:
            a = judged(op, own.calls[gw](op.method, op.url(MISSING_ID), body, headers={p['name']: v}), (p['name'], v))
            assert a.status in (200, 204, 304, 404) or a.json['code'] in ('MISSING_FIELD',) or a.json.get('field') == p['name'], (p['name'], v, a)
        a = own.calls[gw].twice(op.method, op.url(MISSING_ID), p['name'], p.get('example', '1'), body)
        judged(op, a, p['name'])
        if p['name'] in ('X-Mc-Min-Sequence', 'Idempotency-Key') or op.stream:
            assert a.json.get('field') == p['name'], a


CREDENTIALS = [{'Authorization': 'Bearer'}, {'Authorization': 'Bearer '}, {'Authorization': 'Bearer  x  '}, {'Authorization': 'Basic dXNlcjpwYXNz'}, {'Authorization': ''},
               {'Authorization': b'Bearer \xff'}, {'Authorization': 'Bearer ' + 'x' * 6000}, {'x-api-key': ''}, {'x-api-key': ' '}, {'x-api-key': b'\xff\xfe'}, {'x-api-key': 'mc_k_' + 'A' * 43},
               {'x-api-key': 'mc_k_'}, {'x-api-key': 'x' * 6000}, {'Cookie': 'mc-session='}, {'Cookie': 'mc-session=mc_s_' + 'A' * 43}, {'Cookie': '=;;;mc-session'}, {'Cookie': 'a=b; mc-session="x"'},
               {'Cookie': '__Host-mc-session=x; mc-session=y'}, {'Cookie': b'mc-session=\xff'}, {'Cookie': 'x' * 6000}]


@pytest.mark.parametrize('op', [op for op in OPERATIONS if op.security], ids=repr)
def test_odd_credentials(own, op):
    for h in CREDENTIALS:
        a = judged(op, own.calls[0](op.method, op.url(MISSING_ID), key='', headers=h), h)
        assert a.status == 401 and a.headers['WWW-Authenticate'], (h, a)
    a = own.calls[0].twice(op.method, op.url(MISSING_ID), 'x-api-key', own.key, None, key='')
    assert judged(op, a, 'two keys').status == 400


# ---------------------------------------------------------------- ids and roles

@pytest.mark.parametrize('op', [op for op in OPERATIONS if op.kind], ids=repr)
def test_ids(own, op):
    body = json.dumps(next(iter(op.examples.values()))).encode() if op.needs_body else None
    for bad in ['0', '1', op.kind, op.kind + '_', op.kind + '_0', op.kind + '_01', op.kind + '_-1', op.kind + '_1x', op.kind + '_%31x', op.kind.upper() + '_1',
                op.kind + '_9223372036854775807', op.kind + '_9223372036854775808', op.kind + '_' + '9' * 300, '%00', '%FF', op.kind + '_1%00', '%2e%2e', 'x' * 4000]:
        judged(op, own.calls[0](op.method, op.url(bad), body), bad).error(404, 'NOT_FOUND')


@pytest.mark.parametrize('op', OPERATIONS, ids=repr)
def test_roles(own, op):
    """Those below the least role get nowhere; those from it on get to the state, which has no such object, or to the body, which is empty."""
    for role in ROLES:
        a = judged(op, own.calls[0](op.method, op.url(MISSING_ID), b'{}' if op.needs_body else None, key=own.keys[role]), role)
        if not op.security:
            assert a.status in (200, 400)
        elif role == 'none':
            a.error(401, 'UNAUTHORIZED')
        elif ROLES.index(role) < ROLES.index(op.role):
            a.error(403, 'FORBIDDEN')
        else:
            assert a.status not in (401, 403), (role, a)


# ---------------------------------------------------------------- at random

class Walker:
    """Asks for anything, of what there is and of what there is not, right and wrong, and judges every answer."""
    SOME = {'task': 30, 'session': 30, 'approval': 10, 'key': 30, 'user': 8, 'worker': 2}
    LEFT_OUT = {'login', 'changePassword', 'drainWorker'}     # slow, or the end of a worker

    def __init__(self, i, seed, n):
        self.r, self.call, self.keys = random.Random('%s-%d' % (seed, n)), Client(i, n % 2), i.keys
        self.operations = [op for op in OPERATIONS if op.id not in self.LEFT_OUT]
        self.statuses, self.last = collections.Counter(), None

    def body(self, op):
        r, e = self.r, dict(self.r.choice(list(op.examples.values())))
        if op.id == 'createTask':
            e.update(content=r.choice(['true', 'false', 'sleep 0.1', 'echo out']), desktopId='desktop_%d' % r.choice([1, 1, 1, 2, 3]), run=r.random() < 0.7)
        if op.id == 'createUser':
            e = {'username': 'u%d' % r.randint(1, 30), 'role': r.choice(ROLES[1:])}
        if op.id == 'createWorkspace':
            e = {'name': 'w', 'admin': {'username': 'w%d' % r.randint(1, 5)}}
        if op.id == 'createWorker':
            e = {'name': 'w%d' % r.randint(1, 20)}
        if op.id == 'createWebhook':
            e['url'] = 'http://127.0.0.1:9/hook'
        of = [(path, m) for o, path, m, _ in BODIES if o is op and path[-1] not in ('content', 'url', 'startCommand', 'stopCommand', 'password')]
        if of and r.random() < 0.3:
            path, m = r.choice(of)
            v = list(values(m) if r.random() < 0.3 else right_values(m))
            return with_member(e, path, r.choice(v)) if v else json.dumps(e)
        return json.dumps(e)

    def step(self):
        r = self.r
        op = r.choice(self.operations)
        url = op.url(r.randint(2 if op.kind == 'user' else 5 if op.kind == 'key' else 1, self.SOME.get(op.kind, 8))) if op.kind else op.url()
        query = ['%s=%s' % (p['name'], r.choice(list(classes(p)))[0]) for p in op.params if p['in'] == 'query' and r.random() < 0.3]
        body = self.body(op).encode('utf-8', 'surrogatepass') if op.needs_body else None
        url += '?' + '&'.join(query) if query else ''
        self.last = (op.method, url, body)
        a = judged(op, self.call(op.method, url, body, key=self.keys[r.choice(ROLES[1:] + ['admin', 'admin'])]), self.last)
        self.statuses[a.status] += 1


def test_at_random(fresh):
    """Four of them at once, at both gateways. MC_TEST_SEED and MC_TEST_STEPS repeat and lengthen it."""
    seed = os.environ.get('MC_TEST_SEED') or str(random.randrange(1 << 30))
    steps = int(os.environ.get('MC_TEST_STEPS') or 250)
    i = fresh(gateways=2, workers=2)
    i.keys = {role: i.make_key(role) for role in ROLES[1:]}
    walkers = [Walker(i, seed, n) for n in range(4)]

    def walk(w):
        for _ in range(steps):
            try:
                w.step()
            except Exception as e:
                raise AssertionError('seed %s: %s: %s' % (seed, w.last, e)) from e
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(walk, walkers))
    assert {200, 201, 204, 400, 403, 404, 409} <= set(sum((w.statuses for w in walkers), collections.Counter())), seed
