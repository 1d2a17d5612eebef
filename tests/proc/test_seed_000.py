"""The page "Activity monitoring": every event type of the activity stream, each really produced and received; the printed client with
the key in the query; the task and resource metrics of the overview; filters by desktop and by type, and a look back."""
import datetime
import re

import pytest
from harness import ACTIVITY, Install, Stream, wait_until
from test_seed_002 import Es

OVERVIEW = '/api/mission-control/overview'
TYPES = ['task.created', 'task.started', 'task.completed', 'task.failed', 'task.review', 'task.cancelled', 'desktop.started',
         'desktop.stopped', 'desktop.error', 'approval.created', 'approval.resolved']
TASK = {'taskId', 'desktopId', 'agentId', 'title', 'status', 'createdAt', 'startedAt', 'completedAt', 'error'}
APPROVAL = {'approvalId', 'taskId', 'desktopId', 'status', 'decision', 'resolvedBy'}
DESKTOP = {'desktopId', 'name', 'status', 'error'}


@pytest.fixture(scope='module', autouse=True)
def lonely():
    """A desktop that no worker reaches: it is an error after a lease's time, which runs while the other tests do their work."""
    i = Install(gateways=1, workers=0)
    yield i
    i.close()


def desktop_event(s, kind, desktop, after=0):
    return s.wait(lambda fs: next((f for f in fs if f.type == kind and f.payload['desktopId'] == desktop and f.id > after), None), 20)


def play(i, s):
    """One of each of the things the page lists; gives the frame of each type but desktop.error."""
    got = {}
    done = i.task('echo hi', run=True, title='done')
    failed = i.task('exit 3', run=True, title='fails')
    cancelled = i.task('true', title='cancelled')
    i.act(cancelled['id'], 'cancel').ok()
    reviewed = i.task('true', run=True, requiresApproval=True, title='reviewed')
    for kind in ('task.created', 'task.started', 'task.completed'):
        got[kind] = s.wait_task(done['id'], kind)
    got['task.failed'] = s.wait_task(failed['id'], 'task.failed')
    got['task.cancelled'] = s.wait_task(cancelled['id'], 'task.cancelled')
    got['task.review'] = s.wait_task(reviewed['id'], 'task.review')
    got['approval.created'] = s.wait_task(reviewed['id'], 'approval.created')
    i.act(reviewed['id'], 'review', {'decision': 'approve'}).ok()
    got['approval.resolved'] = s.wait_task(reviewed['id'], 'approval.resolved')
    d = i.make_desktop('to-be-stopped')
    i.api('POST', '/api/desktops/%s/stop' % d['id']).ok()
    got['desktop.started'] = desktop_event(s, 'desktop.started', d['id'])
    got['desktop.stopped'] = desktop_event(s, 'desktop.stopped', d['id'])
    return got


def test_every_event_type(shared):
    with shared.stream(gw=0) as s, shared.stream(gw=1) as other:
        got = play(shared, s)
        assert set(got) == set(TYPES) - {'desktop.error'}
        want = {'task.created': 'pending', 'task.started': 'running', 'task.completed': 'done', 'task.failed': 'failed',
                'task.review': 'review', 'task.cancelled': 'cancelled', 'desktop.started': 'running',
                'desktop.stopped': 'stopped', 'approval.created': 'pending',
                'approval.resolved': 'approved'}
        for kind, f in got.items():
            assert set(f.data) == {'id', 'type', 'timestamp', 'payload'} and f.data['id'] == 'evt_%d' % f.id
            assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', f.data['timestamp'])
            assert set(f.payload) == (TASK if kind.startswith('task') else APPROVAL if kind.startswith('approval') else DESKTOP)
            assert f.payload['status'] == want[kind], kind
            same = other.wait(lambda fs, n=f.id: next((x for x in fs if x.id == n), None))
            assert same.data == f.data          # each gateway says the same
        assert got['task.failed'].payload['error']['code'] == 'exit_nonzero' and got['task.completed'].payload['error'] is None
        assert got['approval.resolved'].payload['decision'] == 'approve' and got['approval.resolved'].payload['resolvedBy'] == 'admin'
        assert {f.type for f in s.frames} <= set(TYPES)
        s.check()
        other.check()


def test_command_output_on_the_stream(shared):
    with shared.stream(ACTIVITY + '?include=output') as s:
        t = shared.task('echo from the command', run=True)
        f = s.wait_task(t['id'], 'task.output')
        assert f.id is None and f.payload['data'] == 'from the command\n'
        s.wait_task(t['id'], 'task.completed')


