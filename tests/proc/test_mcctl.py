"""mcctl against real gateways: the tour of a user who has only --help, exit statuses, hostile names, streams that break, answers that
are lost, terminals, and what is made from its table of commands."""
import fcntl
import http.client
import http.server
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading

import harness
import pytest
from harness import BUILD, STRETCH, wait_until

MCCTL = os.path.join(BUILD, 'bin', 'mcctl')
EVIL = 'evil\x1b]52;c;aGk=\x07\x1b[2J\u202egpj.exe\u200b\x9b31m'
SHOWN = 'evil\\x1b]52;c;aGk=\\x07\\x1b[2J\\u202egpj.exe\\u200b\\u009b31m'


def environment(i, gw=0, **more):
    env = {'PATH': '/usr/bin:/bin', 'HOME': os.path.join(i.dir, 'home'), 'TZ': 'UTC', 'TERM': 'xterm', 'MC_DATA': i.data,
           'MC_URL': i.url(gw), 'ASAN_OPTIONS': 'detect_leaks=1', 'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1'}
    env.update(more)
    return {k: v for k, v in env.items() if v is not None}


def run(i, *args, code=0, stdin=None, gw=0, text=True, **env):
    """Runs mcctl to its end; gives what it printed. The exit status must be `code`."""
    r = subprocess.run([MCCTL, *args], env=environment(i, gw, **env), input=stdin, capture_output=True, text=text, cwd=i.dir,
                       timeout=40 * STRETCH, **({} if stdin is not None else {'stdin': subprocess.DEVNULL}))
    assert r.returncode == code, (args, r.returncode, r.stdout[-2000:], r.stderr[-3000:])
    assert not re.search(harness.REPORT, r.stderr if text else r.stderr.decode('utf-8', 'replace')), r.stderr
    return r


def out(i, *args, **kw):
    return run(i, *args, **kw).stdout


def js(i, *args, **kw):
    return json.loads(out(i, '--json', *args, **kw))


class Running:
    """mcctl while it runs: what it has printed so far, by a thread."""

    def __init__(self, i, *args, gw=0, **env):
        self.text = {1: '', 2: ''}
        self.p = harness.popen([MCCTL, *args], env=environment(i, gw, **env), cwd=i.dir, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.threads = [threading.Thread(target=self._read, args=(n, f), daemon=True) for n, f in ((1, self.p.stdout), (2, self.p.stderr))]
        for t in self.threads:
            t.start()

    def _read(self, n, f):
        while True:
            got = os.read(f.fileno(), 65536)
            if not got:
                return
            self.text[n] += got.decode('utf-8', 'replace')

    def wait(self, text, n=1, seconds=20):
        wait_until(lambda: '%r in %r' % (text, self.text), lambda: text in self.text[n], seconds)

    def end(self, sig=None, seconds=20):
        if sig:
            self.p.send_signal(sig)
        try:
            code = self.p.wait(seconds * STRETCH)
        finally:
            harness.end(self.p)
        for t in self.threads:
            t.join(5)
        self.p.stdout.close()
        self.p.stderr.close()
        return code


class Terminal:
    """mcctl on a terminal of 80 columns."""

    def __init__(self, i, *args, columns=80, lines=24, **env):
        self.fd, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack('HHHH', lines, columns, 0, 0))
        self.p = harness.popen([MCCTL, *args], env=environment(i, **env), cwd=i.dir, stdin=other, stdout=other, stderr=other,
                               start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(other)
        self.raw = b''

    def more(self, seconds=0.05):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                got = os.read(self.fd, 65536)
            except OSError:
                got = b''
            self.raw += got
            return bool(got)
        return None

    def text(self):
        return self.raw.decode('utf-8', 'replace')

    def wait(self, text, seconds=20):
        def look():
            self.more()
            return text in self.text()
        wait_until(lambda: '%r in %r' % (text, self.text()), look, seconds)

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self, seconds=20):
        wait_until('mcctl ends', lambda: self.more() is False or self.p.poll() is not None, seconds)
        while self.more():
            pass
        code = self.p.wait(seconds * STRETCH)
        harness.forget(self.p)
        os.close(self.fd)
        return code


def others_escapes(text):
    """What is left of control sequences when colours, and those that --watch and the progress line use, are taken away."""
    text = re.sub(r'\x1b\[[0-9;]*m|\x1b\[[KHJ]|\x1b\[2J', '', text)
    return [c for c in text if (ord(c) < 32 and c not in '\r\n') or 127 <= ord(c) < 160 or c in '\u202e\u200b']


# ---------------------------------------------------------------- help, and what is made from the table

def commands(i):
    listed = out(i, '--help').split('Options of all commands')[0]
    rows = [m.group(1) for m in re.finditer(r'^  (\S.*?)(?:  +\S|\n {34})', listed, re.M)]
    return [re.sub(r' ?[\[A-Z].*', '', r) for r in rows]


