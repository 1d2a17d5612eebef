"""Prompt tasks against an OpenAI-compatible server that nobody here wrote (npm @dwmkerr/mock-llm), and against one that fails
in each way an endpoint can (chat_faults.py)."""
import json
import os
import shutil
import socket
import subprocess
import urllib.request

import chat_faults
import pytest
from harness import REPO, TASKS, end, popen, wait_until

MAIN = os.path.join(REPO, 'tests', 'node_modules', '@dwmkerr', 'mock-llm', 'dist', 'main.js')
RULES = r'''
streaming:
  chunkSize: 8
  chunkIntervalMs: 5
rules:
  - path: "/v1/chat/completions"
    match: "@"
    response:
      status: 200
      content: |
        {"id": "c1", "object": "chat.completion", "model": "{{jmes request body.model}}",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "You said: {{jmes request body.messages[-1].content}}"}, "finish_reason": "stop"}]}
  - path: "/v1/chat/completions"
    match: "contains(body.messages[-1].content, 'who are you')"
    response:
      status: 200
      content: |
        {"id": "c2", "object": "chat.completion", "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "{{jmes request headers.authorization}} {{jmes request body.model}} {{jmes request body.messages[0].role}} {{jmes request body.messages[0].content}}"}, "finish_reason": "stop"}]}
  - path: "/v1/chat/completions"
    match: "contains(body.messages[-1].content, 'error-401')"
    response:
      status: 401
      content: |
        {"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}}
  - path: "/v1/models"
    method: "GET"
    response:
      status: 200
      content: |
        {"object": "list", "data": [{"id": "gpt-4", "object": "model"}]}
'''


@pytest.fixture(scope='module')
def mock_llm(tmp_path_factory):
    d = tmp_path_factory.mktemp('llm')
    (d / 'mock-llm.yaml').write_text(RULES)
    for _ in range(5):
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        log = open(d / 'log', 'ab')
        p = popen([shutil.which('node'), MAIN, '--config', str(d / 'mock-llm.yaml')], cwd=d, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                  env={'PATH': os.environ['PATH'], 'HOST': '127.0.0.1', 'PORT': str(port)})

        def up():
            if p.poll() is not None:
                return 'ended'
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://127.0.0.1:%d/health' % port, timeout=2) as r:
                    return r.status == 200
            except OSError:
                return False
        if wait_until('mock-llm answers', up, 20) is True:
            break
        end(p)
    yield 'http://127.0.0.1:%d/v1' % port
    end(p)


@pytest.fixture
def faulty():
    s = chat_faults.Server()
    yield s
    s.close()


def agent(i, name, url, **chat):
    d = i.make_desktop(name, chat={'url': url, 'model': 'gpt-4', **chat})
    return d['id']


def ready(i, did):
    wait_until('the agent is ready', lambda: i.api('GET', '/api/desktops/' + did).ok()['agentReady'], 20)


def test_prompt_is_answered(shared, mock_llm):
    d = agent(shared, 'chatty', mock_llm)
    ready(shared, d)
    with shared.stream('/api/mission-control/activity/stream?include=output') as s:
        t = shared.task('Install PostgreSQL and create a database', type='prompt', desktopId=d)
        assert shared.act(t['id'], 'run').ok()['status'] == 'running'
        done = shared.wait_task(t['id'], 'done')
        s.wait_task(t['id'], 'task.completed')
        live = ''.join(f.payload['data'] for f in s.frames if f.type == 'task.output' and f.payload['taskId'] == t['id'])
    text = shared.output(t['id']).text
    assert text.rstrip('\n') == 'You said: Install PostgreSQL and create a database'
    assert done['error'] is None and text.startswith(live.rstrip('\n')[:5]) and done['sessionId']
    assert shared.sessions(t['id'])[0]['status'] == 'completed'


def test_prompt_with_approval(shared, mock_llm):
    d = agent(shared, 'careful', mock_llm)
    t = shared.task('please', type='prompt', desktopId=d, requiresApproval=True, run=True)
    r = shared.wait_task(t['id'], 'review')
    a = shared.api('GET', '/api/mission-control/approvals/' + r['approvalId']).ok()
    assert a['task']['type'] == 'prompt' and a['task']['content'] == 'please'
    assert shared.act(t['id'], 'review', {'decision': 'approve'}).ok()['status'] == 'done'


