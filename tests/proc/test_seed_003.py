"""The page "Activities API", request by request: the list with each parameter, its paging and the joined objects, the statistics, the
polling loop as printed (run by node), the errors. Requests go to two gateways in turn."""
import itertools
import json
import os
import re
import subprocess
import threading
import time

import pytest
from harness import TASKS, Install, end, popen, wait_until

ACTIVITIES = '/api/activities'
DESKTOPS, SETTINGS, KEYS = '/api/desktops', '/api/mission-control/settings', '/api/auth/api-keys'
COMMON = ['task.created', 'task.updated', 'task.status_changed', 'task.assigned', 'agent.created', 'agent.updated', 'agent.status_changed',
          'comment.added', 'user.login', 'webhook.triggered']
MEMBERS = ['id', 'type', 'actor', 'entity_type', 'entity_id', 'data', 'entity', 'created_at']
turn = itertools.cycle([0, 1])


@pytest.fixture(scope='module')
def own():
    """Two gateways, a worker, and a history: tasks that ended in every way, two desktops, edits, keys, settings."""
    i = Install(gateways=2, workers=1)
    i.began = int(time.time())
    i.done = i.task('echo hi', run=True, title='Implement authentication')['id']
    i.failed = i.task('exit 3', run=True)['id']
    i.review = i.task('true', run=True, requiresApproval=True)['id']
    i.wait_task(i.done, 'done')
    i.wait_task(i.failed, 'failed')
    i.wait_task(i.review, 'review')
    i.second = i.api('POST', DESKTOPS, {'name': 'DataAnalyst', 'driver': 'local'}).ok(201)['id']
    wait_until('both run', lambda: {d['status'] for d in i.api('GET', DESKTOPS).ok()} == {'running'}, 20)     # no row comes of it later
    i.moved = i.task('true', title='moves')['id']
    i.api('PATCH', TASKS + '/' + i.moved, {'title': 'moved', 'priority': 'high'}).ok()
    i.api('PATCH', TASKS + '/' + i.moved, {'desktopId': i.second}).ok()
    i.api('PATCH', TASKS + '/' + i.moved, {'timeoutSeconds': 77}).ok()
    i.gone = i.task('true', title='goes away')['id']
    i.act(i.gone, 'cancel').ok()
    i.api('DELETE', TASKS + '/' + i.gone).ok(204)
    i.api('PUT', SETTINGS, {'retentionDays': 20, 'alertThresholds': {'cpu': 80.5}}).ok()
    i.api('PATCH', DESKTOPS + '/' + i.second, {'maxTasks': 3, 'pool': 'p'}).ok()
    key = i.api('POST', KEYS, {'name': 'short lived', 'role': 'viewer'}).ok(201)['id']
    i.last = i.api('DELETE', KEYS + '/' + key)
    i.last.ok(204)
    i.viewer = i.make_key('viewer')
    yield i
    i.close()


def get(i, query='', **kw):
    kw.setdefault('gw', next(turn))
    a = i.api('GET', ACTIVITIES + query, seen=i.last if hasattr(i, 'last') else None, **kw)
    j = a.ok()
    assert set(j) >= {'activities', 'total', 'hasMore'}
    assert a.headers['Content-Type'].startswith('application/json') and int(a.headers['X-Mc-Sequence']) > 0
    return j


def everything(i, query=''):
    j = get(i, (query + '&' if query else '?') + 'limit=500')
    assert not j['hasMore'] and len(j['activities']) == j['total']
    return j['activities']


def signed_in(i, name):
    """A viewer of that name, signed in: the answer, and the cookie."""
    i.api('POST', '/api/users', {'username': name, 'role': 'viewer', 'password': 'a long password'}).ok(201)
    a = i.api('POST', '/api/auth/login', {'username': name, 'password': 'a long password'}, key=None)
    a.ok(200)
    return a, re.match(r'mc-session=[^;]+', a.headers['Set-Cookie']).group(0)