def test_the_printed_client_with_the_key_in_the_query(shared):
    with Es('%s%s?apiKey=%s' % (shared.url(1), ACTIVITY, shared.key)) as es:
        es.wait_open()
        t = shared.task('true', run=True)
        for kind in ('task.created', 'task.started', 'task.completed'):
            e = es.wait_event(lambda e, kind=kind: e['type'] == kind and e['payload']['taskId'] == t['id'])
            assert e['event'] == 'message'      # what onmessage hears


# ---------------------------------------------------------------- filters

def test_filter_by_desktop(shared):
    d = shared.make_desktop('only-this')
    with shared.stream('%s?desktopId=%s' % (ACTIVITY, d['id'])) as one, shared.stream() as all_of_them:
        elsewhere = shared.task('true', run=True)
        here = shared.task('true', run=True, desktopId=d['id'])
        all_of_them.wait_task(elsewhere['id'], 'task.completed')
        one.wait_task(here['id'], 'task.completed')
        shared.api('POST', '/api/desktops/%s/stop' % d['id']).ok()
        desktop_event(one, 'desktop.stopped', d['id'])
        assert {f.payload['desktopId'] for f in one.frames} == {d['id']}


@pytest.mark.parametrize('kind', ['task', 'desktop', 'approval'])
def test_filter_by_type(shared, kind):
    types = [t for t in TYPES if t.split('.')[0] == kind]
    with shared.stream('%s?types=%s' % (ACTIVITY, ','.join(types))) as s, shared.stream() as everything:
        play(shared, everything)
        last = max(f.id for f in everything.frames if f.type in types)
        s.wait(lambda fs: [f for f in fs if f.id == last])
        want = [f.data for f in everything.frames if f.type in types]
        assert [f.data for f in s.frames if f.id <= last][-len(want):] == want
        assert {f.type for f in s.frames} <= set(types)


def test_filter_by_time_range(shared):
    """What happened in a window: the stored events of the feed, by desktop, type and time; the window's end is not part of it."""
    d = shared.make_desktop('in-a-window')['id']
    tasks = []
    for n in range(3):
        t = shared.task('true', run=True, desktopId=d, title='window %d' % n)
        tasks.append(t['id'])
        wait_until('a later millisecond', lambda: datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='milliseconds')[:-6] + 'Z'
                   > t['createdAt'])

    def listed(query):
        return shared.api('GET', '/api/mission-control/events?desktop=%s&type=task.created%s' % (d, query)).ok()['events']
    newest_first = listed('')
    assert [e['entity_id'] for e in newest_first] == tasks[::-1]
    at = [e['timestamp'] for e in newest_first][::-1]
    assert at[0] < at[1] < at[2]
    assert [e['entity_id'] for e in listed('&from=%s&to=%s' % (at[0], at[2]))] == tasks[1::-1]
    assert [e['entity_id'] for e in listed('&from=' + at[1])] == tasks[:0:-1]
    assert [e['entity_id'] for e in listed('&to=' + at[1])] == tasks[:1]


def test_a_look_back_from_an_id_of_any_time(shared):
    """What happened since a moment: the stream from the last number known then, with the other filters."""
    with shared.stream() as s:
        t = shared.task('true', run=True)
        began = s.wait_task(t['id'], 'task.created').id
        end = s.wait_task(t['id'], 'task.completed').id
        seen = [f.data for f in s.frames if began < f.id <= end and f.type.startswith('task.')]
    with shared.stream(ACTIVITY + '?types=task.started,task.completed,task.created', gw=1, last_id=began) as s:
        s.wait(lambda fs: [f for f in fs if f.id == end])
        mine = [f.data for f in s.frames if f.id <= end and f.payload['taskId'] == t['id']]
        assert mine == [f for f in seen if f['payload']['taskId'] == t['id']] and len(mine) == 2


# ---------------------------------------------------------------- metrics

def test_before_the_first_probe_everything_is_0(lonely):
    o = lonely.api('GET', OVERVIEW).ok()
    nothing = {'used': 0, 'total': 0, 'percent': 0}
    assert o['tasks'] == {'pending': 0, 'running': 0, 'review': 0, 'done': 0, 'failed': 0, 'cancelled': 0}
    assert o['metrics'] == {'completionRate24h': 0, 'averageDurationSeconds': 0}
    assert o['resources'] == {'cpu': 0, 'memory': nothing, 'disk': nothing} and o['activeDesktops'] == 0
    d = o['desktops'][0]
    assert (d['id'], d['name'], d['cpu'], d['memory'], d['disk']) == ('desktop_1', 'local', None, None, None)


def seconds_between(t):
    def ms(text):
        h, m, s = text[11:-1].split(':')
        return round((int(h) * 3600 + int(m) * 60 + float(s)) * 1000)
    return (ms(t['completedAt']) - ms(t['startedAt'])) % 86400000


