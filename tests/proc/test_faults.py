"""What it must survive: every program killed in turn under load, the broker away, a worker away, drains, slow and paused programs.
The checks are made from the outside: what clients were told, the tasks, the log as the streams show it, and a file to which each
task appends its tag."""
import collections
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest
from harness import SANITIZED, STRETCH, TASKS, http_call, wait_until

TERMINAL = ('done', 'failed', 'cancelled')


class Load:
    """Clients that create and run tasks until stopped. Each create has an idempotency key and is repeated, at whichever gateway
    answers, until there is a plain answer: that is an acknowledgement, and must be true for ever after."""

    def __init__(self, i, clients=4):
        self.i, self.acked, self.wrong = i, {}, []
        self.stopping = False
        self.unknown = set()
        self.threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(clients)]
        self.ports = [i.port(n) for n in range(len(i.gateways))]
        self.key, self.desktop = i.key, i.desktop
        for t in self.threads:
            t.start()

    def _client(self, n):
        count, at = 0, n
        while not self.stopping:
            tag = 'load-%d-%d' % (n, count)
            count += 1
            body = json.dumps({'type': 'command', 'content': self.i.mark(tag), 'desktopId': self.desktop, 'run': True}).encode()
            while True:
                at += 1
                try:
                    a = http_call(self.ports[at % len(self.ports)], 'POST', TASKS, body,
                                  {'x-api-key': self.key, 'Content-Type': 'application/json', 'Idempotency-Key': tag}, timeout=6)
                except (OSError, http.client.HTTPException):    # no connection, or the answer was cut off
                    a = None
                if a is not None and a.status == 201:
                    self.acked[a.json['id']] = tag
                    break
                if a is not None and a.status != 503:
                    self.wrong.append('%s: %r' % (tag, a))
                    break
                self.unknown.add(tag)
                if self.stopping:
                    break
                time.sleep(0.05)            # the client's own pause between tries

    def more(self, n, seconds=30):
        """Waits until n more have been acknowledged."""
        want = len(self.acked) + n
        wait_until(lambda: '%d more acknowledged; %s' % (n, self.wrong[:3]), lambda: len(self.acked) >= want, seconds)

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join(30 * STRETCH)
        assert not self.wrong, self.wrong[:5]


def settle(i, seconds=45):
    """Everything that was created has ended; gives all tasks by id."""
    def look():
        tasks = i.api('GET', TASKS).ok()
        return tasks if all(t['status'] in TERMINAL for t in tasks) else None
    tasks = wait_until('every task has ended', look, seconds, step=0.1)
    return {t['id']: t for t in tasks}


def judge(i, load, tasks, lost_worker):
    missing = set(load.acked) - set(tasks)
    assert not missing, 'acknowledged and lost: %s' % sorted(missing)[:5]
    runs = collections.Counter(i.marks())
    twice = {tag: n for tag, n in runs.items() if n > 1}
    assert not twice, 'run twice: %s' % twice
    by_tag = collections.Counter()
    for tid, t in tasks.items():
        tag = t['content'].split("'")[3]
        by_tag[tag] += 1
        if t['status'] == 'done':
            assert runs[tag] == 1, '%s is done and ran %d times' % (tid, runs[tag])
        else:
            assert lost_worker and t['status'] == 'failed' and t['error']['code'] == 'worker_lost', \
                '%s ran %d times; %s' % (json.dumps(t), runs[tag], i.sessions(tid))
        assert len(i.sessions(tid)) <= 1
    assert max(by_tag.values()) == 1, 'created twice: %s' % [x for x in by_tag.items() if x[1] > 1][:5]
    for tid, tag in load.acked.items():
        assert tasks[tid]['content'] == i.mark(tag)