def test_every_command_has_its_help(shared):
    names = commands(shared)
    assert len(names) > 60 and 'task run' in names and 'webhook deliveries' in names
    assert out(shared) == out(shared, 'help') == out(shared, '-h')
    for name in names:
        h = out(shared, *name.split(), '--help')
        assert h.startswith('Usage: mcctl ' + name) and 'Options of all commands' in h
    assert 'task cancel' in out(shared, 'task') and 'desktop add' not in out(shared, 'task', '--help')
    assert re.fullmatch(r'mcctl \d+\.\d+\.\d+\n', out(shared, 'version'))


@pytest.mark.parametrize('args,said', [
    (['tsak', 'list'], "did you mean 'task'?"), (['task', 'lsit'], "did you mean 'task list'?"),
    (['task', 'list', '--stauts', 'done'], 'did you mean --status?'), (['task', 'show'], 'needs an argument'),
    (['task', 'show', 'x'], 'task_42 is one'), (['task', 'list', '--status', 'odd'], 'must be pending'),
    (['task', 'run', '--desktop', 'local'], 'nothing to run'), (['task', 'edit', '1'], 'nothing to change'),
    (['whoami', '--url', 'ftp://x'], 'must begin with http'), (['events', '--entity', 'task_1', '-f'], 'does not go with'),
    (['events', '--from', 'soon'], '--from must be a time'), (['completion', 'fish'], 'bash or zsh'),
])
def test_wrong_use_is_one_line_and_two(shared, args, said):
    r = run(shared, *args, code=2)
    assert said in r.stderr and r.stderr.count('\n') == 1 and r.stdout == ''


def test_completions_and_manual(shared):
    for shell in ('bash', 'zsh'):
        script = out(shared, 'completion', shell)
        if shutil.which(shell):
            assert subprocess.run([shell, '-n'], input=script, text=True, capture_output=True).stderr == ''
    bash = out(shared, 'completion', 'bash') + '''
complete_it() { COMP_WORDS=(mcctl "$@"); COMP_CWORD=$#; _mcctl; echo "${COMPREPLY[*]}"; }
complete_it ta; complete_it task li; complete_it task list --sta; complete_it task list --status f; complete_it logs task_1 --fo
'''
    got = subprocess.run(['bash', '-c', bash], text=True, capture_output=True, check=True).stdout.split('\n')
    assert got[:5] == ['task', 'list', '--status', 'failed', '--follow']
    with open(os.path.join(BUILD, 'mcctl.1')) as f:
        man = f.read()
    assert man == out(shared, 'man')
    if shutil.which('groff'):
        r = subprocess.run(['groff', '-man', '-ww', '-Tutf8', '-b'], input=man, text=True, capture_output=True)
        assert r.returncode == 0 and r.stderr == '', r.stderr
        plain = re.sub(r'.\x08', '', re.sub(r'\x1b\[[0-9;]*m', '', r.stdout))
        assert 'mcctl task run' in plain and '--cancel-on-interrupt' in plain


# ---------------------------------------------------------------- the tour

