"""Extensions that mkosi 25.3 builds, with systemd-repart 257 and 262: ours are the same to the last byte.

mkosi runs our mksquashfs, so that all around it is compared: what goes into the tree, which files, the partitions, the hash
tree, the signature, the files beside the image.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import cast

import pytest

from imgcore.build.ddi import RepartVersion
from imgcore.build.mkosi_image import MkosiSettings, build_images
from imgcore.build.mkosi_output import Writing
from imgcore.formats.squashfs import Options
from imgcore.mkosi import load
from tests.kit.mkosi import this_host, write_files
from tests.kit.mkosi_disks import build_by_mkosi
from tests.kit.oracles import missing
from tests.kit.repart import VERSIONS, make_keys

pytestmark = pytest.mark.oracle

SEED = "750b6cd5-c4ae-4012-a15e-7be3c29e6a47"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CONF = (
    "[Distribution]\nDistribution=custom\nArchitecture=x86-64\n"
    f"[Output]\nOutputDirectory=out\nOutput=x\nSeed={SEED}\n"
    "[Build]\nEnvironment=SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT=squashfs\n"
    "[Content]\nSourceDateEpoch=1600000000\n"
)
SIGNED = "[Validation]\nVerity=yes\nVerityKey=k.pem\nVerityCertificate=c.pem\n"
FILES: dict[str, str | None] = {
    "base/usr/lib/os-release": "ID=tester\nVERSION_ID=4\nSYSEXT_LEVEL=2\nCONFEXT_LEVEL=7\n",
    "base/usr/bin/a": "base a",
    "base/etc/e": "base e",
    "mkosi.extra/usr/bin/new": "#!new",
    "mkosi.extra/usr/share/doc/x": "x" * 300_000,
    "mkosi.extra/opt/o/file": "o",
    "mkosi.extra/etc/conf": "conf",
    "mkosi.extra/srv/s": "s",
    "mkosi.nspawn": "[Exec]\nBoot=no\n",
    # What mkosi leaves of its work, and we do not: marks of its overlay, and the lock of systemd-sysusers.
    "mkosi.finalize": "#!/bin/sh\nset -e\ncd $BUILDROOT\nrm -f etc/.pwd.lock\n"
    "for mark in origin impure opaque; do find . -exec setfattr -h -x user.overlay.$mark {} + 2>/dev/null || :; done\n",
}
CASES = {
    "sysext": CONF + "[Output]\nFormat=sysext\n",
    "sysext over a base": CONF + "[Output]\nFormat=sysext\nOverlay=yes\n[Content]\nBaseTrees=base\n",
    "sysext signed": CONF + "[Output]\nFormat=sysext\nOverlay=yes\nSplitArtifacts=partitions\n"
    "[Content]\nBaseTrees=base\n" + SIGNED,
    "confext": CONF + "[Output]\nFormat=confext\nOverlay=yes\n[Content]\nBaseTrees=base\n",
    "confext signed": CONF + "[Output]\nFormat=confext\nOverlay=yes\n[Content]\nBaseTrees=base\n" + SIGNED,
    "portable": CONF + "[Output]\nFormat=portable\n[Content]\nBaseTrees=base\n",
    "portable signed": CONF + "[Output]\nFormat=portable\nSectorSize=4096\n[Content]\nBaseTrees=base\n" + SIGNED,
}


def make_place(place: Path, conf: str) -> Path:
    """Write a configuration, with all that a tree may have and anybody may make."""
    write_files(place, {**FILES, "mkosi.conf": conf})
    make_keys(place)
    binaries = place / "mkosi.extra/usr/bin"
    (binaries / "link").symlink_to("new")
    (binaries / "nowhere").symlink_to("/no/such/file")
    os.link(binaries / "new", binaries / "hard")
    (binaries / "new").chmod(0o4755)
    (place / "mkosi.extra/opt/o").chmod(0o750)
    (place / "mkosi.extra/opt/empty").mkdir()
    (place / "mkosi.extra/etc/empty").mkdir()
    (place / "mkosi.extra/usr/holes").touch()
    os.truncate(place / "mkosi.extra/usr/holes", 1 << 20)
    (place / os.fsdecode(b"mkosi.extra/usr/caf\xe9")).write_text("not UTF-8")
    os.setxattr(place / "mkosi.extra/usr/share/doc/x", "user.color", b"blue")
    os.setxattr(place / "mkosi.extra/etc/conf", "user.color", b"red")
    (place / "mkosi.extra/usr/newer").touch()
    os.utime(place / "mkosi.extra/usr/newer", (2_000_000_000, 2_000_000_000))
    os.utime(place / "mkosi.extra/usr/bin/new", (1_000_000_000, 1_000_000_000))
    return place


def build_ours(directory: Path, version: str) -> None:
    # As systemd-repart calls mksquashfs.
    options = Options().with_settings({"compression": "gzip", "level": "9", "fragments": "small"})
    writing = Writing(options, systemd=cast(RepartVersion, int(version)), sync=False)
    build_images(load(this_host(directory)), directory.resolve(), MkosiSettings(scripts=True, writing=writing))


def require_same(theirs: Path, ours: Path) -> None:
    names = sorted(path.name for path in theirs.iterdir())
    assert sorted(path.name for path in ours.iterdir()) == names
    for name in names:
        one, two = theirs / name, ours / name
        assert one.is_symlink() == two.is_symlink()
        if one.is_symlink():
            assert os.readlink(one) == os.readlink(two)
        else:
            assert one.read_bytes() == two.read_bytes(), name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_the_same_to_the_byte(case: str, version: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        missing("an overlay over /usr needs root")
    place, scratch = tmp_path / "place", tmp_path / "scratch"
    make_place(place, CASES[case])
    scratch.mkdir()
    build_by_mkosi(place, version, scratch)
    (place / "out").rename(tmp_path / "theirs")
    build_ours(place, version)
    require_same(tmp_path / "theirs", place / "out")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example(version: str, tmp_path: Path) -> None:
    """kubectl's configuration as it is written, but for the distribution: that would be asked for packages."""
    place, scratch = tmp_path / "place", tmp_path / "scratch"
    shutil.copytree(EXAMPLES / "kubectl-sysext", place, ignore=shutil.ignore_patterns("mkosi.output"))
    conf = (place / "mkosi.conf").read_text().replace("Distribution=opensuse\nRelease=tumbleweed", "Distribution=custom")
    (place / "mkosi.conf").write_text(f"{conf}Seed={SEED}\n[Content]\nSourceDateEpoch=1600000000\n")
    scratch.mkdir()
    build_by_mkosi(place, version, scratch)
    (place / "mkosi.output").rename(tmp_path / "theirs")
    build_ours(place, version)
    require_same(tmp_path / "theirs", place / "mkosi.output")
