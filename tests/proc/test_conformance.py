"""The table of HTTP conformance (tests/conformance) against the real gateway: each case is a test, named by its section. They are
played together by the first of them, because the slow ones wait for the gateway's limits; so they all belong to one process."""
import json
import os
import socket
import struct
import sys
import threading
import time

import pytest

from harness import REPO, STRETCH, TASKS, Install

sys.path.insert(0, os.path.join(REPO, 'tests', 'conformance'))
import answer  # noqa: E402
import play  # noqa: E402
import table  # noqa: E402

pytestmark = pytest.mark.xdist_group('conformance')
AREAS, CASES = table.load()


@pytest.fixture(scope='module')
def results():
    i = Install(gateways=1, workers=0)
    try:
        def created():
            return {t['title'] for t in json.loads(i.api('GET', TASKS).text)}
        got = play.run(CASES, ('127.0.0.1', i.port()), i.key.encode(), created, stretch=STRETCH, quiet=15 * STRETCH)
    except BaseException:
        i.close(check=False, show=True)
        raise
    i.close()
    return got


@pytest.mark.parametrize('case', CASES, ids=[c.name for c in CASES])
def test_case(results, case):
    assert not results[case], '\n'.join(results[case])


# ---------------------------------------------------------------- and the judge itself

MALFORMED = [
    ('a bare LF', b'HTTP/1.1 200 OK\nContent-Length: 0\n\n'), ('a bare CR', b'HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n'),
    ('no reason\'s blank', b'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n'), ('another version', b'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'),
    ('four digits', b'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n'), ('status 600', b'HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n'),
    ('a blank before the colon', b'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n'), ('a folded field', b'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n'),
    ('a control octet', b'HTTP/1.1 200 OK\r\nX: a\x01\r\nContent-Length: 0\r\n\r\n'), ('an empty name', b'HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n'),
    ('two lengths', b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n'), ('a signed length', b'HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n'),
    ('length and coding', b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    ('another coding', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'), ('204 with a length', b'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n'),
    ('204 with a body', b'HTTP/1.1 204 No Content\r\n\r\n{}'), ('304 with a body', b'HTTP/1.1 304 Not Modified\r\n\r\n{}'),
    ('a body that is short', b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}'), ('a body that is long', b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}'),
    ('a head that does not end', b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n'), ('an empty line in front', b'\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'),
    ('a bad chunk size', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n'),
    ('a bad chunk end', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n'),
    ('no last chunk', b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n'),
]


@pytest.mark.parametrize('data', [m[1] for m in MALFORMED], ids=[m[0] for m in MALFORMED])
def test_a_malformed_answer_is_found(data):
    for size in (1, 7, 100000):
        pieces = [data[i:i + size] for i in range(0, len(data), size)]
        reader = answer.Reader(lambda: pieces.pop(0) if pieces else b'')
        with pytest.raises(answer.Malformed):
            while reader.answer() is not None:
                pass


def test_what_a_readable_answer_lacks_is_found():
    def read(head):
        pieces = [b'HTTP/1.1 ' + head + b'Content-Length: 0\r\n\r\n']
        return answer.Reader(lambda: pieces.pop(0) if pieces else b'').answer()
    now = time.strftime('Date: %a, %d %b %Y %H:%M:%S GMT\r\n', time.gmtime()).encode()
    assert answer.faults(read(b'200 OK\r\n' + now)) == []
    for head in (b'200 OK\r\n', b'200 OK\r\n' + now + now, b'200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n', b'200 OK\r\nDate: now\r\n',
                 b'405 No\r\n' + now, b'401 No\r\n' + now, b'200 OK\r\nETag: x\r\n' + now):
        assert answer.faults(read(head)), head
    assert answer.house_faults(read(b'200 OK\r\n' + now)) and answer.house_faults(read(b'404 No\r\n' + now))


class Puppet:
    """Answers each connection with the same octets, whatever it is asked, and ends it by FIN or reset."""

    def __init__(self, data, reset=False):
        self.data, self.reset = data, reset
        self.s = socket.create_server(('127.0.0.1', 0))
        self.address = self.s.getsockname()
        self.t = threading.Thread(target=self._serve, daemon=True)
        self.t.start()

    def _serve(self):
        try:
            c, _ = self.s.accept()
        except OSError:
            return
        with c:
            while not c.recv(65536).endswith(play.PROBE):
                pass
            c.sendall(self.data)
            if self.reset:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            else:
                c.shutdown(socket.SHUT_WR)
                c.recv(1)

    def close(self):
        self.s.close()
        self.t.join(10)


def answered(status, close=False):
    body = json.dumps({'error': 'x', 'code': 'X', 'status': status, 'requestId': 'a' * 32}).encode()
    return (b'HTTP/1.1 %d X\r\nDate: ' % status + time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime()).encode() +
            b'\r\nX-Request-Id: ' + b'a' * 32 + b'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n' +
            (b'Connection: close\r\n' if close else b'') + b'Content-Type: application/json\r\nContent-Length: %d\r\n\r\n' % len(body) + body)


PROBED = answered(421, True)
JUDGED = [
    ('closed, as it should', '400 close', answered(400, True), False, True), ('kept, as it should', '200 keep', answered(200) + PROBED, False, True),
    ('kept, and should be closed', '400 close', answered(400) + PROBED, False, False), ('closed, and should be kept', '200 keep', answered(200, True), False, False),
    ('another status', '400 close', answered(404, True), False, False), ('one answer too many', '400 close', answered(400) + answered(200, True), False, False),
    ('one answer too few', '200*2 keep', answered(200) + PROBED, False, False), ('nothing', '400 close', b'', False, False),
    ('reset', '400 close', answered(400, True), True, False), ('closed without a word of it', '400 close', answered(400), False, False),
    ('an answer that is none', '400 close', b'<html>', False, False), ('octets behind the answer', '400 close', answered(400, True) + b'x', False, False),
    ('an error that is not in our form', '400 close', answered(400, True).replace(b'"code"', b'"kode"'), False, False),
]


@pytest.mark.parametrize('want,data,reset,good', [j[1:] for j in JUDGED], ids=[j[0] for j in JUDGED])
def test_the_judge(want, data, reset, good):
    p = Puppet(data, reset)
    try:
        case = table.case('the judge', b'x', want)
        wrong = play.judge(case, play.play(case, p.address, {}, 15 * STRETCH), ours=True)
    finally:
        p.close()
    assert (not wrong) == good, wrong
