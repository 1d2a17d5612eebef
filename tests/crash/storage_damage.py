"""Damage: thousands of mutants of a real store with some thousand records are judged by storage_damage; the real program starts on a
sample of them and on what no chance makes (an empty file, none, garbage for the lock); and a file is cut off under a running broker."""
import os
import random
import shutil
import subprocess
import time

import storage_ground as ground
from harness import BUILD, STRETCH, Install, wait_until

TOOL = os.path.join(ground.TOOLS, 'storage_damage')
BROKER = os.path.join(BUILD, 'bin', 'mc-broker')


def make_store(directory):
    """Some thousand events by the broker's own commands, and the files of an installation."""
    subprocess.run([os.path.join(BUILD, 'bench', 'fill'), directory, '5000', '400', '20'], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    code, said, _ = start(directory)
    assert code == 0, said


def start(directory):
    """The broker, ended when it serves: exit status, error lines, seconds until it served or ended."""
    began = time.monotonic()
    p = ground.harness.popen([BROKER, '--data', directory, '--bootstrap-local', '1'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    said, took = [], None
    for line in p.stdout:
        if '"level":"error"' in line or not line.startswith('{'):
            said.append(line.strip())
        if 'serving on' in line:
            took = time.monotonic() - began
            p.terminate()
    p.wait()
    ground.harness.forget(p)
    return p.returncode, said, took or time.monotonic() - began


def judge(code, said, took, refused):
    """refused: True, False, or None: either."""
    if took > 5 * STRETCH:
        return 'it took %.1f s' % took
    if code == 1 and refused is not False:
        return None if len(said) == 1 and 'store.mdb' in said[0] else 'it did not say in one line what is damaged: %s' % said
    if code == 0 and not refused:
        return None if not said else 'it served and complained: %s' % said
    return 'it ended with %d: %s' % (code, said)


def programs(report, place, store, samples, seed):
    rng = random.Random(seed)
    here = os.path.join(place, 'program')
    for k in rng.sample(range(10000), samples):
        shutil.copytree(store, here, ignore=shutil.ignore_patterns('run'))
        what = subprocess.run([TOOL, 'make', store, here, str(k), str(seed)], check=True, capture_output=True, text=True).stdout.strip()
        code, said, took = start(here)
        wrong = judge(code, said, took, None)
        if not wrong and code == 0:     # its content was compared by `try`; that the broker itself finds nothing is shown here
            r = subprocess.run([BROKER, '--data', here, '--check'], capture_output=True, text=True)
            wrong = None if r.returncode == 0 else 'it served, and --check says: %s' % r.stdout[-300:]
        if wrong:
            report.bad('damage: seed %d mutant %d (%s): %s' % (seed, k, what, wrong))
        else:
            report.good()
        shutil.rmtree(here)


def named(report, place, store):
    here = os.path.join(place, 'named')

    def write(name, data):
        with open(os.path.join(here, name), 'wb') as f:
            f.write(data)
    cases = [('an empty file', lambda: write('store.mdb', b''), True),
             ('no file', lambda: os.unlink(os.path.join(here, 'store.mdb')), True),
             ('a text', lambda: write('store.mdb', b'hello\n' * 2000), True),
             ('zeros', lambda: write('store.mdb', bytes(1 << 20)), True),
             ('a directory', lambda: (os.unlink(os.path.join(here, 'store.mdb')), os.mkdir(os.path.join(here, 'store.mdb'))), True),
             ('garbage for the lock', lambda: write('store.mdb-lock', os.urandom(8192)), False),
             ('an empty lock', lambda: write('store.mdb-lock', b''), False),
             ('what a cut-off start left', lambda: write('store.mdb.new', b'x' * 5000), False),
             ('nothing wrong', lambda: None, False)]
    for what, damage, refused in cases:
        shutil.copytree(store, here, ignore=shutil.ignore_patterns('run'))
        damage()
        wrong = judge(*start(here), refused)
        if wrong:
            report.bad('damage: %s: %s' % (what, wrong))
        else:
            report.good()
        shutil.rmtree(here)


def check_option(report, place, store):
    """mc-broker --check: whole, damaged, in use, not there; and it changes nothing."""
    here = os.path.join(place, 'check')
    shutil.copytree(store, here, ignore=shutil.ignore_patterns('run'))
    path = os.path.join(here, 'store.mdb')

    def check(directory=here):
        r = subprocess.run([BROKER, '--data', directory, '--check'], capture_output=True, text=True)
        return r.returncode, r.stdout + r.stderr
    before = open(path, 'rb').read()
    got = [('whole', check(), 0, 'agree')]
    if open(path, 'rb').read() != before or os.path.exists(os.path.join(here, 'run')):
        report.bad('--check has changed something')
    with open(path, 'r+b') as f:
        f.truncate(len(before) // 2)
    got.append(('cut off', check(), 1, 'store.mdb'))
    got.append(('not there', check(os.path.join(place, 'nowhere')), 2, 'no store'))
    i = Install(gateways=0, workers=0)
    try:
        got.append(('in use', check(i.data), 2, 'already'))
    finally:
        i.close()
    for what, (code, said), want, word in got:
        if code != want or word not in said:
            report.bad('--check of a store that is %s: status %d: %s' % (what, code, said[-300:]))
        else:
            report.good()
    shutil.rmtree(here)


def under_its_feet(report):
    """The file is cut off while the broker runs: it ends with status 1 and a line, not by a signal."""
    i = Install(gateways=1, workers=0)
    try:
        for n in range(60):
            i.task('# ' + 'x' * 3000 + str(n))
        os.truncate(os.path.join(i.data, 'store.mdb'), 2 * 4096)

        def ended():
            i.api('GET', ground.TASKS)
            return not i.broker.alive
        wait_until('the broker ends', ended, 15)
        code = i.broker.p.wait()
        i.broker.expect = (code,)
        line = i.broker.log_text().splitlines()[-1]
        if code != 1 or 'store.mdb' not in line:
            report.bad('damage: a file cut off under the broker: status %d: %s' % (code, line))
        else:
            report.good()
    finally:
        i.close()


def run(report, o, seed):
    with ground.Place() as place:
        store = os.path.join(place, 'store')
        make_store(store)
        scratch = os.path.join(place, 'scratch')
        os.mkdir(scratch)
        ground.say('damage: %d mutants of a store of %d octets, seed %d' % (o.mutants, os.path.getsize(store + '/store.mdb'), seed))
        r = subprocess.run([TOOL, 'try', store, scratch, str(o.mutants), str(seed)], stdout=subprocess.PIPE, text=True)
        last = r.stdout.splitlines()[-1] if r.stdout else ''
        ground.say(r.stdout.strip())
        if not last.startswith('refused'):
            report.bad('damage: storage_damage ended with %d' % r.returncode)
        else:
            refused, right, wrong = (int(x.split()[1]) for x in last.split(', '))
            report.good(refused + right)
            if wrong or refused < o.mutants // 4:
                report.bad('damage: %d mutants are served wrong, %d were refused' % (wrong, refused))
        programs(report, place, store, max(6, o.mutants // 40), seed)
        named(report, place, store)
        check_option(report, place, store)
    under_its_feet(report)