def test_the_tour(fresh):
    i = fresh(gateways=1, workers=1)
    assert 'is ready' in out(i, 'health') and 'is there' in out(i, 'health', '--live')
    assert re.search(r'username +admin', out(i, 'whoami'))
    assert re.search(r'desktop_1 +local', out(i, 'desktop', 'list'))
    assert 'Tasks' in out(i, 'overview') and 'local' in out(i, 'status')

    # Run, wait, follow.
    r = run(i, 'task', 'run', '--desktop', 'local', '--wait', '--', 'echo out; echo err >&2')
    assert (r.stdout, r.stderr) == ('out\n', 'err\n')
    assert out(i, 'task', 'run', '-w', '--', 'printf', '%s.', "it's", 'a b') == "it's.a b."   # each argument as it is
    r = run(i, 'task', 'run', '--wait', '--', 'exit 7', code=7)
    assert 'failed' in r.stderr
    run(i, 'task', 'run', '--wait', '--', 'kill -9 $$', code=137)
    assert re.match(r'task_5 +running +sleep', out(i, 'task', 'run', '--', 'sleep 100'))
    assert re.match(r'task_5 +cancelled', out(i, 'task', 'cancel', 'task_5'))
    run(i, 'task', 'wait', '5', code=120)
    assert 'out\nerr\n' == out(i, 'logs', 'task_1') == out(i, 'logs', '-f', '1') == out(i, 'task', 'output', '1')
    assert out(i, 'logs', '1', '--stream', 'stderr') == 'err\n'
    assert out(i, 'logs', '1', '--session', '1') == out(i, 'logs', '1', '--session', 'session_1', '-f') == 'out\nerr\n'
    assert out(i, 'logs', '1', '--offset', '4') == out(i, 'logs', '1', '--offset', '4', '-f') == 'err\n'
    run(i, 'task', 'run', '--wait', '--timeout', '1', '--', 'sleep 100', code=124)

    # Create, change, run later; a prompt; a file; standard input.
    assert 'pending' in out(i, 'task', 'create', '--title', 'Later', '--priority', 'high', '--', 'echo', 'later')
    assert 'Sooner' in out(i, 'task', 'edit', '7', '--title', 'Sooner', '--retries', '1')
    assert out(i, 'task', 'run', 'task_7', '--wait') == 'later\n'
    assert out(i, 'task', 'retry', '7', '--wait') == 'later\n'
    assert out(i, 'task', 'run', '-w', '--file', '-', stdin='cat <<X\nfrom here\nX\n') == 'from here\n'
    t = js(i, 'task', 'run', '--wait', '--', 'echo x')
    assert t['status'] == 'done' and t['exitCode'] == 0
    r = subprocess.run([MCCTL, 'task', 'create', '--', b'echo \xff'], env=environment(i), capture_output=True)
    assert r.returncode == 2 and b'not UTF-8' in r.stderr
    assert 'NO_AGENT' in run(i, 'task', 'run', '--prompt', 'hello', code=5).stderr

    # Look.
    assert [x['id'] for x in js(i, 'task', 'list', '--status', 'failed')] == ['task_6', 'task_4', 'task_3']
    assert 'Sooner' in out(i, 'tasks', '--search', 'soon')
    assert re.search(r'exit code +7', out(i, 'task', 'show', 'task_3'))
    assert len(js(i, 'task', 'sessions', '7')) == 2
    assert re.search(r'trigger +\w+', out(i, 'session', 'show', '1'))
    assert len(out(i, 'sessions', '-n', '3').split('\n')) == 5
    assert {x['status'] for x in js(i, 'sessions', '--status', 'failed', '-d', 'local', '-n', '0')} == {'failed'}

    # Approvals.
    r = run(i, 'task', 'run', '--approval', 'yes', '--wait', '--', 'true', code=125)
    assert 'mcctl approve approval_1' in r.stderr
    assert 'approval_1' in out(i, 'approvals')
    assert 'approved' in out(i, 'approve', 'approval_1', '--feedback', 'good')
    assert 'approval_1' not in out(i, 'approvals') and 'approval_1' in out(i, 'approvals', '--status', 'approved')
    w = Running(i, 'task', 'run', '--approval', 'yes', '--wait-approval', '--', 'true')
    wait_until('it waits', lambda: 'approval_2' in out(i, 'approvals'))
    assert 'rejected' in out(i, 'reject', 'approval_2', '--feedback', 'no')
    assert w.end() == 121
    run(i, 'task', 'run', '--approval', 'yes', '-w', '--', 'true', code=125)
    task = js(i, 'task', 'list', '--limit', '1')[0]['id']
    assert 'done' in out(i, 'task', 'review', task, 'approve')
    run(i, 'approve', 'approval_1', code=5)

    # Comments, events, the audit trail.
    out(i, 'comment', '1', 'first', 'words')
    out(i, 'comment', '1', stdin='two\nlines\n')
    assert [c['content'] for c in js(i, 'comments', '1')] == ['first words', 'two\nlines']
    assert 'task.commented' in out(i, 'events', '--entity', 'task_1')
    assert {e['type'] for e in js(i, 'events', '--type', 'task.created', '--from', '1h', '--limit', '0')} == {'task.created'}
    assert {a['actor'] for a in js(i, 'activities', '--actor', 'admin', '--since', '1h')} == {'admin'}
    assert 'task.created' in out(i, 'stats', '--hours', '2') and 'admin' in out(i, 'stats')

    # Desktops, agents, workers.
    out(i, 'desktop', 'add', 'second', '--driver', 'local', '--labels', 'a,b', '--max-tasks', '2', '--chat-url', 'http://127.0.0.1:9/v1')
    d = js(i, 'desktop', 'show', 'second')
    assert d['labels'] == ['a', 'b'] and d['chat']['url'] == 'http://127.0.0.1:9/v1' and d['maxTasks'] == 2
    key = os.path.join(i.dir, 'chat-key')
    with open(key, 'w') as f:
        f.write('sesame\n')
    out(i, 'desktop', 'edit', 'second', '--name', 'other', '--chat-key-file', key)
    assert js(i, 'desktop', 'show', 'other')['chat']['hasKey']
    out(i, 'desktop', 'edit', 'other', '--no-chat')
    assert js(i, 'desktop', 'show', 'other')['chat'] is None
    assert 'stopped' in out(i, 'desktop', 'stop', 'other')
    assert 'DESKTOP_STOPPED' in run(i, 'task', 'run', '-d', 'other', '--', 'true', code=5).stderr
    assert 'more than one desktop' in run(i, 'task', 'run', '--', 'true', code=2).stderr
    out(i, 'desktop', 'start', 'other')
    out(i, 'desktop', 'metrics', 'local')
    out(i, 'desktop', 'delete', 'other')
    assert 'reviewer' in js(i, 'agent', 'edit', 'local', '--role', 'reviewer').values()
    assert 'agent_1' in out(i, 'agents') and re.search(r'role +reviewer', out(i, 'agent', 'show', 'agent_1'))
    path = os.path.join(i.dir, 'w.key')
    assert 'mc-peer' not in out(i, 'worker', 'add', 'w9', '--out', path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path) as f:
        assert re.fullmatch(r'mc-peer worker w9 \S+\n', f.read())
    assert 'there is such a file' in run(i, 'worker', 'add', 'w10', '--out', path, code=1).stderr
    assert 'w10' not in out(i, 'worker', 'list')        # nothing was made
    run(i, 'worker', 'drain', 'w9', code=5)

    # Settings, maintenance, webhooks.
    assert js(i, 'settings', 'set', '--alert-cpu', '70.5', '--retention-days', '9')['alertThresholds']['cpu'] == 70.5
    assert re.search(r'retention days +9', out(i, 'settings'))
    for what, option in [(['maintenance', 'A new disk'], 'minutes'), (['user', 'add', 'eve'], 'role'), (['desktop', 'add', 'more'], 'driver'),
                         (['workspace', 'add', 'more'], 'admin'), (['settings', 'set', '--alert-cpu', '200'], 'alert-cpu')]:
        why = run(i, *what, code=1).stderr              # what the server misses is named as it is given here
        assert ' --%s;' % option in why and 'mcctl %s --help' % ' '.join(what[:2 if what[0] != 'maintenance' else 1]) in why, why
    out(i, 'maintenance', 'A new disk', '--minutes', '30')
    assert 'system.maintenance' in out(i, 'events', '--type', 'system.maintenance')
    secret = os.path.join(i.dir, 'hook-secret')
    assert 'mc_w_' not in out(i, 'webhook', 'add', 'http://192.0.2.1/x', '--name', 'hook', '--events', 'task.failed,task.completed', '--out', secret)
    with open(secret) as f:
        assert f.read().startswith('mc_w_')
    assert js(i, 'webhook', 'list')[0]['events'] == ['task.failed', 'task.completed']
    assert 'delivery_1' in out(i, 'webhook', 'test', 'hook')
    wait_until('it was sent', lambda: 'delivery_1' in out(i, 'webhook', 'deliveries', 'hook'))
    assert js(i, 'webhook', 'edit', 'hook', '--enabled', 'no', '--send-to', 'http://192.0.2.2/y')['url'] == 'http://192.0.2.2/y'
    out(i, 'webhook', 'rm', 'hook')

    # Figures and papers.
    assert '# TYPE' in out(i, 'metrics') and '# TYPE' in out(i, 'metrics', '--of', 'broker')
    assert json.loads(out(i, 'openapi'))['openapi'].startswith('3.1')
    out(i, 'task', 'delete', '1', '2')
    r = run(i, 'task', 'show', '1', code=3)
    assert r.stderr.startswith('mcctl: ') and 'NOT_FOUND' in r.stderr and r.stderr.count('\n') == 1


