"""The Debian package: what is in it, that what is in it runs, and that the same sources give the same octets."""
import glob
import hashlib
import json
import os
import subprocess

import pytest
from harness import BUILD, REPO

pytestmark = pytest.mark.release_only


def build(to):
    out = subprocess.run([os.path.join(REPO, 'tools', 'deb'), BUILD, str(to)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert out.returncode == 0, out.stderr
    (path,) = glob.glob(os.path.join(str(to), '*.deb'))
    assert out.stdout.strip().endswith(os.path.basename(path))
    return path


def test_package(tmp_path):
    first = build(tmp_path / 'a')
    second = build(tmp_path / 'b')
    assert hashlib.sha256(open(first, 'rb').read()).digest() == hashlib.sha256(open(second, 'rb').read()).digest()

    root = tmp_path / 'root'
    subprocess.run(['dpkg-deb', '-x', first, str(root)], check=True)
    for program in ('mc-broker', 'mc-gateway', 'mc-worker', 'mcctl'):
        out = subprocess.run([str(root / 'usr/bin' / program), '--version'], capture_output=True, text=True, check=True).stdout
        assert program in out
    for unit in ('mc-broker.service', 'mc-gateway@.service', 'mc-gateway.socket', 'mc-worker@.service'):
        text = (root / 'lib/systemd/system' / unit).read_text()
        assert '/usr/local' not in text
    assert (root / 'usr/share/man/man1/mcctl.1').exists() or (root / 'usr/share/man/man1/mcctl.1.gz').exists()

    fields = subprocess.run(['dpkg-deb', '-f', first, 'Depends', 'Version'], capture_output=True, text=True, check=True).stdout
    for library in ('libnng1', 'liblmdb0', 'libuv1', 'libsodium23'):
        assert library in fields

    sbom = json.loads((root / 'usr/share/doc/mission-control/sbom.cdx.json').read_text())
    names = [c['name'] for c in sbom['components']]
    assert sbom['bomFormat'] == 'CycloneDX' and len(names) == len(set(names))
    assert {'libnng1', 'liblmdb0', 'libuv1', 'libsodium23', 'libcurl4', 'node-llhttp'} <= set(names)
    assert all(c['version'] and c['purl'].startswith('pkg:deb/debian/') for c in sbom['components'])
