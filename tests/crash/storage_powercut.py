"""Power cuts of the broker's store: clients work on a broker whose writes and syncs are logged; then images of its directory are made as a
cut at any moment may leave it, and each must open, be whole, and hold what was acknowledged before."""
import os
import random
import shutil

import storage_ground as ground
import storage_image
import storage_spool
from harness import Install, wait_until


def record(directory, work):
    """A broker's life from its first start, with a second start in it; the clients' operations with their places in the log."""
    log = os.path.join(directory, 'log')

    def clock():
        return os.path.getsize(log) if os.path.exists(log) else 0
    i = Install(gateways=1, workers=1)
    try:
        for p in i.gateways + i.workers + [i.broker]:
            p.term()
        shutil.rmtree(i.data)
        ground.with_shim(i.broker, i.dir, log=log)
        i.broker.start()
        wait_until('keys', lambda: i._broker_up(), 15)
        for p in i.gateways + i.workers:
            p.start()
        i.wait_ready(30)
        first = clock()
        asked, acked = {}, {}
        for life in range(2):
            c = ground.Clients(i, 4, clock, run=True, first=life * 10)
            wait_until('acknowledged', lambda: len(c.acked) >= work // 2, 120)
            if life == 0:
                i.broker.kill9()
            c.stop()
            asked.update(c.asked)
            acked.update(c.acked)
            if life == 0:
                i.broker.start()
                i.wait_ready(30)
        i.broker.term()
        with open(os.path.join(i.data, 'admin-api-key')) as f:
            key = f.read().strip()
    finally:
        i.close()
    return storage_image.Log(log), first, asked, acked, key


def judge(answer, at, first, asked, acked):
    """What is wrong with an image of a cut at `at`; None: nothing."""
    if answer[0] == 'bad':
        return answer[1]
    held = ground.tags_of(answer[3]) if answer[0] == 'whole' else set()
    lost = [t for t, when in acked.items() if when <= at and t not in held]
    if lost:
        return 'lost %d acknowledged, e.g. %s' % (len(lost), lost[0])
    early = [t for t in held if asked.get(t, at + 1) > at]
    if early:
        return 'holds what nobody had asked for: %s' % early[0]
    if answer[0] == 'empty' and at >= first:
        return 'is empty after the broker was ready'
    return None


def starts(directory, report, what):
    """The real program on an image."""
    p = ground.harness.popen([os.path.join(ground.BUILD, 'bin', 'mc-broker'), '--data', directory, '--bootstrap-local', '1'],
                             stdin=ground.subprocess.DEVNULL, stdout=ground.subprocess.PIPE, stderr=ground.subprocess.STDOUT, text=True)
    said = []
    for line in p.stdout:
        said.append(line)
        if 'serving on' in line:
            p.terminate()
    p.wait()
    ground.harness.forget(p)
    if p.returncode == 0 and any('serving on' in x for x in said):
        report.good()
    else:
        report.bad('%s: the broker ended with %d: %s' % (what, p.returncode, ''.join(said[-3:])))


def run(report, o, seed):
    storage_spool.power_cuts(report, max(100, o.images // 5), seed)
    store(report, o.images, max(5, o.images // 200), seed)


def store(report, images, real, seed):
    rng = random.Random(seed)
    with ground.Place() as place:
        log, first, asked, acked, key = record(place, 400 if images >= 5000 else 120)
        ground.say('power cuts: %d writes and syncs, %d acknowledged; %d images, seed %s' % (len(log.entries), len(acked), images, seed))
        cuts = sorted(rng.choices(range(len(log.entries)), k=images))
        programs = set(rng.sample(range(images), min(real, images)))
        disk, done, probe = storage_image.Disk(), 0, ground.Probe()
        for n, cut in enumerate(cuts):
            while done <= cut:
                disk.do(log.entries[done])
                done += 1
            at = log.entries[cut].at
            image = os.path.join(place, 'image')
            made = disk.image(rng)
            storage_image.put(made, image, lambda name: n in programs or name.endswith('store.mdb'))
            os.makedirs(os.path.join(image, 'd'), exist_ok=True)
            what = 'seed %s image %d (cut after entry %d)' % (seed, n, cut)
            wrong = judge(probe.ask(os.path.join(image, 'd')), at, first, asked, acked)
            kept = made.get('d/admin-api-key')
            if not wrong and at >= first and (kept is None or kept.decode().strip() != key):
                wrong = "has not the admin's key"
            if wrong:
                report.bad('%s %s' % (what, wrong))
            else:
                report.good()
            if n in programs:
                starts(os.path.join(image, 'd'), report, what)
            shutil.rmtree(image)
            if (n + 1) % 1000 == 0:
                ground.say('  %d images' % (n + 1))
        probe.close()
