"""The worker alone: what becomes of commands and conversations, of what they leave behind, and of a worker that is killed at each
of its steps (MC_FAULT=point:n kills it there)."""
import glob
import os
import socket
import threading

import chat_faults
import pytest
from harness import SANITIZED, STRETCH, Prog, wait_until


def alive(pid):
    try:
        with open('/proc/%s/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


def of_run(marker):
    """Processes whose command line holds the marker."""
    out = []
    for d in glob.glob('/proc/[0-9]*'):
        try:
            with open(d + '/cmdline', 'rb') as f:
                if marker.encode() in f.read():
                    out.append(int(d[6:]))
        except OSError:
            pass
    return [p for p in out if p != os.getpid() and alive(p)]


# ---------------------------------------------------------------- ends

@pytest.mark.parametrize('content,code,error', [
    ('true', 0, None), ('exit 7', 7, 'exit_nonzero'), ('kill -9 $$', 137, 'exit_nonzero'), ('kill -TERM $$', 143, 'exit_nonzero'),
    ('/nonexistent/program', 127, 'exit_nonzero'), ('-not-an-option', 127, 'exit_nonzero'), ('exit 300', 44, 'exit_nonzero')])
def test_exit_codes(shared, content, code, error):
    t = shared.wait_task(shared.task(content, run=True)['id'], 'done', 'failed')
    assert t['exitCode'] == code
    assert (t['error'] or {}).get('code') == error
    assert t['status'] == ('done' if code == 0 else 'failed')


def test_output_of_each_stream_and_everything_before_a_crash(shared):
    t = shared.task('printf out; printf err >&2; printf " more"; kill -SEGV $$', run=True)
    f = shared.wait_task(t['id'], 'failed')
    assert f['exitCode'] == 139 and f['outputBytes'] == 11
    assert shared.output(t['id'], query='?stream=stdout').text == 'out more'
    assert shared.output(t['id'], query='?stream=stderr').text == 'err'


def test_content_longer_than_an_argument_may_be(shared):
    body = '# ' + 'x' * 300000 + '\necho "$0 $#"; exit 3'
    t = shared.wait_task(shared.task(body, run=True)['id'], 'failed')
    assert t['exitCode'] == 3 and shared.output(t['id']).text == '/bin/sh 0\n'


def test_background_child_that_keeps_the_pipe_does_not_keep_the_task(shared):
    t = shared.task('sleep 987651 & echo done', run=True)
    d = shared.wait_task(t['id'], 'done', seconds=10)
    assert d['exitCode'] == 0 and shared.output(t['id']).text == 'done\n'
    wait_until('what it left is gone', lambda: not of_run('987651'))


def test_binary_and_endless_lines(shared):
    t = shared.task("head -c 100000 /dev/urandom; head -c 5000000 /dev/zero | tr '\\0' x", run=True)
    d = shared.wait_task(t['id'], 'done')
    assert d['outputBytes'] == 5100000 and d['outputTruncated']
    assert len(shared.output(t['id']).raw) >= 1024 * 1024


# ---------------------------------------------------------------- too much

def test_a_flood_of_output_stays_small_and_starves_nobody(fresh):
    i = fresh(gateways=1, workers=1, slots=8)
    size = 1 if SANITIZED else 10
    flood = [i.task('head -c %d000000000 /dev/zero' % size, run=True), i.task('yes "a line of output" | head -n %d' % (size * 4000000), run=True)]
    wait_until('it flows', lambda: all(i.get_task(t['id'])['outputBytes'] > 1000000 for t in flood))
    for _ in range(5):
        t = i.task('echo small', run=True)
        i.wait_task(t['id'], 'done', seconds=5)
        assert i.output(t['id']).text == 'small\n'
        if not SANITIZED:
            assert i.workers[0].rss_kib() < 32 * 1024
    for t in flood:
        d = i.wait_task(t['id'], 'done', seconds=120)
        assert d['outputTruncated']
    assert i.get_task(flood[0]['id'])['outputBytes'] == size * 1000000000
    raw = i.output(flood[1]['id']).raw
    assert raw.startswith(b'a line of output\n') and raw.endswith(b'a line of output\n')
    assert len(raw) <= (256 + 768 + 64) * 1024     # head and tail, of which the piece that it begins in is kept whole


@pytest.mark.release_only
def test_memory_with_all_slots_busy(fresh):
    i = fresh(gateways=1, workers=1, slots=8)
    tasks = [i.task('head -c 3000000 /dev/zero; echo x >> %s; sleep 1000' % i.run_file, run=True) for _ in range(8)]
    wait_until('all have written', lambda: len(i.marks()) == 8)
    wait_until('all of it was told', lambda: all(i.get_task(t['id'])['outputBytes'] == 3000000 for t in tasks))
    assert i.workers[0].rss_kib() < 32 * 1024
    for t in tasks:
        i.act(t['id'], 'cancel')
    for t in tasks:
        i.wait_task(t['id'], 'cancelled')


# ---------------------------------------------------------------- trees

TREES = {
    'setsid': 'setsid sleep {n} & setsid setsid sleep {n} & sleep {n}',
    'double-fork': "(setsid sh -c 'sleep {n} & sleep {n}' &) ; (setsid sh -c '(sleep {n} &) ; sleep {n}' &) ; sleep {n}",
    'nohup': "nohup sleep {n} >/dev/null 2>&1 & trap '' TERM HUP INT; sleep {n}; sleep {n}",
    'ignores-term': "trap '' TERM; setsid sh -c \"trap '' TERM; while :; do sleep {n}; done\" & while :; do sleep {n}; done",
    'hides': "env -i setsid sh -c 'env -i setsid sleep {n} & sleep {n}' & sleep {n}",
    'stopped': "sh -c 'kill -STOP $$; sleep {n}' & sleep {n}",
}


@pytest.mark.parametrize('tree', sorted(TREES))
def test_cancel_ends_the_whole_tree(shared, tree):
    n = '9876%05d' % (os.getpid() % 100000) + str(sorted(TREES).index(tree))
    t = shared.task(TREES[tree].format(n=n), run=True)
    wait_until('it runs', lambda: len(of_run(n)) >= 2)
    assert shared.act(t['id'], 'cancel').ok()['status'] == 'cancelled'
    wait_until(lambda: 'no survivors: %s' % of_run(n), lambda: not of_run(n), 12)


def test_time_limit_ends_the_whole_tree(shared):
    n = '98761%d' % os.getpid()
    t = shared.task(TREES['ignores-term'].format(n=n), run=True, timeoutSeconds=1)
    f = shared.wait_task(t['id'], 'failed', seconds=25)
    assert f['error']['code'] == 'timeout'
    wait_until('no survivors', lambda: not of_run(n), 5)


# ---------------------------------------------------------------- killed at each step

def spooled(i):
    """Sessions whose end is in the spool of worker-1 and has not been confirmed: lines of its journal, and files."""
    folder, ends = os.path.join(i.data, 'spool', 'worker-1'), set()
    with open(folder + '/journal', 'rb') as f:
        lines = [line.split() for line in f.read().split(b'\n')[:-1] if line]  # the last may be being written
    for line in lines:
        if line[0] == b'E' and len(line) == 3:
            report, session = bytes.fromhex(line[1].decode()), 0
            assert report[0] == 8       # the first field, a varint
            for k, octet in enumerate(report[1:]):
                session |= (octet & 127) << 7 * k
                if octet < 128:
                    break
            ends.add(session)
        elif line[0] == b'F':
            ends.discard(int(line[1]))
    return sorted(ends) + glob.glob(folder + '/*.end*')


def guards(i):
    """What the workers guard: the slots that are in use (guard.h)."""
    used = []
    for name in glob.glob(i.data + '/run/guard-*/*'):
        with open(name, 'rb') as f:
            used += [slot for slot in iter(lambda: f.read(768), b'') if slot[:1] != b'\0']
    return used


POINTS = ['received', 'recorded', 'guarded', 'spawned', 'noted', 'output', 'exited', 'ended', 'spooled', 'reporting', 'reported', 'acked']


@pytest.mark.parametrize('point', POINTS)
def test_killed_between_steps_starts_nothing_twice(fresh, point):
    i = fresh(gateways=1, workers=1, ready=False, env={'MC_FAULT': point + ':1'})
    i.wait_ready()
    n = '98762%d' % os.getpid()
    w = i.workers[0]
    # It runs on for as long as the fault needs: one that comes before its end finds a tree to clean up.
    rest = '; echo out; setsid sleep %s & sleep %s' % (n, n) if point in ('spawned', 'noted', 'output') else '; echo out'
    t = i.task(i.mark('once') + rest, run=True)
    w.expect = (-9,)
    wait_until('the worker was killed at ' + point, lambda: w.p.poll() is not None, 15)
    w.note_end()
    i.extra_env.pop('MC_FAULT')
    w.start()
    f = i.wait_task(t['id'], 'done', 'failed', seconds=20)
    wait_until('what it left is gone', lambda: not of_run(n))
    assert len(i.marks()) <= 1 and len(i.sessions(t['id'])) == 1
    if f['status'] == 'done':
        assert i.marks() == ['once'] and f['exitCode'] == 0 and i.output(t['id']).text == 'out\n'
    else:
        assert f['error']['code'] == 'worker_lost'
    if point in ('spooled', 'reporting', 'reported', 'acked'):
        assert f['status'] == 'done'        # its end was on disk
    if point in ('received', 'recorded', 'guarded'):
        assert i.marks() == []
    i.wait_task(i.task('true', run=True)['id'], 'done')
    wait_until('the spool is empty', lambda: not spooled(i))
    assert not guards(i)


@pytest.mark.release_only
def test_stopped_past_its_lease_starts_nothing_it_has_lost(fresh):
    """A worker that sleeps between being given a session and starting it: the next attempt has run when it wakes up."""
    i = fresh(gateways=1, workers=1, env={'MC_FAULT': 'received:1:stop'})
    sleeper = i.workers[0]
    t = i.task('printf "attempt %%s\\n" "$MC_ATTEMPT" >> %s' % i.run_file, run=True, retries=1)

    def stopped():
        with open('/proc/%d/stat' % sleeper.pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] == 'T'
    wait_until('it is stopped', stopped)
    i.extra_env['MC_FAULT'] = ''
    key = i.api('POST', '/api/workers', {'name': 'other'}).ok(201)['key']
    path = os.path.join(i.dir, 'other.key')
    with open(path, 'w') as f:
        f.write(key)
    os.chmod(path, 0o600)
    i.workers.append(Prog(i, 'other', [sleeper.argv[0], '--worker-key', path], i._env).start())
    d = i.wait_task(t['id'], 'done', seconds=60)
    assert d['attempt'] == 2 and i.marks() == ['attempt 2']
    sleeper.resume()
    wait_until('it was told', lambda: 'does not know' in sleeper.log_text() or 'does not want' in sleeper.log_text(), 20)
    i.wait_ready()
    i.wait_task(i.task('true', run=True)['id'], 'done')
    assert i.marks() == ['attempt 2'] and i.get_task(t['id'])['status'] == 'done'


def test_next_attempt_first_ends_what_the_last_one_left(fresh):
    """By another worker of this machine, while the first is gone for good."""
    i = fresh(gateways=1, workers=2)
    n = '98763%d' % os.getpid()
    t = i.task('%s; test $(wc -l < %s) -gt 1 || { setsid sleep %s & sleep %s; }' % (i.mark('try'), i.run_file, n, n), run=True, retries=1)
    wait_until('it runs', lambda: len(of_run(n)) >= 2)
    first = i.sessions(t['id'])[0]['workerId']
    lost = next(w for w in i.workers if 'took us as ' + first in w.log_text())
    lost.kill9()
    assert of_run(n)                        # nobody has ended them yet
    d = i.wait_task(t['id'], 'done', seconds=60)
    assert d['attempt'] == 2 and not of_run(n) and len(i.marks()) == 2
    lost.start()
    i.wait_ready()


def test_results_outlive_both_ends(fresh):
    """The broker goes away, commands end meanwhile, the worker is killed: the results are told by its successor."""
    i = fresh(gateways=1, workers=1)
    go = os.path.join(i.dir, 'go')
    tasks = [i.task('while ! test -e %s; do sleep 0.05; done; echo out-%d; echo err >&2; %s; exit %d' % (go, k, i.mark('m%d' % k), k), run=True)
             for k in range(4)]
    for t in tasks:
        wait_until('it runs', lambda t=t: i.sessions(t['id']))
    i.broker.kill9()
    open(go, 'w').close()
    wait_until('the ends are spooled', lambda: len(spooled(i)) == 4)
    i.workers[0].kill9()
    i.workers[0].start()
    wait_until('it found them', lambda: i.workers[0].log_text().count('its result is still to be told') == 4)
    i.broker.start()
    i.wait_ready(30)
    for k, t in enumerate(tasks):
        f = i.wait_task(t['id'], 'done', 'failed')
        assert f['exitCode'] == k and i.output(t['id'], query='?stream=stdout').text == 'out-%d\n' % k
        assert i.output(t['id'], query='?stream=stderr').text == 'err\n'
    assert sorted(i.marks()) == ['m0', 'm1', 'm2', 'm3']
    wait_until('the spool is empty', lambda: not spooled(i))


def test_output_while_the_broker_is_away_is_whole(fresh):
    i = fresh(gateways=1, workers=1)
    t = i.task('for k in $(seq 20000); do echo line $k; done; echo; cat; sleep 1; echo end', run=True)
    wait_until('it runs', lambda: i.sessions(t['id']))
    i.broker.kill9()
    i.broker.start()
    i.wait_ready(30)
    i.wait_task(t['id'], 'done', seconds=30)
    assert i.output(t['id']).text == ''.join('line %d\n' % k for k in range(1, 20001)) + '\nend\n'


# ---------------------------------------------------------------- the program

def run(argv, env):
    import subprocess
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=20 * STRETCH)


