"""Webhooks against real receivers: what arrives, signed how, in what order, once more when; what stops it; where it may never go."""
import hashlib
import hmac
import json
import os
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import STRETCH, TASKS, Stream, http_call, wait_until

HOOKS = '/api/webhooks'
ALLOW = {'MC_WEBHOOK_ALLOW': '127.0.0.0/8'}
QUICK = ('--webhook-retry-base-ms', '20')


class Got:
    def __init__(self, path, headers, body, at):
        self.path, self.headers, self.body, self.at = path, headers, body, at
        self.json = json.loads(body)
        self.delivery, self.type = headers['X-Mc-Delivery'], headers['X-Mc-Event']

    def signed(self, secret):
        text = ('%s.%s.' % (self.headers['X-Mc-Timestamp'], self.delivery)).encode() + self.body
        return self.headers['X-Mc-Signature'] == 'v1=' + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


class Receiver:
    """Keeps what it is sent; .answer(got) gives the status, or 'hang' (until released), 'drop', 'endless', 'slow', or (status, headers)."""

    def __init__(self):
        self.got, self.lock, self.release = [], threading.Lock(), threading.Event()
        self.answer = lambda got: 200
        self.connections = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                owner.serve(self)

            def do_GET(self):
                owner.connections += 1000000     # nothing of ours ever sends one
                self.send_error(400)

            def log_message(self, *a):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def get_request(self):
                got = super().get_request()
                owner.connections += 1
                return got

            def handle_error(self, request, address):
                pass                             # a client that went away
        self.server = Server(('127.0.0.1', 0), Handler)
        self.port = self.server.server_address[1]
        self.url = 'http://127.0.0.1:%d' % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def serve(self, h):
        body = h.rfile.read(int(h.headers['Content-Length']))
        got = Got(h.path, h.headers, body, time.monotonic())
        with self.lock:
            self.got.append(got)
        how = self.answer(got)
        more = {}
        if isinstance(how, tuple):
            how, more = how
        if how == 'hang':
            self.release.wait(60)
            how = 200
        if how == 'drop':
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
            return
        if how in ('endless', 'slow'):
            h.send_response(200)
            h.send_header('Connection', 'close')
            h.end_headers()
            piece = b'x' * 65536 if how == 'endless' else b'x'
            while not self.release.wait(0 if how == 'endless' else 0.2):
                h.wfile.write(piece)
            h.close_connection = True
            return
        h.send_response(how)
        for k, v in more.items():
            h.send_header(k, v)
        h.send_header('Content-Length', '0')
        h.end_headers()

    def all(self, type=None):
        with self.lock:
            return [g for g in self.got if type is None or g.type == type]

    def wait(self, n, type=None, seconds=15):
        return wait_until(lambda: '%d of %s, there are %s' % (n, type, [(g.type, g.delivery) for g in self.all()][-30:]),
                          lambda: self.all(type) if len(self.all(type)) >= n else None, seconds)

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = []

    def make():
        made.append(Receiver())
        return made[-1]
    yield make
    for r in made:
        r.close()


@pytest.fixture(scope='module')
def own():
    """An installation of this file's own that may send to this machine, and tries again soon."""
    from harness import Install
    i = Install(gateways=2, workers=2, env=ALLOW, broker_args=QUICK)
    yield i
    i.close()


@pytest.fixture
def hook(own):
    """Makes webhooks on `own` that are gone after the test."""
    made = []

    def make(url, gw=0, **fields):
        w = own.api('POST', HOOKS, {'url': url, **fields}, gw=gw).ok(201)
        made.append(w['id'])
        return w
    yield make
    for w in made:
        assert own.api('DELETE', '%s/%s' % (HOOKS, w)).status in (204, 404)


def get_hook(i, wid, gw=0):
    return next((w for w in i.api('GET', HOOKS, gw=gw).ok() if w['id'] == wid), None)


def wait_hook(i, wid, what, fn, seconds=15):
    last = {}

    def look():
        last.update(get_hook(i, wid))
        return fn(last) and last
    return wait_until(lambda: '%s: %s' % (what, last), look, seconds)


def deliveries(i, wid, query='', gw=0):
    return i.api('GET', '%s/%s/deliveries%s' % (HOOKS, wid, query), gw=gw).ok()


def test_an_event_arrives_signed(own, hook, receiver):
    r = receiver()
    w = hook(r.url + '/in?x=1', name='Mine', events=['task.created', 'task.failed'], secret='topsecret')
    assert w['secret'] == 'topsecret' and w['status'] == 'ok' and w['enabled'] and w['failures'] == 0
    t = own.task('true', title='One & "two" <b>é', gw=1)
    got = r.wait(1)[0]
    assert got.path == '/in?x=1' and got.type == 'task.created' and got.signed('topsecret') and not got.signed('other')
    assert got.headers['Content-Type'] == 'application/json' and got.headers['User-Agent'].startswith('mission-control/')
    assert re.fullmatch(r'delivery_\d+', got.delivery) and abs(int(got.headers['X-Mc-Timestamp']) - time.time()) < 60
    assert got.json['type'] == 'task.created' and got.json['payload']['taskId'] == t['id'] and got.json['payload']['title'] == t['title']
    d = wait_until('it is in the log', lambda: deliveries(own, w['id']))
    assert d[0] == {'id': got.delivery, 'eventId': got.json['id'], 'type': 'task.created', 'attempt': 1, 'status': 'delivered',
                    'httpStatus': 200, 'error': None, 'durationMs': d[0]['durationMs'], 'createdAt': d[0]['createdAt']}
    seen = wait_hook(own, w['id'], 'delivered', lambda w: w['lastDeliveryAt'])
    assert 'secret' not in seen and seen['lastError'] is None and seen['nextAttemptAt'] is None
