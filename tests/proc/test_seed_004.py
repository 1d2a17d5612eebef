"""The page "Mission control endpoints", request by request: each with what it promises, and each of its errors. Requests go to
two gateways in turn, which share a broker and two workers."""
import datetime
import itertools
import re

import pytest
from harness import ACTIVITY, TASKS, wait_until

TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z')
APPROVALS = '/api/mission-control/approvals'
OVERVIEW = '/api/mission-control/overview'
turn = itertools.cycle([0, 1])


def when(text):
    assert TIME.fullmatch(text), text
    return datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))


def is_task(t):
    assert isinstance(t, dict)
    assert re.fullmatch(r'task_[1-9]\d*', t['id'])
    assert t['type'] in ('prompt', 'command')
    assert isinstance(t['content'], str)
    assert t['status'] in ('pending', 'running', 'review', 'done', 'failed', 'cancelled')
    assert re.fullmatch(r'desktop_[1-9]\d*', t['desktopId'])
    assert isinstance(t['requiresApproval'], bool)
    when(t['createdAt'])
    for f in ('startedAt', 'completedAt'):
        assert t[f] is None or when(t[f])
    return t


def in_review(i, content='true'):
    t = i.task(content, requiresApproval=True, gw=next(turn))
    i.act(t['id'], 'run', gw=next(turn)).ok()
    return i.wait_task(t['id'], 'review')


def approval_of(i, task_id, gw=0):
    return next(a for a in i.api('GET', APPROVALS, gw=gw).ok() if a['taskId'] == task_id)


# ---------------------------------------------------------------- list tasks

def test_list_is_a_bare_array_newest_first(shared):
    made = [shared.task('echo %d' % n, gw=next(turn))['id'] for n in range(5)]
    for gw in (0, 1):
        a = wait_until('the list has all', lambda gw=gw: (lambda x: x if made[-1] in [t['id'] for t in x.ok()] else None)(
            shared.api('GET', TASKS, gw=gw)))
        assert a.headers['Content-Type'].startswith('application/json')
        tasks = a.json
        assert isinstance(tasks, list)
        for t in tasks:
            is_task(t)
        ids = [t['id'] for t in tasks]
        assert [x for x in ids if x in made] == made[::-1]
        times = [when(t['createdAt']) for t in tasks]
        assert times == sorted(times, reverse=True)
        assert len(set(ids)) == len(ids)


def test_listed_task_has_the_printed_fields(shared):
    t = shared.task('Install PostgreSQL and create a database', requiresApproval=True)
    listed = next(x for x in shared.api('GET', TASKS).ok() if x['id'] == t['id'])
    printed = {'id', 'type', 'content', 'status', 'desktopId', 'requiresApproval', 'createdAt', 'startedAt', 'completedAt'}
    assert printed <= set(listed)
    assert listed['content'] == 'Install PostgreSQL and create a database'
    assert listed['status'] == 'pending' and listed['requiresApproval'] is True
    assert listed['startedAt'] is None and listed['completedAt'] is None


def test_list_filters_by_each_status(shared):
    done = shared.task('true', run=True)['id']
    failed = shared.task('false', run=True)['id']
    pending = shared.task('true')['id']
    review = in_review(shared)['id']
    running = shared.task('sleep 60', run=True)['id']
    cancelled = shared.task('true')['id']
    shared.act(cancelled, 'cancel').ok()
    shared.wait_task(done, 'done')
    shared.wait_task(failed, 'failed')
    want = {'pending': pending, 'running': running, 'review': review, 'done': done, 'failed': failed, 'cancelled': cancelled}
    for status, tid in want.items():
        tasks = shared.api('GET', TASKS + '?status=' + status, gw=0).ok()
        assert tid in [t['id'] for t in tasks], status
        assert {t['status'] for t in tasks} == {status}
        a = shared.api('GET', TASKS + '?status=%s&desktopId=%s' % (status, shared.desktop), gw=1)
        assert {t['status'] for t in a.ok()} == {status}
    shared.act(running, 'cancel').ok()
    shared.wait_task(running, 'cancelled')


def test_list_filters_by_desktop(shared):
    d = shared.make_desktop('filtered')
    t = shared.task('true', desktopId=d['id'])
    tasks = shared.api('GET', TASKS + '?desktopId=' + d['id']).ok()
    assert [x['id'] for x in tasks] == [t['id']]
    assert t['id'] not in [x['id'] for x in shared.api('GET', TASKS + '?desktopId=' + shared.desktop).ok()]


def test_list_unknown_status_is_400(shared):
    shared.api('GET', TASKS + '?status=finished').error(400, field='status')


