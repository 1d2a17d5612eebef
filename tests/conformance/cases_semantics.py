"""RFC 9110: methods, expectations, upgrades, conditions, ranges, content, credentials."""
from table import (ANSWERED, GET, JSON, KEY, POST, TASK, TASKS, TE, area, case, chunks, good_post, length, octets, post, req)

OPENAPI = b'GET /api/openapi.json HTTP/1.1'
SETTINGS = b'/api/mission-control/settings'
PUT = b'PUT ' + SETTINGS + b' HTTP/1.1'
LIST = b'GET ' + TASKS + b' HTTP/1.1'
TAG = {0: {'etag': '"[^"]+"'}}
NO_UPGRADE = {0: {'upgrade': None, 'connection': None}}


def method(name, path=b'/healthz', *fields):
    return req(b'%s %s HTTP/1.1' % (name, path), *fields)


def put(*fields, body=b'{}'):
    return req(PUT, KEY, JSON, length(len(body)), *fields, body=body)


def in_sync(path, *fields, status='200'):
    name = '9110-9.3.2 HEAD %s%s' % (path.decode(), ' with %s' % fields[-1].decode().split(':')[0] if fields else '')
    rfc = '200/404 200/404 keep' if status in ('401', '404') else '200/304 200/304 keep' if status == '304' else '%s*2 keep' % status
    return case(name, [method(b'GET', path, *fields), method(b'HEAD', path, *fields)], '%s*2 keep' % status, rfc, same=(0, 1), heads=(1,))


def etag_case(name, value, status, rfc=None, line=OPENAPI, more=()):
    return case('9110-13.1.2 ' + name, req(line, *([b'If-None-Match: ' + value] if value is not None else []), *more), status + ' keep', rfc)