def test_accounts(fresh):
    i = fresh(gateways=1, workers=0)
    none = dict(MC_DATA='/nowhere')                     # a machine without the admin's key
    assert 'no key was found' in run(i, 'whoami', code=4, **none).stderr

    key = os.path.join(i.dir, 'k')
    assert 'mc_k_' not in out(i, 'key', 'create', 'ci', '--role', 'viewer', '--expires', '+30d', '--out', key)
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    assert js(i, 'whoami', '--key-file', key, **none)['role'] == 'viewer'
    assert js(i, 'whoami', MC_KEY_FILE=key, **none)['role'] == 'viewer'
    with open(key) as f:
        text = f.read().strip()
    assert js(i, 'whoami', MC_KEY=text, **none)['role'] == 'viewer'
    assert 'FORBIDDEN' in run(i, 'user', 'list', '--key-file', key, code=4).stderr
    out(i, 'key', 'revoke', 'ci')
    assert 'is not taken' in run(i, 'whoami', '--key-file', key, code=4).stderr
    assert 'mc_k_' in out(i, 'key', 'create', 'shown')

    # A password that stands in a pipe, a session in a file.
    out(i, 'user', 'add', 'bob', '--role', 'operator', '--password', stdin='a long enough phrase 1\n')
    assert js(i, 'user', 'list')[1]['hasPassword']
    assert 'Wrong username or password' in run(i, 'login', 'bob', stdin='wrong\n', code=4, **none).stderr
    run(i, 'login', 'bob', stdin='a long enough phrase 1\n', **none)
    session = os.path.join(i.dir, 'home', '.config', 'mcctl', 'session')
    assert stat.S_IMODE(os.stat(session).st_mode) == 0o600
    assert js(i, 'whoami', **none)['username'] == js(i, 'whoami')['username'] == 'bob'  # who signed in is that user
    run(i, 'task', 'create', '--', 'true', **none)      # a change, by cookie
    run(i, 'passwd', stdin='a long enough phrase 1\nanother fine phrase 2\n', **none)
    run(i, 'logout', **none)
    assert not os.path.exists(session)
    run(i, 'whoami', code=4, **none)
    run(i, 'login', 'bob', stdin='a long enough phrase 1\n', code=4, **none)
    run(i, 'login', 'bob', stdin='another fine phrase 2\n', **none)
    assert 'cannot reach' in run(i, 'whoami', '--url', 'http://127.0.0.1:1', code=6, **none).stderr  # the session is not sent elsewhere
    run(i, 'logout')
    out(i, 'user', 'edit', 'bob', '--disabled', 'yes')
    assert js(i, 'user', 'list')[1]['disabled']
    out(i, 'user', 'delete', 'bob')
    assert 'LAST_ADMIN' in run(i, 'user', 'delete', 'admin', code=5).stderr
    assert js(i, 'workspace', 'add', 'two', '--admin', 'ann')['admin']['username'] == 'ann'
    assert 'two' in out(i, 'workspace', 'list')


