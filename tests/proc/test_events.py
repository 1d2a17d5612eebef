"""The stored side of the page "Event Feed": GET /api/mission-control/events lists what the stream sent, object for object, under every
filter of the page alone and combined, page by page, and at both gateways."""
import datetime
import itertools

import pytest
from harness import TASKS, Install

EVENTS, FEED = '/api/mission-control/events', '/api/mission-control/stream'
TYPES = ['task.created', 'task.updated', 'task.deleted', 'task.commented', 'task.reviewed', 'agent.status_changed', 'session.started',
         'session.completed', 'session.failed', 'system.alert', 'system.maintenance']
turn = itertools.cycle([0, 1])


@pytest.fixture(scope='module')
def own():
    """Two gateways, two desktops, tasks that ended in every way; and the feed's stream as it saw all of it."""
    i = Install(gateways=2, workers=1)
    i.stream_of_all = i.stream(FEED + '?lastEventId=0')
    i.second = i.make_desktop('second')['id']
    i.ids = {}
    for name, content, more in [('done', 'echo Marmalade', {}), ('failed', 'exit 3', {}), ('approved', 'true', {'requiresApproval': True}),
                                ('rejected', 'true', {'requiresApproval': True}), ('elsewhere', 'true', {'desktopId': i.second})]:
        i.ids[name] = i.task(content, run=True, title='The ' + name, **more)['id']
    for name, status in [('done', 'done'), ('failed', 'failed'), ('approved', 'review'), ('rejected', 'review'), ('elsewhere', 'done')]:
        i.wait_task(i.ids[name], status)
    for name, decision in [('approved', 'approve'), ('rejected', 'reject')]:
        i.act(i.ids[name], 'review', {'decision': decision, 'feedback': 'Looks 50% right'}).ok()
    i.ids['gone'] = i.task('true', title='The gone')['id']
    i.api('PATCH', TASKS + '/' + i.ids['gone'], {'priority': 'critical', 'title': 'Ünïted <b>'}).ok()
    i.last = i.api('DELETE', TASKS + '/' + i.ids['gone'])
    i.last.ok(204)
    i.stream_of_all.wait('task.deleted')   # nothing comes after it
    i.end = i.stream_of_all.wait('task.deleted').id
    i.all = [f.data for f in i.stream_of_all.frames if f.type in TYPES and f.id <= i.end][::-1]
    yield i
    i.stream_of_all.close()
    i.stream_of_all.check()
    i.close()


def page(i, query='', **kw):
    if 'before=' not in query:         # what the machine itself may do meanwhile (an alert, say) is no matter
        query += '%sbefore=evt_%d' % ('&' if query else '?', i.end + 1)
    a = i.api('GET', EVENTS + query, gw=next(turn), seen=i.last, **kw)
    j = a.ok()
    assert list(j) == ['events', 'nextBefore'] and int(a.headers['X-Mc-Sequence']) > 0
    return j


def every(i, query=''):
    j = page(i, (query + '&' if query else '?') + 'limit=500')
    assert j['nextBefore'] is None
    return j['events']


def test_the_same_objects_as_on_the_stream(own):
    assert every(own) == own.all
    assert len(own.all) > 30 and {e['type'] for e in own.all} >= set(TYPES) - {'task.commented', 'system.alert', 'system.maintenance'}
    assert all(list(e)[:6] == ['id', 'type', 'timestamp', 'entity_id', 'entity_type', 'agent_id'] for e in own.all)


def test_pages(own):
    for limit in (1, 4, 7, 500):
        seen, before = [], ''
        while True:
            j = page(own, '?limit=%d%s' % (limit, before))
            seen += j['events']
            if j['nextBefore'] is None:
                break
            assert len(j['events']) == limit and j['nextBefore'] == j['events'][-1]['id']
            before = '&before=' + j['nextBefore']
        assert seen == own.all
    middle = own.all[5]['id']
    assert page(own, '?before=' + middle)['events'] == page(own, '?before=' + middle[4:])['events'] == own.all[6:]
    assert page(own, '?before=1') == {'events': [], 'nextBefore': None}


def test_each_type_severity_and_lists_of_them(own):
    for t in TYPES:
        assert every(own, '?type=' + t) == [e for e in own.all if e['type'] == t]
        assert every(own, '?severity=warning,critical&type=%s,no.such' % t) == [
            e for e in own.all if e['type'] == t and e['severity'] != 'info']
    for s in ('info', 'warning', 'critical'):
        some = every(own, '?severity=' + s)
        assert some == [e for e in own.all if e['severity'] == s] and some
    assert every(own, '?type=task.created,session.failed') == [e for e in own.all if e['type'] in ('task.created', 'session.failed')]
    for nothing in ['type=no.such', 'severity=red', 'type=desktop.started', 'type=task.created&severity=critical', 'type=,']:
        assert page(own, '?' + nothing) == {'events': [], 'nextBefore': None}


def test_agents_and_desktops(own):
    agents = sorted({e['agent_id'] for e in own.all if e['agent_id']})
    assert len(agents) == 2
    for a in agents:
        some = every(own, '?agent=' + a)
        assert some == [e for e in own.all if e['agent_id'] == a] and some
        assert every(own, '?agent=%s,%s,agent_99,nope' % (a, a)) == some
        for t in ('task.updated', 'session.started'):
            assert every(own, '?agent=%s&type=%s' % (a, t)) == [e for e in some if e['type'] == t]
    both = every(own, '?agent=' + ','.join(agents))
    assert both == [e for e in own.all if e['agent_id']]
    desktops = {d['id']: d['agentId'] for d in own.api('GET', '/api/desktops').ok()}
    for d, a in desktops.items():
        assert every(own, '?desktop=' + d) == every(own, '?agent=' + a) == every(own, '?agent=%s&desktop=%s' % (a, d))
    one, two = desktops.items()
    assert every(own, '?agent=%s&desktop=%s' % (one[1], two[0])) == []
    assert every(own, '?agent=%s,%s&desktop=%s' % (one[1], two[1], two[0])) == every(own, '?desktop=' + two[0])
    for nothing in ['agent=nope', 'desktop=agent_1', 'agent=agent_99', 'desktop=desktop_99', 'agent=%2C']:
        assert page(own, '?' + nothing) == {'events': [], 'nextBefore': None}