AREAS = dict((
    area('Methods (9110-9, 15.5.6, 15.6.2)',
         in_sync(b'/healthz'), in_sync(b'/readyz'), in_sync(b'/api/openapi.json'), in_sync(b'/nowhere', KEY, status='404'),
         in_sync(TASKS, status='401'), in_sync(SETTINGS, KEY),
         in_sync(b'/api/openapi.json', b'If-None-Match: *', status='304'), in_sync(TASKS + b'/task_999999', KEY, status='404'),
         case('9110-9.3.2 HEAD of a stream', [method(b'HEAD', b'/api/mission-control/stream', KEY), ('wait', 1)], '200 keep', own=True, heads=(0,)),
         case('9110-9.3.2 HEAD with a body', req(b'HEAD /healthz HTTP/1.1', length(5), body=b'hello'), '200 close', '200 any | 4xx any', heads=(0,)),
         case('9110-9.3.2 HEAD of an error', req(b'HEAD /health z HTTP/1.1'), '400 close', '4xx any', heads=()),
         octets('9110-9.1 an unknown method', method(b'BREW'), '501 close', '501 any | 405 any'),
         case('9110-9.1 methods know capitals', method(b'get'), '501 close', '501 any | 405 any | 400 any'),
         case('9110-9.1 mixed capitals', method(b'Get'), '501 close', '501 any | 405 any | 400 any'),
         case('9110-9.1 a method that begins like GET', method(b'GETX'), '501 close', '501 any | 405 any | 400 any'),
         case('9110-9.1 all that a method may hold', method(b"!#$%&'*+-.^_`|~09aZ"), '501 close', '501 any | 405 any | 400 any'),
         case('9110-9.1 a method of 1,000 letters', method(b'M' * 1000), '501 close', '501 any | 405 any | 400 any'),
         case('9110-9.1 an unknown method with a body', req(b'BREW /healthz HTTP/1.1', length(len(ANSWERED)), body=ANSWERED), '501 close', '501 any | 405 any | 400 any'),
         case('9110-9.1 an unknown method and bad framing', req(b'BREW /healthz HTTP/1.1', b'Content-Length: x'), '400 close', '4xx close | 501 close'),
         case('9110-9.3.8 TRACE', method(b'TRACE', b'/healthz', KEY), '501 close', '501 any | 405 any'),
         case('9110-9.3.8 TRACE gives no field back', method(b'TRACE', b'/healthz', b'X-Secret: abcdef'), '501 close', '501 any | 405 any', body={0: rb'(?!.*abcdef).*'}),
         case('5789-2 PATCH of what cannot be patched', method(b'PATCH', b'/healthz', KEY), '405 keep', '405 any | 501 any', fields={0: {'allow': 'GET, HEAD'}}),
         case('9110-15.5.6 PUT', method(b'PUT', b'/healthz', KEY), '405 keep', '405 any | 501 any', fields={0: {'allow': 'GET, HEAD'}}),
         case('9110-15.5.6 DELETE', method(b'DELETE', b'/healthz', KEY), '405 keep', '405 any | 501 any', fields={0: {'allow': 'GET, HEAD'}}),
         case('9110-15.5.6 POST', method(b'POST', b'/healthz', KEY), '405 keep', '405 any | 501 any', fields={0: {'allow': 'GET, HEAD'}}),
         case('9110-15.5.6 Allow has all methods of the path', method(b'DELETE', TASKS, KEY), '405 keep', '405 any | 501 any', fields={0: {'allow': 'GET, HEAD, POST'}}),
         case('9110-15.5.6 Allow of a path with an id', method(b'PUT', TASKS + b'/task_1', KEY), '405 keep', '405 any | 501 any | 404 any',
              fields={0: {'allow': 'GET, HEAD, PATCH, DELETE'}}),
         case('9110-9.3.7 OPTIONS of a path', method(b'OPTIONS', b'/healthz', KEY), '405 keep', '2xx any | 405 any | 501 any', fields={0: {'allow': 'GET, HEAD'}}),
         case('9110-9.3.7 OPTIONS * with a body', req(b'OPTIONS * HTTP/1.1', length(5), body=b'hello'), '204 close', '2xx any | 4xx any | 501 any'),
         case('9110-9.3.6 CONNECT with what would follow in the tunnel', req(b'CONNECT 127.0.0.1:22 HTTP/1.1', host=b'Host: 127.0.0.1:22') + b'SSH-2.0-x\r\n',
              '501 close', '4xx any | 501 any | 4xx 4xx any'),
         case('9110-9.2.1 X-HTTP-Method-Override is another field', req(GET, b'X-HTTP-Method-Override: DELETE', b'X-Method-Override: PUT'), '200 keep')),

    area('Expect (9110-10.1.1)',
         case('9110-10.1.1 100, then the answer', [post(length(len(TASK)), b'Expect: 100-continue'), ('wait', 1), TASK], '100 201 keep'),
         case('9110-10.1.1 for chunks', [post(TE, b'Expect: 100-continue'), ('wait', 1), chunks(TASK)], '100 201 keep'),
         case('9110-10.1.1 capitals', [post(length(len(TASK)), b'Expect: 100-Continue'), ('wait', 1), TASK], '100 201 keep'),
         case('9110-10.1.1 the body is there already', post(length(len(TASK)), b'Expect: 100-continue', body=TASK), '201 keep', '201 keep | 100 201 keep'),
         case('9110-10.1.1 octet by octet', [('octets', post(length(len(TASK)), b'Expect: 100-continue'), 1), ('wait', 1), TASK], '100 201 keep'),
         case('9110-10.1.1 twice on one connection', [post(length(len(TASK)), b'Expect: 100-continue'), ('wait', 1), TASK, ('wait', 2),
                                                      post(length(len(TASK)), b'Expect: 100-continue'), ('wait', 3), TASK], '100 201 100 201 keep'),
         case('9110-10.1.1 no 100 to who may not', [req(POST, JSON, length(len(TASK)), b'Expect: 100-continue'), ('wait', 1)], '401 close', '401 any'),
         case('9110-10.1.1 no 100 for what is too large', [post(length(9999999), b'Expect: 100-continue'), ('wait', 1)], '413 close', '413 any'),
         case('9110-10.1.1 no 100 for what is of another type', [req(POST, KEY, b'Content-Type: text/plain', length(5), b'Expect: 100-continue'), ('wait', 1)],
              '415 close', '415 any | 100 2xx any'),
         case('9110-10.1.1 no 100 where there is no body', post(length(0), b'Expect: 100-continue'), '400 keep', '4xx any | 2xx any | 100 2xx any'),
         case('9110-10.1.1 GET', req(GET, b'Expect: 100-continue'), '200 keep', '200 any | 100 200 any'),
         case('9110-10.1.1 no 100 where framing is bad', post(length(5), TE, b'Expect: 100-continue'), '400 close', '4xx close'),
         case('9110-10.1.1 another expectation', post(length(5), b'Expect: cake', body=b'hello'), '417 close', '417 any | 2xx any | 400 any'),
         case('9110-10.1.1 another expectation of GET', req(GET, b'Expect: cake'), '417 close', '417 any | 200 any'),
         case('9110-10.1.1 two expectations', post(length(5), b'Expect: 100-continue, cake', body=b'hello'), '417 close', '417 any | 2xx any | 100 2xx any | 400 any'),
         case('9110-10.1.1 twice in two fields', post(length(5), b'Expect: 100-continue', b'Expect: 100-continue', body=b'hello'), '417 close',
              '417 any | 2xx any | 100 2xx any | 400 any'),
         case('9110-10.1.1 empty', req(GET, b'Expect:'), '417 close', '417 any | 200 any | 400 any'),
         case('9110-10.1.1 a parameter', post(length(5), b'Expect: 100-continue;a=b', body=b'hello'), '417 close', '417 any | 2xx any | 100 2xx any | 400 any'),
         case('9110-10.1.1 begins like 100-continue', post(length(5), b'Expect: 100-continuex', body=b'hello'), '417 close', '417 any | 2xx any | 400 any')),

    area('Upgrade (9110-7.8, 7540-3.2)',
         case('9110-7.8 h2c', req(GET, b'Connection: Upgrade, HTTP2-Settings', b'Upgrade: h2c', b'HTTP2-Settings: AAMAAABkAAQAAP__'), '200 keep', fields=NO_UPGRADE),
         case('9110-7.8 h2c, and its preface behind it', req(GET, b'Connection: Upgrade, HTTP2-Settings', b'Upgrade: h2c', b'HTTP2-Settings: AAMAAABkAAQAAP__') +
              b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '200 505 close', '200 505 close | 200 4xx close | 200 close'),
         case('9110-7.8 websocket', req(GET, b'Connection: Upgrade', b'Upgrade: websocket', b'Sec-WebSocket-Version: 13', b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='),
              '200 keep', fields=NO_UPGRADE),
         case('9110-7.8 TLS/1.0', req(b'OPTIONS * HTTP/1.1', b'Connection: Upgrade', b'Upgrade: TLS/1.0'), '204 keep', '2xx any | 405 any | 501 any | 426 any'),
         case('9110-7.8 with a body', post(length(len(TASK)), b'Connection: Upgrade', b'Upgrade: x', body=TASK), '201 keep'),
         case('9110-7.8 with a request as the body', req(POST, KEY, JSON, length(len(ANSWERED)), b'Connection: Upgrade', b'Upgrade: websocket', body=ANSWERED),
              '400 keep', '400/201 keep'),
         case('9110-7.8 without Connection', req(GET, b'Upgrade: h2c'), '200 keep'),
         case('9110-7.8 an unknown protocol', req(GET, b'Connection: Upgrade', b'Upgrade: gopher/7'), '200 keep'),
         case('9110-7.8 a request behind it', req(GET, b'Connection: Upgrade', b'Upgrade: websocket') + ANSWERED, '200*2 keep')),

    area('Conditions (9110-13)',
         etag_case('none', None, '200', None), case('9110-8.8.3 a tag is given', req(OPENAPI), '200 keep', fields=TAG),
         case('9110-8.8.3 the overview has one too', req(b'GET /api/mission-control/overview HTTP/1.1', KEY), '200 keep', fields=TAG, own=True),
         etag_case('any', b'*', '304'), etag_case('another tag', b'"0"', '200'), etag_case('two other tags', b'"0", "1"', '200'),
         etag_case('another weak tag', b'W/"0"', '200'), etag_case('an empty tag', b'""', '200'),
         etag_case('an empty value', b'', '200', '200 keep | 400 any'), etag_case('no quotes', b'0', '200', '200 keep | 400 any'),
         etag_case('an asterisk in quotes is a tag', b'"*"', '200'),
         etag_case('an asterisk in a list is none', b'"0", *', '200', '200/304 keep | 400 any'),
         etag_case('a quote without its end', b'"0', '200', '200 keep | 400 any'),
         case('9110-13.1.2 the tag', [req(OPENAPI, b'If-None-Match: %TAG%')], '304 keep', fields={0: {'etag': '"[^"]+"', 'content-length': None}}),
         case('9110-13.1.2 the tag among others', [req(OPENAPI, b'If-None-Match: "a", %TAG%, "b"')], '304 keep'),
         case('9110-13.1.2 the tag among others, without blanks', [req(OPENAPI, b'If-None-Match: "a",%TAG%,"b"')], '304 keep'),
         case('9110-13.1.2 the tag in a second field', [req(OPENAPI, b'If-None-Match: "a"', b'If-None-Match: %TAG%')], '304 keep'),
         case('9110-13.1.2 weak comparison', [req(OPENAPI, b'If-None-Match: W/%TAG%')], '304 keep'),
         case('9110-13.1.2 the tag for HEAD', [req(b'HEAD /api/openapi.json HTTP/1.1', b'If-None-Match: %TAG%')], '304 keep', heads=(0,)),
         case('9110-13.1.2 the tag as a part of another', [req(OPENAPI, b'If-None-Match: "x%BARE%"')], '200 keep'),
         case('9110-13.1.2 the tag without quotes', [req(OPENAPI, b'If-None-Match: %BARE%')], '200 keep', '200 keep | 400 any'),
         case('9110-13.1.2 a lower-case weakness is none', [req(OPENAPI, b'If-None-Match: w/%TAG%')], '200 keep', '200/304 keep | 400 any'),
         case('9110-15.4.5 what 304 has', [req(OPENAPI, b'If-None-Match: *')], '304 keep',
              fields={0: {'etag': '"[^"]+"', 'date': '.*', 'cache-control': 'no-cache', 'content-type': None, 'transfer-encoding': None}}),
         case('9110-13.1.3 a date is passed over beside a tag', req(OPENAPI, b'If-None-Match: "0"', b'If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT'), '200 keep'),
         case('9110-13.1.3 a date beside any tag', req(OPENAPI, b'If-None-Match: *', b'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT'), '304 keep'),
         case('9110-13.1.3 a date without a Last-Modified', req(OPENAPI, b'If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT'), '200 keep'),
         case('9110-13.1.3 no date', req(OPENAPI, b'If-Modified-Since: yesterday'), '200 keep'),
         case('9110-13.1.4 If-Unmodified-Since where nothing has a date', req(OPENAPI, b'If-Unmodified-Since: Fri, 01 Jan 2038 00:00:00 GMT'), '200 keep'),
         case('9110-13.1.1 If-Match any', req(OPENAPI, b'If-Match: *'), '200 keep'),
         case('9110-13.1.1 If-Match the tag', [req(OPENAPI, b'If-Match: %TAG%')], '200 keep'),
         case('9110-13.1.1 If-Match the tag among others', [req(OPENAPI, b'If-Match: "a", %TAG%')], '200 keep'),
         case('9110-13.1.1 If-Match another tag', req(OPENAPI, b'If-Match: "0"'), '412 keep'),
         case('9110-13.1.1 If-Match compares strongly', [req(OPENAPI, b'If-Match: W/%TAG%')], '412 keep'),
         case('9110-13.1.1 If-Match in two fields', [req(OPENAPI, b'If-Match: "a"', b'If-Match: %TAG%')], '200 keep'),
         case('9110-13.2.2 If-Match goes before If-None-Match', req(OPENAPI, b'If-Match: "0"', b'If-None-Match: *'), '412 keep'),
         case('9110-13.2.2 If-Match holds, If-None-Match decides', [req(OPENAPI, b'If-Match: %TAG%', b'If-None-Match: %TAG%')], '304 keep'),
         case('9110-13.2.2 If-Match goes before If-Unmodified-Since', [req(OPENAPI, b'If-Match: %TAG%', b'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT')], '200 keep'),
         case('9110-13.1.1 If-Match keeps a change from being made', put(b'If-Match: "0"'), '412 keep', own=True),
         case('9110-13.1.1 If-Match any lets it be made', put(b'If-Match: *'), '200 keep', own=True),
         case('9110-13.1.2 If-None-Match any keeps a change from being made', put(b'If-None-Match: *'), '412 keep', own=True),
         case('9110-13.1.2 If-None-Match another tag lets it be made', put(b'If-None-Match: "0"'), '200 keep', own=True),
         case('9110-13.1.3 If-Modified-Since is for GET and HEAD', put(b'If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT'), '200 keep', own=True),
         case('9110-13.2.1 not before the credential', req(OPENAPI.replace(b'/api/openapi.json', TASKS), b'If-None-Match: *'), '401 keep', '401 any'),
         case('9110-13.2.1 not before 404', req(b'GET /nowhere HTTP/1.1', KEY, b'If-Match: "0"'), '404 keep'),
         case('9110-13.2.1 not before 405', req(b'PUT /healthz HTTP/1.1', KEY, b'If-Match: "0"'), '405 keep', '405 any | 501 any')),

    area('Ranges (9110-14)',
         case('9110-14.2 a range', req(OPENAPI, b'Range: bytes=0-9'), '200 keep', '200/206 keep', fields={0: {'content-range': None}}),
         case('9110-14.2 a range that cannot be', req(OPENAPI, b'Range: bytes=999999999-'), '200 keep', '200/416 keep'),
         case('9110-14.2 many ranges', req(OPENAPI, b'Range: bytes=' + b','.join(b'%d-' % n for n in range(300))), '200 keep', '200/206/416 keep'),
         case('9110-14.1 another unit', req(OPENAPI, b'Range: lines=0-9'), '200 keep'),
         case('9110-14.2 no range', req(OPENAPI, b'Range: bytes=x'), '200 keep', '200/416 keep'),
         case('9110-14.2 last before first', req(OPENAPI, b'Range: bytes=9-0'), '200 keep', '200/416 keep'),
         case('9110-14.2 for another method', post(length(len(TASK)), b'Range: bytes=0-9', body=TASK), '201 keep'),
         case('9110-13.1.5 If-Range with another tag', req(OPENAPI, b'Range: bytes=0-9', b'If-Range: "0"'), '200 keep'),
         case('9110-14.2 beside a condition', req(OPENAPI, b'Range: bytes=0-9', b'If-None-Match: *'), '304 keep')),

    area('Content (9110-8, 12, 15.5.16)',
         case('9110-8.3 JSON', good_post(), '201 keep', fields={0: {'content-type': 'application/json'}}),
         case('9110-8.3 with a charset', req(POST, KEY, JSON + b'; charset=utf-8', length(len(TASK)), body=TASK), '201 keep'),
         case('9110-8.3 charset in quotes and capitals', req(POST, KEY, b'Content-Type: APPLICATION/JSON;Charset="UTF-8"', length(len(TASK)), body=TASK), '201 keep'),
         case('9110-8.3 an unknown parameter', req(POST, KEY, JSON + b'; a=b', length(len(TASK)), body=TASK), '201 keep'),
         case('9110-15.5.16 no type', req(POST, KEY, length(len(TASK)), body=TASK), '415 close', own=True),
         case('9110-15.5.16 text', req(POST, KEY, b'Content-Type: text/plain', length(len(TASK)), body=TASK), '415 close', own=True),
         case('9110-15.5.16 a form', req(POST, KEY, b'Content-Type: application/x-www-form-urlencoded', length(3), body=b'a=b'), '415 close', own=True),
         case('9110-15.5.16 a type that begins like JSON', req(POST, KEY, b'Content-Type: application/jsonx', length(len(TASK)), body=TASK), '415 close', own=True),
         case('9110-15.5.16 JSON as a parameter', req(POST, KEY, b'Content-Type: text/plain; a=application/json', length(len(TASK)), body=TASK), '415 close', own=True),
         case('9110-15.5.16 two types', req(POST, KEY, JSON, JSON, length(len(TASK)), body=TASK), '415 close', own=True),
         case('9110-15.5.16 another charset', req(POST, KEY, JSON + b'; charset=utf-16', length(len(TASK)), body=TASK), '415 close', own=True),
         case('9110-15.5.16 a coding', post(b'Content-Encoding: gzip', length(len(TASK)), body=TASK), '415 close', own=True, fields={0: {'accept-encoding': 'identity'}}),
         case('9110-8.4 the coding identity', post(b'Content-Encoding: identity', length(len(TASK)), body=TASK), '201 keep', own=True),
         case('9110-12.5.1 Accept of another type', req(GET, b'Accept: text/html'), '200 keep', '200/406 keep'),
         case('9110-12.5.1 Accept of nothing', req(GET, b'Accept: */*;q=0'), '200 keep', '200/406 keep'),
         case('9110-12.5.1 Accept that is none', req(GET, b'Accept: ;;,,q=x'), '200 keep', '200/400/406 keep'),
         case('9110-12.5.3 Accept-Encoding', req(OPENAPI, b'Accept-Encoding: gzip, br'), '200 keep', fields={0: {'content-encoding': None}}),
         case('9110-12.5.3 not even identity', req(OPENAPI, b'Accept-Encoding: identity;q=0'), '200 keep', '200/406 keep'),
         case('9110-12.5.2 Accept-Charset', req(GET, b'Accept-Charset: iso-8859-1;q=1, *;q=0'), '200 keep', '200/406 keep'),
         case('9110-10.1.4 TE', req(GET, b'TE: trailers, deflate;q=0.5', b'Connection: TE'), '200 keep'),
         case('9110-5.6.1 a list of many empty members', req(GET, b'Connection: ' + b',' * 2000), '200 keep', '200 any | 4xx any'),
         case('9110-6.6.1 a Date of the client\'s', req(GET, b'Date: yesterday'), '200 keep'),
         case('9110-7.6.2 Max-Forwards', req(GET, b'Max-Forwards: 0'), '200 keep')),

    area('Credentials (9110-11)',
         case('9110-11.6.1 none', req(LIST), '401 keep', fields={0: {'www-authenticate': '.+'}}),
         case('9110-11.6.2 Bearer', req(LIST, b'Authorization: Bearer %KEY%'), '200 keep', own=True),
         case('9110-11.1 schemes know no capitals', req(LIST, b'Authorization: bEaReR %KEY%'), '200 keep', own=True),
         case('9110-11.6.2 Basic', req(LIST, b'Authorization: Basic YTpi'), '401 keep', own=True),
         case('9110-11.6.2 a scheme alone', req(LIST, b'Authorization: Bearer'), '401 keep', own=True),
         case('9110-11.6.2 a list', req(LIST, b'Authorization: Bearer %KEY%, Bearer %KEY%'), '401 keep', own=True),
         case('9110-11.6.2 twice', req(LIST, b'Authorization: Bearer %KEY%', b'Authorization: Bearer x'), '400 keep', own=True),
         case('9110-11.6.2 a key twice', req(LIST, KEY, KEY), '400 keep', own=True),
         case('9110-11.7.2 Proxy-Authorization is none', req(LIST, b'Proxy-Authorization: Bearer %KEY%'), '401 keep'),
         case('9110-11 a key of 4,000 octets', req(LIST, b'x-api-key: ' + b'k' * 4000), '401 keep', own=True),
         case('9110-11 x_api_key is another field', req(LIST, b'x_api_key: %KEY%'), '401 keep'),
         case('9110-4.2.4 a key in the path\'s query', req(b'GET ' + TASKS + b'?apiKey=%KEY% HTTP/1.1'), '401 keep', own=True)),
))