def test_passwd_on_a_terminal(fresh):
    i = fresh(gateways=1, workers=0)
    t = Terminal(i, 'passwd', 'admin')
    t.wait('New password: ')
    t.type('the first password 1\n')
    t.wait('Once more: ')
    t.type('the first passwort 1\n')
    assert t.end() == 1 and 'not the same' in t.text() and 'first pass' not in t.text()
    t = Terminal(i, 'passwd', 'admin')
    t.wait('New password: ')
    t.type('the first password 1\n')
    t.wait('Once more: ')
    t.type('the first password 1\n')
    assert t.end() == 0 and 'the password was set' in t.text() and 'first pass' not in t.text()
    t = Terminal(i, 'login', 'admin')
    t.wait('Password: ')
    t.type('\x03')                                      # Ctrl-C in the middle of it
    assert t.end() == 130


# ---------------------------------------------------------------- hostile text, terminals

def test_hostile_text_is_shown_harmless(shared):
    t = shared.task(r"printf '\033]0;t\007a\r\nb\tc\n\302\233'", title='plain', run=True)
    shared.wait_task(t['id'], 'done')
    assert out(shared, 'logs', t['id']) == '\\x1b]0;t\\x07a\nb\tc\n\\u009b' == out(shared, 'logs', '-f', t['id'])
    assert run(shared, 'logs', '--raw', t['id'], text=False).stdout == b'\x1b]0;t\x07a\r\nb\tc\n\xc2\x9b'
    e = shared.task('true # ' + EVIL)                   # a title may not have them, content may
    assert SHOWN in out(shared, 'task', 'show', e['id'])
    assert EVIL in out(shared, 'task', 'show', e['id'], '--raw')
    assert js(shared, 'task', 'show', e['id'])['content'] == 'true # ' + EVIL == js(shared, 'task', 'show', e['id'], '--raw')['content']
    shown = [['task', 'show', e['id']], ['logs', t['id']], ['task', 'list', '--limit', '5'], ['activities', '-n', '5']]
    for args in shown + [['--json', *a] for a in shown + [['events', '-n', '5'], ['logs', '-f', t['id']]]]:
        term = Terminal(shared, *args)
        assert term.end() == 0
        assert others_escapes(term.text()) == [c for c in term.text() if c == '\t'], term.text()
    r = run(shared, 'task', 'show', EVIL, code=2)       # our own arguments too
    assert SHOWN in r.stderr


def test_tables_fit_the_terminal(shared):
    shared.task('echo ' + 'wide ' * 40)
    t = Terminal(shared, 'task', 'list', '--limit', '3', columns=90)
    assert t.end() == 0
    lines = [re.sub(r'\x1b\[[0-9;]*m', '', x) for x in t.text().replace('\r', '').split('\n')]
    assert max(map(len, lines)) <= 90 and '\u2026' in t.text() and '\x1b[1m' in t.text()
    for env in ({'NO_COLOR': '1'}, {'TERM': 'dumb'}):
        t = Terminal(shared, 'task', 'list', '--limit', '3', **env)
        assert t.end() == 0 and '\x1b' not in t.text()
    piped = out(shared, 'task', 'list', '--limit', '3')
    assert '\x1b' not in piped and 'wide ' * 10 in piped and '\u2026' not in piped.split('wide')[0]