def number(text):
    return int(text.split('_')[1])


# ---------------------------------------------------------------- list

def test_each_has_the_printed_members(own):
    for a in everything(own):
        assert list(a) == MEMBERS
        assert isinstance(a['id'], int) and isinstance(a['entity_id'], int) and a['entity_id'] > 0
        assert isinstance(a['type'], str) and isinstance(a['actor'], str) and a['actor']
        assert isinstance(a['data'], dict)
        assert isinstance(a['created_at'], int) and own.began - 60 < a['created_at'] <= time.time() + 1
        if a['entity'] is not None:
            assert a['entity']['type'] == a['entity_type'] and a['entity']['id'] == a['entity_id']


def test_newest_first_by_id(own):
    ids = [a['id'] for a in everything(own)]
    assert ids == sorted(set(ids), reverse=True)
    times = [a['created_at'] for a in everything(own)]
    assert times == sorted(times, reverse=True)


def test_the_printed_example(own):
    """curl .../api/activities?type=task.updated&limit=20"""
    j = get(own, '?type=task.updated&limit=20')
    assert {a['type'] for a in j['activities']} == {'task.updated'}
    assert [(a['data']['field'], a['data']['old_value'], a['data']['new_value']) for a in j['activities']] == [
        ('timeout_seconds', '3600', '77'), ('priority', 'medium', 'high'), ('title', 'moves', 'moved')]


def test_status_changes_speak_the_feeds_words(own):
    of = [a for a in everything(own, '?type=task.status_changed') if a['entity_id'] == number(own.done)]
    assert [(a['data']['from'], a['data']['to']) for a in of] == [('in_progress', 'done'), ('assigned', 'in_progress')]
    assert of[0]['entity'] == {'type': 'task', 'id': number(own.done), 'title': 'Implement authentication', 'status': 'done'}
    assert of[0]['actor'] == 'local' and of[1]['actor'] == 'admin'           # the agent did the work
    of = [a for a in everything(own, '?type=task.status_changed') if a['entity_id'] == number(own.failed)]
    assert of[0]['data']['to'] == 'failed' and of[0]['data']['error_code'] == 'exit_nonzero'
    of = [a for a in everything(own, '?type=task.status_changed') if a['entity_id'] == number(own.review)]
    assert of[0]['data'] == {'from': 'in_progress', 'to': 'review'} and of[0]['entity']['status'] == 'review'


def test_what_was_given_when_it_was_created(own):
    a = next(a for a in everything(own, '?type=task.created') if a['entity_id'] == number(own.done))
    assert a['data'] == {'title': 'Implement authentication', 'type': 'command', 'priority': 'medium', 'desktop_id': 1, 'agent_id': 1, 'assignee': 'local'}
    a = next(a for a in everything(own, '?type=agent.created') if a['entity_id'] == number(own.second))
    assert a['data']['name'] == 'DataAnalyst' and a['actor'] == 'admin' and a['entity_type'] == 'agent'
    assert a['entity']['name'] == 'DataAnalyst' and a['entity']['role'] == 'agent'
    assert a['entity']['status'] in ('offline', 'online', 'idle', 'busy', 'error')


def test_assigned_to_another_agent(own):
    [a] = everything(own, '?type=task.assigned')
    assert a['entity_id'] == number(own.moved) and a['data']['field'] == 'assignee' and a['data']['old_value'] != a['data']['new_value']
    assert a['entity']['title'] == 'moved' and a['entity']['status'] == 'assigned'


def test_an_object_that_is_gone(own):
    of = [a for a in everything(own, '?entity_type=task') if a['entity_id'] == number(own.gone)]
    assert [a['type'] for a in of] == ['task.deleted', 'task.status_changed', 'task.created']
    assert all(a['entity'] is None for a in of)
    assert of[0]['data'] == {'title': 'goes away', 'status': 'cancelled'}