def judge_streams(i, followers):
    """Each follower's frames are exactly the log from its first to its last, as a fresh reader of either gateway sees it."""
    newest = max(f.last_id or 0 for f in followers)
    full = []
    for gw in range(len(i.gateways)):
        with i.stream(gw=gw, last_id=0) as s:
            s.wait(lambda fs: any(f.id and f.id >= newest for f in fs), 30)
            s.check()
            assert 'stream.resync' not in [f.type for f in s.frames]
            full.append([(f.id, f.type, str(f.payload)) for f in s.frames if f.id <= newest])
    assert all(x == full[0] for x in full)
    for f in followers:
        assert not f.violations, f.violations[:5]
        assert set(f.statuses) == {200}, f.statuses
        got = [(x.id, x.type, str(x.payload)) for x in f.frames if x.id is not None]
        assert 'stream.resync' not in [x.type for x in f.frames]
        want = [x for x in full[0] if got[0][0] <= x[0] <= got[-1][0]]
        assert got == want, 'gap, repeat or change: %d frames instead of %d' % (len(got), len(want))


def victims(i):
    return {'broker': i.broker, 'gateway-1': i.gateways[0], 'gateway-2': i.gateways[1], 'worker-1': i.workers[0], 'worker-2': i.workers[1]}


@pytest.mark.parametrize('who', ['broker', 'gateway-1', 'gateway-2', 'worker-1', 'worker-2', 'all'])
def test_kill_each_program_under_load(fresh, who):
    i = fresh(gateways=2, workers=2)
    followers = [i.follow(gws=[0, 1]), i.follow(gws=[1, 0]), i.follow(gws=[0])]
    load = Load(i, 3 if SANITIZED else 5)
    rng = random.Random(who)
    progs = victims(i)
    for _ in range(1 if SANITIZED and who != 'all' else 3):
        load.more(10 if SANITIZED else 40, 60)
        batch = [progs[who]] if who != 'all' else rng.sample(list(progs.values()), 3)
        for p in batch:
            p.kill9()
        for p in batch:
            p.start()
        i.wait_ready(30)
    load.more(10, 60)
    load.stop()
    tasks = settle(i)
    judge(i, load, tasks, lost_worker=who in ('worker-1', 'worker-2', 'all'))
    last = i.task('true', run=True)
    for f in followers:
        f.wait('the last event', lambda fs: any(x.type == 'task.completed' and x.payload['taskId'] == last['id'] for x in fs))
        f.stop()
    judge_streams(i, followers)
    o = i.api('GET', '/api/mission-control/overview').ok()['tasks']
    assert sum(o.values()) == len(tasks) + 1
    assert {k: v for k, v in o.items() if v} == dict(collections.Counter([t['status'] for t in tasks.values()] + ['done']))


def test_broker_away_streams_hold_work_goes_on(fresh):
    i = fresh(gateways=2, workers=1)
    fifo = os.path.join(i.dir, 'fifo')
    os.mkfifo(fifo)
    running = i.task('echo before; cat %s; %s' % (fifo, i.mark('finished')), run=True)
    wait_until('it runs', lambda: i.output(running['id']).text == 'before\n')
    with i.stream(gw=0) as before:
        i.broker.kill9()
        with i.stream(gw=1) as during:              # opened while the broker is away: held, not refused
            assert during.status == 200
            with open(fifo, 'w') as f:              # the command ends meanwhile
                f.write('while away\n')
            wait_until('it finished', lambda: i.marks() == ['finished'])
            began = time.monotonic()
            a = i.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': i.desktop})
            a.error(503)
            assert time.monotonic() - began < 2.5 * max(1, STRETCH / 1.5) and a.headers['Retry-After']
            assert before.ended is None and during.ended is None
            i.broker.start()
            i.wait_ready()
            i.wait_task(running['id'], 'done')
            before.wait_task(running['id'], 'task.completed')
            during.wait_task(running['id'], 'task.completed')
            before.check()
            during.check()
    assert i.output(running['id']).text == 'before\nwhile away\n'
    assert len(i.sessions(running['id'])) == 1


