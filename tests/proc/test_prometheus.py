"""GET /metrics: the text format as Prometheus's own tool judges it, and figures that move with what is done."""
import os
import re
import shutil
import subprocess

import pytest
from harness import REPO, TASKS, Install, wait_until

OF = {'gateway': '', 'broker': '?of=broker', 'workers': '?of=workers'}
SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (-?[0-9.]+|\+Inf)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')


def text_of(i, of, gw=0, **kw):
    a = i.api('GET', '/metrics' + OF[of], gw=gw, **kw)
    assert a.status == 200 and a.headers['Content-Type'] == 'text/plain; version=0.0.4; charset=utf-8', a
    return a.text


def figures(i, of, gw=0):
    """{(name, labels...): value}, read strictly."""
    out, family = {}, None
    for line in text_of(i, of, gw).split('\n')[:-1]:
        if line.startswith('# '):
            family = line.split(' ')[2]
            continue
        m = SAMPLE.fullmatch(line)
        assert m, line
        labels = tuple(sorted(LABEL.findall(m.group(2) or '')))
        assert m.group(1).startswith(family), (line, family)
        key = (m.group(1),) + labels
        assert key not in out, line
        out[key] = float(m.group(3))
    return out


@pytest.fixture(scope='module')
def own():
    i = Install(gateways=2, workers=2)
    yield i
    i.close()


