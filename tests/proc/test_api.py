"""The REST side, generated from the table of routes (gateway/routes.h): each route with each role, each method, each class of
parameter and of body member; then what the gateway adds of its own: the cache, paging, credentials, limits."""
import json
import os
import re
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import REPO, SANITIZED, TASKS, Install, http_call, wait_until

ROLES = ['none', 'viewer', 'operator', 'admin']
METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
APPROVALS, SESSIONS, SETTINGS = '/api/mission-control/approvals', '/api/mission-control/sessions', '/api/mission-control/settings'
DESKTOPS, KEYS, OVERVIEW = '/api/desktops', '/api/auth/api-keys', '/api/mission-control/overview'
METRICS, MAINTENANCE = DESKTOPS + '/desktop_1/metrics', '/api/mission-control/maintenance'


def _routes():
    with open(os.path.join(REPO, 'gateway', 'routes.h')) as f:
        text = f.read()
    rows = re.findall(r'^\s*R\((\w+),\s*(\w+),\s*(\w+),\s*(\d+),\s*(\w+),\s*(MC )?"([^"]+)",\s*(\w+)\)', text, re.M)
    assert len(rows) == len(re.findall(r'^\s*R\(', text, re.M)) > 30
    return [dict(method=m, role=r.lower(), body=b, id=i.lower(), path=('/api/mission-control/' if mc else '') + p, handler=h)
            for m, r, b, _, i, mc, p, h in rows]


ROUTES = _routes()
PATHS = sorted({r['path'] for r in ROUTES})
STREAMS = [r for r in ROUTES if r['handler'].startswith('stream_')]


def name(r):
    return '%s %s' % (r['method'], r['path'])


def path_of(path, kind, number=987654321):
    return path.replace(':id', '%s_%d' % (kind, number))


@pytest.fixture(scope='module')
def own():
    """An installation of this file's own: two gateways; its tasks are never run. The desktop is stopped, so that nothing is told of how
    busy the machine is: what is refused here changes no number."""
    i = Install(gateways=2, workers=1)
    wait_until('the desktop runs', lambda: i.api('GET', DESKTOPS + '/desktop_1').ok()['status'] == 'running', 15)
    i.api('POST', DESKTOPS + '/desktop_1/stop').ok()
    i.keys = {'none': None, 'admin': i.key, 'viewer': i.make_key('viewer'), 'operator': i.make_key('operator')}
    yield i
    i.close()


def newest(i, gw=0):
    return int(i.api('GET', OVERVIEW, gw=gw).headers['X-Mc-Sequence'])


# ---------------------------------------------------------------- route x role, route x method, forms of ids

@pytest.mark.parametrize('route', [r for r in ROUTES if r not in STREAMS], ids=name)
def test_each_role(own, route):
    """401 without a credential, 403 below the row's role, and above it whatever the object that is not there gives."""
    path = path_of(route['path'], route['id'])
    before = newest(own)
    for role in ROLES:
        a = own.api(route['method'], path, key=own.keys[role], body=b'{}' if route['body'] == 'JSON' else None)
        if route['role'] == 'none':
            assert a.status == (400 if route['body'] == 'JSON' else 200)
        elif role == 'none':
            a.error(401, 'UNAUTHORIZED')
            assert a.headers['WWW-Authenticate'].startswith('Bearer')
        elif ROLES.index(role) < ROLES.index(route['role']):
            a.error(403, 'FORBIDDEN')
        elif route['id'] != 'none' and route['body'] != 'JSON':
            a.error(404, 'NOT_FOUND')
        else:
            assert a.status in (200, 204, 400, 404), a
        if a.status >= 400:
            assert newest(own) == before     # nothing was changed


@pytest.mark.parametrize('route', STREAMS, ids=name)
def test_each_role_on_streams(own, route):
    own.api('GET', route['path'], key=None).error(401)
    own.api('HEAD', route['path'], key=None)
    for role in ROLES[1:]:
        with own.stream(route['path'], key=own.keys[role]) as s:
            assert s.status == 200
        a = own.api('HEAD', route['path'], key=own.keys[role])
        assert a.status == 200 and a.headers['Content-Type'].startswith('text/event-stream') and a.raw == b''


@pytest.mark.parametrize('path', PATHS)
def test_each_method(own, path):
    rows = [r for r in ROUTES if r['path'] == path]
    known = {r['method'] for r in rows}
    if 'GET' in known:
        known.add('HEAD')
    for method in METHODS:
        if method in known:
            continue
        where = path_of(path, rows[0]['id'])
        assert own.api(method, where, key=None).status == 401
        a = own.api(method, where, body=b'not json at all')
        assert a.status == 405 and {x.strip() for x in a.headers['Allow'].split(',')} == known, (method, a)


