"""Images that mkosi 25.3 builds, in the formats for which it needs no tools of systemd, and what we build of the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from imgcore.build.mkosi_image import MkosiSettings, build_images
from imgcore.build.mkosi_output import Writing
from imgcore.build.source import open_source
from imgcore.formats.squashfs import Options
from imgcore.mkosi import load
from tests.kit.mkosi import mkosi_source, this_host, write_files
from tests.kit.oracles import Record, differences, host_records, missing, run, tool, tree_records

pytestmark = pytest.mark.oracle

CONF = (
    "[Distribution]\nDistribution=custom\nArchitecture=x86-64\n[Output]\nOutputDirectory=out\nOutput=x\nImageId=id\n"
    "ImageVersion=4\n"
    "[Content]\nSourceDateEpoch=1600000000\n"
)
SYSTEM: dict[str, str | None] = {
    "base/usr/lib/os-release": "ID=x\nIMAGE_ID=old\n",
    "base/usr/bin/a": "base a",
    "base/usr/bin/b": "base b",
    "base/usr/share/doc/d": "base d",
    "base/etc/e": "base e",
    "base/var/lib/rpm/db": "db",
    "mkosi.skeleton/opt/s": "skeleton",
    "mkosi.skeleton/usr/bin/a": "skeleton a",
    "mkosi.extra/usr/bin/new": "#!new",
    "mkosi.extra/usr/bin/a": "extra a",
    "mkosi.extra/usr/share/gone/x": "gone",
    "single": "single",
}
POSTINST = (
    "#!/bin/sh\nset -e\nrm $BUILDROOT/usr/bin/b\necho p > $BUILDROOT/usr/p\nchmod 700 $BUILDROOT/usr/share/doc\n"
    'env | grep -v -e ^PATH -e ^_= | sort > $BUILDROOT/usr/env\necho "$@" >> $BUILDROOT/usr/env\n'
    "pwd >> $BUILDROOT/usr/env\n"
    "id -u >> $BUILDROOT/usr/env\nchown 5:6 $BUILDROOT/usr/p\n"
)
FINALIZE = "#!/bin/sh\nset -e\nls -R $BUILDROOT > $OUTPUTDIR/listing\nmkdir -p $BUILDROOT/usr/made\n"
"touch $BUILDROOT/usr/made/f\n"
POSTOUTPUT = "#!/bin/sh\nset -e\nls $OUTPUTDIR > $OUTPUTDIR/after\nenv | grep -v -e ^PATH -e ^_= | sort >> $OUTPUTDIR/after\n"

CASES = {
    "copied": CONF + "Format=directory\nBaseTrees=base\n",
    "overlay": CONF + "Format=directory\nOverlay=yes\nBaseTrees=base\n",
    "trees": CONF + "Format=directory\nBaseTrees=base\n"
    "ExtraTrees=single:/usr/one,single:/usr/bin,single,mkosi.skeleton:/srv/x\n",
    "removed": CONF + "Format=directory\nBaseTrees=base\nCleanPackageMetadata=yes\n"
    "RemoveFiles=/usr/share/g*,/usr/bin/?,usr/**/d,/nothing\n",
    "tar": CONF + "Format=tar\nBaseTrees=base\n[Validation]\nChecksum=yes\n[Output]\nOutputMode=640\nCompressOutput=gz\n",
    "cpio": CONF + "Format=cpio\nBaseTrees=base\nCompressOutput=none\n",
}


def _prepare(place: Path, conf: str, scripts: bool) -> Path:
    files = {**SYSTEM, "mkosi.conf": conf}
    if scripts:
        files |= {"mkosi.postinst": POSTINST, "mkosi.finalize": FINALIZE, "mkosi.postoutput": POSTOUTPUT}
    write_files(place, files)
    (place / "base/usr/lib64").symlink_to("lib")
    (place / "base/lib").symlink_to("usr/lib")
    (place / "mkosi.extra/usr/bin/link").symlink_to("new")
    os.link(place / "mkosi.extra/usr/bin/new", place / "mkosi.extra/usr/bin/hard")
    (place / "mkosi.extra/usr/share").chmod(0o751)
    return place


def _by_mkosi(place: Path) -> None:
    """Build with mkosi. What it needs are user namespaces and overlays, and for archives tar, gzip, cpio."""
    done = subprocess.run(
        [tool("python3") if not os.path.exists("/usr/bin/python3") else "/usr/bin/python3", "-m", "mkosi", "build"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(mkosi_source())},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=240,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        missing(f"mkosi cannot build here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr


def _by_us(place: Path) -> None:
    settings = MkosiSettings(scripts=True, writing=Writing(Options(), sync=False))
    build_images(load(this_host(place)), place.resolve(), settings)


def _records(path: Path) -> dict[bytes, Record]:
    """Return what is in an output, but for the lock of systemd-sysusers, and for the overlay's marks, which mkosi leaves."""
    if path.is_dir():
        found = host_records(path)
    else:
        with open_source(str(path)) as source:
            found = tree_records(source.tree)
    found.pop(b"/etc/.pwd.lock", None)
    for record in found.values():
        xattrs = record["xattrs"]
        assert isinstance(xattrs, dict)
        record["xattrs"] = {name: value for name, value in xattrs.items() if not name.startswith(b"user.overlay.")}
    return found


