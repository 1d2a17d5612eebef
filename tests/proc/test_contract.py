"""What the contract adds to the reference pages: the rest of a task's life, output, sessions, desktops, settings, keys."""
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import ACTIVITY, TASKS, wait_until

SESSIONS = '/api/mission-control/sessions'
SETTINGS = '/api/mission-control/settings'


def test_health(shared):
    for gw in (0, 1):
        assert shared.api('GET', '/healthz', key=None, gw=gw).status == 200
        assert shared.api('GET', '/readyz', key=None, gw=gw).status == 200


def test_create_and_run_in_one(shared):
    t = shared.task('echo hi', run=True, title='my title', priority='critical', timeoutSeconds=60, retries=0)
    assert t['status'] == 'running' and t['startedAt'] and t['title'] == 'my title' and t['priority'] == 'critical'
    d = shared.wait_task(t['id'], 'done')
    assert d['attempt'] == 1 and d['exitCode'] == 0 and d['outputBytes'] == 3 and d['outputTruncated'] is False
    assert d['createdBy'] == 'admin' and d['sessionId'] and d['timeoutSeconds'] == 60


def test_title_defaults_to_the_first_line(shared):
    assert shared.task('echo one\necho two')['title'] == 'echo one'
    assert shared.task('x' * 200)['title'][:79] == 'x' * 79


def test_command_environment(shared):
    t = shared.task('cat; pwd; echo "$HOME"; env | cut -d= -f1 | sort | tr "\\n" " "; echo; echo "$0"', run=True)
    shared.wait_task(t['id'], 'done')
    pwd, home, names, name = shared.output(t['id']).text.split('\n')[:4]
    assert pwd == home and os.path.isabs(pwd) and name == '/bin/sh'
    # nothing of the worker's own: neither its key nor where the state is
    assert set(names.split()) <= {'HOME', 'PATH', 'LANG', 'LOGNAME', 'USER', 'SHELL', 'PWD', 'OLDPWD', '_', 'SHLVL', 'TERM', 'TMPDIR',
                                  'MC_TASK_ID', 'MC_SESSION_ID', 'MC_ATTEMPT', 'MC_RUN'}, names


def test_exit_by_signal(shared):
    t = shared.wait_task(shared.task('kill -9 $$', run=True)['id'], 'failed')
    assert t['exitCode'] == 137 and t['error']['code'] == 'exit_nonzero'


def test_timeout_ends_the_tree(shared):
    pid = os.path.join(shared.dir, 'pid-timeout')
    t = shared.task('(setsid sh -c "echo \\$\\$ > %s; sleep 1000" &) ; sleep 1000' % pid, run=True, timeoutSeconds=1)
    f = shared.wait_task(t['id'], 'failed', seconds=20)
    assert f['error']['code'] == 'timeout'
    s = shared.sessions(t['id'])
    assert len(s) == 1 and s[0]['status'] == 'failed' and s[0]['durationMs'] >= 1000
    wait_until('the tree is gone', lambda: not os.path.exists('/proc/' + open(pid).read().strip()), 14)


def test_cancel_pending_running_review(shared):
    p = shared.task('true')
    assert shared.act(p['id'], 'cancel').ok()['status'] == 'cancelled'
    r = shared.task('echo started; exec sleep 1000', run=True)
    wait_until('it runs', lambda: shared.output(r['id']).text == 'started\n')
    c = shared.act(r['id'], 'cancel', gw=1).ok()
    assert c['status'] == 'cancelled' and c['completedAt']
    s = wait_until('session closed', lambda: [x for x in shared.sessions(r['id']) if x['status'] == 'cancelled'])
    assert len(s) == 1
    v = shared.task('true', requiresApproval=True, run=True)
    v = shared.wait_task(v['id'], 'review')
    assert shared.act(v['id'], 'cancel').ok()['status'] == 'cancelled'
    assert shared.api('GET', '/api/mission-control/approvals/' + v['approvalId']).ok()['status'] == 'cancelled'


def test_cancel_kills_the_whole_tree(shared):
    pids = os.path.join(shared.dir, 'pids')
    t = shared.task('''P=%s; echo $$ >> $P
        (setsid sh -c "trap '' TERM; echo \\$\\$ >> $P; while :; do sleep 0.2; done" &)
        nohup sh -c "echo \\$\\$ >> $P; sleep 1000" >/dev/null 2>&1 &
        wait; sleep 1000''' % pids, run=True)
    wait_until('three processes', lambda: os.path.exists(pids) and open(pids).read().count('\n') == 3)
    shared.act(t['id'], 'cancel').ok()
    gone = lambda: not [p for p in open(pids).read().split() if os.path.exists('/proc/' + p)]
    wait_until('all are gone', gone, 14)


