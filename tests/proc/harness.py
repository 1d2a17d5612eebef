"""Real programs in a fresh directory, for the process tests.

How to use it
-------------
    from harness import Install, Stream, Follower, wait_until

    def test_x(shared):                       # one installation for all cheap tests of a pytest process:
        t = shared.task('echo hi', run=True)  # 2 gateways, 2 workers, desktop `local`
        shared.wait_task(t['id'], 'done')

    def test_fault(fresh):                    # `fresh` is a function: an installation of the test's own
        i = fresh(gateways=2, workers=1)
        i.broker.kill9(); i.broker.start(); i.wait_ready()

An Install has:  .dir (short, below /tmp)  .data ($MC_DATA)  .broker  .gateways[n]  .workers[n]  .key (the admin's)  .desktop ('desktop_1')
    .api(method, path, json=None, gw=0, key=..., headers=None, body=None, timeout=10,
        seen=an Answer whose state this one must know of, from whichever gateway) -> Answer
        Answer: .status .headers (case-insensitive) .text .json .raw; .ok(201) asserts the status and gives the JSON
    .task(content, run=False, type='command', **fields) -> the created task     .wait_task(id, 'done', 'failed', seconds=20) -> task
    .get_task(id)   .output(id)   .sessions(id)   .make_key('viewer') -> text   .make_desktop(name, **fields) -> desktop
    .stream(path='/api/mission-control/activity/stream', gw=0, last_id=None, ...) -> Stream, whose head has been read
    .follow(path, gws=[0, 1]) -> Follower: a client that comes back by Last-Event-ID, to the next gateway each time
    .wait_ready(): every gateway's /readyz is 200 and the broker sees as many workers as are running
    .run_file: tasks that run i.mark(text) append one line there with O_APPEND; .marks() lists the lines
A Prog (.broker, .gateways[n], .workers[n]) has:  .start() .term() .kill9() .pause() .resume() .restart() .wait(seconds) .alive .pid .log
    .term() asks for a clean end: its exit status must then be 0. .kill9() expects -9. Any other end of a program fails the test
    when the installation is closed, and so does a sanitizer's report in any log.

Rules: wait for a condition with wait_until(what, function, seconds), never with a plain sleep; seconds are stretched for
sanitized builds by themselves. Nothing outlives the test run: programs are told to a reaper process that ends them even when
pytest itself is killed, and what an ended worker left running is adopted (subreaper) and ended when its installation closes.

With MC_FAULT in env (also as '') an installation runs the programs of `make faults`: common/fault.h.

Environment: MC_BUILD (build directory, default <repository>/build), MC_TEST_STRETCH (factor for all deadlines),
MC_TEST_KEEP=1 (keep the directories).
"""
import atexit
import collections
import ctypes
import http.client
import json as jsonlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('MC_BUILD') or os.path.join(REPO, 'build'))
SANITIZED = 'asan' in os.path.basename(BUILD) or 'tsan' in os.path.basename(BUILD)
STRETCH = float(os.environ.get('MC_TEST_STRETCH') or (8 if SANITIZED else 4))
ACTIVITY = '/api/mission-control/activity/stream'
TASKS = '/api/mission-control/tasks'
REPORT = re.compile(r'ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer|: runtime error: |Assertion .* failed'
                    r'|stack smashing|buffer overflow detected|double free|malloc\(\): ')
_USE_ADMIN = object()


class Late(AssertionError):
    """A condition did not come true in time."""


def wait_until(what, fn, seconds=10, step=0.02):
    """Calls fn until it returns something true, and returns that. The one place that waits by looking again."""
    end = time.monotonic() + seconds * STRETCH
    while True:
        got = fn()
        if got:
            return got
        if time.monotonic() > end:
            raise Late('not within %.1f s: %s' % (seconds * STRETCH, what() if callable(what) else what))
        time.sleep(step)


# ---------------------------------------------------------------- processes and their end

