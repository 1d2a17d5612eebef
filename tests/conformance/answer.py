"""A strict reader of HTTP/1.1 answers: octets in, answers out, or Malformed. It forgives nothing that RFC 9112 does not allow a
server to send, so that an answer which only a lenient client would understand is found.

    reader = Reader(more)            more() gives the next octets, b'' at the end
    reader.answer(head=False)        the next Answer, interim ones too; None at a clean end
    faults(answer, ...)              what else is wrong with it, as sentences (RFC 9110)
    house_faults(answer)             what is wrong with it as an answer of this product (its contract, section 3)
"""
import calendar
import json
import re
import time

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
STATUS_LINE = re.compile(rb'HTTP/1\.1 ([1-5][0-9]{2}) [\t\x20-\x7e\x80-\xff]*')
FIELD = re.compile(rb'(' + TOKEN + rb'):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*')
DATE = re.compile(r'(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT')
ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
# Fields that are no lists: two of them contradict each other (9110-5.3).
SINGLE = ('date', 'content-length', 'content-type', 'etag', 'location', 'retry-after', 'last-modified', 'x-request-id', 'server', 'age')
HEAD_MAX, BODY_MAX = 64 * 1024, 8 * 1024 * 1024


class Malformed(Exception):
    """Not an answer that HTTP/1.1 allows."""


class Answer:
    def __init__(self, status, lines):
        self.status, self.lines = status, lines      # lines: [(name in lower case, value)]
        self.body, self.framed = b'', 'none'         # framed: none, length, chunked, close

    def all(self, name):
        return [v for n, v in self.lines if n == name]

    def get(self, name):
        return (self.all(name) or [None])[0]

    def options(self):
        """The members of Connection."""
        return [o.strip().lower() for v in self.all('connection') for o in v.split(',')]

    def __repr__(self):
        return '<%d %r>' % (self.status, self.body[:120])


class Reader:
    def __init__(self, more):
        self.more, self.buf, self.eof = more, b'', False

    def _fill(self, what):
        got = b'' if self.eof else self.more()
        if not got:
            self.eof = True
            raise Malformed('the connection ends inside %s: %r' % (what, self.buf[-80:]))
        self.buf += got

    def _line(self, what, limit):
        while b'\n' not in self.buf:
            if len(self.buf) > limit:
                raise Malformed('%s is endless' % what)
            self._fill(what)
        line, self.buf = self.buf.split(b'\n', 1)
        if not line.endswith(b'\r') or b'\r' in line[:-1]:
            raise Malformed('%s does not end in one CRLF: %r' % (what, line[:80]))
        return line[:-1]

    def _take(self, n, what):
        while len(self.buf) < n:
            self._fill(what)
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def at_end(self):
        """True when nothing follows and the peer has said so."""
        if not self.buf and not self.eof:
            got = self.more()
            self.eof = not got
            self.buf = got
        return not self.buf

    def _fields(self, what):
        lines, size = [], 0
        while True:
            line = self._line(what, HEAD_MAX)
            size += len(line)
            if not line:
                return lines
            m = FIELD.fullmatch(line)
            if not m or size > HEAD_MAX:
                raise Malformed('no field line: %r' % line[:80])
            lines.append((m.group(1).decode().lower(), m.group(2).decode('latin-1')))

    def answer(self, head=False, http10=False):
        if self.at_end():
            return None
        line = self._line('a status line', HEAD_MAX)
        m = STATUS_LINE.fullmatch(line)
        if not m:
            raise Malformed('no status line: %r' % line[:80])
        a = Answer(int(m.group(1)), self._fields('the fields of an answer'))
        lengths, codings = a.all('content-length'), a.all('transfer-encoding')
        bodyless = head or a.status < 200 or a.status in (204, 304)
        if lengths and codings:
            raise Malformed('an answer with Content-Length and Transfer-Encoding')
        if (lengths or codings) and (a.status < 200 or a.status == 204):
            raise Malformed('%d with a length (9112-6.1, 9110-8.6)' % a.status)
        if len(lengths) > 1 or (lengths and not re.fullmatch('[0-9]{1,15}', lengths[0])):
            raise Malformed('Content-Length %r' % lengths)
        if codings and (codings != ['chunked'] or http10):
            raise Malformed('Transfer-Encoding %r%s' % (codings, ' to HTTP/1.0' if http10 else ''))
        if bodyless:
            return a
        if codings:
            a.framed, a.body = 'chunked', self._chunks()
        elif lengths:
            if int(lengths[0]) > BODY_MAX:
                raise Malformed('a body of %s octets' % lengths[0])
            a.framed, a.body = 'length', self._take(int(lengths[0]), 'a body')
        else:
            a.framed = 'close'
            while not self.at_end():
                a.body, self.buf = a.body + self.buf, b''
        return a

    def _chunks(self):
        body = b''
        while True:
            size = self._line('a chunk size', 64)
            if not re.fullmatch(rb'[0-9A-Fa-f]{1,8}', size):
                raise Malformed('chunk size %r' % size[:80])
            if int(size, 16) == 0:
                self._fields('a trailer')
                return body
            body += self._take(int(size, 16), 'a chunk')
            if self._take(2, 'a chunk') != b'\r\n' or len(body) > BODY_MAX:
                raise Malformed('a chunk does not end where it said')


