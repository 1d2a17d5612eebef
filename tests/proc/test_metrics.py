"""History of a desktop's figures, alerts, maintenance. Nothing here depends on how busy the machine is: thresholds are set by what it
shows, or so low that any machine is above them."""
import datetime
import re

import pytest
from harness import ACTIVITY, wait_until

FEED = '/api/mission-control/stream'
SETTINGS = '/api/mission-control/settings'
MAINTENANCE = '/api/mission-control/maintenance'
FIGURES = ['cpu', 'memory', 'disk']
POINT = {'timestamp', *FIGURES, *(f + 'Max' for f in FIGURES)}


def ms_of(text):
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', text)
    return round(datetime.datetime.fromisoformat(text[:-1] + '+00:00').timestamp() * 1000)


def text_of(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).isoformat(timespec='milliseconds')[:-6] + 'Z'


def metrics(i, desktop, query='', **kw):
    return i.api('GET', '/api/desktops/%s/metrics%s' % (desktop, query), **kw).ok()


def check_shape(m, desktop):
    assert set(m) == {'desktopId', 'from', 'to', 'stepSeconds', 'points'} and m['desktopId'] == desktop
    step, last = m['stepSeconds'] * 1000, 0
    assert len(m['points']) <= 1500
    for p in m['points']:
        at = ms_of(p['timestamp'])
        assert set(p) == POINT and at % step == 0 and at > last and ms_of(m['from']) - step < at < ms_of(m['to'])
        last = at
        for f in FIGURES:
            assert 0 <= p[f] <= p[f + 'Max'] <= 100


# ---------------------------------------------------------------- history

def test_history_from_real_probes(shared):
    d = shared.make_desktop('has-a-history')['id']
    m = wait_until('a point of the desktop', lambda: [x for x in [metrics(shared, d)] if x['points']], 20)[0]
    check_shape(m, d)
    assert m['stepSeconds'] == 10 and ms_of(m['to']) - ms_of(m['from']) == 3600000      # the last hour, as fine as it is kept
    now = shared.api('GET', '/api/desktops/' + d).ok()
    end = ms_of(m['to'])
    for back, step in [(600, 1), (3600, 10), (4 * 3600, 10), (86400, 60), (7 * 86400, 900), (31 * 86400, 3600), (366 * 86400, 6 * 3600)]:
        x = metrics(shared, d, '?from=%s' % text_of(end - back * 1000), gw=back % 2)
        check_shape(x, d)
        assert x['stepSeconds'] == step and x['from'] == text_of(end - back * 1000), back
        assert x['points'], 'what is not stored yet is there on every level: %s' % back
    fine = metrics(shared, d, '?from=%s' % text_of(end - 600000))
    assert fine['points'][-1]['memoryMax'] > 0 and now['memory'] > 0
    one = metrics(shared, d, '?from=%s&to=%s&step=3600' % (text_of(end - 1800000), text_of(end + 3600000)))
    check_shape(one, d)
    assert one['stepSeconds'] == 3600 and max(p['memoryMax'] for p in one['points']) >= fine['points'][0]['memory']


@pytest.mark.parametrize('query,step', [('?step=1', 10), ('?step=45', 50), ('?step=60', 60), ('?step=99999', 100000), ('?from=2020-01-01T00:00:00Z', None),
                                        ('?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z', 3600), ('?from=2999-01-01T00:00:00Z', None),
                                        ('?to=2020-01-01T00:00:00Z', 3600)])
def test_ranges_and_steps(shared, query, step):
    m = metrics(shared, shared.desktop, query)
    check_shape(m, shared.desktop)
    assert step is None or m['stepSeconds'] == step
    if '2020-01-02' in query or '2999' in query or 'to=' in query:
        assert m['points'] == []


