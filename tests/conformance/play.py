"""Plays one case of the table against a server, and judges what came back.

A case (table.case) is data:

    name     "9112-6.3 two unequal Content-Length": the section of the RFC (without a number in front: 9112), then what it is
    send     octets, or a list of steps:
                 b'...'                      sent at once
                 ('octets', data, size)      in pieces of `size`, each a segment of its own
                 ('wait', n)                 until n answers have come, interim ones too
                 ('drip', data, seconds)     one octet each `seconds`, over and over, until the server has ended the connection
                 ('silent',)                 nothing more is sent, the probe neither: the server must end the connection
                 ('fin',)                    the client has said all; no probe follows
                 ('rst',)                    the client resets the connection; the case ends
             %KEY% in them is an admin's key, %TAG% the ETag of /api/openapi.json, %BARE% that without its quotes.
    want     what must come back from us: statuses, then how the connection goes on; ` | ` between alternatives
                 '400 close'                 one answer, then FIN
                 '200*3 201 keep'            four answers, then the connection serves another request: the probe
                 '100 201 any' 'close' '4xx keep' '200/404 keep' 'gone' (nobody looks)
    rfc      the same as wide as the RFCs allow it, for other servers; absent: as `want`
    own      the rule is of our contract, not of an RFC: other servers are not asked
    fields   {n: {name: regular expression or None (absent)}} of the n-th answer, names in lower case
    same     (n, m): answer m is the head of answer n, to the field
    body     {n: regular expression}
    code     {n: 'TOO_BIG'}: of our error body
    heads    numbers of the answers to HEAD; http10: of the answers to HTTP/1.0
    seconds  (at least, at most): the time until the connection ends; the second is stretched
    trap     the title of a task that must not exist afterwards: the hidden request's; with '+' in front: that must

The probe is a request for another host's page with `Connection: close`, sent right behind what the case sends. Who kept the
connection answers it 421 and closes; so a case ends as soon as the server has said all, whatever it said.
"""
import concurrent.futures
import re
import select
import socket
import struct
import time

from answer import Malformed, Reader, faults, house_faults
from table import KEY_WORD

PROBE = b'GET /probe HTTP/1.1\r\nHost: probe.invalid\r\nConnection: close\r\n\r\n'
CHUNK = 65536


class Quiet(Exception):
    """Nothing came in time."""


class Wire:
    """A socket that reads while it writes, so that neither side can wait for the other for ever."""

    def __init__(self, address, quiet):
        self.s = socket.create_connection(address, timeout=quiet)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.setblocking(False)
        self.quiet = quiet
        self.ready, self.end = [], None      # end: fin, rst

    def _recv(self):
        try:
            got = self.s.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.end = 'rst'
            return
        if got:
            self.ready.append(got)
        else:
            self.end = 'fin'

    def push(self, data):
        """All of it, unless the peer ends the connection; what it says meanwhile is kept."""
        view, until = memoryview(data), time.monotonic() + self.quiet
        while view and self.end is None:
            left = until - time.monotonic()
            if left <= 0:
                raise Quiet('the server takes no more octets')
            r, w, _ = select.select([self.s], [self.s], [], left)
            if r:
                self._recv()
            if w and self.end is None:
                try:
                    view = view[self.s.send(view[:CHUNK]):]
                    until = time.monotonic() + self.quiet
                except BlockingIOError:
                    pass
                except ConnectionResetError:     # told once, and here: a read would find a plain end behind it
                    self.drain()
                    self.end = 'rst'
                except OSError:                  # closed by FIN first; what it said before is still to be read
                    self.drain()
                    return

    def drain(self):
        while self.end is None and select.select([self.s], [], [], 0)[0]:
            self._recv()

    def more(self):
        until = time.monotonic() + self.quiet
        while not self.ready:
            if self.end == 'rst':
                raise ConnectionResetError
            if self.end:
                return b''
            left = until - time.monotonic()
            if left <= 0:
                raise Quiet('no octet in time')
            if select.select([self.s], [], [], left)[0]:
                self._recv()
        return self.ready.pop(0)

    def wait_readable(self, seconds):
        return bool(self.ready) or self.end is not None or bool(select.select([self.s], [], [], seconds)[0])