# ---------------------------------------------------------------- create

@pytest.mark.parametrize('kind', ['prompt', 'command'])
def test_create_is_201_with_the_task(shared, kind):
    gw = next(turn)
    a = shared.api('POST', TASKS, {'type': kind, 'content': 'echo "hi" ü', 'desktopId': shared.desktop}, gw=gw)
    t = is_task(a.ok(201))
    assert (t['type'], t['content'], t['desktopId'], t['status']) == (kind, 'echo "hi" ü', shared.desktop, 'pending')
    assert t['requiresApproval'] is False
    assert t['startedAt'] is None and t['completedAt'] is None
    b = shared.api('GET', TASKS + '/' + t['id'], gw=1 - gw, seen=a)
    assert b.ok() == t


@pytest.mark.parametrize('field', ['type', 'content', 'desktopId'])
def test_create_without_a_required_field_is_400(shared, field):
    body = {'type': 'command', 'content': 'true', 'desktopId': shared.desktop}
    del body[field]
    shared.api('POST', TASKS, body, gw=next(turn)).error(400, field=field)


@pytest.mark.parametrize('field,value', [('type', 'shell'), ('type', ''), ('type', 1), ('type', None), ('content', ''), ('content', 5),
                                         ('content', None), ('content', ['true']), ('desktopId', 'desktop_999999'), ('desktopId', 'clx'),
                                         ('desktopId', ''), ('desktopId', 1), ('requiresApproval', 'yes'), ('requiresApproval', 1)])
def test_create_with_a_wrong_value_is_400(shared, field, value):
    body = {'type': 'command', 'content': 'true', 'desktopId': shared.desktop, field: value}
    before = shared.api('GET', TASKS + '?limit=1').ok()
    shared.api('POST', TASKS, body, gw=0).error(400, field=field)
    assert shared.api('GET', TASKS + '?limit=1').ok() == before


def test_global_setting_asks_for_approval(shared):
    shared.api('PUT', '/api/mission-control/settings', {'requireApproval': True}).ok()
    try:
        assert shared.task('true')['requiresApproval'] is True
        assert shared.task('true', requiresApproval=False)['requiresApproval'] is True
        t = shared.task('true', run=True)
        shared.wait_task(t['id'], 'review')
    finally:
        shared.api('PUT', '/api/mission-control/settings', {'requireApproval': False}).ok()
    shared.act(t['id'], 'review', {'decision': 'approve'}).ok()
    assert shared.task('true')['requiresApproval'] is False


# ---------------------------------------------------------------- run

def test_run_is_200_running_then_done(shared):
    t = shared.task('echo out; echo err >&2')
    a = shared.act(t['id'], 'run', gw=1)
    r = is_task(a.ok())
    assert r['id'] == t['id'] and r['status'] == 'running' and when(r['startedAt']) >= when(t['createdAt'])
    assert r['completedAt'] is None
    d = is_task(shared.wait_task(t['id'], 'done'))
    assert d['exitCode'] == 0 and d['error'] is None and when(d['completedAt']) >= when(d['startedAt'])
    o = shared.output(t['id'])
    assert o.status == 200 and sorted(o.text.split('\n')) == ['', 'err', 'out']
    assert o.headers['Content-Type'].startswith('text/plain')


def test_run_command_runs_in_a_shell(shared):
    t = shared.task('for n in 1 2 3; do printf "%s " "$((n * 2))"; done; exit 7', run=True)
    f = shared.wait_task(t['id'], 'failed')
    assert f['exitCode'] == 7 and f['error']['code'] == 'exit_nonzero' and f['error']['message']
    assert shared.output(t['id']).text == '2 4 6 '


def test_run_when_not_pending_is_409(shared):
    t = shared.task('sleep 60', run=True)
    shared.act(t['id'], 'run', gw=0).error(409)
    shared.act(t['id'], 'run', gw=1).error(409)
    shared.act(t['id'], 'cancel').ok()
    shared.wait_task(t['id'], 'cancelled')
    shared.act(t['id'], 'run').error(409)
    d = shared.task('true', run=True)['id']
    shared.wait_task(d, 'done')
    shared.act(d, 'run').error(409)
    r = in_review(shared)['id']
    shared.act(r, 'run').error(409)


def test_run_unknown_task_is_404(shared):
    for tid in ('task_999999999', 'task_0', 'task_abc123', 'task_01', 'desktop_1', 'task_99999999999999999999', 'task_-1'):
        shared.act(tid, 'run', gw=next(turn)).error(404)


# ---------------------------------------------------------------- review