class _Reaper:
    """A child that knows every process we started; when our end of its pipe closes, however we ended, it kills the rest."""
    SCRIPT = ('import os,signal,sys\nsignal.signal(signal.SIGINT,signal.SIG_IGN);signal.signal(signal.SIGTERM,signal.SIG_IGN)\n'
              'left=set()\n'
              'for l in sys.stdin:\n (left.add if l[0]=="+" else left.discard)(int(l[1:]))\n'
              'for p in left:\n try: os.kill(p,signal.SIGKILL)\n except OSError: pass\n')

    def __init__(self):
        self.child = subprocess.Popen([sys.executable, '-c', self.SCRIPT], stdin=subprocess.PIPE, start_new_session=True)
        self.lock = threading.Lock()

    def say(self, sign, pid):
        with self.lock:
            try:
                self.child.stdin.write(b'%s%d\n' % (sign, pid))
                self.child.stdin.flush()
            except OSError:
                pass


_reaper = None
_known = set()          # pids of children of ours that somebody waits for
_open = set()           # installations to close at exit


def _prepare():
    global _reaper
    if _reaper is None:
        ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what workers leave behind comes to us
        _reaper = _Reaper()
        _known.add(_reaper.child.pid)


def popen(argv, **kw):
    """subprocess.Popen whose process is ended with us whatever happens. Call forget(p) once it has been waited for."""
    _prepare()
    p = subprocess.Popen(argv, **kw)
    _known.add(p.pid)
    _reaper.say(b'+', p.pid)
    return p


def forget(p):
    _reaper.say(b'-', p.pid)
    _known.discard(p.pid)


def end(p, seconds=5):
    """Ends a popen()ed process: TERM, then KILL."""
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(seconds)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    forget(p)
    return p.returncode


def _children():
    out = []
    for t in os.listdir('/proc/self/task'):
        try:
            with open('/proc/self/task/%s/children' % t) as f:
                out += [int(x) for x in f.read().split()]
        except OSError:
            pass
    return out


def end_orphans():
    """Kills what was adopted from ended programs, and only that: children we did not start, in a session not ours."""
    ours = os.getsid(0)
    while True:
        found = False
        for pid in _children():
            if pid in _known:
                continue
            try:
                if os.getsid(pid) == ours:
                    continue
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                found = True
            except OSError:
                pass
        if not found:
            return


@atexit.register
def _close_all():
    for i in list(_open):
        try:
            i.close(check=False)
        except Exception:
            pass