@pytest.mark.parametrize('path', ['/', '/api', '/api/', '/api/none', TASKS + '/', TASKS + '/task_1/none', '/api/mission-control', '/healthz/',
                                  '/api//workers', '/api/workers/worker_1', TASKS + '/task_1%2Frun', '/api/workers%00', '/API/workers',
                                  '/..%2fapi/workers', '/api/workers;x=1'])
@pytest.mark.parametrize('method', ['GET', 'POST', 'DELETE'])
def test_unknown_routes(own, method, path):
    own.api(method, path, key=None).error(401)
    own.api(method, path).error(404, 'NOT_FOUND')


@pytest.mark.parametrize('route', [r for r in ROUTES if r['id'] != 'none'], ids=name)
def test_ids_not_of_their_form(own, route):
    for bad in ['0', '1', 'x', '-1', '..', '%20', '%2e%2e', route['id'], route['id'] + '_', route['id'] + '_0', route['id'] + '_01',
                route['id'] + '_-1', route['id'] + '_1x', route['id'] + '_9223372036854775808', route['id'] + '_' + '9' * 300,
                route['id'].upper() + '_1', 'webhook_1', '%F0%9F%98%80']:
        a = own.api(route['method'], route['path'].replace(':id', bad), body=b'{}' if route['body'] == 'JSON' else None)
        a.error(404, 'NOT_FOUND')


# ---------------------------------------------------------------- query parameters

WORD = ['', 'nope', 'Pending', 'pending,done', '1', '%00', '%', '%zz', 'a%20b', '-1']
NUMBER_BAD = ['', 'x', '1x', '-', '--1', '+1', '%2B1', '1.5', '1e3', '0x1', ' 1', '1%20', 'NaN', '%00']
NUMBER_OK = ['1', '0', '-1', '500', '501', '-99999999999999999999999', '99999999999999999999999999999']
TIME_BAD = ['', 'x', '0', '2026-03-15', '2026-03-15T10:00', '2026-13-15T10:00:00Z', '2026-02-30T10:00:00Z', '2026-03-15T10:00:00+01:00', '%00', '1773568800']
TIME_OK = ['2026-03-15T10:00:00Z', '1970-01-01T00:00:01Z', '2026-03-15T10:00:00.123Z']
PARAMS = [  # path, parameter, values refused, values taken
    (TASKS, 'status', WORD, ['pending', 'running', 'review', 'done', 'failed', 'cancelled', '%70ending']),
    (TASKS, 'type', WORD, ['prompt', 'command']),
    (TASKS, 'desktopId', ['', '%00', '%'], ['desktop_1', 'desktop_999', 'nope', '1', 'task_1', 'desktop_' + '9' * 60]),
    (TASKS, 'q', ['', '%00', '%C3%28', 'x' * 2000], ['a', '%C3%A9', 'a+b', '%22', '%3Cb%3E']),
    (TASKS, 'limit', NUMBER_BAD, NUMBER_OK),
    (TASKS, 'before', ['', 'x', 'desktop_1', '%00', '1.5'], ['task_1', '1', 'task_999999', '-5', '9' * 40]),
    (METRICS, 'from', TIME_BAD, TIME_OK),
    (METRICS, 'to', TIME_BAD, ['2999-03-15T10:00:00Z', '2999-03-15T10:00:00.123Z']),
    (METRICS, 'step', NUMBER_BAD, NUMBER_OK),
    (SESSIONS, 'status', WORD, ['running', 'completed', 'failed', 'cancelled']),
    (SESSIONS, 'taskId', ['', '%00'], ['nope', 'desktop_1', 'task_987654321']),
    (SESSIONS, 'desktopId', ['', '%00'], ['desktop_1', 'nope']),
    (SESSIONS, 'limit', NUMBER_BAD, NUMBER_OK),
    (SESSIONS, 'before', ['', 'x', 'task_1'], ['session_1', '1']),
    (APPROVALS, 'status', WORD + ['all'], ['pending', 'approved', 'rejected', 'cancelled']),
]


@pytest.mark.parametrize('path,param,bad,good', PARAMS, ids=['%s %s' % (p[0].split('/')[-1], p[1]) for p in PARAMS])
def test_each_class_of_parameter(own, path, param, bad, good):
    kind = dict if path == METRICS else list
    for v in bad:
        a = own.api('GET', '%s?%s=%s' % (path, param, v.replace(' ', '%20')))
        if v in ('%', '%zz'):      # no request target at all
            a.error(400)
        else:
            a.error(400, 'INVALID_FIELD', field=param)
    for v in good:
        a = own.api('GET', '%s?%s=%s' % (path, param, v))
        assert isinstance(a.ok(), kind), v
        own.api('GET', '%s?%s=%s&%s=%s' % (path, param, v, param, v)).error(400, 'INVALID_FIELD', field=param)
        assert isinstance(own.api('GET', '%s?unknown=1&%s=%s&unknown=2' % (path, param, v)).ok(), kind)
    own.api('GET', '%s?%s' % (path, param)).error(400, 'INVALID_FIELD', field=param)


