"""People: signing in and out, sessions as cookies, requests that other sites forge, guesses held up, users and what ends with them,
at once and on every gateway."""
import http.client
import itertools
import json
import os
import re
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import ACTIVITY, STRETCH, TASKS, Answer, Install, Stream, http_call, wait_until
from test_api import ROUTES, name, newest, path_of
from test_http_raw import certificate  # noqa: F401
from test_seed_002 import NODE, Es

FEED, DESKTOPS = '/api/mission-control/stream', '/api/desktops/stream'
LOGIN, LOGOUT, ME, PASSWORD = '/api/auth/login', '/api/auth/logout', '/api/auth/me', '/api/auth/password'
USERS, KEYS = '/api/users', '/api/auth/api-keys'
SECRET = 'violet kettle 42'
_names, _addresses = itertools.count(1), itertools.count(1)


class Browser:
    """Keeps its cookie, and says where its requests come from, as browsers do."""

    def __init__(self, i, gw=0, address=None):
        self.i, self.gw, self.cookie = i, gw, None
        self.address = address or '10.1.%d.%d' % divmod(next(_addresses), 250)

    def call(self, method, path, body=None, gw=None, origin=True, **headers):
        gw = self.gw if gw is None else gw
        h = {'X-Forwarded-For': self.address}
        if self.cookie:
            h['Cookie'] = self.cookie
        if origin and method not in ('GET', 'HEAD'):
            h['Origin'] = 'http://127.0.0.1:%d' % self.i.port(gw)
        h.update({k.replace('_', '-'): v for k, v in headers.items()})
        a = self.i.api(method, path, body, gw=gw, key=None, headers=h)
        for c in a.headers.get_all('Set-Cookie') or []:
            value = c.split(';')[0]
            self.cookie = value if value.split('=', 1)[1] else None
        return a

    def login(self, user, password=SECRET, **kw):
        return self.call('POST', LOGIN, {'username': user, 'password': password}, **kw)

    def stream(self, path=ACTIVITY, gw=0, **kw):
        return Stream(self.i.port(gw), path, None, headers={'Cookie': self.cookie}, **kw)


@pytest.fixture(scope='module')
def own():
    """Behind a proxy, which is this test: so that each browser has an address of its own."""
    i = Install(gateways=2, workers=0, gateway_args=('--trusted-proxies', '127.0.0.1', '--access-log'))
    i.stop_desktop = lambda d: i.api('POST', '/api/desktops/%s/stop' % d).ok()
    i.stop_desktop(i.desktop)    # of one that no worker reaches there would be a row after half a minute
    yield i
    i.close()


def user(i, role='operator', password=SECRET):
    u = i.api('POST', USERS, {'username': 'U%d' % next(_names), 'role': role, **({'password': password} if password else {})}).ok(201)
    assert u['role'] == role and u['hasPassword'] == bool(password) and not u['disabled'] and u['lastLoginAt'] is None
    return u


def signed_in(i, role='operator', gw=0):
    u, b = user(i, role), Browser(i, gw)
    b.login(u['username']).ok()
    return u, b


def same_but_the_id(a, b):
    x, y = a.json, b.json
    assert x.pop('requestId') != y.pop('requestId')
    assert a.status == b.status and x == y


def gone(b, gw):
    """What the browser's session is on that gateway, once it knows: refused."""
    return wait_until('401 on gateway %d' % gw, lambda: b.call('GET', ME, gw=gw).status == 401, 5)


# ---------------------------------------------------------------- signing in and out

def test_sign_in_and_out(own):
    u, b = user(own), Browser(own)
    a = b.login(u['username'].upper())      # names are one, whatever their case
    assert a.ok() == {'id': u['id'], 'username': u['username'], 'role': 'operator', 'workspaceId': 'workspace_1'}
    first, attributes = a.headers['Set-Cookie'].split('; ')[0], set(a.headers['Set-Cookie'].split('; ')[1:])
    assert re.fullmatch(r'mc-session=mc_s_[A-Za-z0-9_-]{43}', first)
    assert attributes == {'Path=/', 'HttpOnly', 'SameSite=Lax', 'Max-Age=604800'}
    assert a.headers['Cache-Control'] == 'no-store' and first.split('=')[1] not in a.text
    for gw in (0, 1):
        m = b.call('GET', ME, gw=gw)
        assert m.ok() == a.json and m.headers['Vary'] == 'Cookie' and m.headers['Cache-Control'] == 'no-store'
    listed = next(x for x in own.api('GET', USERS).ok() if x['id'] == u['id'])
    assert listed['lastLoginAt'] >= listed['createdAt']
    old = b.cookie
    a = b.call('POST', LOGOUT)
    assert a.status == 204 and a.raw == b'' and a.headers['Clear-Site-Data'] == '"cache", "storage"'
    assert a.headers['Set-Cookie'] == 'mc-session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0' and b.cookie is None
    b.cookie = old
    b.call('GET', ME).error(401, 'UNAUTHORIZED')
    gone(b, 1)
    b.call('POST', LOGOUT).error(401)