def test_the_rest_of_the_trail(own):
    by = {}
    for a in everything(own):
        by.setdefault(a['type'], []).append(a)
    s = {a['data']['field']: a for a in by['settings.updated']}
    assert s['retention_days']['data'] == {'field': 'retention_days', 'old_value': '30', 'new_value': '20'}
    assert s['alert_thresholds.cpu']['data']['new_value'] == '80.5' and s['retention_days']['entity_type'] == 'system'
    [k] = by['key.revoked']
    assert k['entity_type'] == 'key' and k['data'] == {'name': 'short lived', 'role': 'viewer'} and k['entity'] is None
    live = next(a for a in by['key.created'] if a['entity_id'] == 1)
    assert live['entity'] == {'type': 'key', 'id': 1, 'name': 'admin-api-key', 'role': 'admin'}
    d, two = by['desktop.updated']
    assert {x['data']['field']: x['data']['new_value'] for x in (d, two)} == {'max_tasks': '3', 'pool': 'p'} and d['data']['name'] == 'DataAnalyst'
    assert d['entity']['name'] == 'DataAnalyst' and d['entity']['status'] in ('booting', 'running', 'stopped', 'error')
    assert by['user.created'][0]['entity'] == {'type': 'user', 'id': 1, 'name': 'admin', 'role': 'admin'}
    assert {a['data']['to'] for a in by['agent.status_changed']} <= {'offline', 'error', 'online', 'idle'}
    assert all(a['data']['from'] == 'offline' for a in by['agent.status_changed'])


def test_people_comments_agents_and_webhooks(own):
    first = everything(own)[0]['id']
    t = own.task('true', title='talked about')['id']
    c = own.api('POST', '%s/%s/comments' % (TASKS, t), {'content': 'Looks fine'}).ok(201)['id']
    agent = own.api('GET', DESKTOPS + '/' + own.second).ok()['agentId']
    own.api('PATCH', '/api/agents/' + agent, {'role': 'analyst'}).ok()
    user = own.api('POST', '/api/users', {'username': 'kim', 'role': 'operator', 'password': 'a long password'}).ok(201)['id']
    hook = own.api('POST', '/api/webhooks', {'url': 'http://127.0.0.1:9/', 'name': 'hook', 'events': ['task.deleted'], 'enabled': False}).ok(201)['id']
    own.last = own.api('DELETE', TASKS + '/' + own.task('true')['id'])
    by = {a['type']: a for a in everything(own, '?after_id=%d' % first)}
    assert by['comment.added']['entity_type'] == 'comment' and by['comment.added']['entity_id'] == number(c)
    assert by['comment.added']['data'] == {'task_id': number(t), 'preview': 'Looks fine'}
    assert by['comment.added']['entity'] == {'type': 'comment', 'id': number(c), 'title': 'talked about', 'task_id': number(t)}
    assert everything(own, '?entity_type=comment') == [by['comment.added']]
    assert by['agent.updated']['entity_id'] == number(agent) and by['agent.updated']['entity']['role'] == 'analyst'
    assert by['agent.updated']['data'] == {'name': 'DataAnalyst', 'field': 'role', 'old_value': 'agent', 'new_value': 'analyst'}
    assert by['user.created']['entity'] == {'type': 'user', 'id': number(user), 'name': 'kim', 'role': 'operator'}
    assert by['user.created']['data'] == {'name': 'kim', 'role': 'operator'}
    assert by['webhook.created']['entity'] == {'type': 'webhook', 'id': number(hook), 'name': 'hook'}
    own.api('DELETE', '/api/webhooks/' + hook).ok(204)
    own.last = own.api('DELETE', TASKS + '/' + t)
    of = everything(own, '?after_id=%d&entity_type=comment,webhook' % first)
    assert [a['type'] for a in of] == ['webhook.deleted', 'webhook.created', 'comment.added'] and all(a['entity'] is None for a in of)


