"""A worker's spool: power cuts, and its n-th sync or write failing. What a worker promises: a session whose start it has recorded is known
to the worker that comes after it, as lost or with its result, whole, until the broker has it; a result that was synced is there after a
power cut; a start that cannot be recorded is refused; nothing is found that never was."""
import os
import random
import shutil
import subprocess

import storage_ground as ground
import storage_image
from harness import Install

TOOL = os.path.join(ground.TOOLS, 'storage_spool')


def drive(place, sessions, fault=None, sticky=False):
    """A life under the shim: its log, its lines [(what, session, at)], its exit status."""
    directory, log = os.path.join(place, 'life'), os.path.join(place, 'log')
    shutil.rmtree(directory, ignore_errors=True)
    if os.path.exists(log):
        os.unlink(log)
    os.makedirs(directory)
    r = subprocess.run([TOOL, 'drive', directory, str(sessions), log], capture_output=True, text=True, timeout=120 * ground.harness.STRETCH,
                       env={**os.environ, **ground.shim_env(directory, fault=fault, log=log, sticky=sticky)})
    lines = [x.split() for x in r.stdout.splitlines()]
    return directory, log, [(w, int(s), int(at)) for w, s, at in lines], r


class Look:
    def __init__(self):
        self.p = ground.harness.popen([TOOL, 'look'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def ask(self, directory):
        self.p.stdin.write(directory + '\n')
        self.p.stdin.flush()
        return self.p.stdout.readline().split()

    def close(self):
        self.p.stdin.close()
        self.p.wait()
        ground.harness.forget(self.p)


def judge(found, lines, at, power):
    """What is wrong with what a worker finds after an end at `at` (power: a cut, else a kill). None: nothing."""
    if found[0] != 'open':
        return ' '.join(found)
    ended, lost = set(), set()
    for k in range(1, len(found), 2):
        (ended if found[k] == 'ended' else lost).add(int(found[k + 1]))
    by = {}
    for what, s, when in lines:
        if when <= at:
            by.setdefault(what, set()).add(s)
    free = by.get('forgetting', set())          # may be there or not
    missing = by.get('started', set()) - free - ended - lost
    if missing:
        return 'has forgotten sessions that were started: %s' % sorted(missing)[:5]
    flushed = max([when for what, _, when in lines if what == 'flushed' and when <= at], default=-1)
    sure = {s for what, s, when in lines if what == 'ended' and when <= (flushed if power else at)} - free
    if sure - ended:
        return 'has lost results: %s' % sorted(sure - ended)[:5]
    never = (ended | lost) - {s for what, s, when in lines if what == 'asked' and when <= at}
    if never or ended - {s for what, s, when in lines if what == 'ending' and when <= at}:
        return 'has sessions or results that never were: %s' % sorted(never | ended)[:5]
    return None


def power_cuts(report, images, seed):
    rng = random.Random(seed)
    with ground.Place() as place:
        directory, log, lines, r = drive(place, 400 if images >= 1000 else 100)
        if r.returncode:
            report.bad('spool: the life ended with %d: %s' % (r.returncode, r.stderr[-300:]))
            return
        entries = storage_image.Log(log).entries
        ground.say('power cuts of a spool: %d writes and syncs; %d images, seed %s' % (len(entries), images, seed))
        disk, done, look, image = storage_image.Disk(), 0, Look(), os.path.join(place, 'image')
        for n, cut in enumerate(sorted(rng.choices(range(len(entries)), k=images))):
            while done <= cut:
                disk.do(entries[done])
                done += 1
            os.makedirs(image)
            storage_image.put(disk.image(rng), image)
            wrong = judge(look.ask(image), lines, entries[cut].at, True)
            if wrong:
                report.bad('spool: seed %s image %d (cut after entry %d) %s' % (seed, n, cut, wrong))
            else:
                report.good()
            shutil.rmtree(image)
        look.close()


def faults(report, o, seed):
    rng = random.Random(seed)
    with ground.Place() as place:
        _, log, _, _ = drive(place, 40)
        ops = storage_image.Log(log).entries
        most = {'sync': sum(e.op == 'B' for e in ops), 'write': sum(e.op in 'WT' for e in ops)}
        plan = [(kind, n, act) for kind in most for n in range(1, most[kind] + 1)
                for act in (('EIO', 'LATE', 'KILL') if kind == 'sync' else ('EIO', 'ENOSPC', 'KILL'))]
        if o.syncs < 40:
            plan = rng.sample(plan, min(len(plan), 8 * o.syncs))
        look = Look()
        for fault in plan:
            directory, log, lines, r = drive(place, 40, fault='%s:%d:%s' % fault)
            wrong = judge(look.ask(directory), lines, 1 << 62, False)
            if r.returncode not in (0, 1, -9) or (r.returncode == 1 and not r.stderr.strip()):
                wrong = 'the life ended with %d: %s' % (r.returncode, r.stderr[-200:])
            if wrong:
                report.bad('spool %s:%d:%s: %s' % (fault + (wrong,)))
            else:
                report.good()
        look.close()


def no_names(report):
    """Directories cannot be synced from some time on, and the journal grows until it is written anew, in the place of the old one."""
    with ground.Place() as place:
        directory, _, lines, r = drive(place, 12000, fault='dir:30:EIO', sticky=True)
        look = Look()
        wrong = 'the life ended with %d' % r.returncode if r.returncode else judge(look.ask(directory), lines, 1 << 62, False)
        look.close()
        if wrong:
            report.bad('spool, directories cannot be synced: %s' % wrong)
        else:
            report.good()


def worker(fault):
    """A real worker whose spool fails once, at work: what was wrong."""
    i = Install(gateways=1, workers=1)
    try:
        i.workers[0].term()
        ground.with_shim(i.workers[0], os.path.join(i.data, 'spool'), fault='%s:%d:%s' % fault)
        i.workers[0].start()
        i.wait_ready()
        tasks = [i.task(i.mark('t-%d' % n), run=True)['id'] for n in range(10)]
        ends = {t: i.wait_task(t, 'done', 'failed') for t in tasks}
        ran = i.marks()
        if len(ran) != len(set(ran)):
            return 'ran twice: %s' % ran
        for n, t in enumerate(tasks):
            e = ends[t]
            if (e['status'] == 'done') != ('t-%d' % n in ran):
                return '%s is %s and ran %d times' % (t, e['status'], ran.count('t-%d' % n))
            if e['status'] == 'failed' and 'spool' not in e['error']['message']:
                return '%s failed otherwise: %s' % (t, e['error'])
        if i.wait_task(i.task('true', run=True)['id'], 'done', 'failed')['status'] != 'done':   # it may strike only now: once
            i.wait_task(i.task('true', run=True)['id'], 'done')
        return None if i.workers[0].alive else 'the worker ended'
    finally:
        i.close()


def workers(report, o, seed):
    rng = random.Random(seed)
    plan = [(kind, n, act) for kind in ('sync', 'write') for n in range(4, 20) for act in ('EIO', 'ENOSPC')]
    for fault in rng.sample(plan, min(len(plan), max(1, o.syncs // 6))):
        wrong = worker(fault)
        if wrong:
            report.bad('worker %s:%d:%s: %s' % (fault + (wrong,)))
        else:
            report.good()


def run(report, o, seed):
    workers(report, o, seed)
    faults(report, o, seed)
    if o.syncs >= 40:       # takes its time
        no_names(report)
