"""A small disk and a small map, filled while 200 tasks run and some wait (test_full.py has one task, and one round): creates are refused
with 503 and Retry-After, all tasks that run come to their end, reads and streams go on, and after room is made - on the disk by whoever
filled it, in the map by deleting - the first create works within 5 s, and what waited runs. Then the store is whole."""
import os
import shutil
import subprocess
import tempfile
import time

import storage_ground as ground
from harness import STRETCH, TASKS, Install, wait_until

WAITING = 4
BIG = '# ' + 'x' * 60000


class Round:
    def __init__(self, i, number):
        self.i, self.number = i, number
        self.go = os.path.join(i.dir, 'go-%d' % number)    # a fifo: tasks read from it until its writer goes
        os.mkfifo(self.go)

    def create(self, content='true', **fields):
        return self.i.api('POST', TASKS, {'type': 'command', 'content': content, 'desktopId': self.i.desktop, **fields})

    def start_tasks(self):
        """One for each slot, which waits for our word, and some that wait for a slot."""
        content = 'read -r x < %s; echo the end of it' % self.go
        self.tasks = [self.i.task(content, run=True)['id'] for _ in range(self.i.running)]
        wait_until('all run', lambda: sum(t['sessionId'] is not None for t in self.i.api('GET', TASKS + '?status=running').ok()) == self.i.running, 60)
        self.writer = os.open(self.go, os.O_RDWR)       # to be open before any of them may go on, and never to block here
        self.waiting = [self.i.task('echo waited', run=True)['id'] for _ in range(WAITING)]

    def fill(self):
        """Creates until it is refused."""
        self.made = []
        for _ in range(4000):
            a = self.create(BIG, title='filler')
            if a.status != 201:
                break
            self.made.append(a.json['id'])
        assert (a.status, a.json['code']) == (503, 'STORAGE_FULL'), a
        assert a.headers['Retry-After'], a.headers

    def refused(self, times):
        """Creates are refused in the right way, and every read is answered. (What an earlier round deleted is swept away little by little:
        that makes room for a few.)"""
        n = 0
        while n < times:
            a = self.create(BIG, title='filler')
            if a.status == 201:
                self.made.append(a.json['id'])
                continue
            assert a.status == 503 and a.json['code'] == 'STORAGE_FULL' and a.headers['Retry-After'], a
            assert self.i.api('GET', TASKS + '?limit=20').status == 200
            assert self.i.api('GET', '/api/mission-control/overview').status == 200
            n += 1

    def finish_tasks(self, stream):
        os.write(self.writer, b'go\n' * self.i.running)
        for t in self.tasks:
            assert self.i.wait_task(t, 'done', 'failed', seconds=60)['status'] == 'done', self.i.get_task(t)
        for t in self.tasks[::20]:
            assert self.i.output(t).text == 'the end of it\n'
        ids = set(self.tasks)
        stream.wait(lambda fs: len({f.payload.get('taskId') for f in fs if f.type == 'task.completed'} & ids) == len(ids), 30)
        stream.check()

    def first_create(self):
        began = time.monotonic()
        wait_until('a create works', lambda: self.create().status == 201, 5)
        took = time.monotonic() - began
        assert took <= 5 * STRETCH, 'the first create took %.1f s' % took
        for t in self.waiting:
            e = self.i.wait_task(t, 'done', 'failed', seconds=30)
            # The spool lies on the same disk: a worker that got it and could not record it has said so, and not started it.
            assert e['status'] == 'done' or 'cannot write its spool' in e['error']['message'], e
        os.close(self.writer)


def one_round(i, number, full, room):
    """full(round): makes it full; room(round, tasks): makes room again."""
    r = Round(i, number)
    r.start_tasks()
    with i.stream() as stream:
        full(r)
        r.fill()
        r.refused(20)
        r.finish_tasks(stream)
        r.refused(5)
        room(r, r.made)
        r.first_create()
        i.wait_task(i.task('true', run=True)['id'], 'done')
    if number + 1 == i.rounds:
        return
    for t in r.tasks + r.waiting + r.made:                # so that every round begins alike
        a = i.api('DELETE', '%s/%s' % (TASKS, t))
        assert a.status in (204, 404), a
    for a in i.api('GET', TASKS).ok():
        if a['status'] in ('pending', 'done'):
            i.api('DELETE', '%s/%s' % (TASKS, a['id']))


def rounds(report, what, i, n, full, room):
    i.rounds = n
    i.api('PATCH', '/api/desktops/' + i.desktop, {'maxTasks': i.running}).ok()
    for k in range(n):
        one_round(i, k, full, room)
        report.good()
    i.broker.term()
    probe = ground.Probe()
    answer = probe.ask(i.data, once=False)
    probe.close()
    if answer[0] != 'whole':
        report.bad('%s: after %d rounds the store is %s' % (what, n, ' '.join(map(str, answer[:2]))))
    else:
        report.good()
    i.broker.start()
    i.wait_ready()


def running_for(n):
    return 200 if n > 1 else 40     # one round is for every day


def map_full(report, n):
    running = running_for(n)
    i = Install(gateways=1, workers=2, slots=running // 2, broker_args=('--map-size', '24', '--min-free', '0'))
    i.running = running
    try:
        def room(r, made):
            for t in made[:len(made) // 2]:
                assert i.api('DELETE', '%s/%s' % (TASKS, t)).status == 204
        rounds(report, 'map full', i, n, lambda r: None, room)
    finally:
        i.close()


def may_mount():
    if os.geteuid() != 0:
        return False
    return subprocess.run(['unshare', '-m', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', '/mnt'], capture_output=True).returncode == 0


def disk_full(report, n):
    """In a mount namespace of our own (this process has entered it): the file system is gone with us."""
    running = running_for(n)
    folder = tempfile.mkdtemp(prefix='mc-full-', dir='/tmp')
    subprocess.run(['mount', '--make-rprivate', '/'], check=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', folder], check=True)
    try:
        i = Install(gateways=1, workers=2, slots=running // 2, data=os.path.join(folder, 'd'), broker_args=('--map-size', '512', '--min-free', '8'))
        i.running = running
        try:
            def leave(mib):
                """So much is free, whatever the store has grown to: as if somebody else took the rest, or gave it back."""
                v = os.statvfs(folder)
                used = (v.f_blocks - v.f_bfree) * v.f_frsize
                subprocess.run(['mount', '-o', 'remount,size=%dk' % (used // 1024 + mib * 1024), folder], check=True)

            def full(r):
                leave(12)

            def room(r, made):
                leave(40)
            rounds(report, 'disk full', i, n, full, room)
        finally:
            i.close()
    finally:
        subprocess.run(['umount', '-l', folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def run(report, o, seed):
    map_full(report, o.rounds)
    if not may_mount():
        ground.say('full: SKIPPED for the disk: a small file system of its own needs the right to mount one (root, CAP_SYS_ADMIN)')
        return
    r = subprocess.run(['unshare', '-m', ground.sys.executable, __file__, str(o.rounds)], stdout=subprocess.PIPE, text=True)
    ground.say(r.stdout.strip())
    last = r.stdout.strip().splitlines()[-1:] or ['']
    if r.returncode == 0 and last[0].endswith('0 failed'):
        report.good(int(last[0].split()[0]))
    else:
        report.bad('disk full: %s' % last[0])


if __name__ == '__main__':
    inner = ground.Report()
    try:
        disk_full(inner, int(ground.sys.argv[1]))
    except Exception as e:
        inner.bad('disk full: %r' % e)
        raise
    finally:
        print('%d passed, %d failed' % (inner.passed, inner.failed))
