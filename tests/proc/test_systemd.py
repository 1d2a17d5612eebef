"""What systemd relies on: readiness, the watchdog, sockets that outlive the gateways behind them. systemd itself is played here."""
import os
import socket

import harness
from harness import BUILD, TASKS, STRETCH, Prog, http_call, wait_until


class Notify:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.bind(path)
        self.s.setblocking(False)
        self.seen = []

    def lines(self):
        while True:
            try:
                self.seen += self.s.recv(65536).decode().split('\n')
            except BlockingIOError:
                return self.seen

    def wait(self, line, times=1, seconds=15):
        wait_until(lambda: '%s; there was %s' % (line, self.seen), lambda: self.lines().count(line) >= times, seconds)


def test_ready_watchdog_and_stopping(fresh):
    i = fresh(gateways=1, workers=1)
    for p in (i.gateways[0], i.workers[0], i.broker):
        p.term()
        n = Notify(os.path.join(i.dir, p.name + '.notify'))
        i.extra_env.update(NOTIFY_SOCKET=n.path, WATCHDOG_USEC='2000000')
        p.start()
        n.wait('READY=1')
        n.wait('WATCHDOG=1', times=2)
        p.term()
        assert 'STOPPING=1' in n.lines()
        i.extra_env.clear()
        p.start()
        i.wait_ready()


def test_watchdog_is_fed_while_the_broker_is_away(fresh):
    i = fresh(gateways=1, workers=1)
    n = Notify(i.dir + '/n')
    g = i.gateways[0]
    g.term()
    i.extra_env.update(NOTIFY_SOCKET=n.path, WATCHDOG_USEC='1000000')
    g.start()
    n.wait('WATCHDOG=1')
    i.broker.kill9()                      # that must never restart a gateway
    n.lines()
    n.seen.clear()
    n.wait('WATCHDOG=1', times=3)
    i.broker.start()
    i.wait_ready()


def test_listener_is_handed_over_and_survives_restarts(fresh):
    """Two gateways on one inherited socket; each is restarted in turn while clients ask: no connection is refused, no request fails."""
    i = fresh(gateways=0, workers=1, ready=False)
    sock = socket.socket()
    sock.bind(('127.0.0.1', 0))
    sock.listen(1024)
    port = sock.getsockname()[1]
    fd = sock.fileno()
    os.set_inheritable(fd, True)
    sh = 'exec 3<&%d; [ %d = 3 ] || exec %d<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"' % (fd, fd, fd)
    argv = ['bash', '-c', sh, 'bash', os.path.join(BUILD, 'bin', 'mc-gateway'), '--http', '127.0.0.1:1']
    old = harness.popen
    harness.popen = lambda *a, **kw: old(*a, pass_fds=(fd,), **kw)
    try:
        for n in range(2):
            g = Prog(i, 'gateway-%d' % (n + 1), argv, i._env)
            i.gateways.append(g)
            i.ports[n] = port
            g.start()
        wait_until('ready', lambda: http_call(port, 'GET', '/readyz').status == 200, 15)
        key = i.key
        for k in range(4):
            g = i.gateways[k % 2]
            g.term(wait=False)
            asked = 0
            while g.alive or asked < 20:
                a = http_call(port, 'GET', TASKS, headers={'x-api-key': key, 'Connection': 'close'}, timeout=10)
                assert a.status == 200, a
                asked += 1
            assert g.wait(15) == 0
            g.start()
            wait_until('ready', lambda: http_call(port, 'GET', '/readyz').status == 200, 15 * STRETCH)
    finally:
        harness.popen = old
        sock.close()