def test_with_a_session_cookie(own):
    """As in the printed requests: Cookie: mc-session=your-session-token"""
    a, cookie = signed_in(own, 'lee')
    h = {'Cookie': cookie}
    for gw in (0, 1):
        j = own.api('GET', ACTIVITIES + '?type=task.updated&limit=20', key=None, headers=h, gw=gw, seen=a).ok()
        assert j['activities'] and {x['type'] for x in j['activities']} == {'task.updated'}
        assert own.api('GET', ACTIVITIES + '?stats=true&hours=48', key=None, headers=h, gw=gw).ok()['timeframe'] == '48 hours'
    [x] = [x for x in own.api('GET', ACTIVITIES + '?type=user.login', seen=a).ok()['activities'] if x['actor'] == 'lee']
    assert x['entity_type'] == 'user' and x['entity']['name'] == 'lee'
    assert x['data']['name'] == 'lee' and x['data']['address'] == '127.0.0.1' and x['data']['method']
    own.api('POST', '/api/auth/logout', key=None, headers={**h, 'Origin': own.url()}).ok(204)
    for gw in (0, 1):
        wait_until('the session is over', lambda gw=gw: own.api('GET', ACTIVITIES, key=None, headers=h, gw=gw).status == 401)
    own.api('GET', ACTIVITIES, key=None, headers={'Cookie': 'mc-session=nonsense'}).error(401, 'UNAUTHORIZED')


# ---------------------------------------------------------------- filters

def test_each_type_alone_and_in_lists(own):
    every = everything(own)
    types = sorted({a['type'] for a in every})
    for t in types:
        assert everything(own, '?type=' + t) == [a for a in every if a['type'] == t]
    for one, two in zip(types, types[1:]):
        assert everything(own, '?type=%s,%s' % (one, two)) == [a for a in every if a['type'] in (one, two)]
    for t in COMMON:
        get(own, '?type=' + t)
    assert everything(own, '?type=task.created,no.such') == [a for a in every if a['type'] == 'task.created']
    for t in ['no.such', 'agent.heartbeat', 'session.started', 'TASK.CREATED', ',']:
        assert get(own, '?type=' + t) == {'activities': [], 'total': 0, 'hasMore': False}


def test_each_actor_and_each_entity_type(own):
    every = everything(own)
    for actor in {a['actor'] for a in every}:
        assert everything(own, '?actor=' + actor) == [a for a in every if a['actor'] == actor]
        assert everything(own, '?actor=%s&type=task.status_changed' % actor) == [
            a for a in every if a['actor'] == actor and a['type'] == 'task.status_changed']
    for kind in {a['entity_type'] for a in every} | {'comment', 'webhook', 'workspace', 'worker', 'nothing'}:
        assert everything(own, '?entity_type=' + kind) == [a for a in every if a['entity_type'] == kind]
    assert everything(own, '?entity_type=agent&actor=admin&type=agent.created') == [
        a for a in every if a['type'] == 'agent.created' and a['actor'] == 'admin']
    for none in ['?actor=nobody', '?actor=Admin', '?entity_type=agent&type=task.created', '?actor=%F0%9F%98%80']:
        assert get(own, none) == {'activities': [], 'total': 0, 'hasMore': False}


def test_paging(own):
    every = everything(own)
    assert get(own)['activities'] == every[:50] and get(own)['total'] == len(every)
    for limit in (1, 3, 7, 50):
        seen = []
        while True:
            j = get(own, '?limit=%d&offset=%d' % (limit, len(seen)))
            assert j['total'] == len(every)
            assert j['hasMore'] == (len(seen) + len(j['activities']) < len(every))
            seen += j['activities']
            if not j['hasMore']:
                break
            assert len(j['activities']) == limit
        assert seen == every
    assert get(own, '?offset=%d' % len(every)) == {'activities': [], 'total': len(every), 'hasMore': False}


