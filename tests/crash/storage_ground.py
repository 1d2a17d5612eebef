"""What the storage tests share: programs under the shim, clients that note when they were answered, the probe, a place to work in."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'proc'))
import harness  # noqa: E402
from harness import BUILD, TASKS, http_call  # noqa: E402

TOOLS = os.path.join(BUILD, 'crash')
SHIM = os.path.join(TOOLS, 'shim_storage.so')


def say(text):
    print(text, flush=True)


class Place:
    """A directory in memory (images are many, and read once), else below /tmp; taken away in the end."""

    def __init__(self):
        base = '/dev/shm' if os.access('/dev/shm', os.W_OK) else '/tmp'
        self.path = tempfile.mkdtemp(prefix='mc-storage-', dir=base)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def shim_env(directory, fault=None, log=None, hit=None, sticky=False):
    env = {'MC_SHIM_DIR': directory, 'MC_SHIM_FAULT': fault, 'MC_SHIM_LOG': log, 'MC_SHIM_HIT': hit, 'MC_SHIM_STICKY': '1' if sticky else None}
    asan = 'asan' in os.path.basename(BUILD)
    preload = [subprocess.check_output(['gcc', '-print-file-name=libasan.so'], text=True).strip()] if asan else []
    env['LD_PRELOAD'] = ':'.join(preload + [SHIM])
    return {k: v for k, v in env.items() if v is not None}


def with_shim(prog, directory, **kw):
    """The next starts of this Prog are under the shim; without_shim takes it off."""
    plain = prog.__dict__.setdefault('plain_env', prog.env)
    more = shim_env(directory, **kw)
    prog.env = lambda: {**(plain() if callable(plain) else plain), **more}


def without_shim(prog):
    prog.env = prog.__dict__.get('plain_env', prog.env)


def _once(pairs):
    d = dict(pairs)
    assert len(d) == len(pairs), 'made twice: %s' % sorted(k for k, _ in pairs if [x for x, _ in pairs].count(k) > 1)[:3]
    return d


class Probe:
    """storage_probe: what the store in a directory holds."""

    def __init__(self):
        self.p = harness.popen([os.path.join(TOOLS, 'storage_probe')], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        self.said = []
        self.reader = threading.Thread(target=lambda: self.said.extend(self.p.stderr), daemon=True)
        self.reader.start()

    def ask(self, directory, once=True):
        """once: no two tasks may have the same title. ('whole', digest, newest, {'tasks': {title: status}, 'comments': [..]}), ('empty',), or ('bad', why)"""
        del self.said[:]
        self.p.stdin.write(directory + '\n')
        self.p.stdin.flush()
        word, *rest = self.p.stdout.readline().rstrip('\n').split(' ', 1)
        if word == 'whole':
            digest, newest, text = rest[0].split(' ', 2)
            return 'whole', digest, int(newest), json.loads(text, object_pairs_hook=_once if once else dict)
        if word == 'empty':
            return ('empty',)
        return 'bad', ' '.join(rest) + ' ' + ' '.join(x.strip() for x in self.said[-2:])

    def close(self):
        self.p.stdin.close()
        self.p.wait()
        harness.forget(self.p)


class Clients:
    """Threads that create, edit, delete and comment until stopped. Each operation has a tag of its own; what was answered is noted with
    the number `clock` gives at that moment (the length of the shim's log)."""

    def __init__(self, i, n=4, clock=lambda: 0, run=False, first=0, timeout=6):
        self.i, self.clock, self.run, self.timeout = i, clock, run, timeout
        self.asked, self.acked, self.unknown, self.refused, self.wrong = {}, {}, {}, {}, []
        self.answers = []           # (asked, answered, status), wall clock
        self.lock, self.stopping = threading.Lock(), False
        self.key, self.port = i.key, i.port(0)
        self.threads = [threading.Thread(target=self._client, args=(first + k,), daemon=True) for k in range(n)]
        for t in self.threads:
            t.start()

    def _client(self, n):
        count = 0
        while not self.stopping:
            tag = 'client-%d-%d' % (n, count)
            count += 1
            self.asked[tag] = self.clock()
            task = self._do(tag, 'POST', TASKS, {'type': 'command', 'content': '# ' + 'x' * (count * 37 % 4000), 'title': tag,
                                                 'desktopId': self.i.desktop, 'run': self.run and count % 4 == 0}, 201)
            if task and count % 3 == 0:
                note = 'note-' + tag
                self.asked[note] = self.clock()
                self._do(note, 'POST', '%s/%s/comments' % (TASKS, task['id']), {'content': note}, 201)

    def _do(self, tag, method, path, body, want):
        began = time.time()
        try:
            a = http_call(self.port, method, path, json.dumps(body).encode(), {'x-api-key': self.key, 'Content-Type': 'application/json'},
                          timeout=self.timeout)
        except OSError:
            a = None
        except harness.http.client.HTTPException:
            a = None
        at = self.clock()
        with self.lock:
            self.answers.append((began, time.time(), a.status if a is not None else 0))
            if a is not None and a.status == want:
                self.acked[tag] = at
                return a.json
            if a is None or (a.status == 503 and a.json['code'] in ('OUTCOME_UNKNOWN', 'STORAGE_ERROR', 'UNAVAILABLE', 'TIMEOUT')):
                self.unknown[tag] = at
            elif a.status == 503:
                self.refused[tag] = at      # a clear answer: nothing happened
            else:
                self.wrong.append('%s: %r' % (tag, a))
        time.sleep(0.01)            # the client's own pause after a refusal
        return None

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join(self.timeout * harness.STRETCH + 10)
        assert not self.wrong, self.wrong[:3]


def tags_of(held):
    """What a probe's answer holds, as the clients' tags."""
    return set(held['tasks']) | set(held['comments'])


class Report:
    """Counts; the caller prints `N passed, N failed` at the end."""

    def __init__(self):
        self.passed = self.failed = 0

    def good(self, n=1):
        self.passed += n

    def bad(self, text):
        self.failed += 1
        if self.failed <= 20:
            say('==== ' + text)