class Seen:
    """What came back: answers, and how it ended: fin, rst (behind a whole answer), silence (nobody closed), malformed, gone."""

    def __init__(self):
        self.answers, self.end, self.why, self.seconds, self.probed = [], None, '', 0.0, False

    def text(self):
        """As `want` has it."""
        kept = self.kept()
        shown = [str(a.status) for a in (self.answers[:-1] if kept else self.answers)]
        end = self.end if self.end != 'fin' else 'keep' if kept else 'close'
        return ' '.join(shown + [end] + ([self.why] if self.why else []))

    def kept(self):
        return bool(self.probed and self.end in ('fin', 'rst') and self.answers and self.answers[-1].status == 421 and
                    'close' in self.answers[-1].options())


def play(case, address, words, quiet=30.0):
    """words: {b'%KEY%': what it stands for, ...}"""
    seen = Seen()
    began = time.monotonic()
    try:
        w = Wire(address, quiet)
    except OSError as e:
        seen.end, seen.why = 'refused', str(e)
        return seen
    try:
        _play(case, w, seen, words)
    except Malformed as e:
        seen.end, seen.why = 'malformed', str(e)
    except Quiet as e:
        seen.end, seen.why = 'silence', str(e)
    except ConnectionResetError:
        seen.end, seen.why = 'rst', 'the connection is reset: an answer may be lost (9112-9.6)'
    finally:
        w.s.close()
    seen.seconds = time.monotonic() - began
    return seen


def _spell(data, words):
    for word, meaning in words.items():
        data = data.replace(word, meaning)
    return data


def _play(case, w, seen, words):
    reader = Reader(w.more)
    probe = True

    def take():
        n = len(seen.answers)
        a = reader.answer(head=n in case.heads, http10=n in case.http10)
        if a is not None:
            seen.answers.append(a)
        return a

    for step in case.send:
        if isinstance(step, bytes):
            w.push(_spell(step, words))
        elif step[0] == 'octets':
            data = _spell(step[1], words)
            for i in range(0, len(data), step[2]):
                w.push(data[i:i + step[2]])
        elif step[0] == 'wait':
            while len(seen.answers) < step[1] and take() is not None:
                pass
        elif step[0] == 'drip':
            probe, at, data = False, 0, _spell(step[1], words)
            while not w.wait_readable(step[2]):
                w.push(data[at % len(data):at % len(data) + 1])
                at += 1
        elif step[0] == 'silent':
            probe = False
        elif step[0] == 'fin':
            probe = False
            w.s.shutdown(socket.SHUT_WR)
        else:
            assert step[0] == 'rst'
            w.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            seen.end = 'gone'
            return
    if probe:
        seen.probed = True
        w.push(PROBE)
    while take() is not None:
        pass
    seen.end = 'fin'


# ---------------------------------------------------------------- judging

def _tokens(text):
    out = []
    for t in text.split():
        status, _, times = t.partition('*')
        out += [status] * int(times or 1)
    return out[:-1], out[-1]


def _fits(pattern, status):
    return any(len(p) == 3 and all(x in ('x', y) for x, y in zip(p, str(status))) for p in pattern.split('/'))


def matches(want, seen, ours=True):
    for alternative in want.split('|'):
        statuses, end = _tokens(alternative)
        if end == 'gone':
            return True
        if seen.end != 'fin' and (ours or seen.end != 'rst' or not seen.answers):
            continue
        kept = seen.kept()
        if kept and end == 'close' and statuses and statuses[-1] == '421':
            kept = False        # the case's own answer looks like the probe's; had it been kept, there would be one more
        if (end == 'keep' and not kept) or (end == 'close' and kept):
            continue
        answers = seen.answers[:-1] if kept else seen.answers
        if len(answers) == len(statuses) and all(_fits(p, a.status) for p, a in zip(statuses, answers)):
            return True
    return False