def test_under_tls_the_cookie_is_bound_to_the_host(own):
    u, b = user(own), Browser(own)
    a = b.login(u['username'], X_Forwarded_Proto='https', Origin='https://127.0.0.1:%d' % own.port())
    assert a.ok() and set(a.headers['Set-Cookie'].split('; ')[1:]) == {'Path=/', 'HttpOnly', 'SameSite=Lax', 'Max-Age=604800', 'Secure'}
    assert b.cookie.startswith('__Host-mc-session=mc_s_')
    b.call('GET', ME).ok()
    a = b.call('POST', LOGOUT, X_Forwarded_Proto='https', Origin='https://127.0.0.1:%d' % own.port())
    assert a.status == 204 and a.headers['Set-Cookie'].startswith('__Host-mc-session=;') and 'Secure' in a.headers['Set-Cookie']


def test_served_over_tls(fresh, certificate):
    cert, key = certificate
    i = fresh(gateways=1, workers=0, gateway_args=('--tls-cert', cert, '--tls-key', key), ready=False)
    context = ssl.create_default_context(cafile=cert)

    def call(method, path, body=None, **headers):
        c = http.client.HTTPSConnection('localhost', i.port(), timeout=10 * STRETCH, context=context)
        try:
            h = {'Content-Type': 'application/json'} if body is not None else {}
            h.update({k.replace('_', '-'): v for k, v in headers.items()})
            c.request(method, path, json.dumps(body) if body is not None else None, h)
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()
    wait_until('ready', lambda: call('GET', '/readyz').status == 200, 15)
    call('POST', PASSWORD, {'newPassword': SECRET}, x_api_key=i.key).ok(204)
    a = call('POST', LOGIN, {'username': 'admin', 'password': SECRET})
    assert a.ok() and a.headers['Set-Cookie'].endswith('; Path=/; HttpOnly; SameSite=Lax; Max-Age=604800; Secure')
    cookie, here = a.headers['Set-Cookie'].split(';')[0], 'https://localhost:%d' % i.port()
    assert cookie.startswith('__Host-mc-session=mc_s_')
    assert call('GET', ME, Cookie=cookie).ok()['username'] == 'admin'
    call('POST', LOGOUT, Cookie=cookie, Origin=here.replace('https', 'http')).error(403, 'CROSS_ORIGIN')
    call('POST', LOGOUT, Cookie=cookie, Origin=here).ok(204)
    call('GET', ME, Cookie=cookie).error(401)


def test_logout_with_a_key_ends_nothing(own):
    key = own.make_key('viewer')
    a = own.api('POST', LOGOUT, key=key)
    assert a.status == 204 and 'Set-Cookie' not in a.headers
    own.api('GET', ME, key=key).ok()


def test_signing_in_again_ends_the_session_before(own):
    u, b = signed_in(own)
    before = Browser(own)
    before.cookie = b.cookie
    b.login(u['username']).ok()
    assert b.cookie != before.cookie
    b.call('GET', ME).ok()
    for gw in (0, 1):
        gone(before, gw)
    other = Browser(own)            # elsewhere, one may be signed in as well
    other.login(u['username']).ok()
    b.call('GET', ME).ok()


def test_whatever_is_wrong_the_answer_is_the_same(own):
    u, none, off = user(own), user(own, password=None), user(own)
    own.api('PATCH', '%s/%s' % (USERS, off['id']), {'disabled': True}).ok()
    wrong = Browser(own).login(u['username'], 'something else 1')
    assert wrong.error(401, 'UNAUTHORIZED')['error'] == 'Wrong username or password' and 'Set-Cookie' not in wrong.headers
    for who, password in [('nobody-' + u['username'], SECRET), (none['username'], SECRET), (off['username'], SECRET), (u['username'], ''),
                          ('', SECRET), ('a b', SECRET), ('x' * 2000, SECRET), ('<script>', SECRET), (u['username'] + '\x01', SECRET)]:
        same_but_the_id(wrong, Browser(own).login(who, password))
    Browser(own).login(u['username']).ok()


@pytest.mark.parametrize('body', [{}, {'username': 'a'}, {'password': 'a'}, {'username': None, 'password': 'a'}, {'username': 'a', 'password': None}])
def test_sign_in_needs_both(own, body):
    Browser(own).call('POST', LOGIN, body).error(400, 'MISSING_FIELD', field='password' if body.get('username') else 'username')


