"""nginx and haproxy from Debian, each with a configuration of its own in a directory of its own, on a port of its own; ended by pid.

    NginxPages()                  nginx by itself: pages, and answers to POST, that are as ours where the table asks for them
    NginxProxy(port, buffering)   nginx in front of a gateway;  HaproxyProxy(port)
        .port  .close()  .requests(marker): [(target, the X-Request-Id that came from behind or '')] of its log

None is a service: nothing of the machine's own configuration is read or written.
"""
import os
import re
import shutil
import socket
import subprocess
import tempfile

from harness import STRETCH, end, popen, wait_until

NGINX = shutil.which('nginx', path='/usr/sbin:/usr/bin:/sbin:/bin')
HAPROXY = shutil.which('haproxy', path='/usr/sbin:/usr/bin:/sbin:/bin')

NGINX_MAIN = '''
daemon off;
master_process off;
pid %(dir)s/pid;
error_log %(dir)s/error.log warn;
events { worker_connections 2048; }
http {
    log_format seen '$request_uri $upstream_http_x_request_id';
    access_log %(dir)s/access.log seen;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
    default_type application/json;
    client_header_timeout 10s;
    client_body_timeout 10s;
    keepalive_timeout 60s;
    keepalive_requests 100000;
    client_max_body_size 1m;
    large_client_header_buffers 4 16k;
    lingering_timeout 2s;
%(servers)s
}
'''
# A body is read whole before it is answered (the mirror sees to that), as an application would; nginx alone answers POST at once.
NGINX_PAGES = '''
    server {
        listen 127.0.0.1:%(port)d default_server;
        server_name _;
        location / { return 421 '{}'; }
    }
    server {
        listen 127.0.0.1:%(port)d;
        server_name "" localhost "~^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+$" "[::1]";
        root %(dir)s/www;
        location = /api/mission-control/tasks {
            error_page 405 =201 @created;
            error_page 401 @unknown;
            if ($http_x_api_key = "") { return 401; }
            mirror /mirror;
            try_files /tasks.json =404;
        }
        location = /mirror { internal; return 204; }
        location @created { return 201 '{}'; }
        location @unknown { add_header WWW-Authenticate Bearer always; return 401 '{}'; }
        location = /api/openapi.json { add_header Cache-Control no-cache; }
    }
'''
NGINX_PROXY = '''
    upstream behind { server 127.0.0.1:%(behind)d; keepalive 8; }
    server {
        listen 127.0.0.1:%(port)d default_server;
        location / {
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_request_buffering %(buffering)s;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_next_upstream off;
        }
    }
'''
HAPROXY_CONF = '''
global
    log stdout format raw local0
    maxconn 2000
defaults
    mode http
    log global
    timeout connect 5s
    timeout client 15s
    timeout server 15s
    timeout http-request 15s
frontend front
    bind 127.0.0.1:%(port)d
    log-format "%%HU %%[var(txn.id)]"
    http-response set-var(txn.id) res.hdr(X-Request-Id)
    default_backend behind
backend behind
    http-reuse always
    server gateway 127.0.0.1:%(behind)d
'''


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def version(program):
    r = subprocess.run([program, '-v'], capture_output=True, text=True, timeout=30)
    return re.search(r'[0-9]+\.[0-9.]+', r.stderr + r.stdout).group(0).rstrip('.')


class Server:
    """A program with its directory; `start` gives its command line."""

    def __init__(self, name, **words):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix='mcc-', dir='/tmp')
        self.port = free_port()
        self.log = self.dir + '/access.log'
        self.p = None
        try:
            argv = self.start(dict(words, dir=self.dir, port=self.port))
            with open(self.dir + '/output', 'wb') as out:
                self.p = popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.dir, start_new_session=True)
            wait_until(lambda: '%s listens: %s' % (name, self.told()), self._listens, 10)
        except BaseException:
            self.close()
            raise

    def told(self):
        with open(self.dir + '/output', errors='replace') as f:
            return f.read()[-2000:]

    def _listens(self):
        assert self.p.poll() is None, '%s has ended: %s' % (self.name, self.told())
        try:
            socket.create_connection(('127.0.0.1', self.port), timeout=STRETCH).close()
            return True
        except OSError:
            return False

    def write(self, name, text):
        with open(os.path.join(self.dir, name), 'w') as f:
            f.write(text)

    def lines(self):
        try:
            with open(self.log, errors='replace') as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def requests(self, marker):
        """Of the requests whose target has the marker."""
        return [(target, rid.strip('- ')) for target, _, rid in (line.rpartition(' ') for line in self.lines()) if marker in target]

    def close(self):
        if self.p is not None:
            end(self.p)
        shutil.rmtree(self.dir, ignore_errors=True)


class Nginx(Server):
    servers = None

    def start(self, words):
        self.write('nginx.conf', NGINX_MAIN % dict(words, servers=self.servers % words))
        return [NGINX, '-e', self.dir + '/error.log', '-p', self.dir, '-c', self.dir + '/nginx.conf']


class NginxPages(Nginx):
    servers = NGINX_PAGES

    def __init__(self):
        super().__init__('nginx')

    def start(self, words):
        for path, text in (('healthz', '{"status":"ok"}'), ('readyz', '{"status":"ready"}'), ('tasks.json', '[]'),
                           ('api/openapi.json', '{"openapi":"3.1.0"}' + ' ' * 3000), ('api/mission-control/settings', '{"requireApproval":false}')):
            os.makedirs(os.path.dirname(os.path.join(self.dir, 'www', path)), exist_ok=True)
            self.write('www/' + path, text)
        return super().start(words)


class NginxProxy(Nginx):
    servers = NGINX_PROXY

    def __init__(self, behind, buffering):
        super().__init__('nginx', behind=behind, buffering='on' if buffering else 'off')


class HaproxyProxy(Server):
    def __init__(self, behind):
        super().__init__('haproxy', behind=behind)
        self.log = self.dir + '/output'

    def start(self, words):
        self.write('haproxy.cfg', HAPROXY_CONF % words)
        return [HAPROXY, '-db', '-f', self.dir + '/haproxy.cfg']