def test_stream_heartbeats_while_the_broker_is_away(fresh):
    i = fresh(gateways=1, workers=1)
    i.api('GET', TASKS).ok()
    with i.stream() as known:
        i.broker.kill9()
        with i.stream(key='mc_k_' + 'E' * 43) as unknown, i.stream() as held:
            assert unknown.status == held.status == 200
            for s in (known, held):
                s.wait_comment('heartbeat', 40)
            i.broker.start()
            i.wait_ready()
            assert unknown.wait_end(20)              # the key proved wrong: the next try gets the 401
            t = i.task('true', run=True)
            for s in (known, held):
                s.wait_task(t['id'], 'task.completed', 20)
    with i.stream(key='mc_k_' + 'E' * 43) as s:
        assert s.status == 401


def test_worker_that_returns_under_its_name_ends_what_it_lost(fresh):
    i = fresh(gateways=1, workers=1)
    t = i.task(i.mark('lost') + '; sleep 1000', run=True)
    wait_until('it runs', lambda: i.marks() == ['lost'])
    i.workers[0].kill9()
    i.workers[0].start()
    f = i.wait_task(t['id'], 'failed', seconds=15)
    assert f['error']['code'] == 'worker_lost'
    s = i.sessions(t['id'])
    assert len(s) == 1 and s[0]['status'] == 'failed'
    i.wait_task(i.task('true', run=True)['id'], 'done')
    assert i.marks() == ['lost']


def test_worker_lost_after_its_lease_and_the_rest_goes_to_others(fresh):
    i = fresh(gateways=1, workers=1)
    t = i.task(i.mark('one-$$').replace("'one-$$'", '"one-$$"') + '; test $(wc -l < %s) -gt 1 || exec sleep 1000' % i.run_file, run=True, retries=1)
    plain = i.task('sleep 1000', run=True)
    wait_until('they run', lambda: len(i.marks()) == 1 and i.sessions(plain['id']))
    i.workers[0].kill9()
    f = i.wait_task(plain['id'], 'failed', seconds=40)
    assert f['error']['code'] == 'worker_lost'
    queued = i.task('true', run=True)
    assert (queued['status'], queued['waitingFor'], queued['sessionId']) == ('running', 'worker', None)
    i.workers[0].start()
    d = i.wait_task(t['id'], 'done', seconds=20)      # it had a retry left: the second attempt first ends what the first left running
    assert d['attempt'] == 2
    first = i.marks()[0].split('-')[1]
    wait_until('the first attempt is gone', lambda: not alive(first))
    i.wait_task(queued['id'], 'done')
    assert sorted(x['status'] for x in i.sessions(t['id'])) == ['completed', 'failed']


