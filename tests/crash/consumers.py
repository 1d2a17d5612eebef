#!/usr/bin/python3
"""Stream consumers of a crash run: many EventSource-like clients in one loop, each of which comes back by Last-Event-ID.

    consumers.py CONFIG.json     started by tests/crash/driver, which talks to it on its standard input and output

CONFIG: {"ports": [...], "key": text, "seed": n, "dir": where the lists go, "consumers": [{"name", "path", "view", "types", "desktop",
"from": id or null, "full": keep the text of each frame, "cut": octets after which a connection is cut on average (0: never)}]}
Input, a line each:   {"until": {name: id}}  end each of these once it has seen that id     {"cut": false}  no more cuts of our own
Output, a line a second:  {"frames", "connects", "cuts", "waiting"}; the lists are whole when it has ended.

A list has one line a frame: {"id", "h": first 16 hex digits of the SHA-1 of its data} ("data" where it is full), {"beat": id} for
an id without data, {"resync": oldest}, {"bad": what}. The first line says what was asked for: view, types, desktop, from.
A connection is cut by FIN, by RST, or by leaving unread what lies behind any octet of a frame. The next one goes to any gateway.
"""
import hashlib
import json
import os
import random
import selectors
import socket
import struct
import sys
import time
import urllib.parse

SILENT_S = 40       # heartbeats come every 30 s: a connection without a word for longer is given up, as clients do
RETRY_S = 0.05


class Consumer:
    def __init__(self, conf, all_):
        self.all, self.name, self.cut, self.full = all_, conf['name'], conf.get('cut', 0), conf.get('full')
        query = {k: ','.join(v) if k == 'types' else v for k, v in (('types', conf.get('types')), ('desktopId', conf.get('desktop'))) if v}
        self.path = conf['path'] + ('?' + urllib.parse.urlencode(query) if query else '')
        self.last = conf['from']
        self.until = None
        self.sock = None
        self.retry_at = 0.0
        self.out = open(os.path.join(all_.dir, conf['name'] + '.jsonl'), 'w', buffering=1 << 16)
        self.put({k: conf.get(k) for k in ('view', 'types', 'desktop', 'from')})
        self.done = False

    def put(self, o):
        self.out.write(json.dumps(o) + '\n')

    def start(self):
        rng = self.all.rng
        self.buf, self.block, self.head, self.chunk_left = b'', b'', True, None
        self.octets = 0
        self.limit = None
        if self.cut and self.all.cutting:
            self.limit = int(rng.expovariate(1 / self.cut))
            self.how = rng.choice(('fin', 'rst', 'inside'))
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.heard = time.monotonic()
        self.sent = False
        port = rng.choice(self.all.ports)
        self.request = ('GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\nx-api-key: %s\r\n%s\r\n' % (
            self.path, port, self.all.key, '' if self.last is None else 'Last-Event-ID: %d\r\n' % self.last)).encode()
        try:
            self.sock.connect(('127.0.0.1', port))
        except BlockingIOError:
            pass
        except OSError:
            return self.stop()
        self.all.sel.register(self.sock, selectors.EVENT_WRITE, self)

    def stop(self, how=None):
        if self.sock is not None:
            try:
                self.all.sel.unregister(self.sock)
            except (KeyError, ValueError):
                pass
            if how == 'rst':
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.sock.close()
            self.sock = None
        self.retry_at = time.monotonic() + RETRY_S

    def ready(self):
        try:
            if not self.sent:
                self.sock.sendall(self.request)
                self.sent = True
                self.all.connects += 1
                self.all.sel.modify(self.sock, selectors.EVENT_READ, self)
                return
            data = self.sock.recv(65536)
        except OSError:
            return self.stop()
        if not data:
            return self.stop()
        self.heard = time.monotonic()
        if self.limit is not None and self.octets + len(data) > self.limit:
            # the rest is never looked at, as if the connection had broken there
            if self.how == 'inside' or self.octets == 0:
                data = data[:max(0, self.limit - self.octets)]
            self.take(data)
            self.all.cuts += 1
            return self.stop('rst' if self.how == 'rst' else None)
        self.octets += len(data)
        self.take(data)

    def bad(self, what):
        self.put({'bad': what})
        self.stop()

    def take(self, data):
        self.buf += data
        if self.head:
            if b'\r\n\r\n' not in self.buf:
                return
            head, self.buf = self.buf.split(b'\r\n\r\n', 1)
            lines = head.decode('latin-1').split('\r\n')
            fields = {x.split(':', 1)[0].lower(): x.split(':', 1)[1].strip() for x in lines[1:]}
            if lines[0].split()[1] != '200' or not fields.get('content-type', '').startswith('text/event-stream'):
                return self.bad('answered %s %s' % (lines[0], self.buf[:200].decode('latin-1')))
            self.head = False
        while self.buf and self.sock is not None:
            if self.chunk_left is None:             # a size line
                if b'\r\n' not in self.buf:
                    return
                size, self.buf = self.buf.split(b'\r\n', 1)
                try:
                    n = int(size, 16)
                except ValueError:
                    return self.bad('a chunk of the size %r' % size[:40])
                if n == 0:
                    return self.stop()
                self.chunk_left = n + 2
            if self.chunk_left > 2:
                piece = self.buf[:self.chunk_left - 2]
                self.buf = self.buf[len(piece):]
                self.chunk_left -= len(piece)
                self.block += piece
                while b'\n\n' in self.block and self.sock is not None:
                    text, self.block = self.block.split(b'\n\n', 1)
                    self.event(text.decode('utf-8'))
            if self.chunk_left <= 2 and self.buf:
                piece = self.buf[:self.chunk_left]
                self.buf = self.buf[len(piece):]
                self.chunk_left -= len(piece)
                if self.chunk_left == 0:
                    self.chunk_left = None

    def event(self, text):
        fid, data = None, None
        for line in text.split('\n'):
            if line.startswith('id:'):
                fid = int(line[3:])
            elif line.startswith('data:') and data is None:
                data = line[5:].lstrip()
            elif line and not line.startswith((':', 'retry:')):
                return self.bad('a line %r' % line[:80])
        if data is None:
            if fid is not None:
                self.last = fid
                self.put({'beat': fid})
        elif fid is None:
            d = json.loads(data)
            if d.get('type') == 'stream.resync':
                self.put({'resync': d['payload']['oldest']})
        else:
            self.last = fid
            self.all.frames += 1
            self.put({'id': fid, 'data': data} if self.full else {'id': fid, 'h': hashlib.sha1(data.encode()).hexdigest()[:16]})
        if self.until is not None and self.last is not None and self.last >= self.until:
            self.end()

    def end(self):
        self.done = True
        self.stop()
        self.out.close()


