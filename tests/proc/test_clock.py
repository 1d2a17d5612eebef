"""Wall clocks that jump (tests/crash/clock.c moves CLOCK_REALTIME of each program): leases and sessions go by other clocks, numbers
rise, statistics stand; and what has grown too old by such a clock goes, also when the broker is killed while it takes it away."""
import json
import mmap
import os
import signal
import struct
import subprocess
import tempfile
import time

import pytest
from harness import BUILD, STRETCH, TASKS, Install, wait_until

HOUR, DAY = 3600 * 1000, 24 * 3600 * 1000
SHIM = BUILD + '/crash/clock.so'
# A sanitizer wants to be the first library, and the shim is none of those it watches.
ENV = {'LD_PRELOAD': SHIM, 'ASAN_OPTIONS': 'detect_leaks=1:verify_asan_link_order=0', 'MC_FAULT': ''}


class Clocks:
    def __init__(self, i):
        self.map = {}
        for p in i.progs():
            path = os.path.join(i.dir, 'clock-' + p.name)
            with open(path, 'wb') as f:
                f.write(bytes(4096))
            with open(path, 'r+b') as f:
                self.map[p.name] = mmap.mmap(f.fileno(), 4096)
            base = p.env
            p.env = lambda base=base, path=path: {**base(), 'MC_CLOCK_FILE': path}
            p.kill9()
        for p in i.progs():
            p.start()
        i.wait_ready()

    def jump(self, ms, who=None):
        for name, m in self.map.items():
            if who is None or name.startswith(who):
                m[:8] = struct.pack('<q', ms)

    def at(self, seconds, who=None):
        """That many seconds after 1970."""
        self.jump(seconds * 1000 - int(time.time() * 1000), who)


def newest(i):
    return int(i.api('GET', '/api/mission-control/overview').headers['X-Mc-Sequence'])


JUMPS = [('an hour on', lambda c: c.jump(HOUR)), ('an hour back', lambda c: c.jump(-HOUR)), ('a day on', lambda c: c.jump(DAY)),
         ('a day back', lambda c: c.jump(-DAY)), ('the broker alone, 30 h on', lambda c: c.jump(30 * HOUR, 'broker')),
         ('the workers alone, 30 h back', lambda c: c.jump(-30 * HOUR, 'worker')), ('1970', lambda c: c.at(1)), ('2038', lambda c: c.at(2147483646)),
         ('2106', lambda c: c.at(4294967294)), ('today', lambda c: c.jump(0))]


def test_jumps_end_no_lease_and_no_order(fresh):
    """Commands run across every jump: none is lost, each runs once, and the log goes on by its numbers."""
    i = fresh(gateways=1, workers=2, env=ENV)
    clocks = Clocks(i)
    fifo = os.path.join(i.dir, 'fifo')
    os.mkfifo(fifo)
    long = i.task('%s; cat %s; exit 0' % (i.mark('long'), fifo), run=True)
    wait_until('it runs', lambda: i.marks() == ['long'])
    followers = [i.follow()]
    seen, made = newest(i), []
    for name, jump in JUMPS:
        across = i.task('%s; sleep 0.3' % i.mark('across ' + name), run=True)
        wait_until(name, lambda: 'across ' + name in i.marks())
        jump(clocks)
        after = i.task(i.mark('after ' + name), run=True)
        for t in (across, after):
            d = i.wait_task(t['id'], 'done', 'failed')
            assert (d['status'], d['attempt'], d['error']) == ('done', 1, None), (name, d)
        made += [across['id'], after['id']]
        now = newest(i)
        assert now > seen
        seen = now
        for q in ('/api/activities?stats=true&hours=24', '/api/activities?limit=5', '/api/mission-control/events?limit=5',
                  '/api/mission-control/overview', TASKS + '?limit=5', '/api/desktops/desktop_1/metrics'):
            assert i.api('GET', q).status == 200, (name, q)
    with open(fifo, 'w') as f:
        f.write('go\n')
    assert i.wait_task(long['id'], 'done')['attempt'] == 1
    assert sorted(i.marks()) == sorted(['long'] + [w + name for name, _ in JUMPS for w in ('across ', 'after ')])
    assert all(x['status'] == 'completed' for t in made for x in i.sessions(t))
    assert i.api('GET', '/api/mission-control/overview').json['workers'] == 2
    for f in followers:
        f.wait('the last one', lambda fs: any(x.type == 'task.completed' and x.payload['taskId'] == long['id'] for x in fs))
        f.stop()
        assert not f.violations and set(f.statuses) == {200}
        ids = [x.id for x in f.frames if x.id]
        assert ids == sorted(set(ids))
    wait_until('no program said anything of a lease', lambda: 'is lost' not in i.broker.log_text())


