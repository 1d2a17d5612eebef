"""RFC 9112 11.2: requests hidden in others (CL.TE, TE.CL, TE.TE, CL.0, 0.CL, chunk lines, terminators), as they are known from PortSwigger's and
the HTTP Garden's collections, and the products of them. Each hides a request that would create a task; none may exist afterwards.

    AREAS     as in the other files
    PAYLOADS  [(id, octets)] for a proxy in front (run): the same, in every request's target `?seen=<id>-a`, in the hidden one's `-b`
"""
from table import JSON, KEY, POST, TASKS, area, case, length, req

SERVED_BEFORE = '4xx any | 501 any | 505 any | close | 2xx any | 304 any | 2xx 4xx any | 2xx 501 any'    # other servers may serve or refuse the first; the hidden one is looked for
# Others may read these as two requests: lines may end in a bare LF (9112-2.2), sizes may have any number of digits, HTTP/0.9 was one once.
OURS_ALONE = ('LF behind a trailer', 'LF LF behind a trailer', 'a request in a field\'s value by LF', 'a request in the target by LF',
              'HTTP/0.9 in front', 'chunk size: many digits')
_made = []


def title(n):
    return 'smuggled %04d' % n


def hidden(n):
    body = b'{"type":"command","content":"true","desktopId":"desktop_1","title":"%s"}' % title(n).encode()
    return req(b'POST %s?seen=%04d-b HTTP/1.1' % (TASKS, n), KEY, JSON, length(len(body)), body=body)


def first(n, *fields, line=POST, body=b'', base=(KEY, JSON)):
    line = line.replace(b' HTTP/', b'?seen=%04d-a HTTP/' % n, 1) if b'?' not in line and b'*' not in line else line
    return req(line, *base, *fields, body=body)


def smuggle(name, make, want, rfc=None, **kw):
    """make(n, hidden) gives the octets."""
    n = len(_made)
    kw.setdefault('own', name in OURS_ALONE)
    data = make(n, hidden(n))
    _made.append(('%04d' % n, data))
    return case(name if name[:4].isdigit() else '9112-11.2 ' + name, data, want, rfc or SERVED_BEFORE, trap=title(n), **kw)


ENDED = b'0\r\n\r\n'
REFUSED = '400 close | 501 close'