def test_key_model_and_system_prompt_reach_the_endpoint(shared, mock_llm):
    d = agent(shared, 'keyed', mock_llm, key='sk-secret-7', systemPrompt='Be brief.')
    t = shared.task('who are you', type='prompt', desktopId=d, run=True)
    shared.wait_task(t['id'], 'done')
    text = shared.output(t['id']).text
    assert 'Bearer sk-secret-7' in text and 'gpt-4' in text and 'system Be brief.' in text
    for p in shared.progs():
        assert 'sk-secret-7' not in p.log_text()
    with open(shared.data + '/data.mdb', 'rb') if os.path.exists(shared.data + '/data.mdb') else open(os.devnull, 'rb') as f:
        assert b'sk-secret-7' not in f.read().replace(text.encode(), b'')


def test_endpoint_that_refuses_the_key(shared, mock_llm):
    d = agent(shared, 'refused', mock_llm)
    t = shared.task('error-401', type='prompt', desktopId=d, run=True)
    f = shared.wait_task(t['id'], 'failed')
    assert f['error']['code'] == 'agent_error' and 'Incorrect API key' in f['error']['message']


@pytest.mark.parametrize('how', ['401', '429', '500', '404', 'html', 'empty', 'malformed', 'disconnect', 'error'])
def test_endpoint_that_fails(shared, faulty, how):
    d = agent(shared, 'faulty-' + how, faulty.url)
    t = shared.task(how + ' please', type='prompt', desktopId=d, run=True)
    f = shared.wait_task(t['id'], 'failed')
    assert f['error']['code'] == 'agent_error' and f['error']['message'], f
    if how.isdigit():
        assert how in f['error']['message']
    assert len([x for x in faulty.seen if x[2]['messages'][-1]['content'].startswith(how)]) == 1    # a prompt is not repeated by itself
    shared.api('DELETE', TASKS + '/' + t['id'])


def test_endpoint_whose_line_never_ends(shared, faulty):
    d = agent(shared, 'endless', faulty.url)
    t = shared.task('endless', type='prompt', desktopId=d, run=True, timeoutSeconds=20)
    f = shared.wait_task(t['id'], 'failed', seconds=30)
    assert f['error']['code'] in ('agent_error', 'timeout')


def test_request_as_the_protocol_has_it(shared, faulty):
    d = agent(shared, 'exact', faulty.url)
    t = shared.task('good "morning" \U0001f600', type='prompt', desktopId=d, run=True)
    shared.wait_task(t['id'], 'done')
    assert shared.output(t['id']).text.rstrip('\n') == 'first second third'
    path, headers, body = faulty.seen[-1]
    assert path == '/v1/chat/completions' and body['stream'] is True and body['model'] == 'gpt-4'
    assert headers['Content-Type'].startswith('application/json')
    assert body['messages'][-1] == {'role': 'user', 'content': 'good "morning" \U0001f600'}


def test_endpoint_that_does_not_stream(shared, faulty):
    d = agent(shared, 'plain', faulty.url)
    t = shared.task('plain', type='prompt', desktopId=d, run=True)
    f = shared.wait_task(t['id'], 'done', 'failed')
    if f['status'] == 'done':
        assert shared.output(t['id']).text.rstrip('\n') == 'plain answer'
    else:
        assert f['error']['code'] == 'agent_error'


def test_endpoint_that_stalls_runs_into_the_time_limit(shared, faulty):
    d = agent(shared, 'stalling', faulty.url)
    t = shared.task('stall', type='prompt', desktopId=d, run=True, timeoutSeconds=2)
    f = shared.wait_task(t['id'], 'failed')
    assert f['error']['code'] == 'timeout' and shared.output(t['id']).text.startswith('first ')


def test_cancel_while_it_speaks(shared, faulty):
    d = agent(shared, 'cancelled', faulty.url)
    t = shared.task('stall', type='prompt', desktopId=d, run=True)
    assert faulty.stalled.wait(20)
    assert shared.act(t['id'], 'cancel').ok()['status'] == 'cancelled'
    wait_until('the session is closed', lambda: shared.sessions(t['id'])[0]['status'] == 'cancelled')


def test_endpoint_nobody_listens_on(shared):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        d = agent(shared, 'nobody', 'http://127.0.0.1:%d/v1' % s.getsockname()[1])
        t = shared.task('hello', type='prompt', desktopId=d, run=True)
        f = shared.wait_task(t['id'], 'failed', seconds=30)
        assert f['error']['code'] == 'agent_error' and f['error']['message']
        assert json.dumps(f)