def test_after_and_before_an_id(own):
    every = everything(own)
    middle = every[len(every) // 2]['id']
    assert everything(own, '?after_id=%d' % middle) == [a for a in every if a['id'] > middle]
    assert everything(own, '?before_id=%d' % middle) == [a for a in every if a['id'] < middle]
    assert everything(own, '?after_id=%d&before_id=%d' % (every[-1]['id'], every[0]['id'])) == every[1:-1]
    assert get(own, '?after_id=%d' % every[0]['id'])['activities'] == []


def test_since_is_exclusive(own):
    every = everything(own)
    wait_until('the second of the newest is over', lambda: time.time() > every[0]['created_at'] + 2)
    for s in sorted({a['created_at'] for a in every}):
        for at in (s - 1, s):
            assert everything(own, '?since=%d' % at) == [a for a in every if a['created_at'] > at]
    assert get(own, '?since=%d' % (time.time() + 1000))['total'] == 0


@pytest.mark.parametrize('param', ['limit', 'offset', 'since', 'after_id', 'before_id', 'hours'])
def test_numbers_out_of_range_are_clamped(own, param):
    extra = '&stats=true' if param == 'hours' else ''
    for value in ['0', '-1', '-99999999999999999999999999', '99999999999999999999999999', '9223372036854775807', '9223372036854775808', '18446744073709551615',
                  '4294967296', '2147483648']:
        a = own.api('GET', '%s?%s=%s%s' % (ACTIVITIES, param, value, extra), gw=next(turn))
        assert a.status == 200, (value, a)
    for value in ['', 'x', '1.5', '1e3', 'NaN', '0x10', '--1', '%00', '%F0%9F%98%80', 'null', '1,2']:
        own.api('GET', '%s?%s=%s%s' % (ACTIVITIES, param, value, extra), gw=next(turn)).error(400, 'INVALID_FIELD', field=param)
    assert len(get(own, '?limit=0')['activities']) == 1
    assert len(get(own, '?limit=100000')['activities']) <= 500


# ---------------------------------------------------------------- statistics

def stats(i, query=''):
    return i.api('GET', ACTIVITIES + '?stats=true' + query, gw=next(turn), seen=i.last).ok()


def test_statistics_are_the_lists_counted(own):
    every = everything(own)
    s = stats(own)
    assert list(s)[:4] == ['timeframe', 'activityByType', 'topActors', 'timeline'] and s['timeframe'] == '24 hours'
    types, actors, hours = {}, {}, {}
    for a in every:
        types[a['type']] = types.get(a['type'], 0) + 1
        actors[a['actor']] = actors.get(a['actor'], 0) + 1
        hours[a['created_at'] // 3600 * 3600] = hours.get(a['created_at'] // 3600 * 3600, 0) + 1
    assert {t['type']: t['count'] for t in s['activityByType']} == types
    assert {t['actor']: t['activity_count'] for t in s['topActors']} == actors
    for listed, key in ((s['activityByType'], 'count'), (s['topActors'], 'activity_count')):
        assert [x[key] for x in listed] == sorted((x[key] for x in listed), reverse=True)
    assert [(t['timestamp'], t['count']) for t in s['timeline']] == sorted(hours.items())
    for t in s['timeline']:
        assert t['hour'] == time.strftime('%Y-%m-%dT%H:00:00.000Z', time.gmtime(t['timestamp']))


def test_statistics_window(own):
    assert stats(own, '&hours=48')['timeframe'] == '48 hours'
    assert stats(own, '&hours=99999')['timeframe'] == '8760 hours' and stats(own, '&hours=0')['timeframe'] == '1 hours'
    for bad in ['yes', '1', 'TRUE', '', 'true,true']:
        own.api('GET', ACTIVITIES + '?stats=' + bad).error(400, 'INVALID_FIELD', field='stats')
    assert 'activities' in own.api('GET', ACTIVITIES + '?stats=false').ok()


def test_ten_actors_at_most(fresh):
    i = fresh(gateways=1, workers=1)
    names = ['agent-%d' % n for n in range(12)]
    for n in names:
        d = i.make_desktop(n)
        wait_until('%s runs' % n, lambda d=d: i.api('GET', DESKTOPS + '/' + d['id']).ok()['status'] == 'running')
        for _ in range(2 if n == 'agent-7' else 1):
            t = i.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': d['id'], 'run': True}).ok(201)
            i.wait_task(t['id'], 'done')
    s = i.api('GET', ACTIVITIES + '?stats=true').ok()['topActors']
    assert len(s) == 10 and s[0]['actor'] == 'admin'
    agents = [x for x in s if x['actor'].startswith('agent-')]
    assert agents[0] == {'actor': 'agent-7', 'activity_count': 2}
    assert i.api('GET', ACTIVITIES + '?actor=agent-3').ok()['total'] == 1


# ---------------------------------------------------------------- polling, as printed

LOOP = """
const [origin, cookie] = process.argv.slice(2);   // what a browser adds by itself
const plain = globalThis.fetch;
const fetch = (path) => plain(origin + path, { headers: { cookie } });
const setInterval = (f) => globalThis.setInterval(f, 400);   // the page waits 5000
const console = { log: () => process.stdout.write(JSON.stringify(seen.splice(0)) + '\\n') };
const seen = [];
process.stdout.write('started\\n');
%s
"""


def printed_loop():
    """The page's own text, with what it received handed out."""
    text = '''let lastTimestamp = Math.floor(Date.now() / 1000);

setInterval(async () => {
  const response = await fetch(
    `/api/activities?since=${lastTimestamp}&limit=100`
  );
  const { activities } = await response.json();
  
  if (activities.length > 0) {
    console.log(`${activities.length} new activities`);
    lastTimestamp = activities[0].created_at;
  }
}, 5000);
'''
    return LOOP % text.replace('if (activities.length > 0) {', 'seen.push(...activities.map((a) => a.id));\n  if (activities.length > 0) {')


def test_the_printed_loop_misses_nothing_and_repeats_nothing(own, tmp_path):
    script = tmp_path / 'poll.mjs'
    script.write_text(printed_loop())
    p = popen(['node', str(script), own.url(0), signed_in(own, 'poller')[1]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    got, lines = [], []

    def read():
        for line in p.stdout:
            lines.append(line)
            if line.startswith('['):
                got.extend(json.loads(line)[::-1])
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        wait_until('the loop runs', lambda: lines)
        began = int(time.time())
        wait_until('the second it began in is over', lambda: time.time() > began + 1)
        first = everything(own)[0]['id']
        made = []
        while time.time() < began + 4:         # over several seconds; fewer in each than the loop asks for at once
            made.append(own.task('true', gw=next(turn))['id'])
            wait_until('the next is due', lambda: time.time() > began + 1 + len(made) / 50)
        wait_until(lambda: 'all of them: %d of %d; %s' % (len(got), len(made), lines[-3:]), lambda: len(got) >= len(made))
        ids = [a['id'] for a in everything(own, '?after_id=%d&type=task.created' % first)][::-1]
        assert len(ids) == len(made)
        assert [g for g in got if g > first] == ids
    finally:
        end(p)
        reader.join(5)


def test_a_second_that_is_not_over_waits(own):
    """Whatever is seen with `since` in some second is all that this second will ever have."""
    stop, whole = threading.Event(), {}

    def poll(gw):
        since = int(time.time()) - 1
        while not stop.is_set():
            for a in own.api('GET', '%s?since=%d&limit=500' % (ACTIVITIES, since), gw=gw).ok()['activities']:
                whole.setdefault((gw, a['created_at']), set()).add(a['id'])
                assert a['created_at'] < int(time.time())      # over, by any clock of this machine
            done = [s for g, s in whole if g == gw]
            since = max(done + [since])
    pollers = [threading.Thread(target=poll, args=(gw,), daemon=True) for gw in (0, 1)]
    for t in pollers:
        t.start()
    until = time.time() + 3
    while time.time() < until:
        own.task('true', gw=next(turn))
    wait_until('its last second is over and seen', lambda: all(any(s >= int(until) for g, s in list(whole) if g == gw) for gw in (0, 1)) or
               (own.task('true') and False))
    stop.set()
    for t in pollers:
        t.join(20)
    by = {}
    for a in own.api('GET', '%s?since=%d&limit=500' % (ACTIVITIES, until - 4)).ok()['activities']:
        by.setdefault(a['created_at'], set()).add(a['id'])
    compared = 0
    for (gw, second), ids in whole.items():
        if second in by and second > min(by) and len(by[second]) < 400:
            assert ids == by[second], second
            compared += 1
    assert compared or max(len(x) for x in by.values()) >= 400


# ---------------------------------------------------------------- errors

def test_errors(own):
    for path in [ACTIVITIES, ACTIVITIES + '?stats=true']:
        own.api('GET', path, key=None).error(401, 'UNAUTHORIZED')
        own.api('GET', path, key='mc_k_' + 'z' * 43).error(401, 'UNAUTHORIZED')
        assert own.api('GET', path, key=own.viewer).status == 200
        assert own.api('POST', path, {}).status == 405
    e = own.api('GET', ACTIVITIES, key=None).json
    assert isinstance(e['error'], str)


def test_hot_reads_are_not_stale(own):
    for n in range(10):
        t = own.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': 'desktop_1', 'title': 'n%d' % n}, gw=n % 2)
        t.ok(201)
        for gw in (0, 1):
            a = own.api('GET', ACTIVITIES + '?limit=1', gw=gw, seen=t)
            assert a.ok()['activities'][0]['data']['title'] == 'n%d' % n
            assert re.fullmatch(r'"[0-9a-f]{16}"', a.headers['ETag'])
    assert own.api('GET', ACTIVITIES + '?limit=1', headers={'If-None-Match': a.headers['ETag']}, gw=1).status == 304


def test_large_rows_come_whole(own):
    """More than a page of the broker's holds: put together, with the same total and order."""
    long = 'x' * 4000
    t = own.task(long, title='large')['id']
    for n in range(150):
        own.last = own.api('PATCH', TASKS + '/' + t, {'content': '%d%s' % (n, long)})
        own.last.ok()
    j = get(own, '?type=task.updated&limit=140&offset=3')
    assert len(j['activities']) == 140 and j['hasMore'] and j['total'] >= 150
    assert [a['data']['new_value'][:3] for a in j['activities'][:2]] == ['146', '145']
    ids = [a['id'] for a in j['activities']]
    assert ids == sorted(ids, reverse=True) and ids == [a['id'] for a in get(own, '?type=task.updated&limit=500')['activities']][3:143]
    j = get(own, '?type=task.updated&limit=140&since=%d' % (own.began - 100))
    assert len(j['activities']) in (0, 140) or not j['hasMore']


def test_what_survives_a_kill(fresh):
    i = fresh(gateways=1, workers=0)
    for n in range(30):
        i.task('true', title='t%d' % n)
    before = i.api('GET', ACTIVITIES + '?limit=500').ok()
    counts = i.api('GET', ACTIVITIES + '?stats=true').ok()
    i.broker.kill9()
    i.broker.start()
    i.wait_ready()
    wait_until('it answers again', lambda: i.api('GET', ACTIVITIES).status == 200)
    after = i.api('GET', ACTIVITIES + '?limit=500').ok()
    assert after['activities'][-len(before['activities']):] == before['activities']
    assert i.api('GET', ACTIVITIES + '?stats=true').ok()['activityByType'][0] == counts['activityByType'][0]
    assert os.path.exists(os.path.join(i.data, 'store.mdb'))
