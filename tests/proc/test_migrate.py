"""A store of the layout before, brought to today's by a broker that is killed at each step of it: tests/crash/older makes it such a
store by taking away what the newer layout added."""
import json
import os
import signal
import subprocess
import tempfile

from harness import BUILD, SANITIZED, STRETCH, Install

EVENTS = 9_000 if SANITIZED else 18_000
QUESTIONS = ('/api/activities?limit=50', '/api/activities?actor=user-3&limit=50', '/api/activities?type=task.updated&limit=20&offset=1000',
             '/api/activities?stats=true&hours=72', '/api/mission-control/events?type=session.failed&limit=100',
             '/api/mission-control/events?agent=agent_7&limit=100', '/api/desktops', '/api/users')


def answers(folder):
    """What a broker on that store says; it makes no rows of its own meanwhile, for nobody works for it."""
    i = Install(gateways=1, workers=0, data=folder)
    try:
        return [i.api('GET', q).ok() for q in QUESTIONS]
    finally:
        i.close()


def test_killed_at_every_step_of_a_migration():
    with tempfile.TemporaryDirectory(prefix='mc-older-', dir='/tmp') as top:
        folder = top + '/d'
        subprocess.run([BUILD + '/bench/fill', folder, str(EVENTS), str(EVENTS // 10), '2'], check=True, stdout=subprocess.DEVNULL)
        before = answers(folder)
        subprocess.run([BUILD + '/crash/older', folder], check=True)
        kills = 0
        for point in ('migrate_before', 'migrate_committed', 'store_put') * 20:
            env = {'PATH': '/usr/bin:/bin', 'MC_FAULT': '%s:%d' % (point, 1 if point != 'store_put' else 400)}
            with open(top + '/log', 'w+') as log:
                p = subprocess.Popen([BUILD + '/faults/bin/mc-broker', '--data', folder], env=env, stdout=log, stderr=log)
                while p.poll() is None and 'serving on' not in open(top + '/log').read():
                    try:
                        p.wait(0.05)
                    except subprocess.TimeoutExpired:
                        pass
                if p.poll() is None:            # it got through
                    p.send_signal(signal.SIGKILL)
                    p.wait(10 * STRETCH)
                    break
                assert p.returncode == -signal.SIGKILL, open(top + '/log').read()
                kills += 1
        else:
            raise AssertionError('it never came to an end')
        assert kills >= 4, kills
        assert os.path.exists(folder + '/store.mdb')
        after = answers(folder)
        for q, a, b in zip(QUESTIONS, before, after):
            assert a == b, '%s: %s instead of %s' % (q, json.dumps(b)[:500], json.dumps(a)[:500])
