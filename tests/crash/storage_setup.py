"""The first start of a broker, with its n-th sync or write failing (or the program ended there): the next start finishes what was begun.
There is one installation then, with one admin's key, which is the one in the file."""
import os
import random
import shutil
import subprocess
import tempfile

import storage_ground as ground
from harness import BUILD, STRETCH, Install

MOST = {'sync': 16, 'meta': 5, 'write': 30}     # there are no more in a first start


def first_start(data, fault, hit, log=None):
    """The broker under the shim (fault None: nothing fails), ended when it serves. Its exit status and what it said."""
    p = ground.harness.popen([os.path.join(BUILD, 'bin', 'mc-broker'), '--data', data, '--bootstrap-local', '1'],
                             env={**os.environ, **ground.shim_env(os.path.dirname(data), fault='%s:%d:%s' % fault if fault else None, hit=hit, log=log)},
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in p.stdout:
        said.append(line)
        if 'serving on' in line:
            p.terminate()
    p.wait(30 * STRETCH)
    ground.harness.forget(p)
    return p.returncode, ''.join(said)


def once(fault):
    """What was wrong, '' if nothing was, None if there are not so many syncs or writes."""
    place = tempfile.mkdtemp(prefix='mc-setup-', dir='/tmp')
    try:
        data, hit = os.path.join(place, 'd'), os.path.join(place, 'hit')
        code, said = first_start(data, fault, hit)
        if not os.path.exists(hit):
            return None if code == 0 else 'it ended with %d without a fault: %s' % (code, said[-300:])
        if code != (-9 if fault[2] == 'KILL' else 1) and 'serving on' not in said:
            return 'it ended with status %d: %s' % (code, said[-300:])
        if code == 1 and '"error"' not in said:
            return 'it did not say why'
        i = Install(gateways=1, workers=0, data=data)
        try:
            keys = i.api('GET', '/api/auth/api-keys').ok()
            left = [f for f in os.listdir(data) if f.startswith('.new-') or f.endswith('.new')]
            if len(keys) != 1 or i.api('GET', '/api/desktops').ok()[0]['name'] != 'local':
                return 'the installation has %d keys' % len(keys)
            return 'it left %s' % left if left and fault[2] != 'KILL' else ''
        finally:
            i.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def run(report, o, seed):
    rng = random.Random(seed)
    faults = [(kind, n, act) for kind, most in MOST.items() for n in range(1, most + 1)
              for act in (('EIO', 'KILL') if kind == 'sync' else ('EIO', 'LATE', 'KILL') if kind == 'meta' else ('EIO', 'ENOSPC', 'KILL'))]
    if o.syncs < 40:
        faults = rng.sample(faults, o.syncs)
    for fault in faults:
        wrong = once(fault)
        if wrong:
            report.bad('setup %s:%d:%s: %s' % (fault + (wrong,)))
        else:
            report.good(wrong is not None)