def test_retry_keeps_earlier_sessions(shared):
    flag = os.path.join(shared.dir, 'retry-flag')
    t = shared.task('echo try; test -e %s' % flag, run=True)
    shared.wait_task(t['id'], 'failed')
    r = shared.act(t['id'], 'retry').ok()
    assert r['status'] == 'pending' and r['completedAt'] is None and r['error'] is None
    open(flag, 'w').close()
    shared.act(t['id'], 'run').ok()
    d = shared.wait_task(t['id'], 'done')
    assert d['attempt'] == 2
    s = shared.sessions(t['id'])
    assert sorted((x['attempt'], x['status']) for x in s) == [(1, 'failed'), (2, 'completed')]
    assert {x['trigger'] for x in s} <= {'manual', 'retry'}
    first = next(x for x in s if x['attempt'] == 1)
    assert shared.output(t['id'], query='?session=' + first['id']).text == 'try\n'
    one = shared.api('GET', '%s/%s' % (SESSIONS, first['id'])).ok()
    assert one['taskId'] == t['id'] and one['exitCode'] == 1 and one['workerId']


def test_retries_run_by_themselves(shared):
    t = shared.task(shared.mark('retried-$$') .replace("'retried-$$'", '"retried-$$"') + '; exit 1', run=True, retries=2)
    f = shared.wait_task(t['id'], 'failed', seconds=30)
    assert f['attempt'] == 3
    assert len([m for m in shared.marks() if m.startswith('retried-')]) == 3
    assert [x['status'] for x in shared.sessions(t['id'])] == ['failed'] * 3


def test_patch(shared):
    d = shared.make_desktop('patched')
    t = shared.task('true')
    p = shared.api('PATCH', '%s/%s' % (TASKS, t['id']), {'title': 'new', 'priority': 'high', 'content': 'echo new', 'desktopId': d['id'],
                                                         'requiresApproval': True, 'timeoutSeconds': 5, 'retries': 1}).ok()
    assert (p['title'], p['priority'], p['content'], p['desktopId'], p['requiresApproval'], p['timeoutSeconds'], p['retries']) == \
        ('new', 'high', 'echo new', d['id'], True, 5, 1)
    assert shared.get_task(t['id']) == p
    for body in ({'status': 'done'}, {'priority': 'x'}, {'title': ''}, {'retries': 'x'}, {'desktopId': 'desktop_99999'}):
        a = shared.api('PATCH', '%s/%s' % (TASKS, t['id']), body)
        assert a.status in (400, 200), a     # unknown members may be ignored, wrong values may not
        if body != {'status': 'done'}:
            a.error(400)
    assert shared.get_task(t['id']) == p
    shared.act(t['id'], 'run').ok()
    shared.wait_task(t['id'], 'review')
    assert shared.api('PATCH', '%s/%s' % (TASKS, t['id']), {'title': 'still'}).ok()['title'] == 'still'
    shared.api('PATCH', '%s/%s' % (TASKS, t['id']), {'content': 'no'}).error(409)


def test_delete(shared):
    t = shared.task('true', requiresApproval=True, run=True)
    t = shared.wait_task(t['id'], 'review')
    assert shared.api('DELETE', '%s/%s' % (TASKS, t['id'])).status == 204
    a = shared.api('GET', '%s/%s' % (TASKS, t['id']))
    a.error(404)
    assert t['approvalId'] not in [x['id'] for x in shared.api('GET', '/api/mission-control/approvals').ok()]
    shared.api('DELETE', '%s/%s' % (TASKS, t['id'])).error(404)


def test_paging(shared):
    made = [shared.task('true', title='page %d' % n)['id'] for n in range(7)][::-1]
    a = shared.api('GET', TASKS + '?limit=3')
    assert [t['id'] for t in a.ok()] == made[:3]
    assert int(a.headers['X-Total-Count']) == len(shared.api('GET', TASKS).ok())
    assert 'rel="next"' in a.headers['Link']
    nxt = a.headers['Link'].split('<')[1].split('>')[0]
    path = nxt[nxt.index('/api/'):]
    assert [t['id'] for t in shared.api('GET', path).ok()] == made[3:6]
    got, before = [], ''
    while True:
        page = shared.api('GET', '%s?limit=4%s' % (TASKS, before)).ok()
        if not page:
            break
        got += [t['id'] for t in page]
        before = '&before=' + got[-1]
    assert got == [t['id'] for t in shared.api('GET', TASKS).ok()]


