"""A history of tens of thousands of events, made by tests/bench/fill: each filter, deep offset and statistic against all of it, fetched
page by page and sorted out here. What the same questions cost at ten million is `make bench-scale`."""
import json
import os
import random
import subprocess
import tempfile

import pytest
from harness import BUILD, SANITIZED, Install

EVENTS, ACTIVITIES = '/api/mission-control/events', '/api/activities'
SIZE = (12_000, 1_200) if SANITIZED else (30_000, 3_000)
DAYS = 3


@pytest.fixture(scope='module')
def past():
    with tempfile.TemporaryDirectory(prefix='mc-past-', dir='/tmp') as folder:
        subprocess.run([os.path.join(BUILD, 'bench', 'fill'), folder + '/d', *map(str, SIZE), str(DAYS)], check=True, stdout=subprocess.DEVNULL)
        i = Install(gateways=1, workers=0, data=folder + '/d')
        try:
            i.end = int(i.api('GET', '/api/mission-control/overview').headers['X-Mc-Sequence'])
            i.events, before = [], i.end + 1
            while before:
                j = i.api('GET', '%s?limit=500&before=%s' % (EVENTS, before)).ok()
                i.events += j['events']
                before = j['nextBefore']
            i.trail, before = [], i.end + 1
            while True:
                j = i.api('GET', '%s?limit=500&before_id=%d' % (ACTIVITIES, before)).ok()
                i.trail += j['activities']
                if not j['hasMore']:
                    break
                before = j['activities'][-1]['id']
            yield i
        finally:
            i.close()


def number(event):
    return int(event['id'][4:])


def test_there_is_much_of_it(past):
    ids = [number(e) for e in past.events]
    assert len(ids) > SIZE[0] * 0.9 and ids == sorted(set(ids), reverse=True)
    ids = [a['id'] for a in past.trail]
    assert len(ids) > SIZE[0] * 0.6 and ids == sorted(set(ids), reverse=True)
    assert len({a['actor'] for a in past.trail}) > 20


@pytest.mark.parametrize('query,is_one', [
    ('type=task.created', lambda e: e['type'] == 'task.created'),
    ('type=session.failed,session.started', lambda e: e['type'] in ('session.failed', 'session.started')),
    ('severity=critical', lambda e: e['severity'] == 'critical'),
    ('severity=warning,critical&type=agent.status_changed,session.failed', lambda e: e['severity'] != 'info'),
    ('agent=agent_7', lambda e: e['agent_id'] == 'agent_7'),
    ('agent=agent_7,agent_19,agent_3&type=task.updated', lambda e: e['agent_id'] in ('agent_7', 'agent_19', 'agent_3') and e['type'] == 'task.updated'),
    ('desktop=desktop_5&type=session.completed', lambda e: e['agent_id'] == 'agent_5' and e['type'] == 'session.completed'),
    ('q=machine+77%2C', lambda e: 'machine 77,' in json.dumps(e)),
])
def test_events(past, query, is_one):
    want = [e for e in past.events if is_one(e)]
    assert want
    random.seed(query)
    starts = [past.end + 1] + [number(random.choice(past.events)) for _ in range(3)]
    for start in starts:
        got, before = [], start
        while before and len(got) < 1200:
            j = past.api('GET', '%s?limit=400&%s&before=%s' % (EVENTS, query, before)).ok()
            got += j['events']
            before = j['nextBefore']
        rest = [e for e in want if number(e) < start]
        assert got == rest[:len(got)] and (len(got) == len(rest) or before)


def test_a_search_looks_through_ten_thousand_at_once(past):
    """Then it says where to go on."""
    oldest = next(e for e in reversed(past.events) if e['type'] == 'task.created')
    found, before, rounds = [], past.end + 1, 0
    while before:
        j = past.api('GET', '%s?q=%s&before=%s' % (EVENTS, oldest['payload']['title'].upper().replace(' ', '+') + '%22', before)).ok()
        found += j['events']
        before, rounds = j['nextBefore'], rounds + 1
    assert rounds == 1 + len(past.events) // 10_000 and found == []        # a quotation mark is in no title
    j = past.api('GET', '%s?q=%s&before=%d' % (EVENTS, oldest['payload']['title'].upper().replace(' ', '+'), number(oldest) + 1)).ok()
    assert oldest in j['events'] and j['nextBefore'] is None


def test_events_of_a_time_range(past):
    random.seed(1)
    for _ in range(8):
        a, b = sorted(random.sample([e['timestamp'] for e in past.events], 2))
        j = past.api('GET', '%s?limit=300&from=%s&to=%s&before=%d' % (EVENTS, a, b, past.end + 1)).ok()
        assert j['events'] == [e for e in past.events if a <= e['timestamp'] < b][:300]


@pytest.mark.parametrize('query,is_one', [
    ('', lambda a: True),
    ('type=task.status_changed', lambda a: a['type'] == 'task.status_changed'),
    ('actor=user-4', lambda a: a['actor'] == 'user-4'),
    ('actor=desktop-12', lambda a: a['actor'] == 'desktop-12'),
    ('actor=user-4&type=task.created,task.updated', lambda a: a['actor'] == 'user-4' and a['type'] in ('task.created', 'task.updated')),
    ('entity_type=agent,desktop', lambda a: a['entity_type'] in ('agent', 'desktop')),
])
def test_activities_at_any_depth(past, query, is_one):
    want = [a for a in past.trail if is_one(a)]
    random.seed(query)
    for offset in [0, 1, len(want) - 1, len(want)] + [random.randrange(len(want)) for _ in range(12)]:
        j = past.api('GET', '%s?limit=40&offset=%d&before_id=%d&%s' % (ACTIVITIES, offset, past.end + 1, query)).ok()
        assert j['total'] == len(want) and j['hasMore'] == (offset + 40 < len(want))
        assert j['activities'] == want[offset:offset + 40]


@pytest.mark.parametrize('hours', [1, 10, DAYS * 24, 8760])
def test_statistics(past, hours):
    s = past.api('GET', '%s?stats=true&hours=%d' % (ACTIVITIES, hours)).ok()
    for first in {t['timestamp'] for t in s['timeline'][:1]}:
        of = [a for a in past.trail if a['created_at'] >= first]
        types = {t: sum(a['type'] == t for a in of) for t in {a['type'] for a in of}}
        assert {t['type']: t['count'] for t in s['activityByType']} == types
        actors = sorted((sum(a['actor'] == n for a in of) for n in {a['actor'] for a in of}), reverse=True)
        assert [x['activity_count'] for x in s['topActors']] == actors[:10]
        assert sum(t['count'] for t in s['timeline']) == len(of)
    assert len(s['timeline']) <= hours