@pytest.mark.parametrize('of', OF)
def test_promtool_has_nothing_to_say(own, of):
    own.wait_task(own.task('true', run=True)['id'], 'done')
    text = text_of(own, of)
    prefix = 'mc_%s_' % of.rstrip('s')
    for line in text.split('\n')[:-1]:
        assert line.startswith(('# HELP ' + prefix, '# TYPE ' + prefix, prefix)), line
    tool = shutil.which('promtool') or shutil.which(os.path.join(REPO, 'build', 'tool', 'promtool'))
    assert tool, 'promtool is missing: tools/deps test installs it'
    p = subprocess.run([tool, 'check', 'metrics'], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert p.returncode == 0 and not p.stdout, p.stdout.decode()


def test_who_may_look(own):
    for of in OF:
        own.api('GET', '/metrics' + OF[of], key=None).error(401)
        text_of(own, of, key=own.make_key('viewer'))
    for bad in ['', 'x', 'Broker', 'gateway', '%00', 'broker,workers']:
        own.api('GET', '/metrics?of=' + bad).error(400, 'INVALID_FIELD', field='of')
    own.api('POST', '/metrics', {}).error(405)
    assert own.api('HEAD', '/metrics').raw == b''


def test_the_broker_counts_what_is_done(own):
    def tasks(f, status):
        return f[('mc_broker_tasks', ('status', status))]

    def settled():
        # what is committed is in the store a moment before it is counted
        a, b = figures(own, 'broker'), figures(own, 'broker', gw=1)
        return b if all(a[k,] == b[k,] for k in ('mc_broker_newest_event', 'mc_broker_events_total')) else None
    before = wait_until('the counters have what the store has', settled)
    pending = own.task('true')
    done = own.wait_task(own.task('true', run=True)['id'], 'done')
    failed = own.wait_task(own.task('exit 3', run=True)['id'], 'failed')
    assert pending['status'] == 'pending' and done and failed

    after = wait_until('the counters have what the store has', settled)
    for status, n in [('pending', 1), ('done', 1), ('failed', 1), ('running', 0), ('review', 0)]:
        assert tasks(after, status) == tasks(before, status) + n, status
    a = own.api('GET', '/api/mission-control/overview')
    assert {s: tasks(after, s) for s in a.json['tasks']} == a.json['tasks']
    for name in ['mc_broker_commands_total', 'mc_broker_turns_total', 'mc_broker_requests_total', 'mc_broker_bus_messages_total',
                 'mc_broker_bus_bytes_total', 'mc_broker_queries_total']:
        assert after[name,] > before[name,], name
    rows = after['mc_broker_newest_event',] - before['mc_broker_newest_event',]
    assert rows >= 3 + 2 + 4 and after['mc_broker_events_total',] - before['mc_broker_events_total',] == rows
    assert after['mc_broker_newest_event',] <= int(a.headers['X-Mc-Sequence'])    # the machine itself may have had an event
    assert after['mc_broker_oldest_event',] == 1 and after['mc_broker_workers',] == 2
    assert 0 < after['mc_broker_store_bytes',] < after['mc_broker_store_max_bytes',]
    assert after['mc_broker_resident_memory_bytes',] > 1e6 and after['mc_broker_open_fds',] > 5
    assert after['mc_broker_cpu_seconds_total',] >= before['mc_broker_cpu_seconds_total',] > 0
    turns = after['mc_broker_turns_total',]
    for h in ['mc_broker_commit_duration_seconds', 'mc_broker_turn_commands']:
        assert after[h + '_count',] == after[h + '_bucket', ('le', '+Inf')] == turns
    assert after['mc_broker_turn_commands_sum',] == after['mc_broker_commands_total',]
    assert after['mc_broker_commit_duration_seconds_sum',] > 0


def test_a_workspace_sees_its_queue(fresh):
    i = fresh(gateways=1, workers=0)
    i.api('PUT', '/api/mission-control/settings', {'requireApproval': True}).ok()
    for _ in range(3):
        i.task('true', run=True)
    f = figures(i, 'broker')
    assert f['mc_broker_tasks_waiting',] == 3 and f['mc_broker_tasks', ('status', 'running')] == 3 and f['mc_broker_workers',] == 0
    assert f['mc_broker_pending_approvals',] == 0


def test_the_workers_tell_theirs(fresh):
    i = fresh(gateways=1, workers=2)

    def total(name, **labels):
        want = set(labels.items())
        return sum(v for k, v in figures(i, 'workers').items() if k[0] == name and want <= set(k[1:]))
    wait_until('both have polled', lambda: total('mc_worker_slots') == 16, 20)  # greeted, they count as connected a little before
    f = figures(i, 'workers')
    names = {dict(k[1:])['worker'] for k in f}
    assert names == {'worker-1', 'worker-2'}
    for w in names:
        assert f['mc_worker_connected', ('worker', w)] == 1 and f['mc_worker_slots', ('worker', w)] == 8
        assert f['mc_worker_draining', ('worker', w)] == 0
    for content, end, more in [('true', 'done', {}), ('echo x; exit 1', 'failed', {}), ('sleep 60', 'failed', {'timeoutSeconds': 1})]:
        i.wait_task(i.task(content, run=True, **more)['id'], end, seconds=30)
    wait_until('they have told', lambda: total('mc_worker_sessions_started_total') == 3, 20)
    wait_until('the ends too', lambda: [total('mc_worker_sessions_ended_total', result=r) for r in ('exit_nonzero', 'timeout', 'completed', 'other')]
               == [1, 1, 1, 0], 20)
    wait_until('all is confirmed', lambda: total('mc_worker_unconfirmed_sessions') == 0, 20)
    wait_until('a probe', lambda: total('mc_worker_probes_total') > 0, 20)
    wait_until('one of them looks after the desktop', lambda: total('mc_worker_probed_desktops') == 1, 20)
    wait_until('the journal is in the spool', lambda: total('mc_worker_spool_bytes') > 0, 20)
    hold = i.task('sleep 60', run=True)
    wait_until('it is held', lambda: total('mc_worker_running_sessions') == 1)
    i.act(hold['id'], 'cancel').ok()
    wait_until('and let go', lambda: total('mc_worker_running_sessions') == 0)


def test_a_lost_worker_is_not_heard(fresh):
    i = fresh(gateways=1, workers=1)
    i.api('POST', '/api/workers', {'name': 'never-seen'}).ok(201)
    f = figures(i, 'workers')
    assert f['mc_worker_connected', ('worker', 'never-seen')] == 0 and f['mc_worker_running_sessions', ('worker', 'never-seen')] == 0
    assert not [k for k in f if k[0] == 'mc_worker_slots' and ('worker', 'never-seen') in k]


def test_the_gateway_counts_its_own(own):
    def answers(f, route, method, code):
        return f.get(('mc_gateway_http_requests_total', ('code', code), ('method', method), ('route', route)), 0)
    before, other = figures(own, 'gateway'), figures(own, 'gateway', gw=1)
    key = own.make_key('viewer')
    base = figures(own, 'gateway')
    t = own.task('true')
    own.get_task(t['id'])
    own.get_task(t['id'])
    own.api('GET', TASKS + '/task_99999').error(404)
    own.api('POST', TASKS, {}).error(400)
    own.api('GET', '/no/such/%s' % t['id']).error(404)
    own.api('GET', '/healthz', key=None)
    own.api('POST', TASKS, {}, key=key).error(403)
    for _ in range(5):
        own.api('GET', '/api/mission-control/overview').ok()
    after = figures(own, 'gateway')

    def moved(route, method, code):
        return answers(after, route, method, code) - answers(base, route, method, code)
    assert moved(TASKS, 'POST', '2xx') == 1 and moved(TASKS, 'POST', '4xx') == 2
    assert moved(TASKS + '/:id', 'GET', '2xx') == 2 and moved(TASKS + '/:id', 'GET', '4xx') == 1
    assert moved('none', 'none', '4xx') == 1 and moved('/healthz', 'GET', '2xx') == 1
    text = text_of(own, 'gateway')
    assert 'task_' not in text and '/no/such' not in text and key not in text      # never a path, an id or a key
    assert after['mc_gateway_broker_up',] == 1
    assert after['mc_gateway_connections_total',] >= before['mc_gateway_connections_total',] + 10
    assert after['mc_gateway_connections',] >= 1
    commands = [f['mc_gateway_broker_items_total', ('kind', 'command')] for f in (base, after)]
    assert commands[0] + 1 <= commands[1] <= commands[0] + 3                       # that a key is in use may have been told meanwhile
    cache = [sum(v for k, v in f.items() if k[0] == 'mc_gateway_cache_requests_total') for f in (base, after)]
    assert cache[1] == cache[0] + 5
    took = [sum(v for k, v in f.items() if k[0] == 'mc_gateway_http_request_duration_seconds_count') for f in (base, after)]
    assert took[1] - took[0] == 14                                                 # and the look at the figures before
    again = figures(own, 'gateway', gw=1)
    assert answers(again, TASKS, 'POST', '2xx') == answers(other, TASKS, 'POST', '2xx')   # each counts its own


def test_streams_are_counted(own):
    n = figures(own, 'gateway')['mc_gateway_streams_total',]
    resyncs = figures(own, 'gateway')['mc_gateway_stream_resyncs_total',]
    with own.stream() as a, own.stream('/api/mission-control/stream', last_id=999999999):
        f = wait_until('both are in', lambda: (lambda f: f if f['mc_gateway_streams',] >= 2 else None)(figures(own, 'gateway')))
        assert f['mc_gateway_streams_total',] == n + 2
        wait_until('one was told to begin anew', lambda: figures(own, 'gateway')['mc_gateway_stream_resyncs_total',] == resyncs + 1)
        assert a.status == 200
    wait_until('they are gone', lambda: figures(own, 'gateway')['mc_gateway_streams',] == 0)


def test_without_a_broker(fresh):
    """The gateway goes on telling of itself; of the others nobody can say anything."""
    i = fresh(gateways=1, workers=0)
    text_of(i, 'gateway')
    i.broker.kill9()
    wait_until('it has seen that', lambda: figures(i, 'gateway')['mc_gateway_broker_up',] == 0)
    for of in ('broker', 'workers'):
        i.api('GET', '/metrics' + OF[of]).error(503)
    i.broker.start()
    i.wait_ready()
    assert figures(i, 'broker')['mc_broker_connections',] >= 1
