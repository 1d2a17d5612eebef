"""The README's five-minute tour, as printed: the ```sh blocks between its markers are run in order, in one shell, against a
tools/up of its own. Markers:  <!-- tour -->  before the first block and  <!-- /tour -->  after the last. A block directly under
a line  <!-- expect: TEXT -->  must print TEXT; several such lines may stand there. The block that starts tools/up is not run: the test has
started it, with its own directory and port, which take the place of the printed ones."""
import os
import re
import subprocess

import pytest
from harness import BUILD, REPO, STRETCH
from test_up import Up

pytestmark = pytest.mark.release_only
README = os.path.join(REPO, 'README.md')


def blocks():
    with open(README) as f:
        text = f.read()
    out = []
    for part in re.findall(r'<!-- tour -->(.*?)<!-- /tour -->', text, re.S):
        for m in re.finditer(r'((?:<!-- expect: .*? -->\n)*)```sh\n(.*?)```', part, re.S):
            out.append((re.findall(r'<!-- expect: (.*?) -->', m.group(1)), m.group(2)))
    return out


def test_tour_works_as_printed():
    if not os.path.exists(README):
        pytest.skip('there is no README.md yet')
    found = blocks()
    assert found, 'README.md has no tour between its markers'
    with Up(MC_RATE_LIMIT='0') as u:
        u.wait_ready()
        script = ['set -e', 'trap \'kill $(jobs -p) 2>/dev/null || :\' EXIT']
        for n, (_, block) in enumerate(found):
            block = block.replace('127.0.0.1:8080', '127.0.0.1:%d' % u.port).replace('localhost:8080', '127.0.0.1:%d' % u.port)
            block = re.sub(r'(\./)?data/admin-api-key', u.data + '/admin-api-key', block)
            block = block.replace('$PWD/build/bin', os.path.join(BUILD, 'bin'))
            if re.search(r'^\s*(\./)?tools/(up|check)\b', block, re.M):
                block = ''
            script += ['echo "<<< %d"' % n, block]
        r = subprocess.run(['bash', '-c', '\n'.join(script)], cwd=u.dir, capture_output=True, text=True, timeout=120 * STRETCH,
                           stdin=subprocess.DEVNULL, env={'PATH': os.environ['PATH'], 'HOME': u.dir, 'LANG': 'C.UTF-8'})
        assert r.returncode == 0, (r.returncode, r.stdout[-3000:], r.stderr[-3000:])
        parts = re.split(r'<<< \d+\n', r.stdout)[1:]
        for (expect, block), got in zip(found, parts):
            for code in re.findall(r'"code":"([A-Z_]+)"', got):        # an error is printed only where the tour says so
                assert any(code in e for e in expect), (block, got)
            for e in expect:
                assert e in got, (block, e, got)
