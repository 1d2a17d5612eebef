"""tools/up as somebody uses it who has just cloned the repository: one command, a pasted curl line, Ctrl-C."""
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import harness
import pytest
from harness import BUILD, REPO, STRETCH, end_orphans, forget, http_call, popen, wait_until

pytestmark = pytest.mark.release_only
UP = os.path.join(REPO, 'tools', 'up')


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Up:
    def __init__(self, **env):
        self.dir = tempfile.mkdtemp(prefix='mc-up-', dir='/tmp')
        self.data = self.dir + '/data'
        self.port = free_port()
        self.env = {'PATH': os.environ['PATH'], 'HOME': self.dir, 'MC_BUILD': BUILD, 'MC_DATA': self.data, 'MC_DRAIN': '3',
                    'MC_HTTP': '127.0.0.1:%d' % self.port, **env}
        self.out = open(self.dir + '/out', 'wb')
        self.p = popen([UP], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.STDOUT,
                       start_new_session=True)

    def text(self):
        with open(self.dir + '/out') as f:
            return f.read()

    def wait_ready(self):
        wait_until(lambda: 'it says where it is: ' + self.text(), lambda: 'Ctrl-C stops it' in self.text() or self.p.poll() is not None, 60)
        assert self.p.poll() is None, self.text()
        return self

    @property
    def key(self):
        with open(self.data + '/admin-api-key') as f:
            return f.read().strip()

    def programs(self):
        """name -> pid of what it has started."""
        out = {}
        for pid in os.listdir('/proc'):
            if pid.isdigit():
                try:
                    with open('/proc/%s/stat' % pid) as f:
                        name, rest = re.fullmatch(r'\d+ \((.*)\) (.*)', f.read().strip()).groups()
                    if int(rest.split()[1]) == self.p.pid and name.startswith('mc-'):
                        out.setdefault(name, []).append(int(pid))
                except (OSError, AttributeError):
                    pass
        return out

    def ready(self):
        try:
            return http_call(self.port, 'GET', '/readyz', timeout=3).status == 200
        except OSError:
            return False

    def close(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(30 * STRETCH)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        forget(self.p)
        end_orphans()
        self.out.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


def gone(pids):
    return not [p for p in pids if os.path.exists('/proc/%d' % p)]


def test_as_a_stranger_would():
    with Up() as u:
        u.wait_ready()
        assert 'http://127.0.0.1:%d' % u.port in u.text()
        assert u.data + '/admin-api-key' in u.text()
        assert u.key not in u.text()
        assert os.stat(u.data + '/admin-api-key').st_mode & 0o777 == 0o600
        assert u.ready()
        lines = [x.strip() for x in u.text().split('\n') if x.strip().startswith('curl ')]
        assert len(lines) == 3
        watch = popen(['sh', '-c', 'exec ' + lines[0]], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        first = watch.stdout.readline()
        assert first
        r = subprocess.run(['sh', '-c', lines[1]], capture_output=True, text=True, timeout=30)
        assert '"status":"running"' in r.stdout.replace(' ', ''), r
        seen = b''
        end_at = time.monotonic() + 20 * STRETCH
        while b'task.completed' not in seen and time.monotonic() < end_at:
            seen += watch.stdout.readline()
        assert b'task.completed' in seen
        watch.kill()
        watch.wait()
        watch.stdout.close()
        forget(watch)
        r = subprocess.run(['sh', '-c', lines[2]], capture_output=True, text=True, timeout=30)
        assert '"done":1' in r.stdout.replace(' ', ''), r
        programs = u.programs()
        assert {k: len(v) for k, v in programs.items()} == {'mc-broker': 1, 'mc-gateway': 1, 'mc-worker': 1}

        for name in ('mc-worker', 'mc-gateway', 'mc-broker'):          # what dies is back within a second
            pid = u.programs()[name][0]
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            wait_until(name + ' is back', lambda: u.programs().get(name, [pid])[0] != pid, 2)
            assert time.monotonic() - began < 1.0 * STRETCH
            wait_until('ready again', u.ready, 15)

        pids = [p for v in u.programs().values() for p in v]
        u.p.send_signal(signal.SIGTERM)
        assert u.p.wait(30 * STRETCH) == 0, u.text()
        assert gone(pids)
        with socket.socket() as s:
            assert s.connect_ex(('127.0.0.1', u.port)) != 0
        assert 'stopped' in u.text()


def test_ctrl_c_from_a_terminal():
    """Ctrl-C goes to the whole foreground group of the terminal: the programs still get one signal each, in order."""
    harness._prepare()
    d = tempfile.mkdtemp(prefix='mc-up-', dir='/tmp')
    port = free_port()
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(UP, [UP], {'PATH': os.environ['PATH'], 'HOME': d, 'MC_BUILD': BUILD, 'MC_DATA': d + '/d', 'MC_HTTP': '127.0.0.1:%d' % port})
    try:
        harness._known.add(pid)
        seen = b''
        while b'Ctrl-C stops it' not in seen:
            try:
                seen += os.read(fd, 4096)
            except OSError:
                raise AssertionError('it ended: %r' % seen)
        os.write(fd, b'\x03')
        status = None

        def ended():
            nonlocal status
            p, s = os.waitpid(pid, os.WNOHANG)
            if p:
                status = os.waitstatus_to_exitcode(s)
            return p
        wait_until('it ends', ended, 20)
        assert status == 0
        for name in ('gateway', 'worker-1', 'broker'):
            with open('%s/d/log/%s.log' % (d, name)) as f:
                log = f.read()
            assert 'Sanitizer' not in log
    finally:
        harness._known.discard(pid)
        os.close(fd)
        end_orphans()
        shutil.rmtree(d, ignore_errors=True)


def test_state_is_kept_and_more_workers_can_come():
    with Up() as u:
        u.wait_ready()
        k = u.key
        u.p.terminate()
        assert u.p.wait(30 * STRETCH) == 0
        forget(u.p)
        u.env['MC_WORKERS'] = '3'
        u.out.truncate(0)
        u.out.seek(0)
        u.p = popen([UP], env=u.env, cwd=u.dir, stdin=subprocess.DEVNULL, stdout=u.out, stderr=subprocess.STDOUT, start_new_session=True)
        u.wait_ready()
        assert u.key == k
        wait_until('three workers', lambda: len(u.programs()['mc-worker']) == 3)
        wait_until('all are connected', lambda: b'"workers":3' in http_call(
            u.port, 'GET', '/api/mission-control/overview', headers={'x-api-key': k}).raw.replace(b' ', b''), 15)


def test_no_workers_of_its_own():
    """Workers may all be elsewhere: the desktop is there, and what is run on it says that it waits for one."""
    with Up(MC_WORKERS='0') as u:
        u.wait_ready()
        assert not u.programs().get('mc-worker')
        a = http_call(u.port, 'POST', '/api/mission-control/tasks', headers={'x-api-key': u.key, 'Content-Type': 'application/json'},
                      body='{"type":"command","content":"true","desktopId":"desktop_1","run":true}')
        assert a.status == 201 and a.json['waitingFor'] == 'worker', a.text


def test_port_taken_is_said():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        with Up(MC_HTTP='127.0.0.1:%d' % s.getsockname()[1]) as u:
            assert u.p.wait(60 * STRETCH) == 1
            assert 'is taken' in u.text() and 'MC_HTTP' in u.text()


def test_two_on_one_directory():
    with Up() as u:
        u.wait_ready()
        r = subprocess.run([UP], env={**u.env, 'MC_HTTP': '127.0.0.1:%d' % free_port()}, cwd=u.dir, capture_output=True, text=True, timeout=30)
        assert r.returncode == 1 and 'another tools/up' in r.stderr
        assert u.ready()


@pytest.mark.parametrize('env,text', [({'MC_WORKERS': 'x'}, 'MC_WORKERS'), ({'MC_HTTP': 'nonsense'}, 'MC_HTTP')])
def test_bad_settings(env, text):
    with Up(**env) as u:
        assert u.p.wait(30) == 2 and text in u.text()


def test_a_program_that_cannot_run_is_shown():
    with Up(MC_RATE_LIMIT='many') as u:
        assert u.p.wait(60 * STRETCH) == 1
        assert 'gateway cannot run' in u.text() and 'rate-limit' in u.text().replace('_', '-').lower()
        assert gone([p for v in u.programs().values() for p in v])


def test_killed_itself_it_leaves_nothing():
    with Up() as u:
        u.wait_ready()
        pids = [p for v in u.programs().values() for p in v]
        u.p.kill()
        u.p.wait()
        wait_until('the programs end too', lambda: all(zombie_or_gone(p) for p in pids), 20)


def zombie_or_gone(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] == 'Z'
    except OSError:
        return True


@pytest.mark.parametrize('prog', ['mc-broker', 'mc-gateway', 'mc-worker'])
def test_help_version_and_bad_usage(prog):
    path = os.path.join(BUILD, 'bin', prog)
    run = lambda *a: subprocess.run([path, *a], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
                                    env={'PATH': '/usr/bin:/bin', 'HOME': '/tmp'})
    h = run('--help')
    assert h.returncode == 0 and h.stdout.startswith('Usage: ' + prog) and 'MC_' in h.stdout
    v = run('--version')
    assert v.returncode == 0 and re.fullmatch(prog + r' \d+\.\d+\.\d+\n', v.stdout)
    for bad in (['--no-such-option'], ['stray'], ['--data']):
        r = run(*bad)
        assert r.returncode == 2 and r.stderr.count('\n') == 1 and r.stderr.startswith(prog + ': '), r


def test_the_broker_alone_needs_no_options():
    folder = tempfile.mkdtemp(prefix='mc-alone-', dir='/tmp')
    env = {k: v for k, v in os.environ.items() if not k.startswith('MC_')}
    p = popen([os.path.join(BUILD, 'bin/mc-broker')], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        said = []
        for line in p.stderr:       # ends with the program, which must not end by itself
            said.append(line)
            if b'serving on ipc://' + folder.encode() in line:
                p.terminate()
        assert p.wait() == 0, said
        assert os.path.exists(os.path.join(folder, 'data/store.mdb'))
    finally:
        if p.poll() is None:
            p.kill()
            p.wait()
        forget(p)
        p.stderr.close()
        shutil.rmtree(folder)