def test_search(shared):
    t = shared.task('true', title='The needle in the stack')
    assert [x['id'] for x in shared.api('GET', TASKS + '?q=needle').ok()] == [t['id']]
    assert shared.api('GET', TASKS + '?q=no-such-thing-anywhere').ok() == []
    assert t['id'] in [x['id'] for x in shared.api('GET', TASKS + '?type=command').ok()]
    assert t['id'] not in [x['id'] for x in shared.api('GET', TASKS + '?type=prompt').ok()]


# ---------------------------------------------------------------- output

def test_output_octets_as_they_came(shared):
    t = shared.task(r"printf '\000\001\377\r\n\303\050end'", run=True)
    shared.wait_task(t['id'], 'done')
    a = shared.output(t['id'])
    assert a.raw == b'\x00\x01\xff\r\n\xc3(end' and a.headers['X-Content-Type-Options'] == 'nosniff'
    assert shared.output(t['id'], query='?offset=5').raw == b'\xc3(end'


def test_output_by_stream(shared):
    t = shared.task('echo out; echo err >&2', run=True)
    shared.wait_task(t['id'], 'done')
    assert shared.output(t['id'], query='?stream=stdout').text == 'out\n'
    assert shared.output(t['id'], query='?stream=stderr').text == 'err\n'
    shared.output(t['id'], query='?stream=x').error(400, field='stream')
    shared.output(t['id'], query='?offset=x').error(400, field='offset')


def test_output_of_a_task_that_never_ran(shared):
    a = shared.output(shared.task('true')['id'])
    assert a.status in (200, 404) and (a.status == 404 or a.raw == b'')


def test_large_output_keeps_its_ends(shared):
    t = shared.task('head -c 262144 /dev/zero | tr "\\0" a; head -c 3000000 /dev/zero | tr "\\0" b; head -c 786432 /dev/zero | tr "\\0" c',
                    run=True)
    d = shared.wait_task(t['id'], 'done', seconds=30)
    assert d['outputTruncated'] is True and d['outputBytes'] == 262144 + 3000000 + 786432
    raw = shared.output(t['id'], gw=1).raw
    assert raw.startswith(b'a' * 262144) and raw.endswith(b'c' * 786432)
    m = re.fullmatch(rb'(b*)\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n(b*)', raw[262144:-786432])
    assert m and len(m[1]) + int(m[2]) + len(m[3]) == 3000000
    assert len(m[1]) < 65536 and len(m[3]) < 65536      # a piece of which a part is to be kept is kept whole


def test_output_live(shared):
    fifo = os.path.join(shared.dir, 'fifo-live')
    os.mkfifo(fifo)
    t = shared.task('echo one; cat %s; echo three' % fifo, run=True)
    path = '%s/%s/output' % (TASKS, t['id'])
    with shared.stream(path, gw=1) as s:
        text = lambda fs: ''.join(f.payload['data'] for f in fs if f.type == 'task.output')
        s.wait(lambda fs: text(fs) == 'one\n')
        with open(fifo, 'w') as f:
            f.write('two\n')
        s.wait(lambda fs: next((f for f in fs if f.type == 'task.output.end'), None), 15)
        assert text(s.frames) == 'one\ntwo\nthree\n'
        ids = [f.id for f in s.frames if f.type == 'task.output']
        assert ids == sorted(ids) and ids[-1] == 14
        first = ids[0]
    with shared.stream(path, gw=0, last_id=first) as s:
        s.wait(lambda fs: next((f for f in fs if f.type == 'task.output.end'), None))
        assert ''.join(f.payload['data'] for f in s.frames if f.type == 'task.output') == 'one\ntwo\nthree\n'[first:]
    with shared.stream(path, gw=0) as s:
        s.wait(lambda fs: next((f for f in fs if f.type == 'task.output.end'), None))


# ---------------------------------------------------------------- desktops, settings, keys