def alive(pid):
    try:
        with open('/proc/%s/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


def test_paused_worker_comes_back_and_is_fenced(fresh):
    """A worker that sleeps through its lease reports late: the attempt stays lost, the late result changes nothing else."""
    i = fresh(gateways=1, workers=1)
    t = i.task(i.mark('paused') + '; sleep 1; echo late', run=True)
    wait_until('it runs', lambda: i.marks() == ['paused'])
    i.workers[0].pause()
    f = i.wait_task(t['id'], 'failed', seconds=45)
    assert f['error']['code'] == 'worker_lost'
    i.workers[0].resume()
    i.wait_task(i.task('true', run=True)['id'], 'done', seconds=30)
    g = i.get_task(t['id'])
    assert (g['status'], g['error']['code'], g['attempt']) == ('failed', 'worker_lost', 1) and i.marks() == ['paused']


def test_worker_drain_lets_commands_end(fresh):
    i = fresh(gateways=1, workers=2, env={'MC_DRAIN': '8'})
    fifo = os.path.join(i.dir, 'fifo')
    os.mkfifo(fifo)
    t = i.task('cat ' + fifo + '; echo end', run=True)
    s = wait_until('it runs', lambda: i.sessions(t['id']))[0]
    n = int(s['workerId'].split('_')[1])
    names = {w['id']: w for w in i.api('GET', '/api/workers').ok()}
    prog = next(w for w in i.workers if w.name == names[s['workerId']]['name']) if names[s['workerId']]['name'] in [w.name for w in i.workers] \
        else i.workers[n - 1]
    prog.term(wait=False)
    wait_until('the broker knows', lambda: any(w['id'] == s['workerId'] and w['draining'] for w in i.api('GET', '/api/workers').ok()))
    after = [i.task(i.mark('after-%d' % k), run=True) for k in range(4)]
    for a in after:
        i.wait_task(a['id'], 'done')                 # by the other worker
        assert i.sessions(a['id'])[0]['workerId'] != s['workerId']
    assert prog.alive
    with open(fifo, 'w') as f:
        f.write('go\n')
    assert i.wait_task(t['id'], 'done')['exitCode'] == 0
    assert i.output(t['id']).text == 'go\nend\n'
    assert prog.wait(10) == 0


def test_worker_drain_ends_what_does_not_end(fresh):
    i = fresh(gateways=1, workers=1, env={'MC_DRAIN': '1'})
    pid = os.path.join(i.dir, 'pid')
    t = i.task('echo $$ > %s; exec sleep 1000' % pid, run=True)
    wait_until('it runs', lambda: os.path.exists(pid) and open(pid).read().strip())
    assert i.workers[0].term() == 0
    assert not alive(open(pid).read().strip())
    i.workers[0].start()
    f = i.wait_task(t['id'], 'failed')
    assert f['error']['code'] in ('worker_lost', 'exit_nonzero'), f


def test_gateway_drain_ends_streams_cleanly(fresh):
    i = fresh(gateways=2, workers=1)
    t0 = i.task('true', run=True)
    i.wait_task(t0['id'], 'done')
    with i.stream(gw=0, last_id=0) as s, i.stream(gw=0) as other:
        s.wait_task(t0['id'], 'task.completed')
        i.gateways[0].term(wait=False)
        assert s.wait_end(12) == 'clean' and other.wait_end(12) == 'clean'
        assert i.gateways[0].wait(15) == 0
        t = i.task('true', run=True, gw=1)
        i.wait_task(t['id'], 'done', gw=1)
        with i.stream(gw=1, last_id=s.last_id) as r:
            r.wait_task(t['id'], 'task.completed')
            assert not [f for f in r.frames if f.payload['taskId'] == t0['id']]
            r.check()
        s.check()


def test_rolling_restart_under_load(fresh):
    """SIGTERM to each in turn: nothing is lost, nothing runs twice, nothing fails."""
    i = fresh(gateways=2, workers=2)
    followers = [i.follow(gws=[0, 1]), i.follow(gws=[1, 0])]
    load = Load(i, 3)
    for p in i.gateways + i.workers + [i.broker]:
        load.more(5, 60)
        p.restart()
        i.wait_ready(30)
    load.more(5, 60)
    load.stop()
    tasks = settle(i)
    judge(i, load, tasks, lost_worker=False)
    last = i.task('true', run=True)
    for f in followers:
        f.wait('the last event', lambda fs: any(x.type == 'task.completed' and x.payload['taskId'] == last['id'] for x in fs))
        f.stop()
    judge_streams(i, followers)


def test_everything_stopped_and_started_again(fresh):
    i = fresh(gateways=1, workers=1)
    done = i.task('echo kept', run=True)
    i.wait_task(done['id'], 'done')
    review = i.task('true', run=True, requiresApproval=True)
    review = i.wait_task(review['id'], 'review')
    pending = i.task('true')
    settings = i.api('PUT', '/api/mission-control/settings', {'retentionDays': 11}).ok()
    key = i.make_key('viewer')
    admin = i.key
    for p in i.gateways + i.workers + [i.broker]:
        p.term()
    for p in [i.broker] + i.gateways + i.workers:
        p.start()
    i.wait_ready()
    assert i.key == admin
    assert i.api('GET', TASKS, key=key).status == 200
    assert i.output(done['id']).text == 'kept\n'
    assert i.api('GET', '/api/mission-control/settings').ok() == settings
    assert i.act(review['id'], 'review', {'decision': 'approve'}).ok()['status'] == 'done'
    i.act(pending['id'], 'run').ok()
    i.wait_task(pending['id'], 'done')
    assert [d['id'] for d in i.api('GET', '/api/desktops').ok()] == ['desktop_1']


def test_second_broker_on_the_same_directory_refuses(fresh):
    i = fresh(gateways=1, workers=1)
    r = subprocess.run(i.broker.argv, env=i._env(), capture_output=True, text=True, timeout=20 * STRETCH, stdin=subprocess.DEVNULL)
    assert r.returncode == 1 and r.stderr.strip()
    i.wait_task(i.task('true', run=True)['id'], 'done')


def test_sigterm_twice_stops_at_once(fresh):
    i = fresh(gateways=1, workers=1, env={'MC_DRAIN': '60'})
    t = i.task('echo on; exec sleep 1000', run=True)
    wait_until('it runs', lambda: i.output(t['id']).text == 'on\n')
    w = i.workers[0]
    w.term(wait=False)
    wait_until('it drains', lambda: any(x['draining'] for x in i.api('GET', '/api/workers').ok()))
    w.expect = tuple(range(0, 256)) + (-signal.SIGTERM,)
    w.signal(signal.SIGTERM)
    w.wait(5)


def test_memory_stays_small(fresh):
    if SANITIZED:
        pytest.skip('memory of sanitized programs says nothing')
    i = fresh(gateways=1, workers=1)
    load = Load(i, 4)
    load.more(400, 60)
    load.stop()
    settle(i)
    assert i.broker.rss_kib() < 64 * 1024
    assert i.gateways[0].rss_kib() < 32 * 1024
    assert i.workers[0].rss_kib() < 32 * 1024


def test_disk_full_refuses_writes_and_recovers(fresh):
    """A small file system of its own, where one may be mounted."""
    i = fresh(gateways=1, workers=1)
    for p in i.gateways + i.workers + [i.broker]:
        p.term()
    r = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=200m', 'tmpfs', i.data], capture_output=True)
    if r.returncode != 0:
        for p in [i.broker] + i.gateways + i.workers:
            p.start()
        pytest.skip('no file system can be mounted here')
    try:
        i.broker.start()
        wait_until('keys', lambda: os.path.exists(i.data + '/worker-1.key') and os.path.exists(i.data + '/admin-api-key'), 15)
        for p in i.gateways + i.workers:
            p.start()
        i.wait_ready()
        t = i.task('true', run=True)
        i.wait_task(t['id'], 'done')
        with open(i.data + '/ballast', 'wb', buffering=0) as f:
            try:
                while True:
                    f.write(b'x' * 65536)
            except OSError:
                pass
        a = None
        for _ in range(4000):
            a = i.api('POST', TASKS, {'type': 'command', 'content': '# ' + 'x' * 20000, 'desktopId': i.desktop})
            if a.status != 201:
                break
        j = a.error(503)
        assert j['code'] in ('STORAGE_FULL', 'OVERLOADED', 'OUTCOME_UNKNOWN', 'STORAGE_ERROR'), j
        assert a.headers['Retry-After']
        assert i.api('GET', TASKS + '/' + t['id']).status == 200
        os.unlink(i.data + '/ballast')
        wait_until('writes go on', lambda: i.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': i.desktop}).status == 201, 10)
        n = i.task('true', run=True)
        i.wait_task(n['id'], 'done')
    finally:
        for p in i.gateways + i.workers + [i.broker]:
            p.term()
        subprocess.run(['umount', '-l', i.data], check=False)
