"""The page on the event feed: every event type of its table with its payload, as something a person really did made it; the
envelope; colours; filters by type and agent; reconnecting; and that the history lists the very objects the stream sent."""
import json
import os
import re
import subprocess

import pytest
from harness import TASKS, Install, end, popen

FEED = '/api/mission-control/stream'
EVENTS = '/api/mission-control/events'
SESSIONS = '/api/mission-control/sessions/'
HERE = os.path.dirname(os.path.abspath(__file__))

PAYLOADS = {
    'task.created': {'task_id', 'title', 'assignee', 'priority'},
    'task.updated': {'task_id', 'field', 'old_value', 'new_value'},
    'task.deleted': {'task_id', 'title'},
    'task.commented': {'task_id', 'comment_id', 'comment_preview', 'author'},
    'task.reviewed': {'task_id', 'verdict', 'reviewer', 'feedback'},
    'agent.status_changed': {'agent_id', 'name', 'previous_status', 'new_status'},
    'session.started': {'session_id', 'task_id', 'agent_id', 'trigger'},
    'session.completed': {'session_id', 'task_id', 'agent_id', 'status', 'duration_ms'},
    'session.failed': {'session_id', 'task_id', 'agent_id', 'error_code', 'error_message'},
    'system.alert': {'alert_type', 'severity', 'value', 'threshold', 'desktop_id'},
    'system.maintenance': {'description', 'expected_duration_minutes'},
}
# Page 001, "Event Counter Badge": blue, amber, red. An alert on approach is amber, one at its threshold red.
COLOURS = {
    'agent.status_changed': {'warning'},
    'session.failed': {'critical'},
    'system.alert': {'warning', 'critical'},
}


class Told:
    """An installation in which everything the page lists has happened, and what its feed said of it."""

    def __init__(self):
        self.i = i = Install(gateways=2, workers=1)
        with i.stream(FEED, last_id=0) as s:
            self.act()
            self.frames = s.wait(lambda fs: fs[:] if set(PAYLOADS) <= {f.type for f in fs} and fs[-1].id >= self.newest() else None, 30)
            s.check()
        self.data = [f.data for f in self.frames]

    def newest(self):
        return max(int(e['id'][4:]) for e in self.i.api('GET', EVENTS + '?limit=1').ok()['events'])

    def act(self):
        i = self.i
        self.done = i.task('echo hi', run=True, title='Say hi', priority='high')['id']
        self.failed = i.task('exit 3', run=True)['id']
        self.reviewed = i.task('true', run=True, requiresApproval=True)['id']
        self.deleted = i.task('true', title='Not wanted')['id']
        i.api('PATCH', '%s/%s' % (TASKS, self.deleted), {'title': 'Really not wanted', 'timeoutSeconds': 60}).ok()
        i.api('POST', '%s/%s/comments' % (TASKS, self.done), {'content': 'Well said'}, gw=1).ok(201)
        i.wait_task(self.done, 'done')
        i.wait_task(self.failed, 'failed')
        i.wait_task(self.reviewed, 'review')
        i.act(self.reviewed, 'review', {'decision': 'reject', 'feedback': 'not like this'}, gw=1).ok()
        assert i.api('DELETE', '%s/%s' % (TASKS, self.deleted)).status == 204
        i.api('POST', '/api/mission-control/maintenance', {'description': 'New disks', 'expectedDurationMinutes': 30}).ok(201)
        d = i.make_desktop('second')
        self.agent = d['agentId']
        moved = i.task('true', title='Goes elsewhere')['id']
        i.api('PATCH', '%s/%s' % (TASKS, moved), {'desktopId': d['id']}).ok()
        i.api('POST', '/api/desktops/%s/stop' % d['id']).ok()
        i.api('PUT', '/api/mission-control/settings', {'alertThresholds': {'memory': 0.01, 'disk': 0.01}}).ok()


@pytest.fixture(scope='module')
def told():
    t = Told()
    yield t
    t.i.close()


def of(told, kind):
    return [d for d in told.data if d['type'] == kind]