def test_desktop_life(shared):
    d = shared.api('POST', '/api/desktops', {'name': 'box', 'driver': 'local', 'maxTasks': 2, 'labels': ['a', 'b'], 'pool': 'p'}).ok(201)
    assert (d['name'], d['driver'], d['maxTasks'], d['labels'], d['pool'], d['chat']) == ('box', 'local', 2, ['a', 'b'], 'p', None)
    assert d['agentId'].startswith('agent_')
    path = '/api/desktops/' + d['id']
    wait_until('running', lambda: shared.api('GET', path).ok()['status'] == 'running')
    assert d['id'] in [x['id'] for x in shared.api('GET', '/api/desktops', gw=1).ok()]
    p = shared.api('PATCH', path, {'name': 'box2', 'maxTasks': 1, 'chat': {'url': 'http://127.0.0.1:1/v1', 'model': 'm', 'key': 'secret'}}).ok()
    assert p['name'] == 'box2' and p['chat']['hasKey'] is True and 'key' not in p['chat']
    assert 'secret' not in json.dumps(shared.api('GET', path).ok())
    for act, status in (('stop', 'stopped'), ('start', 'running'), ('restart', 'running')):
        shared.api('POST', '%s/%s' % (path, act)).ok()
        wait_until(act, lambda status=status: shared.api('GET', path).ok()['status'] == status, 15)
    assert shared.api('DELETE', path).status == 204
    shared.api('GET', path).error(404)


@pytest.mark.parametrize('body,field', [({'driver': 'local'}, 'name'), ({'name': 'x'}, 'driver'), ({'name': 'x', 'driver': 'vm'}, 'driver'),
                                        ({'name': 'x', 'driver': 'ssh', 'address': 'u@h'}, 'driver'), ({'name': '', 'driver': 'local'}, 'name'),
                                        ({'name': 'x' * 201, 'driver': 'local'}, 'name'), ({'name': 'x', 'driver': 'local', 'maxTasks': 'x'}, 'maxTasks'),
                                        ({'name': 'x', 'driver': 'local', 'chat': {'url': 'ftp://x', 'model': 'm'}}, None)])
def test_desktop_bad_input(shared, body, field):
    shared.api('POST', '/api/desktops', body).error(400, field=field)


def test_max_tasks_makes_the_rest_wait_for_a_slot(shared):
    d = shared.make_desktop('narrow', maxTasks=1)
    fifo = os.path.join(shared.dir, 'fifo-slot')
    os.mkfifo(fifo)
    a = shared.task('cat ' + fifo, run=True, desktopId=d['id'])
    wait_until('the first runs', lambda: shared.sessions(a['id']))
    b = shared.task('true', run=True, desktopId=d['id'])
    w = wait_until('the second waits', lambda: (lambda t: t if t['waitingFor'] else None)(shared.get_task(b['id'])))
    assert w['waitingFor'] == 'slot' and w['status'] == 'running' and w['sessionId'] is None
    with open(fifo, 'w') as f:
        f.write('go\n')
    shared.wait_task(a['id'], 'done')
    assert shared.wait_task(b['id'], 'done')['waitingFor'] is None


def test_priority_goes_first(shared):
    d = shared.make_desktop('queue', maxTasks=1)
    fifo = os.path.join(shared.dir, 'fifo-prio')
    os.mkfifo(fifo)
    block = shared.task('cat ' + fifo, run=True, desktopId=d['id'])
    wait_until('the first runs', lambda: shared.sessions(block['id']))
    made = [shared.task(shared.mark('prio-' + p), run=True, desktopId=d['id'], priority=p) for p in ('low', 'medium', 'critical', 'high')]
    with open(fifo, 'w') as f:
        f.write('go\n')
    for t in made:
        shared.wait_task(t['id'], 'done')
    assert [m for m in shared.marks() if m.startswith('prio-')] == ['prio-critical', 'prio-high', 'prio-medium', 'prio-low']


def test_settings(shared):
    before = shared.api('GET', SETTINGS).ok()
    assert set(before) >= {'requireApproval', 'alertThresholds', 'retentionDays', 'defaultTimeoutSeconds'}
    try:
        a = shared.api('PUT', SETTINGS, {'defaultTimeoutSeconds': 77, 'alertThresholds': {'cpu': 55.5}})
        s = a.ok()
        assert s['defaultTimeoutSeconds'] == 77 and s['alertThresholds']['cpu'] == 55.5
        assert s['alertThresholds']['memory'] == before['alertThresholds']['memory']
        assert shared.api('GET', SETTINGS, gw=1, seen=a).ok() == s
        assert shared.task('true')['timeoutSeconds'] == 77
        for body in ({'requireApproval': 'x'}, {'alertThresholds': {'cpu': 0}}, {'alertThresholds': {'cpu': 101}}, {'retentionDays': 'x'},
                     {'defaultTimeoutSeconds': -1}):
            shared.api('PUT', SETTINGS, body).error(400)
        assert shared.api('GET', SETTINGS).ok() == s
    finally:
        shared.api('PUT', SETTINGS, {k: before[k] for k in ('defaultTimeoutSeconds', 'alertThresholds')}).ok()