class Prog:
    def __init__(self, install, name, argv, env):
        self.install, self.name, self.argv, self.env = install, name, argv, env
        self.log = os.path.join(install.dir, 'log', name + '.log')
        self.p = None
        self.expect = None      # exit statuses that are right for the end that was asked for
        self.faults = []
        self.starts, self.began = 0, 0.0

    @property
    def pid(self):
        return self.p.pid

    @property
    def alive(self):
        return self.p is not None and self.p.poll() is None

    def start(self):
        assert not self.alive, self.name + ' runs already'
        self.note_end()
        env = dict(self.env() if callable(self.env) else self.env)
        argv = self.argv() if callable(self.argv) else self.argv
        self.expect = None
        self.starts += 1
        self.began = time.monotonic()
        with open(self.log, 'ab') as log:
            self.p = popen(argv, env=env, cwd=self.install.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           start_new_session=True)
        return self

    def note_end(self):
        """Takes the exit status of a run that is over; one that nobody asked for is a fault."""
        if self.p is None:
            return
        code = self.p.wait()
        forget(self.p)
        self.p = None
        if self.expect is None or code not in self.expect:
            self.faults.append('%s ended with status %d, expected %s' % (self.name, code, self.expect))
        return code

    def signal(self, sig):
        if self.alive:
            os.kill(self.p.pid, sig)

    def term(self, wait=True, seconds=20):
        if not self.alive:
            return self.note_end()
        # A signal that comes before a program has got to its handlers ends it as signals do.
        self.expect = (0, -signal.SIGTERM) if time.monotonic() - self.began < STRETCH else (0,)
        self.signal(signal.SIGTERM)
        return self.wait(seconds) if wait else None

    def kill9(self):
        if not self.alive:
            return self.note_end()
        self.expect = (-signal.SIGKILL,)
        self.signal(signal.SIGKILL)
        return self.note_end()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def restart(self):
        self.term()
        return self.start()

    def wait(self, seconds=10):
        """The exit status; kills it and fails when it does not end."""
        try:
            self.p.wait(seconds * STRETCH)
        except subprocess.TimeoutExpired:
            self.faults.append('%s did not end within %.1f s' % (self.name, seconds * STRETCH))
            os.kill(self.p.pid, signal.SIGABRT if SANITIZED else signal.SIGKILL)
            self.expect = (-signal.SIGKILL, -signal.SIGABRT)
        return self.note_end()

    def log_text(self):
        try:
            with open(self.log, errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def rss_kib(self):
        """Memory of its own and shared, without the store's map (a file, which counts as RssFile)."""
        with open('/proc/%d/status' % self.pid) as f:
            for line in f:
                if line.startswith('RssAnon:'):
                    return int(line.split()[1])
        return 0


# ---------------------------------------------------------------- HTTP

class Answer:
    def __init__(self, status, headers, raw):
        self.status, self.headers, self.raw = status, headers, raw

    @property
    def text(self):
        return self.raw.decode('utf-8')

    @property
    def json(self):
        return jsonlib.loads(self.text)

    def ok(self, status=200):
        assert self.status == status, 'status %d instead of %d: %s' % (self.status, status, self.raw[:2000])
        return self.json if self.raw else None

    def error(self, status, code=None, field=None):
        """Asserts the form of an error answer, and gives it."""
        assert self.status == status, 'status %d instead of %d: %s' % (self.status, status, self.raw[:2000])
        j = self.json
        assert isinstance(j.get('error'), str) and j['error'], j
        assert re.fullmatch(r'[A-Z][A-Z0-9_]*', j.get('code', '')), j
        assert j.get('status') == status, j
        assert isinstance(j.get('requestId'), str) and j['requestId'] == self.headers['X-Request-Id'], j
        if code:
            assert j['code'] == code, j
        if field:
            assert j.get('field') == field, j
        return j

    def __repr__(self):
        return '<%d %r>' % (self.status, self.raw[:300])


def http_call(port, method, path, body=None, headers=None, timeout=10):
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=timeout * STRETCH)
    try:
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        return Answer(r.status, r.headers, r.read())
    finally:
        c.close()


Frame = collections.namedtuple('Frame', 'id type payload data at')