def test_sessions_are_no_keys(own):
    u, b = signed_in(own)
    mine = b.call('POST', KEYS, {'name': 'mine'}).ok(201)
    assert mine['role'] == 'operator' and [k['id'] for k in b.call('GET', KEYS).ok()] == [mine['id']]
    top = int(mine['id'][4:])
    listed = {k['id'] for k in own.api('GET', KEYS).ok()}
    hidden = ['key_%d' % n for n in range(1, top) if 'key_%d' % n not in listed]
    assert hidden
    for k in hidden:
        own.api('DELETE', '%s/%s' % (KEYS, k)).error(404)
    b.call('GET', ME).ok()


# ---------------------------------------------------------------- which credential counts

def raw_call(i, path, fields, gw=0):
    c = http.client.HTTPConnection('127.0.0.1', i.port(gw), timeout=10 * STRETCH)
    try:
        c.putrequest('GET', path)
        for k, v in fields:
            c.putheader(k, v)
        c.endheaders()
        r = c.getresponse()
        return Answer(r.status, r.headers, r.read())
    finally:
        c.close()


def test_which_credential_counts(own):
    _, b = signed_in(own)
    token, key = b.cookie.split('=')[1], own.make_key('viewer')
    cookie = 'mc-session=' + token
    cases = [
        ([('Cookie', cookie)], 'operator'),
        ([('Cookie', 'a=b; %s; c=d' % cookie)], 'operator'),
        ([('Cookie', '__Host-' + cookie)], 'operator'),
        ([('Cookie', 'mc-session=other; __Host-' + cookie)], 'operator'),
        ([('Cookie', '__Host-mc-session=other; ' + cookie)], None),
        ([('Cookie', '%s; %s' % (cookie, cookie))], None),
        ([('Cookie', '%s; mc-session=other' % cookie)], None),
        ([('Cookie', cookie), ('Cookie', 'a=b')], None),
        ([('Cookie', 'mc-session=' + key)], None),
        ([('Cookie', 'mc-session="%s"' % token)], None),
        ([('Cookie', 'MC-Session=' + token)], None),
        ([('x-api-key', token)], None),
        ([('Authorization', 'Bearer ' + token)], None),
        ([('x-api-key', key), ('Cookie', cookie)], 'viewer'),
        ([('Authorization', 'Bearer ' + key), ('Cookie', cookie)], 'viewer'),
        ([('x-api-key', 'mc_k_' + 'x' * 43), ('Cookie', cookie)], None),     # a bad key does not fall back to the cookie
        ([('x-api-key', ''), ('Cookie', cookie)], None),
        ([('Authorization', 'Bearer'), ('Cookie', cookie)], None),
        ([('Authorization', 'Basic YTpi'), ('Cookie', cookie)], 'operator'),
    ]
    for fields, want in cases:
        a = raw_call(own, ME, fields)
        if want:
            assert a.ok()['role'] == want, fields
        else:
            a.error(401, 'UNAUTHORIZED')
    for query, want in [('', 200), ('?apiKey=' + token, 401), ('?apiKey=mc_k_' + 'x' * 43, 401), ('?apiKey=' + key, 200)]:
        with Stream(own.port(), ACTIVITY + query, None, headers={'Cookie': cookie}) as s:
            assert s.status == want, query
    assert own.api('GET', ME + '?apiKey=' + key, key=None).status == 401     # streams only


# ---------------------------------------------------------------- what other sites make a browser ask

def test_forged_requests(own):
    """A cookie alone changes nothing: the request must come from our own pages."""
    _, b = signed_in(own)
    here, port = 'http://127.0.0.1:%d' % own.port(), own.port()
    forged = [{}, {'Origin': 'null'}, {'Origin': ''}, {'Origin': 'https://127.0.0.1:%d' % port}, {'Origin': 'http://127.0.0.1'},
              {'Origin': 'http://127.0.0.1:%d' % own.port(1)}, {'Origin': 'http://localhost:%d' % port}, {'Origin': here + '/'},
              {'Origin': 'http://evil.example'}, {'Origin': here + '.evil.example'}, {'Origin': 'http://evil.example@127.0.0.1:%d' % port},
              {'Origin': 'http://evil.example', 'Sec-Fetch-Site': 'same-origin'}, {'Sec-Fetch-Site': 'cross-site'},
              {'Sec-Fetch-Site': 'same-site'}, {'Sec-Fetch-Site': 'none'}, {'Referer': here + '/'},
              {'Origin': 'http://evil.example', 'X-Forwarded-Host': 'evil.example'},     # not a name of ours, whoever says so
              {'Origin': 'https://127.0.0.1:%d' % port, 'Forwarded': 'proto=https'}]
    before = newest(own)
    for h in forged:
        a = b.call('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': own.desktop}, origin=False, **h)
        a.error(403, 'CROSS_ORIGIN')
    for kind in ['text/plain', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded']:   # what a form can send
        h = {'Cookie': b.cookie, 'Content-Type': kind, 'Origin': here}
        assert http_call(port, 'POST', TASKS, b'{"type":"command","content":"true","desktopId":"desktop_1"}', h).status == 415
    assert newest(own) == before
    for h in [{'Origin': here}, {'Origin': here.upper()}, {'Sec-Fetch-Site': 'same-origin'}, {'Origin': here, 'Sec-Fetch-Site': 'cross-site'},
              {'Origin': 'http://localhost:99', 'X-Forwarded-Host': 'localhost:99'},
              {'Origin': 'https://localhost', 'X-Forwarded-Host': 'localhost', 'X-Forwarded-Proto': 'https'}]:
        b.call('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': own.desktop}, origin=False, **h).ok(201)
    b.call('GET', ME, origin=False, Origin='http://evil.example').ok()      # what changes nothing is not asked where it comes from