def _field_faults(case, answers):
    out = []
    for n, fields in case.fields.items():
        for name, pattern in fields.items():
            have = ', '.join(answers[n].all(name)) if answers[n].all(name) else None
            if (pattern is None) != (have is None) or (have is not None and not re.fullmatch(pattern, have)):
                out.append('%s of answer %d is %r' % (name, n + 1, have))
    for n, pattern in case.body.items():
        if not re.fullmatch(pattern, answers[n].body, re.S):
            out.append('body of answer %d is %r' % (n + 1, answers[n].body[:100]))
    if case.same:
        def comparable(a):
            return sorted((k, v) for k, v in a.lines if k not in ('date', 'x-request-id', 'x-mc-sequence'))
        n, m = case.same
        if (comparable(answers[n]), answers[n].status) != (comparable(answers[m]), answers[m].status):
            out.append('HEAD differs: %r' % sorted(set(comparable(answers[n])) ^ set(comparable(answers[m]))))
    return out


def judge(case, seen, ours, stretch=1.0):
    """What is wrong, as sentences; nothing when the case is passed."""
    want = case.want if ours else case.rfc
    if not matches(want, seen, ours):
        return ['it must be "%s", it is "%s"' % (want, seen.text())]
    if 'gone' in want:
        return []
    out = [f for a in seen.answers for f in faults(a, allow=ours or '15.5.6' in case.name)]
    if ours:
        for n, a in enumerate(seen.answers):
            out += house_faults(a, n in case.heads)
        for n, code in case.code.items():
            if b'"code":"%s"' % code.encode() not in seen.answers[n].body:
                out.append('code of answer %d: %r' % (n + 1, seen.answers[n].body[:200]))
        if seen.answers and seen.answers[-1].status >= 200 and 'close' not in seen.answers[-1].options() and 'fin' not in [s[0] for s in case.send]:
            out.append('the last answer does not say that the connection closes (9.6)')
        if any('close' in a.options() for a in seen.answers[:-1]):
            out.append('an answer says close and another follows')
    if matches(case.want, seen):     # another server may have answered something else that is right: these speak of our answers
        out += _field_faults(case, seen.answers)
    if case.seconds and ours:
        low, high = case.seconds
        if not low <= seen.seconds <= high * stretch:
            out.append('it took %.1f s' % seen.seconds)
    return out


# ---------------------------------------------------------------- all of them

TAG_REQUEST = b'GET /api/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'
AT_ONCE = 64      # most cases wait more than they work


def learn(address, key):
    """The words of the cases, as this server has them."""
    w = Wire(address, 30)
    try:
        w.push(TAG_REQUEST)
        tag = Reader(w.more).answer().get('etag').encode()
    finally:
        w.s.close()
    assert len(key) == len(KEY_WORD), 'a key is %d octets long' % len(key)
    return {KEY_WORD: key, b'%KEY%': key, b'%TAG%': tag, b'%BARE%': tag.strip(b'"')}


def alive(address):
    w = Wire(address, 30)
    try:
        w.push(PROBE)
        return Reader(w.more).answer().status == 421
    finally:
        w.s.close()


def run(cases, address, key, created, ours=True, stretch=1.0, quiet=30.0, progress=None):
    """{case: [what is wrong]}. created() gives the titles of the tasks that exist, once all has been sent."""
    words = learn(address, key)
    result = {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        todo = {pool.submit(play, c, address, words, quiet): c for c in sorted(cases, key=lambda c: not c.slow)}
        for n, f in enumerate(concurrent.futures.as_completed(todo)):
            c = todo[f]
            result[c] = judge(c, f.result(), ours, stretch)
            if progress and (n + 1) % 200 == 0:
                progress(n + 1, len(todo))
    titles = created()
    for c in cases:
        if c.trap and c.trap.startswith('+') != (c.trap.lstrip('+') in titles):
            result[c].append('the hidden request was %sexecuted' % ('not ' if c.trap.startswith('+') else ''))
    if not alive(address):
        result[cases[-1]].append('afterwards the server does not answer')
    return result
