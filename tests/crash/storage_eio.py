"""The broker's n-th sync, write of the head page, or write of a page fails. It must answer that it does not know, acknowledge nothing more,
end soon and not by a signal, and hold after the next start: all that was acknowledged once, nothing that was refused, and of what is
unknown any part. A page that finds no room (ENOSPC) is no such case: the request is refused, and the broker goes on."""
import os
import random
import time

import storage_ground as ground
from harness import STRETCH, Install, wait_until

RUNS_A_STORE = 25       # then a new one: the probe reads all of it each time
END_S = 1.0             # a broker that does not know what is on the disk ends within this
CLOCK_S = 0.02          # the steps of a file's times


def plan(o, rng):
    ns = list(range(1, o.syncs + 1)) if o.syncs >= 40 else sorted(rng.sample(range(1, 60), o.syncs))
    runs = [('sync', n, 'EIO') for n in ns] + [('meta', n, 'LATE' if k % 2 else 'EIO') for k, n in enumerate(ns)]
    runs += [('meta', n, 'ENOSPC') for n in ns[::4]]    # where there is always room: no refusal, but a failed head page
    return runs + [('write', n * 3, 'EIO' if k % 2 else 'ENOSPC') for k, n in enumerate(ns[::3])]


class Life:
    """One installation with clients that never stop, while its broker fails and is started again."""

    def __init__(self):
        self.i = Install(gateways=1, workers=0)
        self.clients = ground.Clients(self.i, 3)
        self.hit = os.path.join(self.i.dir, 'hit')
        self.runs = 0

    def once(self, fault, probe):
        """Runs the broker with the fault until it strikes, and looks at what it left. What was wrong; None: nothing."""
        self.runs += 1
        if os.path.exists(self.hit):
            os.unlink(self.hit)
        self.i.broker.term()
        ground.with_shim(self.i.broker, self.i.data, fault='%s:%d:%s' % fault, hit=self.hit)
        self.i.broker.start()
        wait_until('the fault strikes', lambda: os.path.exists(self.hit), 60)
        struck = os.stat(self.hit).st_mtime
        no_room = fault[0] == 'write' and fault[2] == 'ENOSPC'
        wrong = self.goes_on() if no_room else self.ends(struck)
        self.i.broker.term()
        return wrong or self.judge(probe) or (None if no_room else self.silent(struck))

    def goes_on(self):
        more = len(self.clients.acked) + 5
        wait_until('it goes on', lambda: len(self.clients.acked) >= more or not self.i.broker.alive, 30)
        return None if self.i.broker.alive else 'it ended, although there was only no room'

    def ends(self, struck):
        wait_until('it ends', lambda: not self.i.broker.alive, 5)
        took, code = time.time() - struck, self.i.broker.p.wait()
        self.i.broker.expect = (code,)
        if code != 1:
            return 'it ended with status %d' % code
        return 'it took %.1f s to end' % took if took > END_S * STRETCH else None

    def silent(self, struck):
        """Nothing that was asked for after the fault has been acknowledged up to now."""
        n = len([a for a in self.clients.answers if a[0] > struck + CLOCK_S and 200 <= a[2] < 300])
        return 'acknowledged %d that came after the fault' % n if n else None

    def judge(self, probe):
        acked, refused = set(self.clients.acked), set(self.clients.refused)
        answer = probe.ask(self.i.data)
        if answer[0] != 'whole':
            return 'the store is %s' % ' '.join(map(str, answer))
        held = ground.tags_of(answer[3])
        if acked - held:
            return 'lost what was acknowledged: %s' % sorted(acked - held)[:3]
        if refused & held:
            return 'holds what was refused: %s' % sorted(refused & held)[:3]
        if held - set(self.clients.asked):
            return 'holds what nobody asked for: %s' % sorted(held - set(self.clients.asked))[:3]
        return None

    def close(self, check=True):
        try:
            if check:
                ground.without_shim(self.i.broker)
                self.i.broker.start()
                self.i.wait_ready(30)       # the start without the shim is clean
            self.clients.stop()
        finally:
            self.i.close(check)


def run(report, o, seed):
    rng = random.Random(seed)
    probe, life = ground.Probe(), None
    try:
        for k, fault in enumerate(plan(o, rng)):
            if life is None:
                life = Life()
            wrong = life.once(fault, probe)
            if wrong:
                report.bad('eio %s:%d:%s: %s' % (fault + (wrong,)))
            else:
                report.good()
            if life.runs == RUNS_A_STORE:
                life.close()
                life = None
            if (k + 1) % 50 == 0:
                ground.say('  %d faults' % (k + 1))
        if life:
            life.close()
            life = None
    finally:
        if life:
            life.close(check=False)
        probe.close()