@pytest.mark.parametrize('route', [r for r in ROUTES if r['method'] != 'GET' and r['role'] != 'none'], ids=name)
def test_forged_on_each_route(own, route):
    b = own.__dict__.setdefault('admins_browser', None)
    if not b:
        own.admins_browser = b = signed_in(own, 'admin')[1]
    before = newest(own)
    body = {} if route['body'] == 'JSON' else None
    a = b.call(route['method'], path_of(route['path'], route['id']), body, origin=False, Origin='http://evil.example')
    a.error(403, 'CROSS_ORIGIN')
    assert newest(own) == before and a.headers['Vary'] == 'Cookie'


def test_sign_in_from_another_site(own):
    u = user(own)
    for h in [{'Origin': 'http://evil.example'}, {'Origin': 'null'}, {'Sec-Fetch-Site': 'cross-site'}]:
        Browser(own).login(u['username'], origin=False, **h).error(403, 'CROSS_ORIGIN')
    for kind in ['text/plain', 'application/x-www-form-urlencoded', None]:
        h = {'Content-Type': kind} if kind else {}
        a = http_call(own.port(), 'POST', LOGIN, json.dumps({'username': u['username'], 'password': SECRET}).encode(), h)
        a.error(415)
        assert 'Set-Cookie' not in a.headers
    Browser(own).login(u['username'], origin=False).ok()    # not a browser


def test_host_that_is_not_ours(own):
    u, b = signed_in(own)
    for call in [lambda **h: b.call('GET', ME, **h), lambda **h: b.call('POST', LOGOUT, **h), lambda **h: Browser(own).login(u['username'], **h)]:
        call(Host='evil.example').error(421, 'MISDIRECTED')
        call(Host='evil.example', origin=False, Origin='http://evil.example').error(421)
    with Stream(own.port(), ACTIVITY, None, headers={'Cookie': b.cookie, 'Host': 'evil.example'}) as s:
        assert s.status == 421
    b.call('GET', ME).ok()


# ---------------------------------------------------------------- streams

@pytest.mark.skipif(not NODE, reason='Node is not installed')
@pytest.mark.parametrize('path', [ACTIVITY, DESKTOPS])
def test_eventsource_with_the_session_cookie(own, path):
    """The printed sample: new EventSource(path), the browser adds the cookie."""
    _, b = signed_in(own, 'viewer')
    with Es('--cookie=' + b.cookie, own.url(0) + path, own.url(1) + path) as e:
        for n in (0, 1):
            e.wait_open(n)
        if path == DESKTOPS:
            own.stop_desktop(own.api('POST', '/api/desktops', {'name': 'made', 'driver': 'local'}).ok(201)['id'])
        else:
            own.task('true')
        kind = 'desktop.status' if path == DESKTOPS else 'task.created'
        for n in (0, 1):
            e.wait_event(lambda x: x['type'] == kind, n)
        b.call('POST', LOGOUT)
        for n in (0, 1):        # cut off; it comes back, gets the 401, and gives up
            e.wait('401', lambda ls: any(x['n'] == n and x.get('code') == 401 for x in map(json.loads, ls)))


ENDS = {
    'logout': (lambda i, u, b: b.call('POST', LOGOUT).ok(204), True, False),
    'role': (lambda i, u, b: i.api('PATCH', '%s/%s' % (USERS, u['id']), {'role': 'viewer'}).ok(), False, True),
    'password': (lambda i, u, b: i.api('PATCH', '%s/%s' % (USERS, u['id']), {'password': 'mountain river tango'}).ok(), True, True),
    'disabled': (lambda i, u, b: i.api('PATCH', '%s/%s' % (USERS, u['id']), {'disabled': True}).ok(), True, True),
    'deleted': (lambda i, u, b: i.api('DELETE', '%s/%s' % (USERS, u['id'])).ok(204), True, True),
}


