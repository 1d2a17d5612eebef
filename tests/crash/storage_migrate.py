"""A store of layout 1 (store-layout-1.mdb.xz: made by the programs of the commit before ad243e1, which brought layout 2, at work: 9,134
events of 581 tasks on two desktops, sessions, approvals, keys) is started, and ended at each write and sync of its migration, by a kill, an
I/O error or a power cut. The next start must go on from there, and the end be the same store, whole."""
import lzma
import os
import random
import shutil

import storage_ground as ground
import storage_image
from storage_setup import first_start

FIXTURE = os.path.join(ground.HERE, 'store-layout-1.mdb.xz')


def unpack(directory):
    os.makedirs(directory, mode=0o700)
    with lzma.open(FIXTURE) as f, open(os.path.join(directory, 'store.mdb'), 'wb') as to:
        shutil.copyfileobj(f, to)


class Ground:
    def __init__(self, place):
        self.place, self.data = place, os.path.join(place, 'd')
        self.probe = ground.Probe()

    def fresh(self):
        shutil.rmtree(self.data, ignore_errors=True)
        unpack(self.data)

    def finish(self):
        """The start that must succeed; what the store is then: its events and tasks."""
        code, said = first_start(self.data, None, None)
        if code != 0:
            return 'the next start ended with %d: %s' % (code, said[-300:])
        answer = self.probe.ask(self.data)
        return answer[2:] if answer[0] == 'whole' else 'it is %s' % ' '.join(map(str, answer))

    def close(self):
        self.probe.close()


def run(report, o, seed):
    rng = random.Random(seed)
    with ground.Place() as place:
        g = Ground(place)
        g.fresh()
        log = os.path.join(place, 'log')
        code, said = first_start(g.data, None, None, log)
        want = g.finish()
        if code != 0 or isinstance(want, str) or 'has layout 1' not in said:
            report.bad('migrate: %s %s' % (said[-300:], want))
            return
        entries = storage_image.Log(log).entries
        most = {'sync': sum(e.op == 'B' and not e.flags for e in entries), 'meta': sum(e.op == 'B' and e.flags for e in entries),
                'write': sum(e.op in 'WT' for e in entries)}
        faults = [(kind, n, act) for kind in most for n in range(1, most[kind] + 1) for act in ('KILL', 'EIO')]
        ground.say('migrate: %s' % ', '.join('%d of %s' % (n, kind) for kind, n in most.items()))
        if o.syncs < 40:
            faults = rng.sample(faults, o.syncs)
        for fault in faults:
            g.fresh()
            first_start(g.data, fault, None)
            got = g.finish()
            if got != want:
                report.bad('migrate %s:%d:%s: %s' % (fault + (got if isinstance(got, str) else 'another store than without',)))
            else:
                report.good()
        power_cuts(report, g, entries, want, max(4, o.images // 60), rng, seed)
        g.close()


def power_cuts(report, g, entries, want, images, rng, seed):
    g.fresh()
    disk, done = storage_image.Disk(), 0
    store = storage_image.File()
    with open(os.path.join(g.data, 'store.mdb'), 'rb') as f:
        store.disk = bytearray(f.read())
    store.size = len(store.disk)
    disk.now['d'] = disk.sure['d'] = None
    disk.now['d/store.mdb'] = disk.sure['d/store.mdb'] = store
    for n, cut in enumerate(sorted(rng.choices(range(len(entries)), k=images))):
        while done <= cut:
            disk.do(entries[done])
            done += 1
        shutil.rmtree(g.data)
        storage_image.put(disk.image(rng), g.place, lambda name: not name.endswith('-lock'))
        got = g.finish()
        if got != want:
            report.bad('migrate: seed %d image %d (cut after entry %d): %s' % (seed, n, cut, got if isinstance(got, str) else 'another store'))
        else:
            report.good()