class Stream:
    """One connection to an SSE route, read by a thread as a strict client would, with the wire's rules checked on the way."""

    def __init__(self, port, path=ACTIVITY, key=None, last_id=None, headers=None, http10=False, timeout=10, rcvbuf=None):
        self.frames, self.comments, self.violations = [], [], []
        self.last_id = int(last_id) if last_id is not None and str(last_id).isdigit() else None
        self.retry = None
        self.ended = None            # 'clean' (last chunk), 'eof', 'reset', 'closed' (by us)
        self.cond = threading.Condition()
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout * STRETCH)
        self.sock.connect(('127.0.0.1', port))
        h = {'Host': '127.0.0.1:%d' % port, 'Accept': 'text/event-stream'}
        if key:
            h['x-api-key'] = key
        if last_id is not None:
            h['Last-Event-ID'] = str(last_id)
        h.update(headers or {})
        head = 'GET %s HTTP/1.%d\r\n' % (path, 0 if http10 else 1) + ''.join('%s: %s\r\n' % kv for kv in h.items()) + '\r\n'
        self.sock.sendall(head.encode('latin-1'))
        self.buf = b''
        raw = self._until(b'\r\n\r\n').decode('latin-1').split('\r\n')
        self.status = int(raw[0].split()[1])
        self.headers = http.client.HTTPMessage()
        for line in raw[1:]:
            if line:
                k, v = line.split(':', 1)
                self.headers[k] = v.strip()
        self.chunked = (self.headers['Transfer-Encoding'] or '').lower() == 'chunked'
        self.body = b''              # of an answer that is no stream
        if self.status != 200:
            n = int(self.headers['Content-Length'] or 0)
            while len(self.buf) < n:
                self._more()
            self.body, self.ended = self.buf[:n], 'clean'
            self.sock.close()
            return
        self.sock.settimeout(None)
        self.block = b''
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _more(self):
        got = self.sock.recv(65536)
        if not got:
            raise EOFError
        self.buf += got

    def _until(self, mark):
        while mark not in self.buf:
            self._more()
        out, self.buf = self.buf.split(mark, 1)
        return out

    def _run(self):
        how = 'eof'
        try:
            while True:
                if not self.chunked:
                    self._more()
                    data, self.buf = self.buf, b''
                else:
                    size = self._until(b'\r\n')
                    n = int(size, 16)
                    while len(self.buf) < n + 2:
                        self._more()
                    data, rest = self.buf[:n], self.buf[n:n + 2]
                    self.buf = self.buf[n + 2:]
                    if rest != b'\r\n':
                        self.violations.append('chunk does not end in CRLF')
                    if n == 0:
                        how = 'clean'
                        break
                    if n > 32768 + 64:
                        self.violations.append('a chunk of %d octets' % n)
                    if not data.endswith(b'\n\n'):
                        self.violations.append('chunk is not whole frames: %r' % data[-60:])
                    if data.count(b'\ndata: ') + data.startswith(b'data: ') > 1:
                        self.violations.append('more than one frame in a chunk')
                self._take(data)
        except EOFError:
            pass
        except OSError:
            how = 'reset'
        except Exception as e:          # a frame that cannot be read is the server's fault: keep it for check()
            self.violations.append(repr(e))
        with self.cond:
            if self.ended is None:
                self.ended = how
            self.cond.notify_all()
        self.sock.close()

    def _take(self, data):
        self.block += data
        while b'\n\n' in self.block:
            block, self.block = self.block.split(b'\n\n', 1)
            self._event(block.decode('utf-8'))

    def _event(self, text):
        fid = data = None
        comments = []
        for line in text.split('\n'):
            if line.startswith(':'):
                comments.append(line[1:].strip())
            elif line.startswith('id: ') and data is None and fid is None:
                fid = int(line[4:])
            elif line.startswith('data: ') and data is None:
                data = line[6:]
            elif line.startswith('retry: ') and data is None:
                self.retry = int(line[7:])
            elif line:
                self.violations.append('unexpected line %r' % line[:100])
        with self.cond:
            self.comments += comments
            if fid is not None:
                if self.last_id is not None and data is not None and fid <= self.last_id and not self._resynced():
                    self.violations.append('id %d after %d' % (fid, self.last_id))
                self.last_id = fid
            if data is not None:
                d = jsonlib.loads(data)
                self.frames.append(Frame(fid, d.get('type'), d.get('payload'), d, time.monotonic()))
            self.cond.notify_all()

    def _resynced(self):
        return bool(self.frames) and self.frames[-1].type == 'stream.resync'

    def wait(self, what, seconds=10):
        """what: a type, a number of frames, or a function of the list of frames. Gives the frame, the list, or its result."""
        def look():
            if isinstance(what, str):
                return next((f for f in self.frames if f.type == what), None)
            if isinstance(what, int):
                return self.frames[:] if len(self.frames) >= what else None
            return what(self.frames)
        until = time.monotonic() + seconds * STRETCH
        with self.cond:
            while True:
                got = look()
                if got:
                    return got
                left = until - time.monotonic()
                if left <= 0 or (self.ended and not look()):
                    raise Late('stream (%s): no %s; it has %s' % (self.ended or 'open', what,
                               [(f.id, f.type) for f in self.frames][-20:]))
                self.cond.wait(left)

    def wait_task(self, task_id, kind, seconds=10):
        return self.wait(lambda fs: next((f for f in fs if f.type == kind and f.payload.get('taskId') == task_id), None), seconds)

    def wait_comment(self, text, seconds=40):
        with self.cond:
            if not self.cond.wait_for(lambda: text in self.comments, seconds * STRETCH):
                raise Late('no comment %r; there are %r' % (text, self.comments))

    def wait_end(self, seconds=10):
        with self.cond:
            if not self.cond.wait_for(lambda: self.ended, seconds * STRETCH):
                raise Late('the stream is still open')
        return self.ended

    def ids(self):
        return [f.id for f in list(self.frames) if f.id is not None]

    def check(self):
        assert not self.violations, self.violations[:5]

    def close(self):
        with self.cond:
            if self.ended is None:
                self.ended = 'closed'
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if hasattr(self, 'thread'):
            self.thread.join(5)
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