def test_an_entity(own):
    for e in {e['entity_id'] for e in own.all if e['entity_id']}:
        some = every(own, '?entity=' + e)
        assert some == [x for x in own.all if x['entity_id'] == e] and some
        assert every(own, '?type=task.updated,session.completed&entity=' + e) == [
            x for x in some if x['type'] in ('task.updated', 'session.completed')]
        for d in ('desktop_1', own.second):
            assert every(own, '?entity=%s&desktop=%s' % (e, d)) in (some, [])
    assert [e['type'] for e in every(own, '?entity=' + own.ids['gone'])] == ['task.deleted', 'task.updated', 'task.updated', 'task.created']
    for nothing in ['task_99999', 'session_0', 'evt_1', 'nope', 'desktop_1']:
        assert page(own, '?entity=' + nothing) == {'events': [], 'nextBefore': None}


def test_a_time_range(own):
    times = sorted({e['timestamp'] for e in own.all})
    for n in (0, len(times) // 3, len(times) - 1):
        assert every(own, '?from=' + times[n]) == [e for e in own.all if e['timestamp'] >= times[n]]
        assert every(own, '?to=' + times[n]) == [e for e in own.all if e['timestamp'] < times[n]]
    a, b = times[2], times[-3]
    assert every(own, '?from=%s&to=%s' % (a, b)) == [e for e in own.all if a <= e['timestamp'] < b]
    assert every(own, '?from=%s&to=%s&desktop=desktop_1&type=task.updated' % (a, b)) == [
        e for e in every(own, '?desktop=desktop_1&type=task.updated') if a <= e['timestamp'] < b]
    assert every(own, '?from=%s&to=%s' % (b, a)) == every(own, '?from=2090-01-01T00:00:00Z') == every(own, '?to=1971-01-01T00:00:00Z') == []
    now = datetime.datetime.now(datetime.timezone.utc)
    for minutes in (15, 60, 24 * 60, 7 * 24 * 60):     # the page's presets
        since = (now - datetime.timedelta(minutes=minutes)).strftime('%Y-%m-%dT%H:%M:%SZ')
        assert every(own, '?from=' + since) == own.all
    for bad in ['x', '', '2026', '2026-03-16', '2026-03-16T10:30:00', '2026-13-16T10:30:00Z', '2026-03-16T10:30:00+01:00', '1773657000', '%00']:
        for p in ('from', 'to'):
            own.api('GET', '%s?%s=%s' % (EVENTS, p, bad)).error(400, 'INVALID_FIELD', field=p)


def test_search(own):
    assert [e['type'] for e in every(own, '?q=the+GONE')] == ['task.updated', 'task.created']
    some = every(own, '?q=The+Failed')
    assert own.ids['failed'] in {e['entity_id'] for e in some} and all('The failed' in e['summary'] for e in some)
    assert {e['type'] for e in every(own, '?q=50%25+right')} >= {'task.reviewed'}
    assert [(e['type'], e['payload'].get('field')) for e in every(own, '?q=%C3%9Cn%C3%AFted+%3CB%3E')] == [
        ('task.deleted', None), ('task.updated', 'priority'), ('task.updated', 'title')]
    assert every(own, '?q=%C3%BCn%C3%AFted') == []     # folds ASCII alone
    assert every(own, '?q=exited+with+code+3&severity=critical') == [e for e in own.all if e['type'] == 'session.failed']
    assert page(own, '?q=nowhere+to+be+found') == {'events': [], 'nextBefore': None}
    for bad in ['', '%00', '%C3%28', 'x' * 2000]:
        own.api('GET', EVENTS + '?q=' + bad).error(400, 'INVALID_FIELD', field='q')


@pytest.mark.parametrize('query', ['limit=x', 'limit=', 'before=x', 'before=task_1', 'before=', 'type=', 'severity=', 'agent=', 'desktop=', 'entity=',
                                   'type=task.created&type=task.updated', 'agent=agent_1&agent=agent_2', 'desktop=' + ','.join('desktop_%d' % n for n in range(1, 150))])
def test_what_is_refused(own, query):
    own.api('GET', EVENTS + '?' + query).error(400, 'INVALID_FIELD', field=query.split('=')[0])


def test_numbers_are_clamped(own):
    assert len(page(own, '?limit=0')['events']) == 1 and len(page(own, '?limit=-5')['events']) == 1
    assert page(own, '?limit=99999999999999999999999')['events'] == own.all[:500]
    some = page(own, '?before=99999999999999999999999')['events']
    assert [e for e in some if int(e['id'][4:]) <= own.end] == own.all[:100]


def test_kept_answers_are_never_stale(own):
    newest = EVENTS + '?limit=1&type=task.updated'     # not an alert that the machine may raise
    for n in range(8):
        a = own.api('PATCH', TASKS + '/' + own.ids['done'], {'title': 'changed %d' % n}, gw=n % 2)
        a.ok()
        for gw in (0, 1):
            assert own.api('GET', newest, gw=gw, seen=a).ok()['events'][0]['payload']['new_value'] == 'changed %d' % n
    etag = own.api('GET', newest).headers['ETag']
    assert own.api('GET', newest, headers={'If-None-Match': etag}).status == 304

