"""Workspaces: each sees its own things and nothing else. What belongs to another is answered as what does not exist, octet for
octet, on every route and for every parameter that names something; streams, counters and repeats are kept apart too."""
import json
import re

import pytest
from harness import ACTIVITY, TASKS, Install, wait_until
from test_api import APPROVALS, DESKTOPS, KEYS, OVERVIEW, ROUTES, SESSIONS, SETTINGS, STREAMS, name, newest, path_of

WORKSPACES, USERS, WEBHOOKS = '/api/workspaces', '/api/users', '/api/webhooks'
ABSENT = 987654321
INSTALLATIONS = {'worker'}      # kinds that belong to no workspace
RIGHT = {  # bodies that would be right for one's own
    'review': {'decision': 'approve'}, 'resolve': {'decision': 'approve'}, 'comments': {'content': 'x'},
    'tasks/:id': {'title': 'taken over'}, 'desktops/:id': {'name': 'taken over'}, 'users/:id': {'role': 'admin', 'password': 'violet admin kettle'},
    'agents/:id': {'name': 'taken over'}, 'webhooks/:id': {'enabled': False},
}


def has(path):
    return any(r['path'] == path for r in ROUTES)


@pytest.fixture(scope='module')
def two():
    """The first workspace, with one of everything, and a second one with an admin of its own."""
    i = Install(gateways=2, workers=1)
    ids = {'desktop': i.desktop, 'key': i.api('GET', KEYS).ok()[0]['id'], 'user': i.api('GET', '/api/auth/me').ok()['id']}
    wait_until('the desktop is running', lambda: i.api('GET', DESKTOPS).ok()[0]['status'] == 'running', 15)
    ids['agent'] = i.api('GET', DESKTOPS).ok()[0]['agentId']
    t = i.task('echo mine', run=True, requiresApproval=True)
    t = i.wait_task(t['id'], 'review')
    ids.update(task=t['id'], session=t['sessionId'], approval=t['approvalId'])
    if has(WEBHOOKS):
        ids['webhook'] = i.api('POST', WEBHOOKS, {'url': 'http://203.0.113.1/', 'events': ['task.deleted']}).ok(201)['id']
    made = i.api('POST', WORKSPACES, {'name': 'second', 'admin': {'username': 'Eve'}}).ok(201)
    i.ids, i.made, i.eve = ids, made, made['key']
    wait_until('the key is known on both gateways', lambda: all(i.api('GET', '/api/auth/me', key=i.eve, gw=g).status == 200 for g in (0, 1)))
    yield i
    i.close()


def body_of(route):
    end = next((b for k, b in RIGHT.items() if route['path'].endswith(k)), {})
    return end if route['body'] == 'JSON' else None


def plain(a):
    """All of an answer but what differs from one answer to the next."""
    j = json.loads(a.raw) if a.raw else {}
    rid = j.pop('requestId', None)
    assert rid is None or rid == a.headers['X-Request-Id']
    left = {k: v for k, v in a.headers.items() if k not in ('Date', 'X-Request-Id') and not k.startswith(('RateLimit', 'X-RateLimit'))}
    return a.status, left, j


# ---------------------------------------------------------------- making them

def test_a_workspace_is_made(two):
    m = two.made
    assert m['id'] == 'workspace_2' and m['name'] == 'second' and re.fullmatch(r'mc_k_[A-Za-z0-9_-]{43}', m['key'])
    assert m['admin']['username'] == 'Eve' and m['admin']['role'] == 'admin' and not m['admin']['hasPassword']
    me = two.api('GET', '/api/auth/me', key=two.eve).ok()
    assert me == {'id': m['admin']['id'], 'username': 'Eve', 'role': 'admin', 'workspaceId': 'workspace_2'}
    assert [w['name'] for w in two.api('GET', WORKSPACES).ok()][:2] == ['default', 'second']
    assert set(two.api('GET', WORKSPACES).ok()[0]) == {'id', 'name', 'createdAt'}
    for method, body in [('GET', None), ('POST', {'name': 'third', 'admin': {'username': 'third'}})]:
        two.api(method, WORKSPACES, body, key=two.eve).error(403, 'FORBIDDEN')
    two.api('POST', WORKSPACES, {'name': 'again', 'admin': {'username': 'EVE'}}).error(409, 'NAME_TAKEN', field='admin.username')