@pytest.mark.parametrize('query,field', [('?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'from'), ('?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z', 'from'),
                                         ('?from=yesterday', 'from'), ('?to=', 'to'), ('?step=x', 'step'), ('?to=2026-01-02', 'to')])
def test_ranges_that_are_none(shared, query, field):
    shared.api('GET', '/api/desktops/%s/metrics%s' % (shared.desktop, query)).error(400, 'INVALID_FIELD', field=field)


def test_a_deleted_desktop_has_no_history(shared):
    d = shared.make_desktop('to-be-deleted')['id']
    wait_until('a point of the desktop', lambda: metrics(shared, d)['points'], 20)
    shared.api('DELETE', '/api/desktops/' + d).ok(204)
    shared.api('GET', '/api/desktops/%s/metrics' % d).error(404, 'NOT_FOUND')


# ---------------------------------------------------------------- alerts

def alerts(frames):
    return [f for f in frames if f.type == 'system.alert']


def check_alert(f, threshold=None):
    assert f.data['id'] == 'evt_%d' % f.id and f.data['entity_type'] == 'system' and f.data['entity_id'] is None
    assert f.data['agent_id'] == 'agent_1' and f.data['summary']
    p = f.payload
    assert set(p) == {'alert_type', 'severity', 'value', 'threshold', 'desktop_id'} and p['desktop_id'] == 'desktop_1'
    assert p['severity'] == f.data['severity'] in ('warning', 'critical')
    assert threshold is None or p['threshold'] == threshold
    assert (p['value'] >= p['threshold']) == (p['severity'] == 'critical')
    assert p['value'] >= 0.9 * p['threshold'] - 0.011


def latest(i):
    d = i.api('GET', '/api/desktops/desktop_1').ok()
    return d if d['cpu'] is not None else None


def leave(i):
    """Whatever level a figure came to is left again with the next probe but one."""
    i.api('PUT', SETTINGS, {'alertThresholds': dict.fromkeys(FIGURES, 100)}).ok()
    for _ in range(2):
        seen = latest(i)['lastSeenAt']
        wait_until('a probe', lambda: latest(i)['lastSeenAt'] != seen, 20)


def approach(i, s):
    """Sets a threshold a little above what the disk or the memory (whichever is fuller) is at, until that is told as near. Should the
    figure run over it first, or away from it, the threshold follows."""
    d = wait_until('the desktop has been probed', lambda: latest(i), 20)
    what = 'disk' if d['disk'] > d['memory'] else 'memory'

    def near():
        return next((f for f in alerts(s.frames) if f.payload['alert_type'] == 'high_' + what and f.payload['severity'] == 'warning'), None)

    def one():
        known = len(alerts(s.frames))
        threshold = min(100, round(latest(i)[what] / 0.95 + 0.01, 2))
        i.api('PUT', SETTINGS, {'alertThresholds': {what: threshold}}).ok()
        wait_until('an alert, or the figure is elsewhere', lambda: len(alerts(s.frames)) > known or near()
                   or not 0.91 * threshold <= latest(i)[what] < 0.99 * threshold, 20)
        if not near():
            leave(i)
        return near()
    f = wait_until('a warning on approach', one, 60)
    check_alert(f)


def test_alerts_once_a_crossing(fresh):
    i = fresh(gateways=2, workers=2)
    everything = {'cpu': 100, 'memory': 100, 'disk': 100}
    i.api('PUT', SETTINGS, {'alertThresholds': everything}).ok()
    with i.stream(FEED) as s, i.stream(ACTIVITY + '?include=metrics', gw=1) as m:
        approach(i, s)
        leave(i)            # the figure may have run on over its threshold: then it would not cross the next one
        i.api('PUT', SETTINGS, {'alertThresholds': dict.fromkeys(FIGURES, 0.01)}).ok()

        def all_three(fs):
            got = {f.payload['alert_type']: f for f in alerts(fs) if f.payload['threshold'] == 0.01}
            return got if len(got) == 3 else None
        got = s.wait(all_three, 40)
        assert set(got) == {'high_' + f for f in FIGURES}
        for f in got.values():
            assert f.payload['severity'] == 'critical'
            check_alert(f, 0.01)
        first = min(f.id for f in got.values())
        # Another prober, then another start of the broker: whoever measures, what was told is not told again.
        i.workers[0].term()
        i.broker.kill9()
        i.broker.start()
        i.wait_ready(30)
        before = len([f for f in m.frames if f.type == 'desktop.metrics'])
        m.wait(lambda fs: len([f for f in fs if f.type == 'desktop.metrics']) >= before + 3, 60)
        mark = i.task('true')['id']
        s.wait(lambda fs: [f for f in fs if f.type == 'task.created' and f.payload['task_id'] == mark])
        told = [f.payload['alert_type'] for f in alerts(s.frames) if f.payload['threshold'] == 0.01]
        assert sorted(told) == ['high_cpu', 'high_disk', 'high_memory']
        assert not [f for f in m.frames if f.type.startswith('system')]     # the activity stream does not show them
        s.check()
        with i.stream(FEED + '?types=system.alert&agentId=agent_1', gw=1, last_id=first - 1) as again:
            again.wait(3)
            assert [f.data for f in again.frames] == [f.data for f in alerts(s.frames) if f.id >= first]


# ---------------------------------------------------------------- maintenance

def test_maintenance_is_an_event_of_the_feed(shared):
    with shared.stream(FEED) as s, shared.stream(FEED + '?types=system.maintenance', gw=1) as only, shared.stream(ACTIVITY) as activity:
        a = shared.api('POST', MAINTENANCE, {'description': 'New disks for <everybody>', 'expectedDurationMinutes': 30})
        e = a.ok(201)
        assert e['type'] == 'system.maintenance' and e['entity_type'] == 'system' and e['entity_id'] is None and e['agent_id'] is None
        assert e['severity'] == 'info' and e['summary'] == 'Maintenance: New disks for <everybody>'
        assert e['payload'] == {'description': 'New disks for <everybody>', 'expected_duration_minutes': 30}
        n = int(e['id'][4:])
        assert n == int(a.headers['X-Mc-Sequence'])
        for stream in (s, only):
            f = stream.wait(lambda fs: next((f for f in fs if f.id == n), None))
            assert f.data == e
            stream.check()
        t = shared.task('true')
        activity.wait_task(t['id'], 'task.created')
        assert not [f for f in activity.frames if f.type.startswith('system')]


def test_maintenance_text_is_cut_in_the_event_and_needs_an_admin(shared):
    e = shared.api('POST', MAINTENANCE, {'description': 'é' * 4096, 'expectedDurationMinutes': 525600}, gw=1).ok(201)
    assert e['payload'] == {'description': 'é' * 1023 + '…', 'expected_duration_minutes': 525600}
    two = 'first line\nsecond line'
    assert shared.api('POST', MAINTENANCE, {'description': two, 'expectedDurationMinutes': 1}).ok(201)['payload']['description'] == two
    for body, field in [({}, 'description'), ({'description': 'x'}, 'expectedDurationMinutes'), ({'expectedDurationMinutes': 5}, 'description')]:
        shared.api('POST', MAINTENANCE, body).error(400, 'MISSING_FIELD', field=field)
    for role in ('viewer', 'operator'):
        shared.api('POST', MAINTENANCE, {'description': 'x', 'expectedDurationMinutes': 1}, key=shared.make_key(role)).error(403, 'FORBIDDEN')