def test_usage_and_failures_are_one_line(fresh):
    i = fresh(gateways=0, workers=1, ready=False)
    w, env = i.workers[0].argv[0], i._env()
    for args, code in [(['--slots', '0'], 2), (['--slots', 'x'], 2), (['--nonsense'], 2), (['--log-level', 'loud'], 2), (['--drain'], 2),
                       (['--worker-key', '/nonexistent'], 1), (['--worker-key', i.data + '/admin-api-key'], 1),
                       (['--worker-key', i.data + '/gateway.key'], 1), (['--worker-key', i.data + '/worker-1.key'], 1)]:
        r = run([w, *args], env)
        assert r.returncode == code and r.stdout == '' and r.stderr.count('\n') == 1 and r.stderr.startswith('mc-worker: '), (args, r)
    # The last one: the first worker has the name, and its spool.
    assert 'another worker' in r.stderr
    assert run([w, '--help'], env).returncode == 0 and run([w, '--version'], env).stdout.startswith('mc-worker ')


def test_second_signal_and_interrupt_stop_at_once(fresh):
    i = fresh(gateways=1, workers=1, env={'MC_DRAIN': '60'})
    n = '98764%d' % os.getpid()
    for signals in ([15, 15], [2]):
        t = i.task('setsid sleep %s & trap "" TERM; while :; do sleep %s; done' % (n, n), run=True)
        wait_until('it runs', lambda: len(of_run(n)) >= 2)
        w = i.workers[0]
        w.expect = (0,)
        for k, s in enumerate(signals):
            w.signal(s)
            if k + 1 < len(signals):
                wait_until('it drains', lambda: 'draining' in w.log_text())
        assert w.wait(8) == 0
        assert not of_run(n)
        w.start()
        i.wait_ready()
        assert i.wait_task(t['id'], 'failed')['error']['code'] == 'worker_lost'