def test_workers_are_the_installations(two):
    """A worker runs what any workspace asks for: only admins of the first one may add one, or take one away."""
    before = newest(two)
    two.api('POST', '/api/workers', {'name': 'eves'}, key=two.eve).error(403, 'FORBIDDEN')
    two.api('POST', '/api/workers/worker_1/drain', key=two.eve).error(403, 'FORBIDDEN')
    assert newest(two) == before
    two.api('POST', '/api/workers', {'name': 'admins'}).ok(201)


def test_it_has_everything_of_its_own(two):
    eve = {'key': two.eve}
    for path in [TASKS, SESSIONS, APPROVALS + '?status=approved', DESKTOPS] + ([WEBHOOKS] if has(WEBHOOKS) else []):
        assert two.api('GET', path, **eve).ok() == [], path
    assert two.api('GET', TASKS, **eve).headers['X-Total-Count'] == '0'
    o = two.api('GET', OVERVIEW, **eve).ok()
    assert set(o['tasks'].values()) == {0} and o['desktops'] == [] and o['pendingApprovals'] == 0 and o['activeDesktops'] == 0
    assert o['resources']['memory']['total'] == 0
    assert [u['username'] for u in two.api('GET', USERS, **eve).ok()] == ['Eve']
    assert [k['username'] for k in two.api('GET', KEYS, **eve).ok()] == ['Eve']
    assert two.api('PUT', SETTINGS, {'retentionDays': 3, 'requireApproval': True}, **eve).ok()['retentionDays'] == 3
    assert two.api('GET', SETTINGS).ok()['retentionDays'] == 30 and not two.api('GET', SETTINGS).ok()['requireApproval']
    assert two.api('PUT', SETTINGS, {'requireApproval': False}, **eve).ok()


def test_it_works(two):
    """Its own desktop, task, run and approval."""
    d = two.api('POST', DESKTOPS, {'name': 'eves', 'driver': 'local'}, key=two.eve).ok(201)
    wait_until('running', lambda: two.api('GET', '%s/%s' % (DESKTOPS, d['id']), key=two.eve).ok()['status'] == 'running', 15)
    t = two.api('POST', TASKS, {'type': 'command', 'content': 'echo hers', 'desktopId': d['id'], 'run': True}, key=two.eve).ok(201)
    path = '%s/%s' % (TASKS, t['id'])
    wait_until('done', lambda: two.api('GET', path, key=two.eve).ok()['status'] == 'done', 15)
    assert two.api('GET', path + '/output', key=two.eve).text == 'hers\n'
    two.api('GET', path).error(404)
    two.api('GET', path + '/output').error(404)
    assert t['id'] not in [x['id'] for x in two.api('GET', TASKS).ok()]
    assert two.api('GET', OVERVIEW, key=two.eve).ok()['tasks']['done'] == 1
    for x in ['/api/desktops/' + d['id'], path]:
        two.api('DELETE', x).error(404)
        assert two.api('DELETE', x, key=two.eve).status in (204, 409)


# ---------------------------------------------------------------- each route, each parameter that names something

@pytest.mark.parametrize('route', [r for r in ROUTES if r['id'] not in ('none', *INSTALLATIONS)], ids=name)
def test_another_workspaces_object_is_absent(two, route):
    body = body_of(route)
    before, mine = newest(two), two.api('GET', path_of(route['path'], route['id']).split('/%s_' % route['id'])[0])
    for gw in (0, 1):
        answers = [plain(two.api(route['method'], p, body, key=two.eve, gw=gw))
                   for p in (route['path'].replace(':id', two.ids[route['id']]), path_of(route['path'], route['id'], ABSENT))]
        assert answers[0][0] == 404 and answers[0][2]['code'] == 'NOT_FOUND', answers
        for a in answers:
            assert two.ids[route['id']] not in json.dumps(a)
            a[1].pop('X-Mc-Sequence', None)     # the installation's
        assert answers[0] == answers[1]
    assert newest(two) == before
    again = two.api('GET', path_of(route['path'], route['id']).split('/%s_' % route['id'])[0])
    if mine.status == 200 and 'desktops' not in route['path'] and 'api-keys' not in route['path']:  # these show figures that move
        assert mine.json == again.json