def test_review_approve_is_done(shared):
    t = in_review(shared)
    assert t['status'] == 'review' and t['completedAt'] is None and t['approvalId']
    r = is_task(shared.act(t['id'], 'review', {'decision': 'approve'}, gw=1).ok())
    assert r['id'] == t['id'] and r['status'] == 'done' and when(r['completedAt'])
    assert t['approvalId'] not in [a['id'] for a in shared.api('GET', APPROVALS).ok()]


def test_review_reject_is_failed_with_feedback(shared):
    t = in_review(shared)
    r = is_task(shared.act(t['id'], 'review', {'decision': 'reject', 'feedback': 'not like this: "x" <y>'}, gw=0).ok())
    assert r['status'] == 'failed' and r['error']['code'] == 'rejected'
    a = shared.api('GET', '%s/%s' % (APPROVALS, t['approvalId'])).ok()
    assert (a['status'], a['decision'], a['feedback']) == ('rejected', 'reject', 'not like this: "x" <y>')


@pytest.mark.parametrize('body', [{}, {'decision': 'maybe'}, {'decision': ''}, {'decision': 1}, {'decision': None}, {'feedback': 'x'}])
def test_review_without_a_valid_decision_is_400(shared, body):
    t = in_review(shared)
    shared.act(t['id'], 'review', body, gw=next(turn)).error(400, field='decision')
    assert shared.get_task(t['id'])['status'] == 'review'


def test_review_feedback_must_be_text(shared):
    t = in_review(shared)
    shared.act(t['id'], 'review', {'decision': 'reject', 'feedback': 5}).error(400, field='feedback')
    shared.act(t['id'], 'review', {'decision': 'reject', 'feedback': 'x' * 4097}).error(400, field='feedback')
    shared.act(t['id'], 'review', {'decision': 'reject', 'feedback': 'x' * 4096}).ok()


def test_review_when_not_in_review_is_409(shared):
    t = shared.task('true')
    for gw in (0, 1):
        shared.act(t['id'], 'review', {'decision': 'approve'}, gw=gw).error(409)
    r = in_review(shared)['id']
    shared.act(r, 'review', {'decision': 'approve'}).ok()
    shared.act(r, 'review', {'decision': 'approve'}).error(409)
    shared.act(r, 'review', {'decision': 'reject'}, gw=1).error(409)


def test_review_unknown_task_is_404(shared):
    shared.act('task_999999999', 'review', {'decision': 'approve'}).error(404)


def test_no_approval_is_asked_for_after_a_failed_run(shared):
    t = shared.task('exit 3', requiresApproval=True, run=True)
    f = shared.wait_task(t['id'], 'failed')
    assert f['approvalId'] is None
    assert t['id'] not in [a['taskId'] for a in shared.api('GET', APPROVALS).ok()]


# ---------------------------------------------------------------- approvals

def test_approvals_list_has_the_printed_shape(shared):
    t = in_review(shared, 'echo approve me')
    for gw in (0, 1):
        lst = wait_until('listed', lambda gw=gw: [a for a in shared.api('GET', APPROVALS, gw=gw).ok() if a['taskId'] == t['id']])
        a = lst[0]
        assert re.fullmatch(r'approval_[1-9]\d*', a['id']) and a['id'] == t['approvalId']
        assert a['status'] == 'pending' and when(a['createdAt'])
        assert {k: a['task'][k] for k in ('id', 'type', 'content', 'desktopId')} == \
            {'id': t['id'], 'type': 'command', 'content': 'echo approve me', 'desktopId': shared.desktop}
    assert {a['status'] for a in shared.api('GET', APPROVALS).ok()} == {'pending'}


@pytest.mark.parametrize('decision,approval,task', [('approve', 'approved', 'done'), ('reject', 'rejected', 'failed')])
def test_resolve_is_200_with_the_approval_and_updates_the_task(shared, decision, approval, task):
    t = in_review(shared)
    a = shared.api('POST', '%s/%s/resolve' % (APPROVALS, t['approvalId']), {'decision': decision, 'feedback': 'because'}, gw=1)
    r = a.ok()
    assert (r['id'], r['taskId'], r['status'], r['decision'], r['feedback']) == (t['approvalId'], t['id'], approval, decision, 'because')
    assert when(r['resolvedAt']) and r['resolvedBy'] == 'admin'
    assert shared.api('GET', TASKS + '/' + t['id'], gw=0, seen=a).ok()['status'] == task