# Ways to say chunked that some take for it and some do not.
CODINGS = [
    ('chunked', b'Transfer-Encoding: chunked'), ('tab', b'Transfer-Encoding:\tchunked'), ('blanks', b'Transfer-Encoding:   chunked'),
    ('no blank', b'Transfer-Encoding:chunked'), ('blank behind', b'Transfer-Encoding: chunked '), ('tab behind', b'Transfer-Encoding: chunked\t'),
    ('vertical tab', b'Transfer-Encoding:\x0bchunked'), ('form feed', b'Transfer-Encoding:\x0cchunked'), ('NUL', b'Transfer-Encoding: \x00chunked'),
    ('NUL behind', b'Transfer-Encoding: chunked\x00'), ('bell', b'Transfer-Encoding: chunked\x07'), ('DEL', b'Transfer-Encoding: \x7fchunked'),
    ('obs-text', b'Transfer-Encoding: \xffchunked'), ('non-breaking blank', b'Transfer-Encoding: \xa0chunked'), ('soft hyphen', b'Transfer-Encoding: chun\xadked'),
    ('blank before the colon', b'Transfer-Encoding : chunked'), ('tab before the colon', b'Transfer-Encoding\t: chunked'),
    ('vertical tab before the colon', b'Transfer-Encoding\x0b: chunked'), ('NUL before the colon', b'Transfer-Encoding\x00: chunked'),
    ('CR before the colon', b'Transfer-Encoding\r: chunked'), ('line before the colon', b'Transfer-Encoding\r\n : chunked'),
    ('blank in front', b' Transfer-Encoding: chunked'), ('tab in front', b'\tTransfer-Encoding: chunked'), ('NUL in front', b'\x00Transfer-Encoding: chunked'),
    ('CR in front', b'\rTransfer-Encoding: chunked'), ('LF in front', b'\nTransfer-Encoding: chunked'),
    ('folded', b'Transfer-Encoding:\r\n chunked'), ('folded by a tab', b'Transfer-Encoding:\r\n\tchunked'), ('folded twice', b'Transfer-Encoding:\r\n \r\n chunked'),
    ('behind a bare LF', b'X: a\nTransfer-Encoding: chunked'), ('behind a bare CR', b'X: a\rTransfer-Encoding: chunked'),
    ('behind LF CR', b'X: a\n\rTransfer-Encoding: chunked'), ('behind CR CR LF', b'X: a\r\r\nTransfer-Encoding: chunked'),
    ('behind a folded line', b'X: a\r\n Transfer-Encoding: chunked'), ('behind a NUL', b'X: a\x00\r\nTransfer-Encoding: chunked'),
    ('capitals', b'TRANSFER-ENCODING: CHUNKED'), ('long s and Kelvin sign', 'Transfer-Encoding: chun\u212aed'.encode()),
    ('single quotes', b"Transfer-Encoding: 'chunked'"), ('quotes', b'Transfer-Encoding: "chunked"'), ('an escape', b'Transfer-Encoding: %63hunked'),
    ('a parameter', b'Transfer-Encoding: chunked;q=1'), ('a semicolon', b'Transfer-Encoding: chunked;'), ('a comment', b'Transfer-Encoding: chunked (x)'),
    ('a comma in front', b'Transfer-Encoding: ,chunked'), ('a comma behind', b'Transfer-Encoding: chunked,'), ('x behind', b'Transfer-Encoding: chunked, x'),
    ('x in front', b'Transfer-Encoding: x, chunked'), ('identity behind', b'Transfer-Encoding: chunked, identity'),
    ('identity in front', b'Transfer-Encoding: identity, chunked'), ('gzip in front', b'Transfer-Encoding: gzip, chunked'),
    ('twice', b'Transfer-Encoding: chunked, chunked'), ('no comma', b'Transfer-Encoding: x chunked'), ('xchunked', b'Transfer-Encoding: xchunked'),
    ('chunkedx', b'Transfer-Encoding: chunkedx'), ('chunk', b'Transfer-Encoding: chunk'), ('identity', b'Transfer-Encoding: identity'),
    ('empty', b'Transfer-Encoding:'), ('two fields, the second x', b'Transfer-Encoding: chunked\r\nTransfer-Encoding: x'),
    ('two fields, the first x', b'Transfer-Encoding: x\r\nTransfer-Encoding: chunked'),
    ('two fields, the second identity', b'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'),
    ('two fields, the second empty', b'Transfer-Encoding: chunked\r\nTransfer-Encoding:'),
    ('two fields, other capitals', b'Transfer-Encoding: chunked\r\ntransfer-encoding: chunked'),
    ('two fields, one with a blank', b'Transfer-Encoding: x\r\nTransfer-Encoding : chunked'),
    ('a colon', b'Transfer-Encoding:: chunked'), ('an equals sign', b'Transfer-Encoding= chunked'), ('no colon', b'Transfer-Encoding chunked'),
]
# Names that are other fields by the RFC; a length beside them is the framing.
OTHER_NAMES = [b'Transfer_Encoding', b'Transfer-Encoding_', b'Transfer.Encoding', b'X-Transfer-Encoding', b'Transfer-Encodin', b'Transfer-Encoding-', b'TransferEncoding',
               b'TE', b'Content-Transfer-Encoding', b'Content-Encoding2']
