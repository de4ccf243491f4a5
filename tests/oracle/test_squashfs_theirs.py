"""Images of mksquashfs, gensquashfs and tar2sqfs, read by us."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imgcore.blob import FileBlob
from imgcore.events import Control
from imgcore.formats.squashfs import open_image
from imgcore.formats.squashfs.check import check_blob
from imgcore.hosts import scan, unpack
from imgcore.limits import Limits
from tests.kit.oracles import differences, host_records, missing, mounted, run, tool, tree_records
from tests.kit.sample_trees import everything

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        missing("devices and owners need root")
    place = tmp_path_factory.mktemp("theirs") / "source"
    unpack(everything(), place)
    return place


def require_equal(source: Path, image: Path, *, links: bool = True) -> None:
    ignore = () if links else ("links", "group")
    with FileBlob(image) as blob:
        assert differences(host_records(source), tree_records(open_image(blob).tree), ignore=ignore) == []
        errors = [finding for finding in check_blob(blob, Limits.default(), Control()) if finding.severity == "error"]
        assert errors == []


VERSIONS = pytest.mark.parametrize("newest", [False, True], ids=["system", "newest"])
MKSQUASHFS = [
    ("gzip",),
    ("gzip", "-Xcompression-level", "1", "-Xwindow-size", "8"),
    ("gzip", "-Xstrategy", "default,filtered"),
    ("lzo",),
    ("lzo", "-Xalgorithm", "lzo1x_1"),
    ("lz4",),
    ("lz4", "-Xhc"),
    ("xz",),
    ("xz", "-Xbcj", "x86"),
    ("xz", "-Xdict-size", "100%"),
    ("zstd",),
    ("zstd", "-Xcompression-level", "1"),
]


@VERSIONS
@pytest.mark.parametrize("words", MKSQUASHFS, ids=" ".join)
def test_mksquashfs_codecs(words: tuple[str, ...], newest: bool, source: Path, tmp_path: Path) -> None:
    image = tmp_path / "m.sqfs"
    run(tool("mksquashfs", newest=newest), source, image, "-no-progress", "-quiet", "-b", "8192", "-comp", *words)
    require_equal(source, image)


@pytest.mark.parametrize(
    "words",
    [
        ("-no-fragments",),
        ("-always-use-fragments",),
        ("-no-exports",),
        ("-no-duplicates",),
        ("-no-sparse",),
        ("-noI", "-noD", "-noF", "-noX", "-noId"),
        ("-noI",),
        ("-nopad",),
        ("-b", "1M"),
        ("-b", "4096"),
        ("-all-root",),
    ],
    ids=" ".join,
)
@VERSIONS
def test_mksquashfs_layouts(words: tuple[str, ...], newest: bool, source: Path, tmp_path: Path) -> None:
    image = tmp_path / "m.sqfs"
    run(tool("mksquashfs", newest=newest), source, image, "-no-progress", "-quiet", *words)
    with FileBlob(image) as blob:
        ignore = ("owner",) if words == ("-all-root",) else ()
        assert differences(host_records(source), tree_records(open_image(blob).tree), ignore=ignore) == []


def test_mksquashfs_without_xattrs(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "m.sqfs"
    run(tool("mksquashfs"), source, image, "-no-progress", "-quiet", "-no-xattrs")
    with FileBlob(image) as blob:
        found = open_image(blob).tree
        assert differences(host_records(source), tree_records(found), ignore=("xattrs",)) == []
        assert all(not node.meta.xattrs for _, node in found.walk())


@pytest.mark.parametrize("codec", ["gzip", "lz4", "xz", "zstd", "lzo"])
def test_gensquashfs(codec: str, source: Path, tmp_path: Path) -> None:
    image = tmp_path / "g.sqfs"
    run(
        tool("gensquashfs"),
        "--pack-dir",
        source,
        "--keep-time",
        "--keep-xattr",
        "--compressor",
        codec,
        "--block-size",
        "8192",
        "--quiet",
        "--exportable",
        image,
    )
    with FileBlob(image) as blob:
        ours = tree_records(open_image(blob).tree)
    assert differences(host_records(source), ours, ignore=("links", "group", "time", "owner", "mode", "xattrs")) == []


def test_tar2sqfs(source: Path, tmp_path: Path) -> None:
    image, archive = tmp_path / "t.sqfs", tmp_path / "t.tar"
    run("tar", "-C", source, "--exclude=./socket", "--xattrs", "--xattrs-include=*", "--format=posix", "-cf", archive, ".")
    with open(archive, "rb") as stream:
        subprocess.run([tool("tar2sqfs"), "--quiet", str(image)], stdin=stream, check=True, capture_output=True)
    with FileBlob(image) as blob:
        ours = tree_records(open_image(blob).tree)
    theirs = host_records(source)
    del theirs[b"/socket"]
    assert differences(theirs, ours, ignore=("links", "group", "time")) == []
    with mounted(image, tmp_path / "mnt") as taken:
        assert taken
        assert differences(ours, host_records(tmp_path / "mnt")) == []


@pytest.mark.parametrize("codec", ["gzip", "xz", "zstd", "lz4", "lzo"])
def test_real_tree(codec: str, tmp_path: Path) -> None:
    image, out = tmp_path / "m.sqfs", tmp_path / "out"
    run(
        tool("mksquashfs"),
        "/usr/include",
        image,
        "-no-progress",
        "-quiet",
        "-comp",
        codec,
        *(["-Xcompression-level", "1"] if codec in ("gzip", "zstd") else []),
    )
    with FileBlob(image) as blob:
        unpack(open_image(blob).tree, out, jobs=2)
    assert differences(host_records(Path("/usr/include")), host_records(out), ignore=("links", "group")) == []
    assert len(list(scan(out).walk())) == len(list(scan("/usr/include").walk()))
