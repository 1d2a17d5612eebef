"""Agents: made with their desktop, their status derived from it; edited, with a row a field in the audit trail."""
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import wait_until

AGENTS = '/api/agents'
DESKTOPS = '/api/desktops'
FEED = '/api/mission-control/stream'


def get(i, aid, gw=0, **kw):
    return i.api('GET', '%s/%s' % (AGENTS, aid), gw=gw, **kw).ok()


def wait_status(i, aid, status, gw=0):
    last = {}

    def look():
        last.update(get(i, aid, gw))
        return last if last['status'] == status else None
    return wait_until(lambda: '%s is %s: %s' % (aid, status, last), look)


def test_made_with_its_desktop(shared):
    d = shared.make_desktop('With an agent')
    a = get(shared, d['agentId'])
    assert set(a) == {'id', 'name', 'role', 'status', 'desktopId', 'createdAt'}
    assert a['name'] == 'With an agent' and a['role'] == 'agent' and a['desktopId'] == d['id'] and a['createdAt'] == d['createdAt']
    for gw in (0, 1):
        listed = shared.api('GET', AGENTS, gw=gw).ok()
        numbers = [int(x['id'].split('_')[1]) for x in listed]
        assert numbers == sorted(numbers, reverse=True) and a['id'] in [x['id'] for x in listed]
        assert len(listed) == len(shared.api('GET', DESKTOPS, gw=gw).ok())
    b = shared.api('DELETE', '%s/%s' % (DESKTOPS, d['id']))
    assert b.status == 204
    for gw in (0, 1):
        shared.api('GET', '%s/%s' % (AGENTS, a['id']), gw=gw, seen=b).error(404)
        assert a['id'] not in [x['id'] for x in shared.api('GET', AGENTS, gw=gw).ok()]
    shared.api('PATCH', '%s/%s' % (AGENTS, a['id']), {'name': 'gone'}).error(404)


def test_status_follows_the_desktop(shared):
    d = shared.make_desktop('Status', maxTasks=2)
    aid = d['agentId']
    wait_status(shared, aid, 'idle')
    t = shared.api('POST', '/api/mission-control/tasks',
                   {'type': 'command', 'content': 'sleep 60', 'desktopId': d['id'], 'run': True}).ok(201)
    assert wait_status(shared, aid, 'busy', gw=1)
    shared.act(t['id'], 'cancel').ok()
    wait_status(shared, aid, 'idle')
    with shared.stream(FEED) as s:
        shared.api('POST', '%s/%s/stop' % (DESKTOPS, d['id'])).ok()
        assert get(shared, aid)['status'] == 'offline'
        f = s.wait(lambda fs: next((f for f in fs if f.type == 'agent.status_changed' and f.payload['agent_id'] == aid), None))
        assert f.payload['name'] == 'Status'
    shared.api('POST', '%s/%s/start' % (DESKTOPS, d['id'])).ok()
    wait_status(shared, aid, 'idle')


class _Silent(BaseHTTPRequestHandler):
    """An endpoint that answers when it is told to."""
    answers = False

    def do_GET(self):
        body = b'{"object":"list","data":[]}' if type(self).answers else b'{}'
        self.send_response(200 if type(self).answers else 503)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *a):
        pass


@pytest.fixture
def endpoint():
    class Handler(_Silent):
        pass
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Handler, 'http://127.0.0.1:%d/v1' % server.server_port
    server.shutdown()
    server.server_close()


def test_online_until_its_endpoint_answers(shared, endpoint):
    handler, url = endpoint
    d = shared.make_desktop('With a chat', chat={'url': url})
    assert get(shared, d['agentId'])['status'] == 'online'
    handler.answers = True
    wait_status(shared, d['agentId'], 'idle')


def test_a_new_address_is_what_is_asked(shared, endpoint):
    """An endpoint that never answered is given another address: that one is asked from then on."""
    handler, url = endpoint
    handler.answers = True
    d = shared.make_desktop('Moved', chat={'url': 'http://127.0.0.1:1/v1'})
    assert get(shared, d['agentId'])['status'] == 'online'
    shared.api('PATCH', '%s/%s' % (DESKTOPS, d['id']), {'chat': {'url': url}}).ok()
    wait_status(shared, d['agentId'], 'idle')


def test_edit(shared):
    d = shared.make_desktop('Edited')
    path = '%s/%s' % (AGENTS, d['agentId'])
    a = shared.api('PATCH', path, {'name': 'CodeReviewer', 'role': 'reviewer', 'unknown': 1})
    assert a.ok()['name'] == 'CodeReviewer' and a.ok()['role'] == 'reviewer' and a.ok()['id'] == d['agentId']
    assert get(shared, d['agentId'], gw=1, seen=a) == a.ok()
    assert shared.api('GET', '%s/%s' % (DESKTOPS, d['id'])).ok()['name'] == 'Edited'
    assert shared.api('PATCH', path, {'role': 'x' * 200}).ok()['name'] == 'CodeReviewer'
    assert shared.api('PATCH', path, {}).ok()['role'] == 'x' * 200
    assert shared.api('PATCH', path, {'name': None}).ok()['name'] == 'CodeReviewer'
    for field in ('name', 'role'):
        for bad in ['', 'x' * 201, 'a\nb', 'a\x1b', 1, [], {}, True]:
            shared.api('PATCH', path, {field: bad}).error(400, 'INVALID_FIELD', field=field)
    shared.api('PATCH', path, {'name': 'n'}, key=shared.make_key('operator')).error(403)
    for bad in ['agent_99999999', 'desktop_1', 'agent_0', 'x']:
        shared.api('GET', '%s/%s' % (AGENTS, bad)).error(404)
        shared.api('PATCH', '%s/%s' % (AGENTS, bad), {'name': 'n'}).error(404)
    assert shared.api('DELETE', '%s/%s' % (DESKTOPS, d['id'])).status == 204


def test_two_gateways_edit_at_once(shared):
    """Both fields are kept, whoever is first; each edit is seen by the next."""
    d = shared.make_desktop('Both')
    path = '%s/%s' % (AGENTS, d['agentId'])

    def one(n):
        return shared.api('PATCH', path, {'name': 'n%d' % n} if n % 2 else {'role': 'r%d' % n}, gw=n % 2).ok()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    a = get(shared, d['agentId'])
    assert re.fullmatch(r'n\d+', a['name']) and re.fullmatch(r'r\d+', a['role'])
    assert json.dumps(a) in [json.dumps(x) for x in shared.api('GET', AGENTS, gw=1).ok()] or a['status'] != 'idle'
    assert shared.api('DELETE', '%s/%s' % (DESKTOPS, d['id'])).status == 204


def test_a_name_survives_its_broker(fresh):
    i = fresh(gateways=1, workers=1)
    i.api('PATCH', AGENTS + '/agent_1', {'name': 'Ada'}).ok()
    i.broker.kill9()
    i.broker.start()
    i.wait_ready()
    assert get(i, 'agent_1')['name'] == 'Ada'
    with i.stream(FEED) as s:
        i.api('POST', DESKTOPS + '/desktop_1/stop').ok()
        assert s.wait('agent.status_changed').payload['name'] == 'Ada'
