"""The peers of make bench, each started privately: in a directory of its own, on a free port of 127.0.0.1, ended by its process id.

Debian's packages are used as they are, with what they themselves offer for speed or durability, and never their services.
"""
import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'proc'))
import harness  # noqa: E402
from harness import end, popen, wait_until  # noqa: E402

PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
NCHAN = '/usr/lib/nginx/modules/ngx_nchan_module.so'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def needed():
    """What is missing of what the benchmarks need."""
    programs = [p for p in ('wrk', 'nginx', 'beanstalkd', 'redis-server', 'xargs') if not shutil.which(p, path=PATH)]
    return programs + ([] if os.path.exists(NCHAN) else ['libnginx-mod-nchan'])


def postgres_programs():
    """Where PostgreSQL's server is, if it is there: it is compared with when it is, and not asked for."""
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/initdb'))
    return os.path.dirname(found[-1]) if found else None


class Peer:
    name = ''

    def __init__(self, folder):
        self.dir = os.path.join(folder, self.name)
        os.mkdir(self.dir)
        self.port = free_port()
        self.address = '127.0.0.1:%d' % self.port
        self.log = os.path.join(self.dir, 'log')
        self.p = None

    def start(self):
        argv = self.argv()
        with open(self.log, 'ab') as log:
            self.p = popen(argv, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={'PATH': PATH, 'LANG': 'C.UTF-8'},
                           start_new_session=True)
        wait_until(lambda: '%s listens: %s' % (self.name, open(self.log, errors='replace').read()[-1000:]), self.listens, 20)
        return self

    def listens(self):
        assert self.p.poll() is None, '%s ended: %s' % (self.name, open(self.log, errors='replace').read()[-2000:])
        with socket.socket() as s:
            return s.connect_ex(('127.0.0.1', self.port)) == 0

    def stop(self):
        if self.p is not None:
            end(self.p, 10)
            self.p = None


class Nginx(Peer):
    """One worker process, as we run one gateway. A static file of 400 octets; an nchan channel that keeps its last messages."""
    name = 'nginx'
    CONF = '''
%(user)sdaemon off; pid %(dir)s/pid; error_log %(dir)s/error.log warn; worker_processes 1; worker_rlimit_nofile %(files)d;
load_module %(nchan)s;
events { worker_connections 12000; }
http {
    access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h; default_type application/json;
    open_file_cache max=100; client_body_buffer_size 64k;
    client_body_temp_path %(dir)s/t1; proxy_temp_path %(dir)s/t2; fastcgi_temp_path %(dir)s/t3; uwsgi_temp_path %(dir)s/t4;
    scgi_temp_path %(dir)s/t5;
    nchan_max_reserved_memory 256M;
    server {
        listen %(address)s backlog=4096 reuseport;
        root %(dir)s/www;
        location ~ ^/pub/(\\w+)$ { nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 20000; nchan_message_timeout 1h; }
        location ~ ^/sub/(\\w+)$ { nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest; }
    }
}
'''

    def argv(self):
        import resource
        os.mkdir(os.path.join(self.dir, 'www'))
        with open(os.path.join(self.dir, 'www', 'overview'), 'w') as f:
            f.write('x' * 400)
        os.chmod(self.dir, 0o755)
        conf = os.path.join(self.dir, 'conf')
        with open(conf, 'w') as f:
            f.write(self.CONF % {'user': 'user root; ' if os.getuid() == 0 else '', 'dir': self.dir, 'nchan': NCHAN, 'address': self.address,
                                 'files': min(15000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])})
        return ['nginx', '-p', self.dir, '-c', conf, '-e', os.path.join(self.dir, 'error.log')]

    def start(self):
        super().start()

        def child():
            with open('/proc/%d/task/%d/children' % (self.p.pid, self.p.pid)) as f:
                return f.read().split()
        self.worker = int(wait_until('nginx has its worker process', child)[0])
        harness._reaper.say(b'+', self.worker) # it would outlive a master that is killed with us
        return self

    def stop(self):
        if self.p is not None:
            super().stop()
            harness._reaper.say(b'-', self.worker)