@pytest.mark.parametrize('kind', sorted(PAYLOADS))
def test_each_type_with_its_payload(told, kind):
    events = of(told, kind)
    assert events
    for e in events:
        assert set(e['payload']) == PAYLOADS[kind], e
        assert e['severity'] in COLOURS.get(kind, {'info'}), e
        assert isinstance(e['summary'], str) and e['summary']


def test_nothing_but_the_types_of_the_page(told):
    assert {d['type'] for d in told.data} == set(PAYLOADS)


def test_envelope(told):
    for e in told.data:
        assert {'id', 'type', 'timestamp', 'entity_id', 'entity_type', 'agent_id', 'payload'} <= set(e)
        assert re.fullmatch(r'evt_[1-9]\d*', e['id'])
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z', e['timestamp'])
        kind = e['type'].split('.')[0]
        assert e['entity_type'] == kind
        if kind == 'system':
            assert e['entity_id'] is None
        else:
            assert re.fullmatch(kind + r'_[1-9]\d*', e['entity_id']), e
    assert [int(e['id'][4:]) for e in told.data] == [f.id for f in told.frames]


def test_the_printed_example(told):
    """"field": "status", "old_value": "in_progress", "new_value": "review" """
    (e,) = [e for e in of(told, 'task.updated') if e['entity_id'] == told.reviewed and e['payload']['new_value'] == 'review']
    assert e['payload'] == {'task_id': told.reviewed, 'field': 'status', 'old_value': 'in_progress', 'new_value': 'review'}
    assert re.fullmatch(r'agent_\d+', e['agent_id'])


def test_what_the_payloads_say(told):
    created = next(e for e in of(told, 'task.created') if e['entity_id'] == told.done)
    assert created['payload'] == {'task_id': told.done, 'title': 'Say hi', 'assignee': 'local', 'priority': 'high'}
    words = [e['payload']['new_value'] for e in of(told, 'task.updated')
             if e['entity_id'] == told.done and e['payload']['field'] == 'status']
    assert words == ['in_progress', 'done']
    fields = [(e['payload']['field'], e['payload']['old_value'], e['payload']['new_value']) for e in of(told, 'task.updated')
              if e['entity_id'] == told.deleted]
    assert ('title', 'Not wanted', 'Really not wanted') in fields and any(f[0] == 'timeout_seconds' and f[2] == '60' for f in fields)
    assert [e['payload']['title'] for e in of(told, 'task.deleted')] == ['Really not wanted']
    assert any(e['payload']['field'] == 'assignee' and (e['payload']['old_value'], e['payload']['new_value']) == ('local', 'second')
               for e in of(told, 'task.updated'))
    (comment,) = of(told, 'task.commented')
    assert comment['payload']['comment_preview'] == 'Well said' and comment['payload']['author'] == 'admin'
    assert re.fullmatch(r'comment_\d+', comment['payload']['comment_id'])
    (review,) = of(told, 'task.reviewed')
    assert review['payload'] == {'task_id': told.reviewed, 'verdict': 'rejected', 'reviewer': 'admin', 'feedback': 'not like this'}
    (failed,) = of(told, 'session.failed')
    assert failed['payload']['error_code'] == 'exit_nonzero' and failed['payload']['error_message']
    ended = [e['payload'] for e in of(told, 'session.completed') if e['payload']['session_id'] == failed['entity_id']]
    assert [p['status'] for p in ended] == ['failed'] and ended[0]['duration_ms'] >= 0
    for e in of(told, 'session.completed'):
        assert e['payload']['duration_ms'] == told.i.api('GET', SESSIONS + e['entity_id']).ok()['durationMs']  # one figure, in the feed and in the session
    assert any(e['payload']['previous_status'] != 'offline' and e['payload']['new_status'] == 'offline' and e['entity_id'] == told.agent
               for e in of(told, 'agent.status_changed'))
    (maintenance,) = of(told, 'system.maintenance')
    assert maintenance['payload'] == {'description': 'New disks', 'expected_duration_minutes': 30}
    for alert in of(told, 'system.alert'):
        assert alert['payload']['severity'] == alert['severity']
        assert alert['payload']['value'] >= 0 and alert['payload']['threshold'] in (0.01, 90)    # 90: a busy machine's own