@pytest.mark.parametrize("scripts", [False, True], ids=["plain", "scripts"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_is_built(case: str, scripts: bool, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        missing("the owners that mkosi leaves are compared as root")
    place = tmp_path / "same-place"
    outputs = []
    for build in (_by_mkosi, _by_us):
        _prepare(place, CASES[case], scripts)
        build(place)
        outputs.append((place / "out").rename(tmp_path / f"out-{build.__name__}"))
        shutil.rmtree(place)
    theirs, ours = outputs
    names = sorted(one.name for one in theirs.iterdir())
    assert sorted(one.name for one in ours.iterdir()) == names
    for name in names:
        one, two = theirs / name, ours / name
        assert one.is_symlink() == two.is_symlink()
        assert one.is_dir() or (one.stat().st_mode == two.stat().st_mode)
        if one.is_symlink():
            assert os.readlink(one) == os.readlink(two)
        elif name.endswith("SHA256SUMS"):
            sums = two.read_text().splitlines()
            assert sorted(line.split(" *")[1] for line in one.read_text().splitlines()) == [
                line.split(" *")[1] for line in sums
            ]
            assert all(hashlib.sha256((ours / line[66:]).read_bytes()).hexdigest() == line[:64] for line in sums)
        elif name in ("listing", "after"):
            assert two.read_text().split() == one.read_text().split()
        else:
            assert differences(_records(one), _records(two)) == []
            assert not two.is_dir() or not any(b"overlay" in name for name in _all_xattrs(two))


def _all_xattrs(root: Path) -> set[bytes]:
    return {name for record in host_records(root).values() for name in record["xattrs"]}  # type: ignore[attr-defined]


def test_r1_the_partition_table_of_kubectl(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[2] / "examples/kubectl-sysext"
    host = this_host(example)
    given = [("Seed", "750b6cd5-c4ae-4012-a15e-7be3c29e6a47"), ("Architecture", "x86-64"), ("OutputDirectory", str(tmp_path))]
    build_images(load(host, [*given, ("SourceDateEpoch", "0")]), host.directory, MkosiSettings())
    image = tmp_path / "kubectl-3.0.x86-64.raw"
    said = run(tool("sfdisk"), "--json", image).stdout
    for part in (
        '"type": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"',
        '"uuid": "60F33797-1D71-4DCB-AA6F-20564F036CD0"',
        '"name": "root-x86-64"',
        '"attrs": "GUID:59"',
    ):
        assert part in said
    assert "No errors detected" in run(tool("sfdisk"), "--verify", image).stdout
