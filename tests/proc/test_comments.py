"""Comments on tasks: made, listed, streamed in bounded memory, shown on the feed, and gone with their task."""
import http.client
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import SANITIZED, TASKS, wait_until

FEED = '/api/mission-control/stream'
TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z')


def comments(i, tid, query='', gw=0, **kw):
    return i.api('GET', '%s/%s/comments%s' % (TASKS, tid, query), gw=gw, **kw)


def add(i, tid, content, gw=0, **kw):
    return i.api('POST', '%s/%s/comments' % (TASKS, tid), {'content': content}, gw=gw, **kw)


def test_made_and_listed_on_both_gateways(shared):
    t = shared.task('true', title='Discussed')
    with shared.stream(FEED) as s:
        a = add(shared, t['id'], 'First: "quoted"\n\twith a line \u00e9 \U0001f600', gw=1)
        c = a.ok(201)
        assert set(c) == {'id', 'taskId', 'author', 'content', 'createdAt'}
        assert re.fullmatch(r'comment_\d+', c['id']) and c['taskId'] == t['id'] and c['author'] == 'admin'
        assert c['content'] == 'First: "quoted"\n\twith a line \u00e9 \U0001f600' and TIME.fullmatch(c['createdAt'])
        two = add(shared, t['id'], 'x' * 65536, gw=0, seen=a)
        f = s.wait(lambda fs: next((f for f in fs if f.type == 'task.commented' and f.payload['comment_id'] == two.ok(201)['id']), None))
        assert f.payload['task_id'] == t['id'] and f.payload['author'] == 'admin'
        assert f.payload['comment_preview'] == 'x' * 1023 + '\u2026' or f.payload['comment_preview'] == 'x' * 1024 + '\u2026'
        assert f.data['entity_type'] == 'task' and f.data['entity_id'] == t['id'] and 'Discussed' in f.data['summary']
        first = next(f for f in s.frames if f.type == 'task.commented')
        assert first.payload['comment_preview'] == c['content']
    for gw in (0, 1):
        a = comments(shared, t['id'], gw=gw, seen=two)
        assert [x['id'] for x in a.ok()] == [c['id'], two.ok(201)['id']] and a.headers['X-Total-Count'] == '2'
        assert a.ok()[0] == c
    s.check()


def test_refusals(shared):
    t = shared.task('true')
    viewer, operator = shared.make_key('viewer'), shared.make_key('operator')
    for bad in ['', 'x' * 65537, 'a\x1bb', 7, [], {}, True]:
        add(shared, t['id'], bad).error(400, field='content')
    add(shared, t['id'], 'a\x00b').error(400, 'BAD_JSON')
    shared.api('POST', '%s/%s/comments' % (TASKS, t['id']), {}).error(400, 'MISSING_FIELD', field='content')
    add(shared, t['id'], None).error(400, 'MISSING_FIELD', field='content')
    add(shared, t['id'], 'no', key=viewer).error(403, 'FORBIDDEN')
    assert add(shared, t['id'], 'yes', key=operator).ok(201)['author'] == 'admin'     # an author is a user, not a key
    for tid in ['task_99999999', 'comment_1', 'x']:
        add(shared, tid, 'lost').error(404)
        comments(shared, tid).error(404)
    assert len(comments(shared, t['id'], key=viewer).ok()) == 1


def test_pages_go_on_where_the_link_says(shared):
    t = shared.task('true')
    ids = [add(shared, t['id'], 'c%d' % n).ok(201)['id'] for n in range(7)]
    seen, query = [], '?limit=3'
    while query:
        a = comments(shared, t['id'], query)
        assert a.headers['X-Total-Count'] == '7'
        seen.append([c['id'] for c in a.ok()])
        link = a.headers['Link']
        m = link and re.fullmatch(r'<(%s/%s/comments)(\?[^>]*)>; rel="next"' % (TASKS, t['id']), link)
        assert bool(m) == bool(link)
        query = m and m.group(2)
    assert seen == [ids[:3], ids[3:6], ids[6:]]
    number = ids[1].split('_')[1]
    for after in (ids[1], number):
        assert [c['id'] for c in comments(shared, t['id'], '?after=' + after).ok()] == ids[2:]
    assert [c['id'] for c in comments(shared, t['id'], '?after=0&limit=1').ok()] == ids[:1]
    for after in (ids[-1], 'comment_999999999', '9' * 30):
        assert comments(shared, t['id'], '?after=' + after).ok() == []
    for bad in ['', 'x', 'task_1', '1.5', '%00']:
        comments(shared, t['id'], '?after=' + bad).error(400, 'INVALID_FIELD', field='after')
    for bad in ['', 'x', '1.5']:
        comments(shared, t['id'], '?limit=' + bad).error(400, 'INVALID_FIELD', field='limit')
    assert len(comments(shared, t['id'], '?limit=99999').ok()) == 7