class Follower:
    """A client as the page describes it: keeps the last id, and comes back with it, to the next address in turn."""

    def __init__(self, ports, path, key):
        self.ports, self.path, self.key = ports, path, key
        self.frames, self.violations, self.statuses = [], [], []
        self.connects = 0
        self.last_id = None
        self.stopping = False
        self.opened = threading.Event()   # the head of a first answer has been read
        self.current = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        n = 0
        while not self.stopping:
            port = self.ports[n % len(self.ports)]
            n += 1
            try:
                s = Stream(port, self.path, self.key, last_id=self.last_id)
            except (OSError, EOFError, ValueError):
                time.sleep(0.05)          # the address is down: this is the client's own pause between tries
                continue
            self.connects += 1
            self.statuses.append(s.status)
            self.current = s
            self.opened.set()
            with s.cond:
                s.cond.wait_for(lambda: s.ended or self.stopping)
            s.close()
            self.frames += s.frames
            self.violations += s.violations
            if s.last_id is not None:
                self.last_id = s.last_id
        self.current = None

    def all_frames(self):
        cur = self.current
        return self.frames + (list(cur.frames) if cur and not cur.ended else [])

    def wait(self, what, fn, seconds=30):
        return wait_until(what, lambda: fn(self.all_frames()), seconds)

    def stop(self):
        self.stopping = True
        if self.current:
            with self.current.cond:
                self.current.cond.notify_all()
        self.thread.join(10)
        return self.frames


# ---------------------------------------------------------------- an installation

