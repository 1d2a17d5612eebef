"""Workers that an admin tells to drain: no more work, what runs goes on, and then they end by themselves."""
import os

import pytest
from harness import http_call, wait_until
from test_up import Up

WORKERS = '/api/workers'


def workers(i, gw=0):
    return {w['id']: w for w in i.api('GET', WORKERS, gw=gw).ok()}


def drain(i, wid, gw=0, **kw):
    return i.api('POST', '%s/%s/drain' % (WORKERS, wid), gw=gw, **kw)


def by_name(i, name):
    return next(w['id'] for w in workers(i).values() if w['name'] == name)


def test_no_more_work_and_its_probes_move(fresh):
    """It runs on what it has, others take the rest, and its end is clean. Started anew it works again."""
    i = fresh(gateways=2, workers=2, slots=2, env={'MC_DRAIN': '30'})
    one = by_name(i, 'worker-1')
    gate = os.path.join(i.dir, 'gate')
    hold = 'while [ ! -e %s ]; do sleep 0.05; done; echo through' % gate
    held = [i.task(hold, run=True)['id'] for _ in range(4)]         # all slots of both
    for t in held:
        wait_until('it runs', lambda t=t: i.get_task(t)['sessionId'])
    where = {t: i.sessions(t)[0]['workerId'] for t in held}
    assert sorted(where.values()).count(one) == 2
    i.workers[0].expect = (0,)
    a = drain(i, one)
    w = a.ok()
    assert w['id'] == one and w['draining'] is True and w['connected'] is True and 'key' not in w
    for gw in (0, 1):                                                # at once, on both
        assert workers(i, gw)[one]['draining'] is True
        assert [x['draining'] for x in workers(i, gw).values() if x['id'] != one] == [False]
    assert workers(i)[one]['running'] == 2
    assert drain(i, one, gw=1).ok()['draining'] is True              # again: nothing more to do
    waiting = [i.task(i.mark('w%d' % n), run=True)['id'] for n in range(3)]
    with open(gate, 'w'):
        pass
    for t in held + waiting:
        i.wait_task(t, 'done')
    for t in held:
        assert i.output(t).text == 'through\n'
    assert {i.sessions(t)[0]['workerId'] for t in waiting} == {w for w in workers(i) if w != one}
    assert sorted(i.marks()) == ['w0', 'w1', 'w2']
    assert i.workers[0].wait(20) == 0
    i.task('true', run=True)
    i.workers[0].start()
    wait_until('it is here again, and not draining',
               lambda: workers(i)[one]['connected'] and not workers(i)[one]['draining'])
    d = i.api('GET', '/api/desktops/desktop_1').ok()
    assert d['status'] == 'running'
    i.workers[1].expect = (0,)
    drain(i, by_name(i, 'worker-2')).ok()
    assert i.workers[1].wait(20) == 0
    t = i.task('echo works', run=True)
    i.wait_task(t['id'], 'done')
    assert i.sessions(t['id'])[0]['workerId'] == one


def test_ends_what_runs_too_long(fresh):
    i = fresh(gateways=1, workers=1, env={'MC_DRAIN': '1'})
    t = i.task('exec sleep 300', run=True)
    wait_until('it runs', lambda: i.get_task(t['id'])['sessionId'])
    i.workers[0].expect = (0,)
    drain(i, 'worker_1').ok()
    assert i.workers[0].wait(20) == 0
    i.wait_task(t['id'], 'failed')


def test_refusals(fresh):
    i = fresh(gateways=1, workers=1)
    drain(i, 'worker_99').error(404)
    drain(i, 'desktop_1').error(404)
    drain(i, 'worker_1', key=i.make_key('operator')).error(403)
    made = i.api('POST', WORKERS, {'name': 'never-seen'}).ok(201)
    drain(i, made['id']).error(409, 'BAD_STATE')
    assert not workers(i)['worker_1']['draining']


def test_the_order_outlives_the_broker(fresh):
    """Told while the worker does not listen, and the broker is killed before it does: it drains all the same."""
    i = fresh(gateways=1, workers=1)
    i.workers[0].pause()
    drain(i, 'worker_1').ok()
    i.broker.kill9()
    i.broker.start()
    wait_until('the gateway is back', lambda: i.api('GET', WORKERS).status == 200)
    i.workers[0].expect = (0,)
    i.workers[0].resume()
    assert i.workers[0].wait(30) == 0


@pytest.mark.release_only
def test_under_tools_up_it_is_started_again():
    with Up(MC_WORKERS='1', MC_DRAIN='2') as u:
        u.wait_ready()

        def worker():
            a = http_call(u.port, 'GET', WORKERS, headers={'x-api-key': u.key})
            return a.json[0] if a.status == 200 else {}
        wait_until('a worker is connected', lambda: worker().get('connected'), 30)
        assert http_call(u.port, 'POST', WORKERS + '/worker_1/drain', headers={'x-api-key': u.key}).ok()['draining']
        wait_until('it is started again', lambda: 'worker-1 ended with status 0 and is started again' in u.text(), 20)
        wait_until('it works again', lambda: worker().get('connected') and not worker()['draining'], 20)