def test_an_unknown_desktop_lists_nothing(own):
    for d in ['desktop_999', 'nope']:
        a = own.api('GET', TASKS + '?desktopId=' + d)
        assert a.ok() == [] and a.headers['X-Total-Count'] == '0'


# ---------------------------------------------------------------- bodies

TASK_OK = {'type': 'command', 'content': 'true', 'desktopId': 'desktop_1'}
TEXT_BAD, BOOL_BAD = [1, 1.5, True, [], {}, ['x']], [0, 1, 'true', '', [], {}]
UINT_BAD = [-1, 1.5, '1', True, [], {}, 1e30, 2**63 - 1]
PASSWORD_BAD = ['', 'elevenchars', 'x' * 12, 'abcabcabcabcabc', '123456789012', 'qwertyuiopasdf', 'Password1234!', 'p4ssw0rdp4ssw0rd', 'k3' * 128 + 'z']
MEMBERS = {  # body that is right, member -> values refused
    ('POST', TASKS): (TASK_OK, {
        'type': TEXT_BAD + ['', 'shell', 'Command'], 'content': TEXT_BAD + [''], 'desktopId': TEXT_BAD + ['', 'nope', 'task_1', 'desktop_999'],
        'title': TEXT_BAD + ['', 'x' * 201, 'a\nb'], 'priority': TEXT_BAD + ['', 'urgent'], 'requiresApproval': BOOL_BAD,
        'timeoutSeconds': UINT_BAD + [0, 604801], 'retries': UINT_BAD + [101], 'run': BOOL_BAD}),
    ('PUT', SETTINGS): ({}, {
        'requireApproval': BOOL_BAD, 'retentionDays': UINT_BAD + [0], 'defaultTimeoutSeconds': UINT_BAD + [0],
        'alertThresholds': [1, 'x', [], True]}),
    ('POST', DESKTOPS): ({'name': 'made', 'driver': 'local'}, {
        'name': TEXT_BAD + ['', 'x' * 201, 'a\nb'], 'driver': TEXT_BAD + ['', 'vm', 'ssh', 'sandbox', 'container'], 'maxTasks': UINT_BAD + [0, 1001],
        'labels': ['a', 1, {}, [1], ['x' * 201], ['a'] * 33], 'pool': TEXT_BAD, 'startCommand': TEXT_BAD, 'stopCommand': TEXT_BAD,
        'chat': [1, 'http://x', [], {'url': 'ftp://x'}, {'url': 'http://u:p@x'}, {'url': 1}, {'url': 'http://x', 'mode': 'y'},
                 {'url': 'http://x', 'key': 1}, {'key': 'k'}, {}]}),
    ('POST', KEYS): ({'name': 'k'}, {
        'name': TEXT_BAD + ['', 'x' * 201], 'role': TEXT_BAD + ['', 'root'],
        'expiresAt': TEXT_BAD + ['', 'soon', '2020-01-01T00:00:00Z', '2999-13-01T00:00:00Z', '2999-01-01']}),
    ('POST', '/api/webhooks'): ({'url': 'http://127.0.0.1:1/'}, {
        'url': TEXT_BAD + ['', 'ftp://x', 'http://', 'http://a@b', 'x', 'http://x/' + 'a' * 2048, 'http://x/#f', 'http://x/ y', 'javascript:1'],
        'name': TEXT_BAD + ['', 'x' * 201, 'a\nb'], 'events': ['*', 1, {}, [], [1], ['nope'], ['task.created', ''], ['*'] * 65, ['webhook.test']],
        'secret': TEXT_BAD + ['', 'a b', 'x' * 257, '\xe9', 'a\n'], 'enabled': BOOL_BAD}),
    ('POST', MAINTENANCE): ({'description': 'new disks', 'expectedDurationMinutes': 30}, {
        'description': TEXT_BAD + ['', 'x' * 4097, 'a\x1bb'], 'expectedDurationMinutes': UINT_BAD + [0, 525601]}),
    ('POST', '/api/auth/login'): ({'username': 'nobody', 'password': 'p'}, {'username': TEXT_BAD, 'password': TEXT_BAD + ['x' * 1025]}),
    ('POST', '/api/auth/password'): ({'newPassword': 'violet kettle 42'}, {
        'newPassword': TEXT_BAD + PASSWORD_BAD + ['my admin is 42!'], 'currentPassword': TEXT_BAD + ['x' * 1025]}),
    ('POST', '/api/users'): ({'username': 'never-made', 'role': 'viewer'}, {
        'username': TEXT_BAD + ['', 'x' * 65, 'a b', '-x', 'a/b', '../x', 'n\xfc', 'System'], 'role': TEXT_BAD + ['', 'root', 'Admin'],
        'password': TEXT_BAD + PASSWORD_BAD + ['xx NEVER-made 42'], }),
    ('POST', '/api/workspaces'): ({'name': 'never-made', 'admin': {'username': 'never-made'}}, {
        'name': TEXT_BAD + ['', 'x' * 201, 'a\nb'],
        'admin': [1, 'x', [], True, {}, {'username': 1}, {'username': ''}, {'username': 'a b'}]
                 + [{'username': 'never-made', 'password': p} for p in TEXT_BAD + PASSWORD_BAD + ['xx NEVER-made 42']]}),
    ('POST', '/api/workers'): ({'name': 'never-made'}, {'name': TEXT_BAD + ['', 'x' * 65, 'a b', '-x', 'a/b', '../x']}),
}