@pytest.mark.parametrize('what', ENDS)
def test_what_ends_the_streams(own, what):
    """Streams of a session, on all views and both gateways; nothing is shown after it. Those of the user's key go with its user."""
    act, over, keys_too = ENDS[what]
    u, b = signed_in(own)
    key = b.call('POST', KEYS, {'name': 'k'}).ok(201)['key']
    mine = [b.stream(p, gw) for p in (ACTIVITY, FEED, DESKTOPS) for gw in (0, 1)]
    keyed = [own.stream(ACTIVITY, gw, key=key) for gw in (0, 1)]
    others = [own.stream(ACTIVITY, gw) for gw in (0, 1)]
    try:
        t = own.task('true')['id']
        for s in mine[:4] + keyed + others:
            s.wait('task.created')
        seen = {s: len(s.frames) for s in mine + keyed}
        act(own, u, b)
        for s in mine + (keyed if keys_too else []):
            s.wait_end(5)
        after = own.task('true')['id']
        for s in others:
            s.wait_task(after, 'task.created')
        for s in mine + (keyed if keys_too else []):
            assert len(s.frames) == seen[s] and s.ended != 'closed'
            s.check()
        if not keys_too:
            for s in keyed:
                s.wait_task(after, 'task.created')
        assert t != after
    finally:
        for s in mine + keyed + others:
            s.close()
    for gw in (0, 1):
        if over:
            gone(b, gw)
        else:
            b.call('GET', ME, gw=gw).ok()
        status = own.api('GET', ME, gw=gw, key=key).status
        assert status == (401 if what in ('disabled', 'deleted') else 200)


def test_a_revoked_key_ends_many_streams(own):
    key = own.api('POST', KEYS, {'name': 'many'}).ok(201)
    streams = [own.stream(p, n % 2, key=key['key']) for n in range(16) for p in (ACTIVITY, FEED, DESKTOPS)]
    try:
        own.task('true')
        for s in streams:
            if s.frames or streams.index(s) % 3 != 2:
                s.wait('task.created')
        own.api('DELETE', '%s/%s' % (KEYS, key['id'])).ok(204)
        for s in streams:
            s.wait_end(5)
        n = [len(s.frames) for s in streams]
        own.task('true')
        with own.stream(ACTIVITY, last_id=1) as witness:
            witness.wait(2)
        assert [len(s.frames) for s in streams] == n
    finally:
        for s in streams:
            s.close()
    for gw in (0, 1):
        own.api('GET', ME, gw=gw, key=key['key']).error(401)
        with own.stream(ACTIVITY, gw, key=key['key']) as s:
            assert s.status == 401


# ---------------------------------------------------------------- stale authority

def test_a_role_is_what_it_is_now(own):
    u, b = signed_in(own, 'admin')
    key = b.call('POST', KEYS, {'name': 'k'}).ok(201)['key']
    for gw in (0, 1):
        b.call('GET', USERS, gw=gw).ok()
        own.api('GET', USERS, gw=gw, key=key).ok()
    a = own.api('PATCH', '%s/%s' % (USERS, u['id']), {'role': 'viewer'})
    assert a.ok()['role'] == 'viewer'
    for gw in (0, 1):
        wait_until('403', lambda: b.call('GET', USERS, gw=gw).status == 403, 5)
        own.api('GET', USERS, gw=gw, key=key).error(403, 'FORBIDDEN')
        b.call('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': own.desktop}, gw=gw).error(403)
        assert b.call('GET', ME, gw=gw).ok()['role'] == 'viewer'
    # the broker itself knows at once: what a gateway believes changes nothing
    own.api('PATCH', '%s/%s' % (USERS, u['id']), {'role': 'operator'}).ok()
    wait_until('201', lambda: b.call('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': own.desktop}, gw=1).status == 201, 5)


def test_one_changes_ones_password(own):
    u, b = signed_in(own)
    other = Browser(own, 1)
    other.login(u['username']).ok()
    key = b.call('POST', KEYS, {'name': 'k'}).ok(201)['key']
    fresh = 'mountain river tango'
    b.call('POST', PASSWORD, {'newPassword': fresh}).error(400, 'MISSING_FIELD', field='currentPassword')
    b.call('POST', PASSWORD, {'newPassword': fresh, 'currentPassword': 'not it'}).error(400, 'INVALID_FIELD', field='currentPassword')
    b.call('POST', PASSWORD, {'newPassword': 'short', 'currentPassword': SECRET}).error(400, 'INVALID_FIELD', field='newPassword')
    b.call('POST', PASSWORD, {'newPassword': 'my %s is 7' % u['username'].lower(), 'currentPassword': SECRET})
    assert b.call('POST', PASSWORD, {'newPassword': fresh, 'currentPassword': SECRET}).status == 204
    for gw in (0, 1):
        b.call('GET', ME, gw=gw).ok()
        gone(other, gw)
        own.api('GET', ME, key=key, gw=gw).ok()
    Browser(own).login(u['username']).error(401)
    Browser(own).login(u['username'], fresh).ok()