def test_watch_draws_again(shared):
    t = Terminal(shared, 'task', 'list', '--status', 'pending', '--watch')
    t.wait('TITLE')
    made = shared.task('true', title='seen again')
    t.wait('seen again')
    assert made['id'] in t.text()
    t.type('\x03')
    assert t.end() == 130
    t = Terminal(shared, 'top')
    t.wait('WAITS FOR')
    t.type('\x03')
    assert t.end() == 130


# ---------------------------------------------------------------- streams

def test_events_come_back_after_a_break(fresh):
    i = fresh(gateways=1, workers=0)
    first = i.task('true', title='number one')
    s = Running(i, 'events', '-f', '--after', '0', '--json')
    s.wait('number one')
    i.gateways[0].kill9()
    s.wait('reconnecting', 2)
    i.gateways[0].start()
    i.wait_ready()
    i.task('true', title='number two')
    s.wait('number two', seconds=40)
    assert s.end(signal.SIGINT) == 130
    ids = [int(json.loads(line)['id'][4:]) for line in s.text[1].splitlines()]
    assert ids == sorted(set(ids)) and first['id'] in s.text[1]


def test_streams_end_when_told(shared):
    s = Running(shared, 'activity', '-f', '--type', 'task.created', '--limit', '2')
    made = []

    def make():
        made.append(shared.task('true', title='for the stream'))
        return s.p.poll() is not None
    wait_until('two events', make, 20, step=0.2)        # it may connect only after the first of them
    assert s.end() == 0
    assert s.text[1].count('task.created') == 2 and 'title=for the stream' in s.text[1]
    s = Running(shared, 'events', '-f', '--desktop', 'local', '--type', 'task.created')
    wait_until('an event', lambda: shared.task('true', title='again') and 'Task "again" created' in s.text[1], 20, step=0.2)
    assert s.end(signal.SIGINT) == 130
    assert run(shared, 'events', '-f', code=4, MC_KEY='mc_k_' + 'x' * 43).stderr.count('\n') == 1


def test_a_reader_that_goes_away(shared):
    t = shared.task('seq 100000', run=True)
    shared.wait_task(t['id'], 'done')
    p = subprocess.run(['bash', '-c', '%s logs %s | head -n 1; echo ${PIPESTATUS[0]}' % (MCCTL, t['id'])], env=environment(shared),
                       capture_output=True, text=True, timeout=20 * STRETCH)
    assert p.stdout == '1\n141\n' and p.stderr == ''
    r = subprocess.run(['bash', '-c', '%s logs %s >/dev/full' % (MCCTL, t['id'])], env=environment(shared), capture_output=True, text=True)
    assert r.returncode == 1 and 'cannot write' in r.stderr


def test_ctrl_c_leaves_or_cancels(shared):
    s = Running(shared, 'task', 'run', '-d', shared.desktop, '--wait', '--', 'echo begun; sleep 100')
    s.wait('begun')
    assert s.end(signal.SIGINT) == 130
    task = re.search(r'(task_\d+) goes on', s.text[2]).group(1)
    assert shared.get_task(task)['status'] == 'running'
    run(shared, 'task', 'cancel', task)
    s = Running(shared, 'task', 'run', '-d', shared.desktop, '--wait', '--cancel-on-interrupt', '--', 'echo begun; sleep 100')
    s.wait('begun')
    assert s.end(signal.SIGINT) == 130
    task = re.search(r'(task_\d+) cancelled', s.text[2]).group(1)
    assert shared.get_task(task)['status'] == 'cancelled'


def test_waiting_survives_a_gateway(fresh):
    i = fresh(gateways=1, workers=1)
    mark = os.path.join(i.dir, 'go-on')
    s = Running(i, 'task', 'run', '--wait', '--', 'echo begun; until [ -e %s ]; do sleep 0.05; done; echo ended; exit 3' % mark)
    s.wait('begun')
    i.gateways[0].kill9()
    s.wait('reconnecting', 2)
    open(mark, 'w').close()
    i.gateways[0].start()
    assert s.end(seconds=40) == 3
    assert s.text[1] == 'begun\nended\n'


def test_waiting_shows_progress_on_a_terminal(shared):
    t = Terminal(shared, 'task', 'run', '-d', shared.desktop, '--wait', '--', 'sleep 0.5; echo out')
    assert t.end() == 0
    assert re.search(r'\r\x1b\[Ktask_\d+ running', t.text()) and t.text().endswith('out\r\n')


# ---------------------------------------------------------------- what goes wrong on the way