@pytest.mark.parametrize('method,path,member', [(m, p, k) for (m, p), (_, ks) in MEMBERS.items() for k in ks])
def test_each_class_of_member(own, method, path, member):
    right, members = MEMBERS[method, path]
    before = newest(own)
    for value in members[member]:
        a = own.api(method, path, {**right, member: value})
        j = a.error(400)
        assert j['code'] in ('INVALID_FIELD', 'MISSING_FIELD', 'UNKNOWN_DESKTOP', 'BAD_JSON') and j.get('field', '').split('.')[0] == member, (value, j)
    assert newest(own) == before


def test_null_counts_as_not_given(own):
    t = own.api('POST', TASKS, {**TASK_OK, 'title': None, 'priority': None, 'retries': None, 'run': None, 'requiresApproval': None}).ok(201)
    assert t['title'] == 'true' and t['priority'] == 'medium' and t['retries'] == 0 and t['status'] == 'pending'
    own.api('POST', TASKS, {**TASK_OK, 'content': None}).error(400, 'MISSING_FIELD', field='content')


def test_unknown_members_are_ignored(own):
    assert own.api('POST', TASKS, {**TASK_OK, 'colour': 'red', 'status': 'done', 'id': 'task_1'}).ok(201)['status'] == 'pending'


@pytest.mark.parametrize('kind,status', [
    ('application/json', 201), ('Application/JSON', 201), ('application/json; charset=utf-8', 201), ('application/json;charset="UTF-8"', 201),
    ('application/json ; charset=UTF-8 ; x=y', 201), ('application/json; charset=latin1', 415), ('application/jsonx', 415), ('text/plain', 415),
    ('application/x-www-form-urlencoded', 415), ('multipart/form-data; boundary=x', 415), ('', 415), ('json', 415), (None, 415)])
def test_content_type(own, kind, status):
    h = {'x-api-key': own.key}
    if kind is not None:
        h['Content-Type'] = kind
    a = http_call(own.port(), 'POST', TASKS, json.dumps(TASK_OK).encode(), h)
    assert a.status == status, a


@pytest.mark.parametrize('coding,status', [('gzip', 415), ('br, gzip', 415), ('', 415), ('identity', 201), ('Identity', 201)])
def test_content_encoding(own, coding, status):
    h = {'x-api-key': own.key, 'Content-Type': 'application/json', 'Content-Encoding': coding}
    a = http_call(own.port(), 'POST', TASKS, json.dumps(TASK_OK).encode(), h)
    assert a.status == status, a
    if status == 415:
        assert a.error(415, 'UNSUPPORTED_MEDIA_TYPE') and a.headers['Accept-Encoding'] == 'identity'


def test_content_type_of_a_post_that_needs_no_body(own):
    t = own.task('true')
    for body, kind, status in [(b'{}', 'text/plain', 415), (b'{}', None, 415), (b'{', 'application/json', 400), (b'[]', 'application/json', 400),
                               (b'{"any":1}', 'application/json', 200), (None, None, 409)]:
        h = {'x-api-key': own.key}
        if kind:
            h['Content-Type'] = kind
        a = http_call(own.port(), 'POST', '%s/%s/cancel' % (TASKS, t['id']), body, h)
        assert a.status == status, (body, kind, a)
    assert own.api('POST', TASKS, body=b'', headers={'Content-Type': 'application/json'}).error(400)


@pytest.mark.parametrize('key,ok', [('a', True), ('x' * 255, True), ('~!@#$%^&*()_+', True), ('x' * 256, False), ('', False), ('\xe9', False), ('a\tb', False)])
def test_idempotency_key_form(own, key, ok):
    a = own.api('POST', TASKS, TASK_OK, headers={'Idempotency-Key': key.encode('latin-1')})
    a.ok(201) if ok else a.error(400, field='Idempotency-Key')