# Ways to give two lengths, or one that is read in two ways; %d is the whole body, %w that and 2^64.
LENGTHS = [
    ('zero and all', (b'Content-Length: 0', b'Content-Length: %d')), ('all and zero', (b'Content-Length: %d', b'Content-Length: 0')),
    ('list of zero and all', (b'Content-Length: 0, %d',)), ('list of all and zero', (b'Content-Length: %d, 0',)), ('list without a blank', (b'Content-Length: 0,%d',)),
    ('zero, a blank, all', (b'Content-Length: 0 %d',)), ('zero, a tab, all', (b'Content-Length: 0\t%d',)), ('a folded second number', (b'Content-Length: 0', b' %d')),
    ('folded', (b'Content-Length:', b' %d')), ('blank before the colon', (b'Content-Length : %d',)), ('tab before the colon', (b'Content-Length\t: %d',)),
    ('the second with a blank', (b'Content-Length: 0', b'Content-Length : %d')), ('NUL before the colon', (b'Content-Length\x00: %d',)),
    ('CR before the colon', (b'Content-Length\r: %d',)), ('vertical tab', (b'Content-Length:\x0b%d',)), ('NUL behind', (b'Content-Length: %d\x00',)),
    ('plus', (b'Content-Length: +%d',)), ('minus', (b'Content-Length: -%d',)), ('zero and plus', (b'Content-Length: 0', b'Content-Length: +%d')),
    ('a point', (b'Content-Length: %d.0',)), ('zero, point', (b'Content-Length: 0.%d',)), ('hex', (b'Content-Length: 0x%x',)), ('octal', (b'Content-Length: 0o%o',)),
    ('exponent', (b'Content-Length: %de0',)), ('underscore', (b'Content-Length: 0_%d',)), ('quotes', (b'Content-Length: "%d"',)), ('letters behind', (b'Content-Length: %dx',)),
    ('a semicolon', (b'Content-Length: %d;',)), ('a comma', (b'Content-Length: %d,',)), ('a comma in front', (b'Content-Length: ,%d',)),
    ('behind a bare LF', (b'X: a\nContent-Length: %d',)), ('behind a bare CR', (b'X: a\rContent-Length: %d',)), ('behind CR CR LF', (b'X: a\r\r\nContent-Length: %d',)),
    ('empty and all', (b'Content-Length:', b'Content-Length: %d')), ('blank in front', (b' Content-Length: %d',)), ('twice all', (b'Content-Length: %d', b'Content-Length: %d')),
    ('2^64 more', (b'Content-Length: %w',)), ('full-width digits', ('Content-Length: ０'.encode(), b'Content-Length: %d')),
    ('other capitals', (b'content-length: 0', b'CONTENT-LENGTH: %d')), ('no colon', (b'Content-Length %d',)),
]
# A chunk's line that is read in two ways. What follows hides the request for who reads it as the shorter.
CHUNK_LINES = [
    ('0x', b'0x0'), ('plus', b'+0'), ('minus', b'-0'), ('blank in front', b' 0'), ('tab in front', b'\t0'), ('vertical tab in front', b'\x0b0'), ('NUL', b'0\x00'),
    ('g', b'g'), ('empty', b''), ('a point', b'0.0'), ('a comma', b'0,5'), ('quotes', b'"0"'), ('two numbers', b'0 5'), ('underscore', b'0_0'),
    ('overflow to zero', b'10000000000000000'), ('overflow to zero, 32 bits', b'100000000'), ('many digits', b'0' * 17), ('newline in an extension', b'0;a\n'),
    ('CR in an extension', b'0;a\rb'), ('NUL in an extension', b'0;a\x00'), ('empty extension', b'0;'), ('open quote in an extension', b'0;a="b'),
    ('full-width digit', '０'.encode()), ('blank behind', b'0 '), ('tab behind', b'0\t'), ('vertical tab behind', b'0\x0b'),
]
TERMINATORS = [('LF', b'\n'), ('CR', b'\r'), ('CR CR LF', b'\r\r\n'), ('LF LF', b'\n\n'), ('LF CR', b'\n\r'), ('CR X', b'\rX'), ('XX', b'XX'), ('none', b'')]


def fill(fields, n):
    return tuple(f.replace(b'%w', b'%d' % (2**64 + n)).replace(b'%d', b'%d' % n).replace(b'%x', b'%x' % n).replace(b'%o', b'%o' % n) for f in fields)