def test_api_keys(shared):
    a = shared.api('POST', '/api/auth/api-keys', {'name': 'ci', 'role': 'operator'}).ok(201)
    assert len(a['key']) == 48 and a['key'].startswith('mc_k_') and a['role'] == 'operator'
    listed = next(k for k in shared.api('GET', '/api/auth/api-keys').ok() if k['id'] == a['id'])
    assert 'key' not in listed and a['key'] not in json.dumps(listed)
    assert shared.api('GET', TASKS, key=a['key'], gw=1).status == 200
    assert shared.api('DELETE', '/api/auth/api-keys/' + a['id']).status == 204
    for gw in (0, 1):
        wait_until('it is dead on gateway %d' % gw, lambda gw=gw: shared.api('GET', TASKS, key=a['key'], gw=gw).status == 401, 2)
    for body, field in (({}, 'name'), ({'name': ''}, 'name'), ({'name': 'x', 'role': 'root'}, 'role'), ({'name': 'x', 'expiresAt': 'tomorrow'}, 'expiresAt')):
        shared.api('POST', '/api/auth/api-keys', body).error(400, field=field)
    shared.api('DELETE', '/api/auth/api-keys/key_99999').error(404)


def test_key_expires(shared):
    import datetime
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    a = shared.api('POST', '/api/auth/api-keys', {'name': 'brief', 'expiresAt': soon.strftime('%Y-%m-%dT%H:%M:%SZ')}).ok(201)
    wait_until('expired', lambda: shared.api('GET', TASKS, key=a['key']).status == 401, 5)


# ---------------------------------------------------------------- idempotency

def test_idempotency_key(shared):
    body = {'type': 'command', 'content': shared.mark('idem'), 'desktopId': shared.desktop, 'run': True}
    h = {'Idempotency-Key': 'the-key-1'}
    a = shared.api('POST', TASKS, body, headers=h).ok(201)
    shared.wait_task(a['id'], 'done')
    b = shared.api('POST', TASKS, body, headers=h, gw=1).ok(201)
    assert b['id'] == a['id'] and b['status'] == 'done'
    shared.api('POST', TASKS, {**body, 'content': 'other'}, headers=h).error(409, 'IDEMPOTENCY_MISMATCH')
    assert shared.marks().count('idem') == 1


def test_idempotency_key_of_many_at_once(shared):
    body = {'type': 'command', 'content': shared.mark('at-once'), 'desktopId': shared.desktop, 'run': True}
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda n: shared.api('POST', TASKS, body, headers={'Idempotency-Key': 'at once'}, gw=n % 2).ok(201)['id'], range(32)))
    assert len(set(got)) == 1
    shared.wait_task(got[0], 'done')
    assert shared.marks().count('at-once') == 1


def test_many_clients_at_once(shared):
    """Creates, reads and streams from many connections; every task is run once."""
    made, errors = [], []

    def client(n):
        for k in range(10):
            try:
                made.append(shared.task(shared.mark('many-%d-%d' % (n, k)), run=True, gw=(n + k) % 2)['id'])
            except AssertionError as e:
                errors.append(str(e))
    threads = [threading.Thread(target=client, args=(n,)) for n in range(16)]
    with shared.stream(ACTIVITY + '?types=task.completed') as s:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not errors
        s.wait(lambda fs: set(made) <= {f.payload['taskId'] for f in fs}, 60)
        s.check()
    marks = [m for m in shared.marks() if m.startswith('many-')]
    assert len(marks) == len(set(marks)) == 160


def test_hostile_text_comes_back_as_it_was(shared):
    text = 'echo "<script>alert(1)</script>" \' ; $(id) `id` \\ \u2028 \u202e \x1b]0;x\x07 \U0001f600 %s %n'
    t = shared.task(text, title='<b>\u202e"\\&')
    got = shared.api('GET', '%s/%s' % (TASKS, t['id']))
    assert got.json['content'] == text and got.json['title'] == '<b>\u202e"\\&'
    assert b'<script>' not in got.raw and b'\x1b' not in got.raw and '\u2028'.encode() not in got.raw