def test_a_session_does_not_outlive_its_days(fresh):
    i = fresh(gateways=1, workers=1, env=ENV)
    clocks = Clocks(i)
    i.api('POST', '/api/users', {'username': 'ada', 'role': 'viewer', 'password': 'a horse, stapled twice'}).ok(201)

    def sign_in():
        a = i.api('POST', '/api/auth/login', {'username': 'ada', 'password': 'a horse, stapled twice'}, key=None)
        a.ok()
        return {'Cookie': a.headers['Set-Cookie'].split(';')[0]}

    def me(h):
        return i.api('GET', '/api/auth/me', key=None, headers=h).status
    h = sign_in()
    for back in (-HOUR, -DAY, -300 * DAY):
        clocks.jump(back)
        assert me(h) == 200
    clocks.jump(0)
    assert me(h) == 200
    clocks.jump(8 * DAY)
    wait_until('it ended', lambda: me(h) == 401)
    h = sign_in()
    assert me(h) == 200
    clocks.jump(0)                      # a clock that was wrong and is right again
    assert me(h) in (200, 401)
    assert me(sign_in()) == 200


@pytest.mark.release_only
@pytest.mark.parametrize('point', ['store_delete:3', 'store_delete:400', 'tick_asked:1', 'broker_applied:1', 'broker_committed:1'])
def test_killed_while_it_takes_away_what_is_old(point):
    """Six thousand events of two days, kept for one: the broker is killed at a step of taking them away."""
    with tempfile.TemporaryDirectory(prefix='mc-old-', dir='/tmp') as top:
        folder = top + '/d'
        subprocess.run([BUILD + '/bench/fill', folder, '6000', '600', '2'], check=True, stdout=subprocess.DEVNULL)
        i = Install(gateways=1, workers=0, data=folder, env={'MC_FAULT': ''})
        try:
            i.api('PUT', '/api/mission-control/settings', {'retentionDays': 1}).ok()
            first = oldest(i)
            i.broker.kill9()
            i.extra_env['MC_FAULT'] = point
            i.broker.start()
            i.broker.expect = (-signal.SIGKILL,)
            # A tick comes when something has been written.
            wait_until('it was killed at ' + point, lambda: nudge(i) or not i.broker.alive, 40)
            i.extra_env['MC_FAULT'] = ''
            i.broker.start()
            i.wait_ready()
            whole(i)
            wait_until('what is old goes', lambda: nudge(i) or oldest(i) > first, 40)
            whole(i)
        finally:
            i.close()


def nudge(i):
    try:
        i.api('POST', TASKS, {'type': 'command', 'content': 'true', 'desktopId': 'desktop_1'}, timeout=3 / STRETCH)
    except OSError:
        pass
    return False


def oldest(i):
    with i.stream(last_id=0) as s:
        f = s.wait(lambda fs: fs and fs[0])
    return f.payload['oldest'] if f.type == 'stream.resync' else f.id


def whole(i):
    """Nothing is half gone: every list has what its total says, and each of its rows is in the log."""
    trail, before = [], None
    while True:
        j = i.api('GET', '/api/activities?limit=500' + ('&before_id=%d' % before if before else '')).ok()
        trail += j['activities']
        if not j['hasMore']:
            break
        before = j['activities'][-1]['id']
    end = trail[0]['id']
    ids = [a['id'] for a in trail]
    assert ids == sorted(set(ids), reverse=True)
    assert i.api('GET', '/api/activities?limit=1&before_id=%d' % (end + 1)).ok()['total'] == len(trail)
    for actor in ('user-3', 'admin'):
        mine = [a['id'] for a in trail if a['actor'] == actor]
        j = i.api('GET', '/api/activities?limit=500&actor=%s&before_id=%d' % (actor, end + 1)).ok()
        assert j['total'] == len(mine) and [a['id'] for a in j['activities']] == mine[:500], json.dumps(j)[:300]
    with i.stream('/api/mission-control/stream', last_id=0) as s:
        fs = s.wait(lambda fs: [f for f in fs if f.id and f.id >= end - 50] and list(fs), 30)
    feed = [f.id for f in fs if f.id]
    assert feed == sorted(set(feed))
    # The feed and the audit trail begin at the same number, give or take the rows that only one of them shows.
    shown = {a['id'] for a in trail if a['type'].startswith('task.')}
    assert {n for n in shown if n <= feed[-1]} <= set(feed)