def test_desktops_of_others_in_bodies(two):
    for d in [two.ids['desktop'], 'desktop_%d' % ABSENT]:
        a = two.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': d, 'run': True}, key=two.eve)
        assert a.error(400, 'UNKNOWN_DESKTOP', field='desktopId')['error'] == 'There is no such desktop'
    d = two.api('POST', DESKTOPS, {'name': 'own', 'driver': 'local'}, key=two.eve).ok(201)
    t = two.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': d['id']}, key=two.eve).ok(201)
    path = '%s/%s' % (TASKS, t['id'])
    answers = [plain(two.api('PATCH', path, {'desktopId': x}, key=two.eve)) for x in (two.ids['desktop'], 'desktop_%d' % ABSENT)]
    assert answers[0] == answers[1] and answers[0][0] == 400
    two.api('DELETE', path, key=two.eve).ok(204)
    two.api('DELETE', '/api/desktops/' + d['id'], key=two.eve).ok(204)


PARAMETERS = [(TASKS, 'desktopId', 'desktop'), (TASKS, 'before', 'task'), (SESSIONS, 'taskId', 'task'), (SESSIONS, 'desktopId', 'desktop'),
              (SESSIONS, 'before', 'session')]
PARAMETERS += [('/api/mission-control/events', p, k) for p, k in [('desktop', 'desktop'), ('agent', 'agent'), ('entity', 'task'), ('entity', 'session'),
                                                                   ('entity', 'agent')] if has('/api/mission-control/events')]
PARAMETERS += [('/api/activities', 'entity_id', 'task')] if has('/api/activities') else []


@pytest.mark.parametrize('path,param,kind', PARAMETERS)
def test_parameters_that_name_what_others_have(two, path, param, kind):
    show = (lambda x: x) if param != 'entity_id' else (lambda x: x.split('_')[1])
    answers = []
    for x in (two.ids[kind], '%s_%d' % (kind, ABSENT)):
        a = two.api('GET', '%s?%s=%s' % (path, param, show(x)), key=two.eve)
        status, headers, j = plain(a) if a.raw[:1] == b'{' else (a.status, {}, a.json)
        answers.append((status, j))
        assert two.ids['task'] not in a.text and '"mine"' not in a.text
    assert answers[0][0] == 200
    if param != 'before':
        assert answers[0] == answers[1]


def test_sessions_of_others_in_output(two):
    d = two.api('POST', DESKTOPS, {'name': 'own', 'driver': 'local'}, key=two.eve).ok(201)
    t = two.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': d['id']}, key=two.eve).ok(201)
    path = '%s/%s' % (TASKS, t['id'])
    answers = [plain(two.api('GET', '%s/output?session=%s' % (path, x), key=two.eve)) for x in (two.ids['session'], 'session_%d' % ABSENT)]
    assert answers[0] == answers[1] and answers[0][0] == 404
    two.api('DELETE', path, key=two.eve).ok(204)
    two.api('DELETE', '/api/desktops/' + d['id'], key=two.eve).ok(204)


def test_repeats_are_a_users(two):
    d = two.api('POST', DESKTOPS, {'name': 'own', 'driver': 'local'}, key=two.eve).ok(201)
    h = {'Idempotency-Key': 'the-same'}
    mine = two.task('true', headers=h)
    hers = two.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': d['id']}, key=two.eve, headers=h).ok(201)
    assert mine['id'] != hers['id'] and hers['desktopId'] == d['id']
    for k, t in [(two.key, mine), (two.eve, hers)]:
        two.api('DELETE', '%s/%s' % (TASKS, t['id']), key=k).ok(204)
    two.api('DELETE', '/api/desktops/' + d['id'], key=two.eve).ok(204)