class LosingProxy(http.server.ThreadingHTTPServer):
    """Forwards to a gateway, and breaks the connection instead of giving the first answer to a POST."""
    daemon_threads = True

    def __init__(self, port):
        proxy = self
        self.lost, self.keys = 0, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def forward(self):
                body = self.rfile.read(int(self.headers['Content-Length'] or 0))
                proxy.keys.append(self.headers['Idempotency-Key'])
                c = http.client.HTTPConnection('127.0.0.1', port, timeout=10 * STRETCH)
                c.request(self.command, self.path, body, dict(self.headers))
                r = c.getresponse()
                data = r.read()
                c.close()
                if self.command == 'POST' and not proxy.lost:
                    proxy.lost += 1
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.send_response(r.status)
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = forward

            def log_message(self, *a):
                pass
        super().__init__(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


def test_a_lost_answer_never_doubles_a_task(shared):
    p = LosingProxy(shared.port())
    url = 'http://127.0.0.1:%d' % p.server_port
    try:
        t = js(shared, '--url', url, 'task', 'create', '--title', 'only once', '-d', 'desktop_1', '--', 'true')
        assert p.lost == 1 and p.keys[0] and p.keys[0] == p.keys[1]
        assert [x['id'] for x in js(shared, 'task', 'list', '--search', 'only once')] == [t['id']]
        p.lost = 0
        r = run(shared, '--url', url, 'task', 'cancel', t['id'], code=6)    # this one is not repeated, but explained
        assert 'may or may not have been done' in r.stderr
        assert shared.get_task(t['id'])['status'] == 'cancelled'
    finally:
        p.shutdown()
        p.server_close()


def test_the_broker_away(fresh):
    i = fresh(gateways=1, workers=0)
    i.broker.kill9()
    s = Running(i, 'task', 'create', '-d', 'desktop_1', '--', 'true')       # nothing was done yet: it is tried again
    assert s.p.poll() is None
    i.broker.start()
    assert s.end(seconds=30) == 0 and 'task_1' in s.text[1]
    i.gateways[0].term()
    r = run(i, 'task', 'list', code=6)
    assert 'cannot reach' in r.stderr and 'MC_URL' in r.stderr


def test_long_lists_come_in_pages(shared):
    before = {t['id'] for t in js(shared, 'task', 'list', '--limit', '0')}
    made = [shared.task('true')['id'] for _ in range(230)]
    got = [t['id'] for t in js(shared, 'task', 'list', '--limit', '0')]
    assert len(got) == len(set(got)) and set(got) >= before | set(made)
    r = run(shared, 'task', 'list')
    assert r.stdout.count('\n') == 51 and re.search(r'50 of \d+ are shown', r.stderr)
    assert out(shared, 'task', 'list', '-n', '215').count('\n') == 216
    events = [e['id'] for e in js(shared, 'events', '--type', 'task.created', '-n', '220')]
    assert len(set(events)) == 220
    assert [e['id'] for e in js(shared, 'events', '--type', 'task.created', '-n', '210', '--before', events[0])] == events[1:211]
    ids = [a['id'] for a in js(shared, 'activities', '--type', 'task.created', '-n', '220')]
    assert [a['id'] for a in js(shared, 'activities', '--type', 'task.created', '-n', '210', '--before', str(ids[0]))] == ids[1:211]
    assert [a['id'] for a in js(shared, 'activities', '--type', 'task.created', '-n', '0', '--after', str(ids[9]))] == ids[:9]


def test_a_search_goes_on_where_it_found_nothing(shared):
    """What is found lies deeper than one answer looks."""
    a = Answering()
    a.pages = [{'events': [], 'nextBefore': 'evt_20000'}, {'events': [{'id': 'evt_7', 'summary': 'here'}], 'nextBefore': 'evt_7'},
               {'events': [], 'nextBefore': None}]
    try:
        assert 'here' in out(shared, '--url', 'http://127.0.0.1:%d' % a.server_port, 'events', '--search', 'x')
    finally:
        a.shutdown()
        a.server_close()
    assert [path.partition('before=')[2] for _, path, _ in a.asked] == ['', 'evt_20000', 'evt_7']


def test_tls_with_an_authority_of_its_own(fresh, tmp_path):
    cert, key = str(tmp_path / 'cert.pem'), str(tmp_path / 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert,
                    '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
    i = fresh(gateways=1, workers=0, ready=False, gateway_args=('--tls-cert', cert, '--tls-key', key))
    url = 'https://127.0.0.1:%d' % i.port()
    wait_until('the gateway is ready', lambda: subprocess.run([MCCTL, 'health', '--url', url, '--ca-file', cert], env=environment(i),
                                                              capture_output=True, cwd=i.dir).returncode == 0, 15)
    assert js(i, 'whoami', '--url', url, '--ca-file', cert)['username'] == 'admin'
    assert js(i, 'whoami', '--url', url, MC_CA_FILE=cert)['username'] == 'admin'
    assert 'certificate' in run(i, 'whoami', '--url', url, code=6).stderr   # not one it knows


class Answering(http.server.ThreadingHTTPServer):
    """Gives every request the same body; before that, what stands in `first`: (status, code, Retry-After), and then in `pages`."""
    daemon_threads = True

    def __init__(self):
        server = self
        self.body, self.kind, self.status = b'', 'application/json', 200
        self.first, self.pages, self.asked = [], [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                self.rfile.read(int(self.headers['Content-Length'] or 0))
                server.asked.append((self.command, self.path, self.headers['Idempotency-Key']))
                if server.first:
                    status, code, seconds = server.first.pop(0)
                    body = json.dumps({'error': 'In words', 'code': code, 'status': status, 'requestId': 'r'}).encode()
                    self.send_response(status)
                    self.send_header('Retry-After', seconds)
                    self.send_header('Content-Length', str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                if server.pages:
                    server.body = json.dumps(server.pages.pop(0)).encode()
                self.send_response(server.status)
                self.send_header('Content-Type', server.kind)
                self.send_header('Content-Length', str(len(server.body)))
                self.send_header('Link', '<//elsewhere.example/x>; rel="next"')
                self.send_header('Set-Cookie', 'mc-session=\x01' + 'x' * 3000)
                self.end_headers()
                self.wfile.write(server.body)
            do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = answer

            def log_message(self, *a):
                pass
        super().__init__(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


def test_answers_that_are_none_of_ours(shared):
    a = Answering()
    url = 'http://127.0.0.1:%d' % a.server_port
    bodies = [b'', b'null', b'[]', b'{}', b'[1,"x",null]', b'[{"id":7,"title":{"a":[[]]},"createdAt":"never"}]', b'[' * 100, b'[{"a":"b"',
              b'\x1b]0;t\x07\xff', json.dumps({'id': {'x': EVIL}, 'status': EVIL, 'events': 5, 'activities': {}, 'points': [1], 'tasks': [],
                                               'desktops': [3, {'name': EVIL}], 'error': EVIL, 'activityByType': [None]}).encode()]
    asked = [['task', 'list'], ['task', 'show', '1'], ['overview'], ['events'], ['activities'], ['stats'], ['desktop', 'metrics', '1'],
             ['task', 'cancel', '1'], ['task', 'wait', '1'], ['key', 'create', 'x'], ['desktop', 'show', 'name']]
    try:
        for a.body in bodies:
            for a.status in (200, 400):
                for args in asked if a.status == 200 else asked[:3]:
                    r = subprocess.run([MCCTL, '--url', url, *args], env=environment(shared), capture_output=True, timeout=20 * STRETCH,
                                       stdin=subprocess.DEVNULL)
                    said = (r.stdout + r.stderr).decode()
                    assert r.returncode in (0, 1, 3), (args, a.body, r)
                    assert not re.search(harness.REPORT, said) and others_escapes(said) == [], (args, a.body, said)
        a.status, a.body = 200, b'id: 1\ndata: {"type":5,"payload":[]}\n\nid: 2\ndata: not json\n\ndata: {"type":"x"}\n\n'
        a.kind = 'text/event-stream'
        s = Running(shared, 'events', '-f', '--limit', '4', '--url', url)       # it comes back for more, again and again
        s.wait('reconnecting', 2)
        assert s.end() == 0
    finally:
        a.shutdown()
        a.server_close()


@pytest.mark.parametrize('args,first,tries,code,said', [
    (['task', 'create', '-d', 'desktop_1', '--', 'true'], (503, 'OUTCOME_UNKNOWN', '1'), 2, 0, ''),      # it has a key against doubles
    (['task', 'edit', '1', '--title', 'x'], (503, 'OUTCOME_UNKNOWN', '1'), 2, 0, ''),                    # leads to the same
    (['key', 'create', 'x'], (503, 'OUTCOME_UNKNOWN', '1'), 1, 6, 'may or may not have been done'),
    (['key', 'create', 'x'], (503, 'UNAVAILABLE', '1'), 2, 0, 'shown only now'),                         # nothing was done
    (['whoami'], (429, 'RATE_LIMITED', '1'), 2, 0, ''),
    (['whoami'], (429, 'RATE_LIMITED', '3600'), 1, 6, 'In words (RATE_LIMITED)'),                        # longer than anybody waits
    (['whoami'], (403, 'FORBIDDEN', '1'), 1, 4, 'In words (FORBIDDEN)'),
    (['whoami'], (500, 'INTERNAL', '1'), 1, 1, 'In words (INTERNAL)'),
])
def test_what_is_tried_again(shared, args, first, tries, code, said):
    a = Answering()
    a.first, a.body = [first], b'{"id":"x_1","key":"k"}'
    try:
        r = run(shared, '--url', 'http://127.0.0.1:%d' % a.server_port, *args, code=code)
    finally:
        a.shutdown()
        a.server_close()
    assert len(a.asked) == tries and len(set(a.asked)) == 1
    assert said in r.stderr and (said or r.stderr == '')