def in_two(n, h, coding):
    """TE.CL: the length ends before the hidden request, the chunk goes round it."""
    body = b'%x\r\n%s\r\n0\r\n\r\n' % (len(h), h)
    return first(n, length(body.index(b'\r\n') + 2), coding, body=body)


def _made_of(name, coding):
    legal = name in ('chunked', 'tab', 'blanks', 'no blank', 'blank behind', 'tab behind', 'capitals', 'a comma in front', 'a comma behind')
    return [smuggle('CL.TE: %s' % name, lambda n, h: first(n, length(len(ENDED + h)), coding, body=ENDED + h), REFUSED),
            smuggle('TE.CL: %s' % name, lambda n, h: in_two(n, h, coding), REFUSED),
            # Without a length: what is no coding must not be taken for "no body".
            *([] if legal else [smuggle('TE.0: %s' % name, lambda n, h: first(n, coding, body=b'%x\r\n%s\r\n0\r\n\r\n' % (len(h), h)), REFUSED)])]


def _cl0(name, line, want, *fields, base=(KEY,), rfc=None):
    return smuggle('CL.0: ' + name, lambda n, h: first(n, length(len(h)), *fields, line=line, body=h, base=base), want, rfc)


GETS = b'GET /healthz HTTP/1.1'
SWALLOWED = '400 keep'        # the length counts: the hidden request is a body that is no JSON