class Install:
    def __init__(self, gateways=1, workers=1, slots=8, env=None, ready=True, broker_args=(), gateway_args=(), worker_args=(),
                 data=None):
        _prepare()
        self.dir = tempfile.mkdtemp(prefix='mc-', dir='/tmp')   # unix socket paths are short
        self.data = data or os.path.join(self.dir, 'd')
        self.run_file = os.path.join(self.dir, 'ran')
        os.mkdir(os.path.join(self.dir, 'log'))
        os.mkdir(os.path.join(self.dir, 'home'))
        _open.add(self)
        self.closed = False
        self.ports = {}
        self.extra_env = dict(env or {})
        self.desktop = 'desktop_1'
        # The programs that can be made to die at named points are others than those that are installed (`make faults`).
        bins = os.path.join(BUILD, 'faults/bin' if 'MC_FAULT' in self.extra_env else 'bin')
        assert os.path.exists(bins + '/mc-broker'), '%s is not built: make all faults' % bins
        self.broker = Prog(self, 'broker', [bins + '/mc-broker', '--bootstrap-local', str(max(workers, 1)), *broker_args], self._env)
        self.gateways = []
        self.workers = []
        for n in range(gateways):
            self.gateways.append(Prog(self, 'gateway-%d' % (n + 1), self._gateway_argv(bins, n, gateway_args), self._env))
        for n in range(workers):
            self.workers.append(Prog(self, 'worker-%d' % (n + 1),
                                     [bins + '/mc-worker', '--worker-key', '%s/worker-%d.key' % (self.data, n + 1),
                                      '--slots', str(slots), *worker_args], self._env))
        try:
            self.broker.start()
            wait_until(lambda: 'the broker made its keys: ' + self.broker.log_text()[-2000:],
                       lambda: self._broker_up() or not self.broker.alive, 15)
            for p in self.gateways + self.workers:
                p.start()
            if ready:
                self.wait_ready()
        except BaseException:
            self.close(check=False, show=True)
            raise

    def _broker_up(self):
        names = ['admin-api-key', 'gateway.key'] + ['worker-%d.key' % (n + 1) for n in range(len(self.workers))]
        return all(os.path.exists(os.path.join(self.data, x)) for x in names)

    def _env(self):
        env = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': os.path.join(self.dir, 'home'),
               'LANG': 'C.UTF-8', 'MC_DATA': self.data, 'MC_RATE_LIMIT': '0', 'MC_DRAIN': '3',
               'ASAN_OPTIONS': 'detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1',
               'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1'}
        env.update(self.extra_env)
        return {k: str(v) for k, v in env.items() if v is not None}

    def _gateway_argv(self, bins, n, more):
        port_file = os.path.join(self.dir, 'port-%d' % (n + 1))

        def argv():
            port = self.ports.get(n, 0)     # a gateway that starts again keeps its address
            if not port and os.path.exists(port_file):
                os.unlink(port_file)
            return [bins + '/mc-gateway', '--http', '127.0.0.1:%d' % port, '--port-file', port_file, *more]
        return argv

    def port(self, gw=0):
        if gw not in self.ports:
            path = os.path.join(self.dir, 'port-%d' % (gw + 1))

            def look():
                if not self.gateways[gw].alive:
                    raise AssertionError('gateway %d ended: %s' % (gw, self.gateways[gw].log_text()[-2000:]))
                try:
                    with open(path) as f:
                        return int(f.read())
                except (OSError, ValueError):
                    return 0
            self.ports[gw] = wait_until('gateway %d wrote its port' % gw, look, 10)
        return self.ports[gw]

    def url(self, gw=0):
        return 'http://127.0.0.1:%d' % self.port(gw)

    @property
    def key(self):
        with open(os.path.join(self.data, 'admin-api-key')) as f:
            return f.read().strip()

    def wait_ready(self, seconds=15):
        def ready(gw):
            try:
                return http_call(self.port(gw), 'GET', '/readyz', timeout=3).status == 200
            except OSError:
                return False
        for n, g in enumerate(self.gateways):
            if g.alive:
                wait_until('gateway %d is ready' % n, lambda n=n: ready(n), seconds)
        n_workers = sum(w.alive for w in self.workers)
        gw = next((n for n, g in enumerate(self.gateways) if g.alive), None)
        if gw is not None and n_workers:
            wait_until('%d workers are connected' % n_workers, lambda: self._overview_workers(gw) >= n_workers, seconds)

    def _overview_workers(self, gw):
        a = self.api('GET', '/api/mission-control/overview', gw=gw)
        return a.json['workers'] if a.status == 200 else -1

    # ---- the API
    def api(self, method, path, json=None, gw=0, key=_USE_ADMIN, headers=None, body=None, timeout=10, seen=None):
        h = {}
        if seen is not None:      # an answer of another gateway: this one is to be at least as new
            h['X-Mc-Min-Sequence'] = seen.headers['X-Mc-Sequence']
        k = self.key if key is _USE_ADMIN else key
        if k:
            h['x-api-key'] = k
        if json is not None:
            body = jsonlib.dumps(json).encode()
        if body is not None:
            h['Content-Type'] = 'application/json'
        h.update(headers or {})
        return http_call(self.port(gw), method, path, body, h, timeout)

    def task(self, content, run=False, type='command', gw=0, status=201, headers=None, **fields):
        body = {'type': type, 'content': content, 'desktopId': self.desktop, **fields}
        if run:
            body['run'] = True
        return self.api('POST', TASKS, body, gw=gw, headers=headers).ok(status)

    def get_task(self, task_id, gw=0):
        return self.api('GET', '%s/%s' % (TASKS, task_id), gw=gw).ok()

    def act(self, task_id, what, body=None, gw=0):
        return self.api('POST', '%s/%s/%s' % (TASKS, task_id, what), body, gw=gw)

    def wait_task(self, task_id, *statuses, seconds=20, gw=0):
        last = {}

        def look():
            a = self.api('GET', '%s/%s' % (TASKS, task_id), gw=gw)
            if a.status == 200:
                last.update(a.json)
                return last if last['status'] in statuses else None
        return wait_until(lambda: '%s is %s: %s' % (task_id, statuses, last), look, seconds)

    def output(self, task_id, gw=0, query=''):
        return self.api('GET', '%s/%s/output%s' % (TASKS, task_id, query), gw=gw)

    def sessions(self, task_id, gw=0):
        return self.api('GET', '%s/%s/sessions' % (TASKS, task_id), gw=gw).ok()

    def make_key(self, role, **fields):
        return self.api('POST', '/api/auth/api-keys', {'name': 'test ' + role, 'role': role, **fields}).ok(201)['key']

    def make_desktop(self, name, **fields):
        d = self.api('POST', '/api/desktops', {'name': name, 'driver': 'local', **fields}).ok(201)
        return wait_until('%s is running' % d['id'], lambda: self._desktop_if(d['id'], 'running'), 15)

    def _desktop_if(self, did, status):
        d = self.api('GET', '/api/desktops/' + did).ok()
        return d if d['status'] == status else None

    def stream(self, path=ACTIVITY, gw=0, last_id=None, key=_USE_ADMIN, **kw):
        return Stream(self.port(gw), path, self.key if key is _USE_ADMIN else key, last_id, **kw)

    def follow(self, path=ACTIVITY, gws=None):
        f = Follower([self.port(g) for g in (gws if gws is not None else range(len(self.gateways)))], path, self.key)
        assert f.opened.wait(10 * STRETCH)
        return f

    # ---- what tasks leave behind
    def mark(self, text):
        """Shell text that appends one line to run_file in one write with O_APPEND."""
        return "printf '%%s\\n' '%s' >> %s" % (text, self.run_file)

    def marks(self):
        try:
            with open(self.run_file) as f:
                return f.read().split('\n')[:-1]
        except FileNotFoundError:
            return []

    # ---- the end
    def progs(self):
        return self.gateways + self.workers + [self.broker]

    def close(self, check=True, show=False):
        if self.closed:
            return
        self.closed = True
        for p in self.progs():
            p.resume()
        for p in self.gateways + self.workers:
            p.term(wait=False)
        for p in self.gateways + self.workers:
            if p.p is not None:
                p.wait(15)
        self.broker.term()
        end_orphans()
        faults = [f for p in self.progs() for f in p.faults]
        for p in self.progs():
            m = REPORT.search(p.log_text())
            if m:
                faults.append('%s: %s\n%s' % (p.name, m.group(0), p.log_text()[max(0, m.start() - 500):m.start() + 6000]))
        if faults or show:
            for p in self.progs():
                print('---- %s\n%s' % (p.name, p.log_text()[-3000:]), file=sys.stderr)
        _open.discard(self)
        if not os.environ.get('MC_TEST_KEEP'):
            shutil.rmtree(self.dir, ignore_errors=True)
        assert not (check and faults), '\n'.join(faults)