def test_filter_by_type(told):
    """ "you can show only agent.status_changed events to monitor agent health" """
    with told.i.stream(FEED + '?types=agent.status_changed', last_id=0) as s:
        want = [f.id for f in told.frames if f.type == 'agent.status_changed']
        got = s.wait(lambda fs: fs[:] if len(fs) >= len(want) else None)
        assert [f.id for f in got][:len(want)] == want and {f.type for f in got} == {'agent.status_changed'}


def test_filter_by_agent(told):
    with told.i.stream(FEED + '?agentId=' + told.agent, gw=1, last_id=0) as s:
        want = [f.id for f in told.frames if f.data['agent_id'] == told.agent]
        got = s.wait(lambda fs: fs[:] if len(fs) >= len(want) else None)
        assert [f.id for f in got][:len(want)] == want


def test_history_lists_what_the_stream_sent(told):
    seen, before = [], None
    while True:
        a = told.i.api('GET', EVENTS + '?limit=7' + ('&before=' + before if before else ''), gw=len(seen) % 2).ok()
        assert len(a['events']) <= 7
        seen += a['events']
        before = a['nextBefore']
        if not before:
            break
    mine = {d['id']: d for d in told.data}
    assert [e for e in seen if e['id'] in mine] == told.data[::-1]
    assert [int(e['id'][4:]) for e in seen] == sorted((int(e['id'][4:]) for e in seen), reverse=True)


def test_time_range_presets(told):
    """Last 15 minutes, last hour, last 24 hours, last 7 days, and a range of one's own."""
    for preset in ('-15 minutes', '-1 hour', '-1 day', '-7 days'):
        since = subprocess.run(['date', '-u', '-d', preset, '+%Y-%m-%dT%H:%M:%SZ'], capture_output=True, text=True, check=True).stdout.strip()
        a = told.i.api('GET', '%s?limit=500&from=%s' % (EVENTS, since)).ok()
        assert {d['id'] for d in told.data} <= {e['id'] for e in a['events']}
    middle = told.data[len(told.data) // 2]['timestamp']
    older = told.i.api('GET', '%s?limit=500&to=%s' % (EVENTS, middle)).ok()['events']
    newer = told.i.api('GET', '%s?limit=500&from=%s' % (EVENTS, middle)).ok()['events']
    assert older and newer
    assert all(e['timestamp'] < middle for e in older) and all(e['timestamp'] >= middle for e in newer)
    assert {d['id'] for d in told.data} <= {e['id'] for e in older + newer}


def test_event_source_reconnects_by_itself(told):
    """A browser's EventSource (npm eventsource) keeps its feed over the death of its gateway, without a gap or a repeat."""
    i = told.i
    p = popen(['node', os.path.join(HERE, 'eventsource.mjs'), '%s%s?apiKey=%s' % (i.url(1), FEED, i.key)], text=True,
              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ids = []

    def until(task):
        while True:
            line = p.stdout.readline()
            assert line, 'the client ended'
            said = json.loads(line)
            if said.get('id'):
                ids.append(int(said['id']))
            if task is None and said.get('open') or said.get('type') == 'task.created' and said['payload']['task_id'] == task:
                return
    try:
        until(None)
        until(i.task('true')['id'])
        i.gateways[1].kill9()
        away = i.task('true')['id']
        i.gateways[1].start()
        until(away)
        until(i.task('true')['id'])
    finally:
        end(p)
    assert ids == sorted(set(ids))
    assert events_since(i, ids[0] - 1)[:len(ids)] == ids


def events_since(i, after):
    """Numbers of the feed's events after that one, oldest first, from the history."""
    a = i.api('GET', EVENTS + '?limit=500').ok()
    return sorted(int(e['id'][4:]) for e in a['events'] if int(e['id'][4:]) > after)