AREAS = dict((
    area('Smuggling: codings (9112-11.2, 6.1, 6.3)',
         *[_made_of(name, coding) for name, coding in CODINGS],
         *[smuggle('CL.TE: the field %s' % name.decode(), lambda n, h, name=name: first(n, length(len(ENDED + h)), name + b': chunked', body=ENDED + h),
                   SWALLOWED, '400/201 keep | 4xx close') for name in OTHER_NAMES],
         smuggle('CL.TE in HTTP/1.0', lambda n, h: first(n, length(len(ENDED + h)), b'Transfer-Encoding: chunked', line=POST[:-1] + b'0', body=ENDED + h),
                 REFUSED, http10=(0,)),
         smuggle('TE.0 in HTTP/1.0', lambda n, h: first(n, b'Transfer-Encoding: chunked', line=POST[:-1] + b'0', body=ENDED + h), REFUSED, http10=(0,)),
         smuggle('TE.0 in HTTP/1.0, kept', lambda n, h: first(n, b'Connection: keep-alive', b'Transfer-Encoding: chunked', line=POST[:-1] + b'0', body=ENDED + h),
                 REFUSED, http10=(0,)),
         smuggle('TE as an option of Connection', lambda n, h: first(n, b'Connection: Transfer-Encoding', b'Transfer-Encoding: chunked',
                                                                     body=b'%x\r\n%s\r\n0\r\n\r\n' % (len(h), h)), SWALLOWED, '400/201 any | 4xx close'),
         smuggle('CL as an option of Connection', lambda n, h: first(n, b'Connection: Content-Length', length(len(h)), body=h), SWALLOWED, '400/201 any | 4xx close')),
    area('Smuggling: lengths (9112-11.2, 6.3)',
         *[smuggle('CL.CL: %s' % name, lambda n, h, fields=fields: first(n, *fill(fields, len(h)), body=h), REFUSED) for name, fields in LENGTHS],
         _cl0('GET', GETS, '200 close'), _cl0('GET with a type', GETS, '200 close', JSON), _cl0('GET, nowhere', b'GET /nowhere HTTP/1.1', '404 close'),
         smuggle('CL.0: HEAD', lambda n, h: first(n, length(len(h)), line=b'HEAD /healthz HTTP/1.1', body=h), '200 close', heads=(0,)),
         _cl0('DELETE', b'DELETE ' + TASKS + b'/task_999999 HTTP/1.1', '404 close'), _cl0('OPTIONS', b'OPTIONS /healthz HTTP/1.1', '405 close'),
         _cl0('PUT of what cannot be put', b'PUT /healthz HTTP/1.1', '405 close'), _cl0('TRACE', b'TRACE /healthz HTTP/1.1', '501 close'),
         _cl0('an unknown method', b'BREW /healthz HTTP/1.1', '501 close'), _cl0('an absolute target', b'GET http://127.0.0.1/healthz HTTP/1.1', '200 close'),
         smuggle('CL.0: a hostile Host', lambda n, h: req(POST.replace(b' HTTP', b'?seen=%04d-a HTTP' % n), KEY, length(len(h)), host=b'Host: evil.example', body=h),
                 '421 close'),
         _cl0('no credential', POST, '401 close', JSON, base=()), _cl0('a bad credential', POST, '401 close', JSON, base=(b'x-api-key: no',)),
         _cl0('another type', POST, '415 close', b'Content-Type: text/plain'), _cl0('a coding', POST, '415 close', JSON, b'Content-Encoding: gzip'),
         _cl0('Upgrade', GETS, '200 close', b'Connection: Upgrade', b'Upgrade: websocket'),
         _cl0('h2c', GETS, '200 close', b'Connection: Upgrade, HTTP2-Settings', b'Upgrade: h2c', b'HTTP2-Settings: AAMAAABkAAQAAP__'),
         _cl0('a condition', b'GET /api/openapi.json HTTP/1.1', '304 close', b'If-None-Match: *'),
         _cl0('a route that needs no body', b'POST ' + TASKS + b'/task_999999/run HTTP/1.1', '400 keep | 404 keep', JSON),
         _cl0('a list', b'GET ' + TASKS + b' HTTP/1.1', '200 close'), _cl0('the real body', POST, SWALLOWED, JSON, rfc='400/201 any'),
         smuggle('0.CL: an unknown expectation', lambda n, h: first(n, b'Expect: y', length(len(h)), body=h), '417 close'),
         smuggle('0.CL: an expectation with a blank', lambda n, h: first(n, b'Expect: 100-continue x', length(len(h)), body=h), '417 close'),
         smuggle('0.CL: 100-continue', lambda n, h: first(n, b'Expect: 100-continue', length(len(h)), body=h), SWALLOWED + ' | 100 400 keep', '400/201 any | 100 201 any'),
         smuggle('0.CL: 100-continue for GET', lambda n, h: first(n, b'Expect: 100-continue', length(len(h)), line=GETS, body=h), '200 close', '200 any | 100 200 any'),
         smuggle('0.TE: 100-continue and another', lambda n, h: first(n, b'Expect: 100-continue, y', b'Transfer-Encoding: chunked',
                                                                      body=b'%x\r\n%s\r\n0\r\n\r\n' % (len(h), h)), '417 close', SERVED_BEFORE + ' | 100 201 any')),
    area('Smuggling: chunks (9112-11.2, 7.1)',
         *[smuggle('chunk size: %s' % name, lambda n, h, c=c: first(n, b'Transfer-Encoding: chunked', body=c + b'\r\n\r\n' + h), REFUSED + ' | 413 close')
           for name, c in CHUNK_LINES],
         *[smuggle('%s behind a chunk size' % name, lambda n, h, t=t: first(n, b'Transfer-Encoding: chunked', body=b'0' + t + b'\r\n' + h), REFUSED)
           for name, t in TERMINATORS if t],
         *[smuggle('%s behind a chunk\'s data' % name, lambda n, h, t=t: first(n, b'Transfer-Encoding: chunked', body=b'2\r\n{}' + t + ENDED + h), REFUSED)
           for name, t in TERMINATORS],
         *[smuggle('%s behind an extension' % name, lambda n, h, t=t: first(n, b'Transfer-Encoding: chunked', body=b'2;a' + t + b'{}\r\n' + ENDED + h), REFUSED)
           for name, t in TERMINATORS],
         *[smuggle('%s behind a trailer' % name, lambda n, h, t=t: first(n, b'Transfer-Encoding: chunked', body=b'0\r\nX: a' + t + b'\r\n' + h), REFUSED)
           for name, t in TERMINATORS if t],
         smuggle('EXT.TERM: an LF in an extension hides a chunk', lambda n, h: first(n, b'Transfer-Encoding: chunked', body=b'2;\n{}\r\n%x\r\n%s\r\n0\r\n\r\n' % (len(h), h)),
                 REFUSED),
         smuggle('TERM.SPILL: two octets more', lambda n, h: first(n, b'Transfer-Encoding: chunked', body=b'2\r\n{}XX%x\r\n%s\r\n0\r\n\r\n' % (len(h), h)), REFUSED),
         smuggle('a head that ends in LF LF', lambda n, h: first(n, length(len(h)))[:-4] + b'\n\n' + h, REFUSED),
         smuggle('a head that ends in CR CR', lambda n, h: first(n, length(len(h)))[:-4] + b'\r\r' + h, REFUSED),
         smuggle('a head that ends in LF CR LF', lambda n, h: first(n, length(len(h)))[:-4] + b'\n\r\n' + h, REFUSED),
         smuggle('a head that ends in CR LF LF', lambda n, h: first(n, length(len(h)))[:-4] + b'\r\n\n' + h, REFUSED),
         smuggle('a head that ends in CRLF blank CRLF', lambda n, h: first(n, length(len(h)))[:-2] + b' \r\n' + h, REFUSED)),
    area('Smuggling: lines (9112-11.1, 3, 5)',
         smuggle('a request in a field\'s value by CR', lambda n, h: req(GETS, b'X: a\r\r' + h), REFUSED),
         smuggle('a request in a field\'s value by LF', lambda n, h: req(GETS, b'X: a\n\n' + h), REFUSED),
         smuggle('a request behind a NUL', lambda n, h: req(GETS, b'X: a\x00\r\n\r\n' + h), REFUSED),
         smuggle('a request in the target by LF', lambda n, h: b'GET /healthz\n\n' + h, REFUSED),
         smuggle('a request in the target by a tab', lambda n, h: b'GET /healthz HTTP/1.1\tX\r\nHost: 127.0.0.1\r\n\r\n' + h, REFUSED),
         smuggle('a second request line', lambda n, h: b'GET /healthz HTTP/1.1\r\n' + h, REFUSED),
         smuggle('HTTP/0.9 in front', lambda n, h: b'GET /healthz\r\n' + h, REFUSED),
         smuggle('HTTP/1.2 in front', lambda n, h: req(GETS[:-1] + b'2', b'Connection: close', KEY) + h, '505 close', '200 close | 505 close'),
         smuggle('HTTP/2.0 in front', lambda n, h: req(b'GET /healthz HTTP/2.0') + h, '505 close', '505 close | 400 close'),
         smuggle('the preface of HTTP/2 in front', lambda n, h: b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + h, '505 close', '505 close | 4xx close | close'),
         smuggle('an obs-fold in front of a Host', lambda n, h: b'GET /healthz HTTP/1.1\r\n Host: 127.0.0.1\r\nHost: evil.example\r\n\r\n' + h, REFUSED),
         smuggle('close, then the request', lambda n, h: req(GETS, b'Connection: close') + h, '200 close', '200 close'),
         smuggle('a TLS greeting in front', lambda n, h: b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + h, REFUSED),
         smuggle('CONNECT, then the request', lambda n, h: req(b'CONNECT 127.0.0.1:80 HTTP/1.1') + h, '501 close', '4xx close | 501 close')),
))
PAYLOADS = list(_made)
# What shows that the hidden request is a good one, and that it would be found.
CONTROL = case('9112-11.2 control: the hidden request, sent as it is', hidden(9999), '201 keep', trap='+' + title(9999))
AREAS['Smuggling: lines (9112-11.1, 3, 5)'].append(CONTROL)
CONTROL.area = 'Smuggling: lines (9112-11.1, 3, 5)'
