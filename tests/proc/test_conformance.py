"""The table of HTTP conformance (tests/conformance) against the real gateway: each case is a test, named by its section. They are
played together by the first of them, because the slow ones wait for the gateway's limits; so they all belong to one process."""
import json
import os
import sys

import pytest

from harness import REPO, STRETCH, TASKS, Install

sys.path.insert(0, os.path.join(REPO, 'tests', 'conformance'))
import answer  # noqa: E402
import play  # noqa: E402
import table  # noqa: E402

pytestmark = pytest.mark.xdist_group('conformance')
AREAS, CASES = table.load()


@pytest.fixture(scope='module')
def results():
    i = Install(gateways=1, workers=0)
    try:
        def created():
            return {t['title'] for t in json.loads(i.api('GET', TASKS).text)}
        got = play.run(CASES, ('127.0.0.1', i.port()), i.key.encode(), created, stretch=STRETCH, quiet=15 * STRETCH)
    except BaseException:
        i.close(check=False, show=True)
        raise
    i.close()
    return got


@pytest.mark.parametrize('case', CASES, ids=[c.name for c in CASES])
def test_case(results, case):
    assert not results[case], '\n'.join(results[case])