def test_idempotency_key_is_a_users(own):
    body = {**TASK_OK, 'content': 'echo users'}
    h = {'Idempotency-Key': 'of-a-user'}
    one = own.api('POST', TASKS, body, headers=h).ok(201)
    assert own.api('POST', TASKS, body, headers=h, gw=1).ok(201)['id'] == one['id']
    assert own.api('POST', TASKS, body, headers=h, key=own.keys['operator']).ok(201)['id'] == one['id']    # another key of the same user
    own.api('POST', TASKS, {**body, 'retries': 1}, headers=h).error(409, 'IDEMPOTENCY_MISMATCH')


@pytest.mark.parametrize('value,status', [('0', 200), ('x', 400), ('-1', 400), ('', 400), ('1.5', 400), ('9' * 30, 503), ('9000000000000000000', 503)])
def test_min_sequence_forms(own, value, status):
    a = own.api('GET', OVERVIEW, headers={'X-Mc-Min-Sequence': value})
    assert a.status == status, a
    if status == 503:
        assert a.headers['Retry-After']


# ---------------------------------------------------------------- the cache

HOT = [OVERVIEW, TASKS + '?limit=5', TASKS + '?limit=5&status=pending', APPROVALS, DESKTOPS, SETTINGS, '/api/activities?limit=5', '/api/activities?stats=true',
       '/api/mission-control/events?limit=5']


@pytest.mark.parametrize('path', HOT)
def test_etag(own, path):
    def same():  # figures of desktops move: two answers in a row that are the same
        a, b = own.api('GET', path), own.api('GET', path)
        return a if a.headers['ETag'] == b.headers['ETag'] and a.raw == b.raw else None
    a = wait_until('two equal answers', same)
    assert a.headers['Cache-Control'] == 'no-cache'
    assert re.fullmatch(r'"[0-9a-f]{16}"', a.headers['ETag'])

    def unchanged(tag):
        b = own.api('GET', path, headers={'If-None-Match': tag})
        return b if b.status == 304 else None
    for form in ['%s', 'W/%s', '"other", %s', '*']:
        b = wait_until('304', lambda: unchanged(form.replace('%s', own.api('GET', path).headers['ETag'])))
        assert b.raw == b'' and b.headers['ETag'] and 'Content-Type' not in b.headers
    assert own.api('GET', path, headers={'If-None-Match': '"0000000000000000"'}).status == 200
    assert own.api('HEAD', path).raw == b''


@pytest.mark.parametrize('path', [TASKS, TASKS + '/task_1', SESSIONS, KEYS, '/api/auth/me', '/api/workers', '/healthz'])
def test_not_cached(own, path):
    if path.endswith('task_1'):
        own.task('true')
    a = own.api('GET', path)
    assert a.status == 200 and a.headers['Cache-Control'] == 'no-store' and 'ETag' not in a.headers


def test_a_change_is_seen_at_once(own):
    """Each writer sees its own change in every cached list, at this gateway, and with X-Mc-Min-Sequence at the other one."""
    def one(n):
        for _ in range(20):
            a = own.api('POST', TASKS, {**TASK_OK, 'title': 'w%d' % n}, gw=n % 2)
            tid = a.ok(201)['id']
            here = own.api('GET', TASKS + '?limit=100', gw=n % 2).ok()
            assert tid in [t['id'] for t in here]
            there = own.api('GET', TASKS + '?limit=100', gw=(n + 1) % 2, seen=a).ok()
            assert tid in [t['id'] for t in there]
            own.api('DELETE', '%s/%s' % (TASKS, tid), gw=n % 2).ok(204)
            assert tid not in [t['id'] for t in own.api('GET', TASKS + '?limit=100', gw=n % 2).ok()]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(4)))


def test_settings_are_seen_at_once(own):
    for n in range(10):
        a = own.api('PUT', SETTINGS, {'retentionDays': 10 + n})
        assert a.ok()['retentionDays'] == 10 + n
        assert own.api('GET', SETTINGS).ok()['retentionDays'] == 10 + n
        assert own.api('GET', SETTINGS, gw=1, seen=a).ok()['retentionDays'] == 10 + n


def test_sequence_never_goes_back(own):
    last, stop = {}, threading.Event()

    def look():
        seen = 0
        while not stop.is_set():
            n = int(own.api('GET', OVERVIEW).headers['X-Mc-Sequence'])
            assert n >= seen
            seen = n
        return seen
    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(look) for _ in range(3)]
        try:
            for _ in range(50):
                last = own.api('POST', TASKS, TASK_OK)
                last.ok(201)
        finally:
            stop.set()
        for f in looks:
            f.result()
    assert newest(own) >= int(last.headers['X-Mc-Sequence'])