def test_a_first_password_needs_no_old_one(own):
    u = user(own, password=None)
    own.api('PATCH', '%s/%s' % (USERS, u['id']), {'password': SECRET}).ok()
    b = Browser(own)
    b.login(u['username']).ok()
    key = b.call('POST', KEYS, {'name': 'k'}).ok(201)['key']
    own.api('POST', PASSWORD, {'newPassword': 'mountain river tango'}, key=key).error(400, 'MISSING_FIELD', field='currentPassword')
    assert not next(x for x in own.api('GET', USERS).ok() if x['username'] == 'admin')['hasPassword']
    weak = own.api('POST', KEYS, {'name': 'weak', 'role': 'viewer'}).ok(201)['key']     # it must not become a session of the admin's
    own.api('POST', PASSWORD, {'newPassword': 'mountain river tango'}, key=weak).error(403, 'FORBIDDEN')
    assert own.api('POST', PASSWORD, {'newPassword': 'mountain river tango'}).status == 204      # the admin's, by the first key
    assert next(x for x in own.api('GET', USERS).ok() if x['username'] == 'admin')['hasPassword']
    own.api('POST', PASSWORD, {'newPassword': 'mountain river tango'}).error(400, 'MISSING_FIELD', field='currentPassword')


def test_a_guessed_current_password_is_held_up(own):
    _, b = signed_in(own)
    statuses = [b.call('POST', PASSWORD, {'newPassword': 'mountain river tango', 'currentPassword': 'guess %d' % n}).status for n in range(7)]
    assert statuses == [400] * 5 + [429] * 2
    b.call('GET', ME).ok()


def test_disabled_and_enabled_again(own):
    u, b = signed_in(own)
    key = b.call('POST', KEYS, {'name': 'k'}).ok(201)['key']
    path = '%s/%s' % (USERS, u['id'])
    assert own.api('PATCH', path, {'disabled': True}).ok()['disabled'] is True
    for gw in (0, 1):
        gone(b, gw)
        own.api('GET', ME, key=key, gw=gw).error(401)
    Browser(own).login(u['username']).error(401)
    assert own.api('PATCH', path, {'disabled': False}).ok()['disabled'] is False
    for gw in (0, 1):
        wait_until('the key works again', lambda: own.api('GET', ME, key=key, gw=gw).status == 200, 5)
        b.call('GET', ME, gw=gw).error(401)     # the session has ended for good
    Browser(own).login(u['username']).ok()


def test_sessions_outlive_every_process(fresh):
    i = fresh(gateways=1, workers=0, gateway_args=('--trusted-proxies', '127.0.0.1'))
    _, b = signed_in(i)
    i.broker.kill9()
    Browser(i).login('admin', 'wrong guess').error(503)
    i.gateways[0].kill9()
    i.broker.start()
    i.gateways[0].start()
    i.wait_ready()
    b.call('GET', ME).ok()
    b.call('POST', LOGOUT).ok(204)
    i.broker.kill9()
    i.broker.start()
    i.wait_ready()
    wait_until('401', lambda: b.call('GET', ME).status == 401, 5)


# ---------------------------------------------------------------- users

def test_users(own):
    a = user(own, 'viewer')
    same = own.api('POST', USERS, {'username': a['username'].lower(), 'role': 'viewer'})
    same.error(409, 'NAME_TAKEN', field='username')
    listed = own.api('GET', USERS).ok()
    assert listed[0]['username'] == 'admin' and [x['id'] for x in listed] == sorted((x['id'] for x in listed), key=lambda t: int(t[5:]))
    assert set(listed[0]) == {'id', 'username', 'role', 'disabled', 'hasPassword', 'createdAt', 'lastLoginAt'}
    before = newest(own)
    assert own.api('PATCH', '%s/%s' % (USERS, a['id']), {}).ok() == a
    assert own.api('PATCH', '%s/%s' % (USERS, a['id']), {'role': None, 'disabled': None, 'password': None, 'username': 'other'}).ok() == a
    assert newest(own) == before    # nothing was changed, nothing is said
    own.api('DELETE', '%s/%s' % (USERS, a['id'])).ok(204)
    own.api('DELETE', '%s/%s' % (USERS, a['id'])).error(404)
    own.api('PATCH', '%s/%s' % (USERS, a['id']), {'role': 'admin'}).error(404)
    own.api('PATCH', '%s/%s' % (USERS, a['id']), {'password': SECRET}).error(404)
    b = own.api('POST', USERS, {'username': a['username'], 'role': 'viewer'}).ok(201)    # the name is free again, the number is not
    assert b['id'] != a['id']