# ---------------------------------------------------------------- conversations

@pytest.fixture
def faulty():
    s = chat_faults.Server()
    yield s
    s.close()


def prompt(i, url, **fields):
    d = i.make_desktop('chat %s' % os.urandom(4).hex(), chat={'url': url, 'model': 'm'})
    return i.wait_task(i.task('ok', type='prompt', desktopId=d['id'], run=True, **fields)['id'], 'done', 'failed')


@pytest.mark.parametrize('url', ['http://169.254.169.254/v1', 'http://[fe80::1]/v1', 'http://0.0.0.0:{port}/v1', 'http://224.0.0.1/v1',
                                 'http://[::ffff:127.0.0.1]:{port}/v1'])
def test_addresses_that_are_never_connected_to(shared, faulty, url):
    t = prompt(shared, url.format(port=faulty.server_address[1]))
    assert t['error']['code'] == 'agent_error' and 'not allowed' in t['error']['message'], t
    assert not faulty.seen


def test_redirects_are_not_followed(shared):
    hits = []

    def serve(s):
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            head = c.recv(65536)
            hits.append(head)
            c.sendall(b'HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
            c.close()
    with socket.create_server(('127.0.0.1', 0)) as s:
        threading.Thread(target=serve, args=(s,), daemon=True).start()
        t = prompt(shared, 'http://127.0.0.1:%d/v1' % s.getsockname()[1])
        s.shutdown(socket.SHUT_RDWR)
    assert t['error']['code'] == 'agent_error' and '302' in t['error']['message']
    assert not [h for h in hits if b'/elsewhere' in h]
    assert len([h for h in hits if h.startswith(b'POST')]) == 1     # sent once


def test_proxy_of_the_environment_is_not_used(fresh, faulty):
    i = fresh(gateways=1, workers=1, env={'http_proxy': 'http://127.0.0.1:9', 'ALL_PROXY': 'http://127.0.0.1:9'})
    assert prompt(i, faulty.url)['status'] == 'done'


def test_silent_endpoint_is_given_up(fresh, faulty):
    i = fresh(gateways=1, workers=1, env={'MC_CHAT_STALL': '2'})
    d = i.make_desktop('silent', chat={'url': faulty.url, 'model': 'm'})
    t = i.task('stall', type='prompt', desktopId=d['id'], run=True)
    f = i.wait_task(t['id'], 'failed', seconds=15)
    assert f['error']['code'] == 'agent_error' and 'nothing for too long' in f['error']['message']
    assert i.output(t['id']).text == 'first '
