"""Fixtures of the process tests; harness.py says how to use them."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402


@pytest.fixture(scope='session')
def shared():
    """One installation for the cheap tests of this pytest process: two gateways, two workers."""
    i = harness.Install(gateways=2, workers=2)
    yield i
    i.close()


@pytest.fixture
def fresh():
    """Makes installations that belong to one test; closed, and judged, when it ends."""
    made = []

    def make(*a, **kw):
        i = harness.Install(*a, **kw)
        made.append(i)
        return i
    yield make
    faults = []
    for i in made:
        try:
            i.close()
        except AssertionError as e:
            faults.append(str(e))
    assert not faults, '\n'.join(faults)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the programs' logs beside a failure."""
    out = yield
    report = out.get_result()
    if report.failed:
        for i in list(harness._open):
            for p in i.progs():
                report.sections.append((p.name + ' log', p.log_text()[-4000:]))


def pytest_collection_modifyitems(items):
    """The long ones first, so that the processes of a parallel run end together."""
    items.sort(key=lambda i: 0 if 'test_faults' in i.nodeid else 1 if 'test_up' in i.nodeid or 'heartbeat' in i.nodeid else 2)