@pytest.mark.parametrize('name_', ['a', 'A1', '0x', 'ann.sommers+mc@example.org', 'a_b-c', 'x' * 64])
def test_names(own, name_):
    u = own.api('POST', USERS, {'username': name_, 'role': 'viewer'}).ok(201)
    assert u['username'] == name_
    own.api('DELETE', '%s/%s' % (USERS, u['id'])).ok(204)


def test_an_admin_stays(fresh):
    i = fresh(gateways=1, workers=0)
    me = i.api('GET', ME).ok()['id']
    for method, body in [('PATCH', {'role': 'operator'}), ('PATCH', {'disabled': True}), ('DELETE', None)]:
        i.api(method, '%s/%s' % (USERS, me), body).error(409, 'LAST_ADMIN')
    two = i.api('POST', USERS, {'username': 'two', 'role': 'admin'}).ok(201)['id']
    with ThreadPoolExecutor(2) as pool:     # of two at once, one has to stay
        got = list(pool.map(lambda x: i.api('PATCH', '%s/%s' % (USERS, x), {'role': 'viewer'}).status, [two, me]))
    assert sorted(got) in ([200, 403], [200, 409]), got


# ---------------------------------------------------------------- guesses

def wrong(b, who, n=1):
    return [b.login(who, 'wrong guess %d' % k).status for k in range(n)]


def test_guesses_from_one_address(own):
    u, b, elsewhere = user(own), Browser(own), Browser(own)
    inside = Browser(own, address=b.address)
    inside.login(u['username']).ok()
    assert wrong(b, u['username'], 5) == [401] * 5
    a = b.login(u['username'])                                  # the right one has to wait too
    a.error(429, 'LOGIN_THROTTLED')
    assert 1 <= int(a.headers['Retry-After']) <= 2
    Browser(own, address=b.address).login(user(own)['username']).error(429)    # another name from there
    inside.call('GET', ME).ok()                                 # who is in stays in
    elsewhere.login(u['username']).ok()                         # and the name is open to others

    def passes():
        a = b.login(u['username'])
        return a if a.status == 200 else None
    assert wait_until('the wait is over', passes, 10).ok()


def test_guesses_from_many_addresses(own):
    u = user(own)
    known = Browser(own)
    known.login(u['username']).ok()
    outcomes = [wrong(Browser(own), u['username'])[0] for _ in range(8)]
    assert outcomes[:5] == [401] * 5 and 429 in outcomes[5:]
    Browser(own, address=known.address).login(u['username']).ok()   # from where the user has been before
    known.call('GET', ME).ok()
    Browser(own).login(user(own)['username']).ok()                  # nobody else is held up


def test_addresses_are_the_sockets_unless_a_proxy_is_trusted(fresh):
    i = fresh(gateways=1, workers=0)
    u = user(i)
    got = []
    for n in range(7):
        b = Browser(i, address='10.2.0.%d' % n)
        got.append(b.login('nobody%d' % n, 'wrong', Forwarded='for=10.3.0.%d' % n, X_Real_IP='10.4.0.%d' % n).status)
    assert got == [401] * 5 + [429] * 2
    b = Browser(i)
    wait_until('the wait is over', lambda: b.login(u['username']).status == 200, 10)
    here = 'http://127.0.0.1:%d' % i.port()
    task = {'type': 'command', 'content': 'true', 'desktopId': i.desktop}
    for h in [{'Origin': 'http://localhost:99', 'X-Forwarded-Host': 'localhost:99'}, {'Origin': here.replace('http', 'https'), 'X-Forwarded-Proto': 'https'}]:
        b.call('POST', TASKS, task, origin=False, **h).error(403, 'CROSS_ORIGIN')
    b.call('POST', TASKS, task).ok(201)


def test_many_at_once_are_bounded(own):
    u, stop, slow = user(own), threading.Event(), []

    def look():
        while not stop.is_set():
            slow.append(own.api('GET', '/healthz', key=None).status)
    t = threading.Thread(target=look)
    t.start()
    try:
        with ThreadPoolExecutor(24) as pool:
            got = list(pool.map(lambda n: Browser(own).login('nobody%d' % n, 'wrong guess').status, range(24)))
    finally:
        stop.set()
        t.join()
    assert set(got) <= {401, 429} and 401 in got
    assert set(slow) == {200}
    Browser(own).login(u['username']).ok()