# ---------------------------------------------------------------- lists

@pytest.fixture(scope='module')
def many(own):
    """At least 1,300 tasks; every hundredth has a word to search for."""
    def make(n):
        return own.task('true', title=('needle %d' if n % 100 == 0 else 'straw %d') % n)['id']
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(make, range(1300)))


def walk(i, query):
    out, path, pages = [], TASKS + '?' + query, 0
    while path:
        a = i.api('GET', path)
        out += a.ok()
        pages += 1
        link = a.headers['Link']
        m = re.fullmatch(r'<(/[^<>]*)>; rel="next"', link) if link else None
        assert not link or m, link
        path = m.group(1) if m else None
    return out, pages


def test_all_of_a_long_list(own, many):
    a = own.api('GET', TASKS)
    tasks = a.ok()
    ids = [int(t['id'][5:]) for t in tasks]
    assert ids == sorted(set(ids), reverse=True) and {int(x[5:]) for x in many} <= set(ids)
    assert int(a.headers['X-Total-Count']) == len(tasks) and 'Link' not in a.headers
    assert own.api('HEAD', TASKS).raw == b''
    got = own.api('GET', TASKS + '?before=task_%d' % ids[600]).ok()
    assert [int(t['id'][5:]) for t in got] == ids[601:]


@pytest.mark.parametrize('query', ['limit=500', 'limit=7&q=needle', 'limit=100&status=pending&type=command&desktopId=desktop_1', 'limit=3&q=needle+1'])
def test_pages_make_the_whole(own, many, query):
    rest = '&'.join(x for x in query.split('&') if not x.startswith('limit'))
    whole = own.api('GET', TASKS + ('?' + rest if rest else '')).ok()
    pages, n = walk(own, query)
    assert [t['id'] for t in pages] == [t['id'] for t in whole] and n > 1


def test_limit_is_kept_with_large_contents(own):
    """A page of the broker's ends at some hundred kilobytes: the list goes on with the next one by itself."""
    ids = [own.task('true # ' + 'x' * 60000)['id'] for _ in range(12)]
    got = own.api('GET', TASKS + '?limit=12').ok()
    assert [t['id'] for t in got] == ids[::-1]
    big = [own.task('true # ' + '\x01' * 160000)['id'] for _ in range(4)]   # six octets each in JSON
    seen, _ = walk(own, 'limit=5')
    assert [t['id'] for t in seen][:4] == big[::-1]
    for t in ids + big:
        own.api('DELETE', '%s/%s' % (TASKS, t)).ok(204)


def test_a_link_repeats_known_parameters_only(own, many):
    a = own.api('GET', TASKS + '?limit=1&q=n%65edle%3E%2C%22+&other=secret')
    assert 'Link' not in a.headers
    link = own.api('GET', TASKS + '?limit=1&q=needle%20&other=secret&before=task_999999').headers['Link']
    assert 'secret' not in link and link.count('before=') == 1 and link.endswith('>; rel="next"')


def test_a_list_is_broken_off_when_the_broker_goes(fresh):
    i = fresh(gateways=1, workers=0)
    for _ in range(40):
        i.task('true # ' + 'x' * 500000)
    before = i.gateways[0].rss_kib()
    s = socket.create_connection(('127.0.0.1', i.port()))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\n\r\n' % (TASKS, i.key)).encode())
    s.settimeout(30)
    got = s.recv(65536)
    assert got.startswith(b'HTTP/1.1 200') and b'chunked' in got
    for _ in range(50):
        i.api('GET', TASKS + '/task_1').ok()
    assert SANITIZED or i.gateways[0].rss_kib() < before + 10000     # of 20 MB: the client takes its time
    i.broker.kill9()
    while True:
        more = s.recv(1 << 20)
        if not more:
            break
        got = got[-100:] + more
    assert not got.endswith(b'0\r\n\r\n')
    s.close()
    i.broker.start()
    i.wait_ready()
    assert len(i.api('GET', TASKS).ok()) == 40


# ---------------------------------------------------------------- credentials

def test_me(own):
    for role in ROLES[1:]:
        me = own.api('GET', '/api/auth/me', key=own.keys[role]).ok()
        assert me == {'id': 'user_1', 'username': 'admin', 'role': role, 'workspaceId': 'workspace_1'}


