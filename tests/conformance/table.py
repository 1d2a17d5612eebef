"""The table of cases, by areas. play.py says what a case is made of; the cases_*.py hold them.

    AREAS    {title: [case, ...]} in the order of the RFCs
    CASES    all of them
"""
import importlib

TASKS = b'/api/mission-control/tasks'
TASK = b'{"type":"command","content":"true","desktopId":"desktop_1"}'
JSON = b'Content-Type: application/json'
KEY_WORD = b'%KEY' + b'-' * 43 + b'%'        # as long as a key is, so that lengths are right before it is known
KEY = b'x-api-key: ' + KEY_WORD
TE = b'Transfer-Encoding: chunked'
GET = b'GET /healthz HTTP/1.1'
POST = b'POST ' + TASKS + b' HTTP/1.1'
ANSWERED = b'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'

# What the RFCs leave open, in the words of `want`.
REFUSED = '400 close'
HOST_400 = '400 any | 421 any'                    # "MUST respond with 400" to a Host that is none; refused as misdirected is refused
MUST_400 = '400 any'                              # "MUST respond with 400": whether the connection goes on is left open
MUST_400_CLOSE = '400 close'                      # "MUST respond with 400 and close"
SHOULD_400 = '4xx any | 501 any | close'          # outside the grammar: refused somehow
UNFRAMED = '4xx close | 501 close | close'        # the end of the message cannot be known: refused, and the connection ends
LENIENT = '4xx any | 501 any | close | 200 any'   # refused, or repaired as the RFC allows


class Case:
    def __init__(self, name, send, want, rfc=None, own=False, fields=None, body=None, code=None, same=(), heads=(), http10=(),
                 seconds=None, area='', trap=None):
        self.name = name if name[0].isalpha() or name[:4].isdigit() and name[4] == '-' else '9112-' + name
        self.send = send if isinstance(send, list) else [send]
        self.want, self.rfc, self.own = want, rfc or want, own
        self.fields, self.body, self.code, self.same = fields or {}, body or {}, code or {}, same
        self.heads, self.http10, self.seconds, self.area = heads, http10, seconds, area
        self.trap = trap        # the title of a task that must not exist afterwards; '+...': that must

    @property
    def slow(self):
        return self.seconds is not None

    def __repr__(self):
        return self.name


def case(*args, **kw):
    return Case(*args, **kw)


def req(line=GET, *fields, host=b'Host: 127.0.0.1', body=b''):
    """A request: its line, Host (None: without), fields, the empty line, a body."""
    return b'\r\n'.join((line,) + ((host,) if host is not None else ()) + fields) + b'\r\n\r\n' + body


def post(*fields, body=b'', line=POST):
    """A request that creates a task, when its body is good."""
    return req(line, KEY, JSON, *fields, body=body)


def length(n):
    return b'Content-Length: %d' % n


def good_post(body=TASK):
    return post(length(len(body)), body=body)


def chunks(body, size=1 << 30, extension=b'', trailer=b''):
    out = b''.join(b'%x%s\r\n%s\r\n' % (len(body[i:i + size]), extension, body[i:i + size]) for i in range(0, len(body), size))
    return out + b'0\r\n' + trailer + b'\r\n'


def octets(name, data, *args, **kw):
    """The same case twice: whole, and octet by octet (large ones in pieces of 100)."""
    return [Case(name, data, *args, **kw), Case(name + ', octet by octet', [('octets', data, 1 if len(data) < 3000 else 100)], *args, **kw)]


def area(title, *cases):
    flat = []
    for c in cases:
        flat += c if isinstance(c, list) else [c]
    for c in flat:
        c.area = title
    return title, flat


def _load():
    areas = {}
    for module in ('cases_message', 'cases_framing', 'cases_connection', 'cases_semantics', 'cases_smuggling'):
        areas.update(importlib.import_module(module).AREAS)
    names = set()
    for c in (c for cs in areas.values() for c in cs):
        assert c.name not in names, 'two cases are called %r' % c.name
        names.add(c.name)
    return areas


def load():
    """(areas, cases)"""
    areas = _load()
    return areas, [c for cs in areas.values() for c in cs]