class Consumers:
    def __init__(self, conf):
        self.ports, self.key, self.dir = conf['ports'], conf['key'], conf['dir']
        self.rng = random.Random(conf['seed'])
        self.sel = selectors.DefaultSelector()
        self.frames = self.connects = self.cuts = 0
        self.cutting = True
        self.all = [Consumer(c, self) for c in conf['consumers']]
        self.sel.register(sys.stdin, selectors.EVENT_READ, None)
        os.set_blocking(sys.stdin.fileno(), False)
        self.orders = b''

    def order(self):
        got = os.read(sys.stdin.fileno(), 65536)
        if not got:                                 # the driver is gone
            sys.exit(1)
        self.orders += got
        while b'\n' in self.orders:
            line, self.orders = self.orders.split(b'\n', 1)
            o = json.loads(line)
            self.cutting = o.get('cut', self.cutting)
            if not self.cutting:
                for c in self.all:
                    c.limit = None
            for c in self.all:
                if c.name in o.get('until', {}):
                    c.until = o['until'][c.name]
                    if c.last is not None and c.last >= c.until and not c.done:
                        c.end()

    def run(self):
        told = 0.0
        while not all(c.done for c in self.all):
            for key, _ in self.sel.select(0.05):
                if key.data is None:
                    self.order()
                elif key.data.sock is not None:
                    key.data.ready()
            now = time.monotonic()
            for c in self.all:
                if c.done:
                    continue
                if c.sock is None and now >= c.retry_at:
                    c.start()
                elif c.sock is not None and now > c.heard + SILENT_S:
                    c.stop()
            if now > told + 1:
                told = now
                waiting = [c.name for c in self.all if c.until is not None and not c.done]
                print(json.dumps({'frames': self.frames, 'connects': self.connects, 'cuts': self.cuts, 'waiting': waiting}), flush=True)
        print(json.dumps({'frames': self.frames, 'connects': self.connects, 'cuts': self.cuts, 'waiting': []}), flush=True)


if __name__ == '__main__':
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        print(__doc__)
        sys.exit(0 if '--help' in sys.argv else 2)
    with open(sys.argv[1]) as f:
        Consumers(json.load(f)).run()