def test_keys_of_ones_own(own):
    made = own.api('POST', KEYS, {'name': 'own', 'role': 'viewer', 'expiresAt': '2999-01-01T00:00:00Z'}).ok(201)
    assert re.fullmatch(r'mc_k_[A-Za-z0-9_-]{43}', made['key']) and made['last4'] == made['key'][-4:]
    assert made['role'] == 'viewer' and made['expiresAt'] == '2999-01-01T00:00:00.000Z'
    listed = own.api('GET', KEYS).ok()
    assert all('key' not in k and 'hash' not in k for k in listed) and made['id'] in [k['id'] for k in listed]
    own.api('POST', KEYS, {'name': 'x', 'role': 'admin'}, key=made['key']).error(403, 'FORBIDDEN')
    assert own.api('POST', KEYS, {'name': 'x'}, key=made['key']).ok(201)['role'] == 'viewer'
    own.api('DELETE', '%s/%s' % (KEYS, made['id'])).ok(204)
    own.api('DELETE', '%s/%s' % (KEYS, made['id'])).error(404)


def test_revocation_works_at_once_everywhere(own):
    for _ in range(3):
        made = own.api('POST', KEYS, {'name': 'gone soon'})
        key, kid = made.json['key'], made.json['id']
        for gw in (0, 1):
            own.api('GET', OVERVIEW, key=key, gw=gw).ok()
        own.api('DELETE', '%s/%s' % (KEYS, kid)).ok(204)
        for gw in (0, 1):
            wait_until('gateway %d refuses the key' % gw, lambda: own.api('GET', OVERVIEW, key=key, gw=gw).status == 401, 1)
        own.api('POST', TASKS, TASK_OK, key=key).error(401)


def test_a_key_that_was_wrong_a_moment_ago(own):
    """What was refused is believed for a second at most, and does not reach others."""
    bad = 'mc_k_' + 'A' * 43
    for _ in range(3):
        own.api('GET', OVERVIEW, key=bad).error(401)
    own.api('GET', OVERVIEW).ok()


@pytest.mark.parametrize('headers,status', [
    ({'Authorization': 'Bearer KEY'}, 200), ({'authorization': 'bearer   KEY'}, 200), ({'x-api-key': 'KEY'}, 200), ({'X-API-KEY': ' KEY '}, 200),
    ({'Authorization': 'Basic KEY'}, 401), ({'Authorization': 'Bearer'}, 401), ({'Authorization': 'BearerKEY'}, 401), ({'x-api-key': ''}, 401),
    ({'Authorization': 'Bearer wrong', 'x-api-key': 'KEY'}, 401), ({'Authorization': 'Bearer KEY', 'x-api-key': 'wrong'}, 200),
    ({'Authorization': 'Basic x', 'x-api-key': 'KEY'}, 200), ({'x-api-key': 'KEYx'}, 401), ({'Cookie': 'mc-session=KEY'}, 401)])
def test_forms_of_the_credential(own, headers, status):
    h = {k: v.replace('KEY', own.key) for k, v in headers.items()}
    assert http_call(own.port(), 'GET', OVERVIEW, headers=h).status == status


def test_a_key_in_the_query_is_for_streams(own):
    own.api('GET', OVERVIEW + '?apiKey=' + own.key, key=None).error(401)
    with own.stream('/api/desktops/stream?apiKey=' + own.key, key=None) as s:
        assert s.status == 200
    with own.stream('/api/desktops/stream?%61piKey=' + own.key.replace('m', '%6d'), key=None) as s:
        assert s.status == 200


def test_two_credentials_of_a_kind(own):
    with socket.create_connection(('127.0.0.1', own.port())) as s:
        s.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nx-api-key: %s\r\nConnection: close\r\n\r\n' % (OVERVIEW, own.key, own.key)).encode())
        got = b''
        while True:
            more = s.recv(65536)
            if not more:
                break
            got += more
    assert got.startswith(b'HTTP/1.1 400')


def test_keys_are_in_no_log(own):
    for p in own.progs():
        text = p.log_text()
        assert own.key not in text and 'mc_k_' not in text


def test_workers(own):
    w = own.api('POST', '/api/workers', {'name': 'made-here'}).ok(201)
    assert re.fullmatch(r'mc-peer worker made-here [A-Za-z0-9+/]{43}=\n', w['key'])
    assert w['id'] in [x['id'] for x in own.api('GET', '/api/workers').ok()]
    assert all('key' not in x for x in own.api('GET', '/api/workers').ok())
    own.api('POST', '/api/workers', {'name': 'made-here'}).error(409, field='name')


# ---------------------------------------------------------------- limits