def test_a_client_that_leaves_has_guessed(own):
    u, address = user(own), Browser(own).address
    body = json.dumps({'username': 'not-' + u['username'], 'password': 'wrong guess'}).encode()
    for _ in range(5):
        c = http.client.HTTPConnection('127.0.0.1', own.port(), timeout=10 * STRETCH)
        c.request('POST', LOGIN, body, {'Content-Type': 'application/json', 'X-Forwarded-For': address})
        c.close()
    wait_until('429', lambda: Browser(own, address=address).login(u['username']).status == 429, 5)


# ---------------------------------------------------------------- last use; what is nowhere to be found

def test_last_use_of_keys(own):
    k = own.api('POST', KEYS, {'name': 'used'}).ok(201)
    assert k['lastUsedAt'] is None

    def row():
        return next(x for x in own.api('GET', KEYS, gw=1).ok() if x['id'] == k['id'])
    assert row()['lastUsedAt'] is None
    before = newest(own)
    own.api('GET', ME, key=k['key']).ok()
    used = wait_until('lastUsedAt', lambda: row()['lastUsedAt'], 10)
    assert used >= k['createdAt'] and newest(own) == before     # no row of the log


def test_secrets_are_nowhere(own):
    secret, wrong_one = 'copper lantern %d' % next(_names), 'brass lantern %d' % next(_names)
    u = user(own, password=secret)
    b = Browser(own)
    b.login(u['username'], wrong_one).error(401)
    b.login(u['username'], secret).ok()
    token = b.cookie.split('=')[1]
    key = b.call('POST', KEYS, {'name': 'k'}).ok(201)['key']
    for where in ['?apiKey=' + token, '?%61pi_key=' + token, '?x=' + token, '/' + token]:
        own.api('GET', ACTIVITY + where, key=None)
    b.call('POST', PASSWORD, {'currentPassword': secret, 'newPassword': secret + ' more'}).ok(204)
    b.call('POST', PASSWORD, {'currentPassword': wrong_one, 'newPassword': 'x'})
    a = b.call('PATCH', '%s/%s' % (USERS, u['id']), {'password': secret})
    assert secret not in a.text
    b.call('POST', LOGOUT).ok(204)
    wait_until('the access log has it', lambda: u['id'] and LOGOUT in own.gateways[0].log_text())
    files = [p.log for p in own.progs()] + [os.path.join(d, f) for d, _, fs in os.walk(own.data) for f in fs]
    for path in files:
        if os.path.isfile(path):
            with open(path, 'rb') as f:
                data = f.read()
            for s in (secret, wrong_one, token, key, token[5:], key[5:]):
                assert s.encode() not in data, (path, s)
    for p in own.gateways + [own.broker]:
        with open('/proc/%d/cmdline' % p.pid, 'rb') as f:
            assert token.encode() not in f.read()


def test_the_audit_trail_knows_it_all(own):
    u, b = user(own), Browser(own)
    b.login(u['username'], 'wrong guess 1').error(401)
    b.login(u['username']).ok()
    b.call('POST', PASSWORD, {'currentPassword': SECRET, 'newPassword': 'mountain river tango'}).ok(204)
    b.call('POST', LOGOUT).ok(204)
    own.api('PATCH', '%s/%s' % (USERS, u['id']), {'role': 'viewer', 'disabled': True}).ok()
    own.api('DELETE', '%s/%s' % (USERS, u['id'])).ok(204)
    wanted = ['user.created', 'user.login_failed', 'user.login', 'user.updated', 'user.logout', 'user.updated', 'user.updated', 'user.deleted']

    def rows():
        a = own.api('GET', '/api/activities?entity_type=user&limit=100').ok()
        mine = [r for r in a['activities'] if r['entity_id'] == int(u['id'][5:])]
        return mine[::-1] if len(mine) == len(wanted) else None
    got = wait_until('all rows', rows, 5)
    assert sorted(r['type'] for r in got) == sorted(wanted)
    for r in got:
        if r['type'] in ('user.login', 'user.login_failed'):
            assert r['data'] == {'name': u['username'], 'address': b.address, 'method': 'password'}
    assert {r['actor'] for r in got if r['type'] in ('user.login', 'user.logout')} == {u['username']}
    text = json.dumps(got)
    assert SECRET not in text and 'mountain' not in text and 'argon2' not in text


def test_the_activities_page_with_its_cookie(own):
    """The printed requests: Cookie: mc-session=..."""
    _, b = signed_in(own, 'viewer')
    assert b.cookie.startswith('mc-session=')
    for query in ['type=task.updated&limit=20', 'stats=true&hours=48']:
        a = http_call(own.port(), 'GET', '/api/activities?' + query, None, {'Cookie': b.cookie})
        assert a.ok() and a.headers['Vary'] == 'Cookie'
        http_call(own.port(), 'GET', '/api/activities?' + query, None, {'Cookie': 'mc-session=your-session-token'}).error(401, 'UNAUTHORIZED')