def test_two_gateways_at_once(shared):
    """Every comment once, in the order of its id, and as many as the task says."""
    t = shared.task('true')
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: add(shared, t['id'], 'from %d' % n, gw=n % 2).ok(201), range(120)))
    a = comments(shared, t['id'])
    numbers = [int(c['id'].split('_')[1]) for c in a.ok()]
    assert numbers == sorted(numbers) and len(set(numbers)) == 120 and a.headers['X-Total-Count'] == '120'
    assert {c['id']: c['content'] for c in a.ok()} == {c['id']: c['content'] for c in made}


def test_a_deleted_task_takes_its_comments_along(fresh):
    """At once for whoever asks; in the store step by step. Sessions and output go the same way, and no other task's."""
    i = fresh(gateways=2, workers=1)
    kept, t = i.task('echo kept', run=True), i.task('printf out', run=True)
    i.wait_task(kept['id'], 'done'), i.wait_task(t['id'], 'done')
    session = i.sessions(t['id'])[0]['id']
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: add(i, t['id'], 'c%d' % n, gw=n % 2).ok(201), range(100)))
    add(i, kept['id'], 'stays').ok(201)
    a = i.api('DELETE', '%s/%s' % (TASKS, t['id']))
    assert a.status == 204
    for gw in (0, 1):
        for path in ['/comments', '/sessions', '/output', '/output?session=' + session]:
            i.api('GET', '%s/%s%s' % (TASKS, t['id'], path), gw=gw, seen=a).error(404)
        i.api('GET', '/api/mission-control/sessions/' + session, gw=gw, seen=a).error(404)
        assert [s['taskId'] for s in i.api('GET', '/api/mission-control/sessions', gw=gw).ok()] == [kept['id']]
        assert [s['taskId'] for s in i.api('GET', '/api/mission-control/sessions?limit=5', gw=gw).ok()] == [kept['id']]
    add(i, t['id'], 'too late').error(404)

    i.broker.kill9()         # in the middle of it, perhaps
    i.broker.start()
    i.wait_ready()
    assert len(comments(i, kept['id']).ok()) == 1 and i.output(kept['id']).text == 'kept\n'
    i.api('GET', '%s/%s/comments' % (TASKS, t['id'])).error(404)


def test_large_comments_stream_in_bounded_memory(fresh):
    """64 MiB of comments: neither program ever holds them, and a reader that is slow costs nobody else anything."""
    i = fresh(gateways=1, workers=0)
    t = i.task('true')
    n, text = (60, 'y' * 65536) if SANITIZED else (250, '\u20ac' * 65536)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: add(i, t['id'], text).ok(201), range(n)))
    before = i.gateways[0].rss_kib()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.connect(('127.0.0.1', i.port()))
    s.sendall(('GET %s/%s/comments HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\nConnection: close\r\n\r\n' % (TASKS, t['id'], i.key)).encode())
    s.settimeout(60)
    first = s.recv(1000)
    assert first.startswith(b'HTTP/1.1 200') and b'Transfer-Encoding: chunked' in first and ('X-Total-Count: %d' % n).encode() in first
    i.api('GET', '/api/mission-control/overview').ok()
    most, got = 0, [first]
    while True:
        more = s.recv(1 << 20)
        if not more:
            break
        got.append(more)
        if len(got) % 50 == 0:
            most = max(most, i.gateways[0].rss_kib())
    s.close()
    rest, parts, at = b''.join(got).split(b'\r\n\r\n', 1)[1], [], 0
    while True:
        end = rest.index(b'\r\n', at)
        k = int(rest[at:end], 16)
        if k == 0:
            break
        parts.append(rest[end + 2:end + 2 + k])
        at = end + 2 + k + 2
    listed = json.loads(b''.join(parts))
    assert len(listed) == n and all(c['content'] == text for c in listed)
    if not SANITIZED:
        assert most - before < 24 * 1024, (before, most)


def test_no_more_than_ten_thousand(fresh):
    if SANITIZED:
        pytest.skip('ten thousand commits are slow under a sanitizer; the limit is the same code')
    i = fresh(gateways=2, workers=0, broker_args=('--sync', 'no'))
    t = i.task('true')
    body = json.dumps({'content': 'n'}).encode()

    def many(w):
        c = http.client.HTTPConnection('127.0.0.1', i.port(w % 2))
        for _ in range(625):
            c.request('POST', '%s/%s/comments' % (TASKS, t['id']), body, {'x-api-key': i.key, 'Content-Type': 'application/json'})
            r = c.getresponse()
            r.read()
            assert r.status == 201
        c.close()
    threads = [threading.Thread(target=many, args=(w,)) for w in range(16)]
    [x.start() for x in threads]
    [x.join() for x in threads]
    a = comments(i, t['id'])
    assert len(a.ok()) == 10000 and a.headers['X-Total-Count'] == '10000'
    add(i, t['id'], 'one more').error(409, 'BAD_STATE')
    assert i.api('DELETE', '%s/%s' % (TASKS, t['id'])).status == 204
    wait_until('the broker goes on answering while it sweeps', lambda: i.api('GET', '/api/mission-control/overview').status == 200)