def unix_time(date):
    return calendar.timegm(time.strptime(date, '%a, %d %b %Y %H:%M:%S GMT'))


def faults(a, allow=True):
    """What is wrong with an answer that could be read, by RFC 9110 alone. allow: 405 needs Allow."""
    out = ['%s comes %d times' % (n, len(a.all(n))) for n in SINGLE if len(a.all(n)) > 1]
    date = a.get('date')
    if a.status < 200:
        return out
    if date is None:
        if a.status < 500:
            out.append('no Date (9110-6.6.1)')
    elif not DATE.fullmatch(date):
        out.append('Date %r (9110-5.6.7)' % date)
    elif abs(unix_time(date) - time.time()) > 120:
        out.append('Date %r is not now' % date)
    for need, name in ((401, 'www-authenticate'), (405, 'allow'), (426, 'upgrade'), (206, 'content-range')):
        if a.status == need and a.get(name) is None and (allow or need != 405):
            out.append('%d without %s' % (need, name))
    if a.get('etag') is not None and not ETAG.fullmatch(a.get('etag')):
        out.append('ETag %r (9110-8.8.3)' % a.get('etag'))
    if a.body and a.status in (205,):
        out.append('%d with a body' % a.status)
    if a.framed == 'close' and 'keep-alive' in a.options():
        out.append('an answer that ends with the connection, which is kept')
    return out


def house_faults(a, head=False):
    """What is wrong with an answer of ours: the fields that each has, and the form of errors."""
    out = []
    if a.status < 200:
        return out
    for name in ('date', 'x-request-id', 'x-content-type-options', 'referrer-policy', 'cache-control'):
        if len(a.all(name)) != 1:
            out.append('%d times %s' % (len(a.all(name)), name))
    if a.get('x-content-type-options') != 'nosniff':
        out.append('it may be sniffed')
    if not re.fullmatch('[0-9a-f]{32}', a.get('x-request-id') or ''):
        out.append('X-Request-Id %r' % a.get('x-request-id'))
    if a.get('server') is not None:
        out.append('it tells what it is')
    if a.framed == 'close' and a.get('content-type') != 'text/event-stream' and not head:
        out.append('its length is not said')
    if a.status in (429, 503) and a.get('retry-after') is None:
        out.append('%d without Retry-After' % a.status)
    if a.body and a.get('content-type') is None:
        out.append('a body without a type')
    if a.status < 400:
        return out
    if a.get('content-type') != 'application/json':
        out.append('an error as %s' % a.get('content-type'))
    if head:
        return out
    try:
        j = json.loads(a.body.decode('utf-8'))
        if j['status'] != a.status or j['requestId'] != a.get('x-request-id') or not re.fullmatch('[A-Z][A-Z0-9_]*', j['code']) or not j['error']:
            out.append('error body %r' % a.body[:200])
    except (ValueError, KeyError, TypeError):
        out.append('error body %r' % a.body[:200])
    return out