def test_names_of_people_are_the_installations(two):
    two.api('POST', USERS, {'username': 'eve', 'role': 'viewer'}).error(409, 'NAME_TAKEN')
    two.api('POST', USERS, {'username': 'Admin', 'role': 'viewer'}, key=two.eve).error(409, 'NAME_TAKEN')
    u = two.api('POST', USERS, {'username': 'walter', 'role': 'viewer', 'password': 'violet kettle 42'}, key=two.eve).ok(201)
    a = two.api('POST', '/api/auth/login', {'username': 'walter', 'password': 'violet kettle 42'}, key=None)
    assert a.ok()['workspaceId'] == 'workspace_2'
    assert u['id'] not in [x['id'] for x in two.api('GET', USERS).ok()]
    two.api('DELETE', '%s/%s' % (USERS, u['id'])).error(404)
    two.api('DELETE', '%s/%s' % (USERS, u['id']), key=two.eve).ok(204)


# ---------------------------------------------------------------- streams

def everything(f):
    return json.dumps(f.data)


@pytest.mark.parametrize('route', STREAMS, ids=name)
def test_streams_show_ones_own(two, route):
    """From the first number there is, and live; with filters that name what the others have; on both gateways."""
    path, ids = route['path'], two.ids
    filters = ['', '?desktopId=' + ids['desktop'], '?agentId=' + ids['agent']]
    if path == ACTIVITY:
        filters.append('?include=output,metrics')
    hers = [two.stream(path + f, gw, key=two.eve, last_id=start) for f in filters for gw in (0, 1) for start in (1, None)]
    theirs = [two.stream(path, gw) for gw in (0, 1)]
    try:
        d = two.api('POST', DESKTOPS, {'name': 'own', 'driver': 'local'}, key=two.eve).ok(201)
        made = two.api('POST', TASKS, {'type': 'command', 'content': 'echo hers', 'desktopId': d['id']}, key=two.eve).ok(201)
        t = two.task('echo mine again', run=True)
        two.wait_task(t['id'], 'done')
        two.api('POST', DESKTOPS, {'name': 'theirs', 'driver': 'local'}).ok(201)
        last = two.api('POST', DESKTOPS, {'name': 'last of hers', 'driver': 'local'}, key=two.eve).ok(201)
        end = two.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': last['id']}, key=two.eve).ok(201)
        sign = last['id'] if 'desktops' in path else end['id']
        for s in hers[:4] + (hers[12:] if path == ACTIVITY else []):
            s.wait(lambda fs: any(sign in everything(f) for f in fs))
        for s in theirs:
            s.wait(lambda fs: any(('theirs' if 'desktops' in path else t['id']) in everything(f) for f in fs))
        own_ids = {d['id'], last['id'], made['id'], end['id']}
        for s in hers:
            s.check()
            for f in s.frames:
                text = everything(f)
                assert f.type == 'stream.resync' or 'mine' not in text
                assert not set(re.findall(r'"(?:task|desktop|session|approval|agent)_\d+"', text)) & {'"%s"' % x for x in [*ids.values(), t['id']]}, text
        for s in hers[4:12]:        # named what others have: nothing at all
            assert [f for f in s.frames if f.type != 'stream.resync'] == []
        for s in theirs:
            for f in s.frames:
                assert not set(re.findall(r'"(\w+_\d+)"', everything(f))) & own_ids
    finally:
        for s in hers + theirs:
            s.close()


def test_output_of_others_cannot_be_followed(two):
    answers = []
    for x in (two.ids['task'], 'task_%d' % ABSENT):
        a = two.api('GET', '%s/%s/output' % (TASKS, x), key=two.eve, headers={'Accept': 'text/event-stream'})
        answers.append(plain(a))
        answers[-1][1].pop('X-Mc-Sequence', None)
    assert answers[0] == answers[1] and answers[0][0] == 404