def test_resolve_errors(shared):
    t = in_review(shared)
    path = '%s/%s/resolve' % (APPROVALS, t['approvalId'])
    shared.api('POST', path, {'decision': 'perhaps'}).error(400, field='decision')
    shared.api('POST', path, {}).error(400, field='decision')
    shared.api('POST', path, {'decision': 'approve'}).ok()
    shared.api('POST', path, {'decision': 'approve'}, gw=1).error(409)
    shared.act(t['id'], 'review', {'decision': 'reject'}).error(409)
    shared.api('POST', APPROVALS + '/approval_999999/resolve', {'decision': 'approve'}).error(404)
    shared.api('POST', APPROVALS + '/approval_xyz/resolve', {'decision': 'approve'}).error(404)


# ---------------------------------------------------------------- activity stream, overview

def test_activity_stream_is_pushed(shared):
    with shared.stream(ACTIVITY, gw=1) as s:
        t = shared.task('true', run=True, requiresApproval=True, gw=0)
        s.wait_task(t['id'], 'approval.created')
        shared.act(t['id'], 'review', {'decision': 'approve'}).ok()
        s.wait_task(t['id'], 'task.completed')
        kinds = [f.type for f in s.frames if f.payload.get('taskId') == t['id']]
        assert [k for k in kinds if k.startswith('task.')] == ['task.created', 'task.started', 'task.review', 'task.completed']
        assert [k for k in kinds if k.startswith('approval.')] == ['approval.created', 'approval.resolved']
        s.check()


def test_overview_has_the_printed_shape(shared):
    shared.wait_task(shared.task('true', run=True)['id'], 'done')
    wait_until('a desktop has been probed', lambda: shared.api('GET', OVERVIEW).ok()['resources']['memory']['total'] > 0, 30)
    for gw in (0, 1):
        o = shared.api('GET', OVERVIEW, gw=gw).ok()
        assert set(o['tasks']) >= {'pending', 'running', 'review', 'done', 'failed', 'cancelled'}
        assert all(isinstance(n, int) and n >= 0 for n in o['tasks'].values())
        assert isinstance(o['activeDesktops'], int) and o['activeDesktops'] >= 1
        r = o['resources']
        assert isinstance(r['cpu'], (int, float)) and 0 <= r['cpu'] <= 100
        m = r['memory']
        assert set(m) >= {'used', 'total', 'percent'} and 0 < m['used'] <= m['total']
        assert abs(m['percent'] - 100 * m['used'] / m['total']) < 1
        assert set(r['disk']) >= {'used', 'total', 'percent'}
        assert {'completionRate24h', 'averageDurationSeconds'} <= set(o['metrics'])
        assert o['workers'] == 2 and isinstance(o['pendingApprovals'], int)
        assert any(d['id'] == shared.desktop and d['status'] == 'running' for d in o['desktops'])


def test_overview_counts_what_the_lists_hold(shared):
    shared.task('true')
    in_review(shared)
    a = shared.api('GET', OVERVIEW)
    for status, n in a.ok()['tasks'].items():
        assert len(shared.api('GET', TASKS + '?status=' + status, seen=a).ok()) == n, status
    assert a.json['pendingApprovals'] == len(shared.api('GET', APPROVALS).ok())


# ---------------------------------------------------------------- error codes

@pytest.mark.parametrize('method,path', [('GET', TASKS), ('POST', TASKS), ('POST', TASKS + '/task_1/run'), ('POST', TASKS + '/task_1/review'),
                                         ('GET', APPROVALS), ('POST', APPROVALS + '/approval_1/resolve'), ('GET', ACTIVITY), ('GET', OVERVIEW)])
def test_without_a_key_is_401(shared, method, path):
    for key in (None, 'mc_k_' + 'A' * 43, 'x'):
        a = shared.api(method, path, key=key, gw=next(turn))
        a.error(401)
        assert a.headers['WWW-Authenticate']


@pytest.mark.parametrize('body', [b'', b'{', b'[]', b'null', b'"x"', b'{"type":"command",}', b'\xff\xfe', b'{"type":"command","type":"prompt"}',
                                  b'{} {}', b'[' * 100000])
def test_malformed_body_is_400(shared, body):
    shared.api('POST', TASKS, body=body, gw=next(turn)).error(400)


def test_exactly_one_of_two_concurrent_decisions_wins(shared):
    from concurrent.futures import ThreadPoolExecutor
    for _ in range(10):
        t = in_review(shared)
        calls = [lambda: shared.act(t['id'], 'review', {'decision': 'approve'}, gw=0),
                 lambda: shared.api('POST', '%s/%s/resolve' % (APPROVALS, t['approvalId']), {'decision': 'reject'}, gw=1)]
        with ThreadPoolExecutor(2) as pool:
            got = sorted(f.status for f in [x.result() for x in [pool.submit(c) for c in calls]])
        assert got == [200, 409]
