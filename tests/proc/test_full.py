"""The disk is full, or the map of the database is: new work is refused with 503 and a clear code, what runs ends well, reads go on,
nothing is damaged, and with room made the next create works, without a restart (contract.md section 5)."""
import os
import subprocess
import tempfile

import pytest
from harness import TASKS, Install, wait_until

BIG = 'x' * 100000


def fill(i):
    """Creates until it is refused; gives the tasks that were made."""
    made = []
    for _ in range(2000):
        a = i.api('POST', TASKS, json={'type': 'command', 'content': BIG, 'desktopId': i.desktop})
        if a.status != 201:
            assert a.status == 503, a.text
            assert a.json['code'] == 'STORAGE_FULL', a.text
            assert a.headers['Retry-After']
            return made
        made.append(a.json['id'])
    raise AssertionError('never full')


def whole_story(i):
    # what runs when it gets full must still end, and its end be stored
    flag = os.path.join(i.dir, 'go')
    slow = i.task('until [ -e %s ]; do sleep 0.05; done; echo the end' % flag, run=True)
    wait_until('it runs', lambda: i.get_task(slow['id'])['sessionId'], 10)
    made = fill(i)
    assert len(made) > 10
    for _ in range(20):
        assert i.api('POST', TASKS, json={'type': 'command', 'content': 'true', 'desktopId': i.desktop}).json['code'] == 'STORAGE_FULL'
    assert i.api('GET', TASKS + '?limit=5').status == 200
    assert len(i.api('GET', TASKS + '/' + made[0]).ok(200)['content']) == len(BIG)
    with open(flag, 'w'):
        pass
    assert i.wait_task(slow['id'], 'done')['exitCode'] == 0
    assert i.output(slow['id']).text == 'the end\n'
    # room is made by deleting; nothing acknowledged was lost meanwhile
    assert i.api('GET', '/api/mission-control/overview').ok(200)['tasks']['pending'] == len(made)
    for t in made[:len(made) // 2]:
        assert i.api('DELETE', TASKS + '/' + t).status == 204
    t = wait_until('creates work again', lambda: (lambda a: a.json if a.status == 201 else None)(
        i.api('POST', TASKS, json={'type': 'command', 'content': 'echo again', 'desktopId': i.desktop, 'run': True})), 5)
    i.wait_task(t['id'], 'done')
    i.broker.kill9()
    i.broker.start()
    i.wait_ready()
    assert i.api('GET', '/api/mission-control/overview').ok(200)['tasks'] == {
        'pending': len(made) - len(made) // 2, 'running': 0, 'review': 0, 'done': 2, 'failed': 0, 'cancelled': 0}


def test_map_full():
    i = Install(broker_args=('--map-size', '6', '--min-free', '0'))
    try:
        whole_story(i)
    finally:
        i.close()


def test_disk_full():
    folder = tempfile.mkdtemp(prefix='mc-full-', dir='/tmp')
    mounted = os.geteuid() == 0 and subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder]).returncode == 0
    try:
        if not mounted:
            pytest.skip('a small file system needs the right to mount a tmpfs')
        i = Install(data=os.path.join(folder, 'd'), broker_args=('--map-size', '64', '--min-free', '3'))
        try:
            whole_story(i)
        finally:
            i.close()
    finally:
        if mounted:
            subprocess.run(['umount', folder], check=True)
        os.rmdir(folder)