def test_task_metrics(fresh):
    """Percent of what ended as done or failed, cancelled ones aside; the mean of completedAt - startedAt; of retries each end counts."""
    i = fresh(gateways=2, workers=1)
    tasks = [i.task('sleep 0.%d' % n, run=True) for n in range(3)]
    tasks.append(i.task('exit 1', run=True))
    ended = [i.wait_task(t['id'], 'done', 'failed') for t in tasks]
    waiting = i.task('true')
    i.act(i.task('true')['id'], 'cancel').ok()
    rejected = i.task('true', run=True, requiresApproval=True)
    i.wait_task(rejected['id'], 'review')
    o = i.api('GET', OVERVIEW).ok()
    assert o['tasks'] == {'pending': 1, 'running': 0, 'review': 1, 'done': 3, 'failed': 1, 'cancelled': 1}
    assert o['metrics']['completionRate24h'] == 75 and o['pendingApprovals'] == 1
    assert o['metrics']['averageDurationSeconds'] == sum(map(seconds_between, ended)) // 4 / 1000
    i.act(rejected['id'], 'review', {'decision': 'reject'}).ok()
    ended.append(i.wait_task(rejected['id'], 'failed'))
    i.api('DELETE', '/api/mission-control/tasks/' + waiting['id']).ok(204)
    i.api('DELETE', '/api/mission-control/tasks/' + tasks[0]['id']).ok(204)    # what it was is not forgotten in the rates
    a = i.api('GET', OVERVIEW)
    assert a.json['metrics']['completionRate24h'] == 60
    assert a.json['metrics']['averageDurationSeconds'] == sum(map(seconds_between, ended)) // 5 / 1000
    assert a.json['tasks'] == {'pending': 0, 'running': 0, 'review': 0, 'done': 2, 'failed': 2, 'cancelled': 1}
    assert i.api('GET', OVERVIEW, gw=1, seen=a).json['metrics'] == a.json['metrics']
    i.broker.kill9()
    i.broker.start()
    i.wait_ready()
    assert i.api('GET', OVERVIEW).json['metrics'] == a.json['metrics']


def test_resource_metrics_per_desktop_and_aggregate(shared):
    d = shared.make_desktop('second-to-measure')

    def probed():
        o = shared.api('GET', OVERVIEW).ok()
        running = [x for x in o['desktops'] if x['status'] == 'running']
        return o if running and all(x['cpu'] is not None for x in running) and d['id'] in [x['id'] for x in running] else None
    o = wait_until('every running desktop has been probed', probed, 20)
    running = [x for x in o['desktops'] if x['status'] == 'running']
    assert o['activeDesktops'] == len(running) >= 2
    for x in running:
        assert set(x) == {'id', 'name', 'status', 'cpu', 'memory', 'disk'}
        assert all(0 <= x[k] <= 100 for k in ('cpu', 'memory', 'disk'))
    r = o['resources']
    assert min(x['cpu'] for x in running) <= r['cpu'] + 0.01 and r['cpu'] <= max(x['cpu'] for x in running)
    for k in ('memory', 'disk'):
        assert 0 < r[k]['used'] < r[k]['total'] and r[k]['percent'] == pytest.approx(100 * r[k]['used'] / r[k]['total'], abs=0.01)
        shares = [x[k] for x in running]                                 # the whole is measured as its parts are
        assert min(shares) - 0.1 <= r[k]['percent'] <= max(shares) + 0.1
    own = shared.api('GET', '/api/desktops/' + d['id']).ok()
    assert all(0 <= own[k] <= 100 for k in ('cpu', 'memory', 'disk'))


def test_metrics_on_the_stream(shared):
    d = shared.make_desktop('streams-figures')
    with shared.stream('%s?include=metrics&desktopId=%s' % (ACTIVITY, d['id'])) as s, shared.stream() as plain:
        f = s.wait('desktop.metrics', 20)
        assert f.id is None and set(f.payload) == {'id', 'name', 'cpu', 'memory', 'disk'}
        assert f.payload['id'] == d['id'] and f.payload['name'] == 'streams-figures'
        assert not [f for f in plain.frames if f.type == 'desktop.metrics']
        s.check()


def test_a_desktop_that_nobody_reaches(lonely):
    with Stream(lonely.port(), ACTIVITY, lonely.key, last_id=0) as s:
        f = s.wait('desktop.error', 60)
        assert f.payload == {'desktopId': 'desktop_1', 'name': 'local', 'status': 'error', 'error': 'No worker reaches it'}
        s.check()
    assert lonely.api('GET', OVERVIEW).ok()['activeDesktops'] == 0