def test_rate_limits_by_key_and_address(fresh):
    i = fresh(gateways=1, workers=0, env={'MC_RATE_LIMIT': '300'})   # a burst of 50, which five a second fill up: fewer than any machine asks for
    key = i.make_key('viewer')
    a = i.api('GET', OVERVIEW, key=key)
    assert a.headers['RateLimit-Policy'] == '"default";q=300;w=60' and a.headers['X-RateLimit-Limit'] == '300'
    assert re.fullmatch(r'"default";r=\d+;t=\d+', a.headers['RateLimit'])

    def left():
        return int(i.api('GET', OVERVIEW, key=key).headers['X-RateLimit-Remaining'])
    n = left()
    i.api('GET', TASKS + '?q=x', key=key).ok()
    assert left() <= n - 5                                     # a search costs five
    with i.stream(key=key) as s:                               # the limits stand in every answer, in a stream's and a refusal's too
        assert s.headers['RateLimit-Policy'] == a.headers['RateLimit-Policy'] and int(s.headers['X-RateLimit-Remaining']) <= n - 5
    for wrong in (None, 'mc_k_' + 'A' * 43):
        b = i.api('GET', '/api/desktops/stream', key=wrong)
        assert b.error(401) and b.headers['X-RateLimit-Limit'] == '300' and int(b.headers['X-RateLimit-Remaining']) < 50
    for _ in range(200):
        a = i.api('GET', OVERVIEW, key=key)
        if a.status == 429:
            break
    a.error(429, 'RATE_LIMITED')
    assert int(a.headers['Retry-After']) >= 1 and a.headers['X-RateLimit-Remaining'] == '0'
    i.api('GET', OVERVIEW).ok()                                # another key is not concerned
    with i.stream(key=key) as s:                               # held, not refused
        assert s.status == 200
    for _ in range(200):                                       # without a credential it is the address that counts
        b = i.api('GET', OVERVIEW, key=None)
        if b.status == 429:
            break
        b.error(401)
    b.error(429, 'RATE_LIMITED')
    assert i.api('GET', '/healthz', key=None).status == 200    # costs nothing, is never refused
    i.api('GET', OVERVIEW).ok()


# ---------------------------------------------------------------- faults around a request

def test_a_broker_that_stands_still(fresh):
    """Not away, but silent: every request ends within two seconds; what may have been done says so."""
    i = fresh(gateways=1, workers=0)
    i.task('true')
    for path in HOT:
        i.api('GET', path).ok()
    i.broker.pause()
    try:
        wait_until('what was kept is too old', lambda: i.api('GET', OVERVIEW).status == 503)

        def timed(call):
            t = time.monotonic()
            a = call()
            assert time.monotonic() - t < 2.5, a
            return a
        unknown = 'mc_k_' + 'B' * 43
        with ThreadPoolExecutor(16) as pool:
            reads = [pool.submit(timed, lambda p=p: i.api('GET', p)) for p in HOT + [TASKS, TASKS + '/task_1', SESSIONS]]
            writes = [pool.submit(timed, lambda: i.api('POST', TASKS, TASK_OK)) for _ in range(4)]
            guess = pool.submit(timed, lambda: i.api('GET', OVERVIEW, key=unknown))
            for f in reads + [guess]:
                assert f.result().error(503, 'UNAVAILABLE') and f.result().headers['Retry-After']
            for f in writes:
                assert f.result().error(503)['code'] in ('OUTCOME_UNKNOWN', 'UNAVAILABLE')
        assert i.api('GET', '/healthz', key=None).status == 200
    finally:
        i.broker.resume()
    i.wait_ready()
    assert wait_until('it answers again', lambda: i.api('GET', OVERVIEW).status == 200)
    assert i.api('GET', OVERVIEW, key=unknown).status == 401
    n = len(i.api('GET', TASKS).ok())
    assert 1 <= n <= 5


def test_clients_that_go_away(fresh):
    """In every state of a request: waiting for the credential, for a shared answer, for a command, in the middle of a list."""
    i = fresh(gateways=1, workers=0)
    for _ in range(30):
        i.task('true # ' + 'x' * 200000)
    body = json.dumps(TASK_OK)
    post = 'POST %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' % (TASKS, len(body), body)
    get = 'GET %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %%s\r\n\r\n'
    texts = [post, post + post, post[:-5], get % OVERVIEW, get % (TASKS + '?limit=50'), get % TASKS, get % (TASKS + '/task_1'), get % SESSIONS,
             get % (TASKS + '?q=none&limit=5'), get % '/api/desktops/stream', get % (TASKS + '/task_1/output')]

    def one(n):
        key = i.key if n % 3 else 'mc_k_%043d' % n
        text = texts[n % len(texts)]
        s = socket.create_connection(('127.0.0.1', i.port()))
        s.sendall((text % ((key,) * text.count('%s'))).encode())
        if n % 4 == 0:
            s.settimeout(5)
            try:
                s.recv(1000)
            except OSError:
                pass
        if n % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))   # RST
        s.close()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(660)))
    assert i.api('GET', OVERVIEW).status == 200
    i.broker.pause()        # nobody is answered while these come and go
    try:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: one(n if n % 4 else n + 1), range(220)))
    finally:
        i.broker.resume()
    wait_until('it answers again', lambda: i.api('GET', OVERVIEW).status == 200)