class Beanstalkd(Peer):
    """With -f0: a job is synced before its answer."""
    name = 'beanstalkd'

    def argv(self):
        os.mkdir(os.path.join(self.dir, 'wal'))
        return ['beanstalkd', '-l', '127.0.0.1', '-p', str(self.port), '-b', os.path.join(self.dir, 'wal'), '-f0']


class Redis(Peer):
    """The append-only file synced for each write (group commit of what one turn of its loop has read)."""
    name = 'redis'

    def argv(self):
        return ['redis-server', '--port', str(self.port), '--bind', '127.0.0.1', '--dir', self.dir, '--appendonly', 'yes',
                '--appendfsync', 'always', '--save', '', '--auto-aof-rewrite-percentage', '0', '--daemonize', 'no']


class Postgres(Peer):
    """A table with a primary key and the body as text; pgbench inserts by prepared statements."""
    name = 'postgres'

    def __init__(self, folder, bins):
        super().__init__(folder)
        self.bins = bins
        self.user = 'postgres' if os.getuid() == 0 else None

    def as_user(self, argv):
        return ['setpriv', '--reuid', self.user, '--regid', self.user, '--clear-groups', *argv] if self.user else argv

    def run(self, *argv):
        return subprocess.run(self.as_user(list(argv)), check=True, cwd=self.dir, env={'PATH': PATH, 'LANG': 'C.UTF-8'}, capture_output=True,
                              text=True).stdout

    def argv(self):
        os.chmod(self.dir, 0o755)
        self.home = os.path.join(self.dir, 'data')
        os.mkdir(self.home)
        if self.user:
            u = pwd.getpwnam(self.user)
            os.chown(self.home, u.pw_uid, u.pw_gid)
        self.run(self.bins + '/initdb', '-D', self.home, '-U', 'bench', '--auth=trust', '-E', 'UTF8')
        return self.as_user([self.bins + '/postgres', '-D', self.home, '-p', str(self.port), '-h', '127.0.0.1', '-k', '',
                             '-c', 'max_connections=300'])

    def start(self):
        super().start()
        wait_until('PostgreSQL answers', self.answers, 20)
        self.psql('CREATE TABLE t (id bigserial PRIMARY KEY, body text NOT NULL)')
        return self

    def answers(self):
        return subprocess.run([self.bins + '/pg_isready', '-h', '127.0.0.1', '-p', str(self.port)], stdout=subprocess.DEVNULL).returncode == 0

    def psql(self, text):
        self.run(self.bins + '/psql', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'bench', '-d', 'postgres', '-qc', text)

    def insert(self, clients, seconds, body):
        """Inserts a second, and their median in us; of a fixed number, about as long as asked. The body has no quote."""
        script = os.path.join(self.dir, 'insert.sql')
        with open(script, 'w') as f:
            f.write("INSERT INTO t (body) VALUES ('%s');\n" % body)
        prefix = os.path.join(self.home, 'times')
        for old in glob.glob(prefix + '*'):
            os.unlink(old)
        each = max(1, seconds * min(500 * clients, 4000) // clients)
        out = self.run(self.bins + '/pgbench', '-n', '-M', 'prepared', '-c', str(clients), '-j', '1', '-t', str(each), '-f', script, '-l', '--log-prefix',
                       prefix, '-h', '127.0.0.1', '-p', str(self.port), '-U', 'bench', 'postgres')
        rate = float(next(line for line in out.splitlines() if line.startswith('tps =')).split()[2])
        times = []
        for path in glob.glob(prefix + '*'):
            with open(path) as f:
                times += [int(line.split()[2]) for line in f]
        return rate, sorted(times)[len(times) // 2]
