"""tar and its peers: GNU tar, bsdtar, squashfs-tools-ng and Python's tarfile read ours and we read theirs."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from imgcore.blob import FileBlob, read_all
from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.build.unpack import unpack
from imgcore.formats.tar import FORMAT, Options
from imgcore.hosts import scan
from imgcore.model import Dir, File, Tree, diff
from tests.conftest import supports_user_xattrs
from tests.kit.archives import hard, read, written
from tests.kit.oracles import differences, host_records, missing, run, tool, tree_records

pytestmark = [pytest.mark.oracle, pytest.mark.usefixtures("needs_root")]

STREAMS = [".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"]


def held(tree: Tree) -> Tree:
    """Return the tree without what the file system of the tests does not hold."""
    return tree.map(lambda path, node: None if path in (b"/late", b"/old") else node)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with everything in it."""
    place = tmp_path_factory.mktemp("tar")
    if not supports_user_xattrs(place):
        missing("the temporary directory has no extended attributes")
    unpack(held(hard()), place / "source")
    return place / "source"


def extract(program: str, archive: Path, out: Path) -> None:
    out.mkdir()
    if program == "tar":
        command = [tool("tar"), "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-p"]
    else:
        command = [tool("bsdtar"), "--numeric-owner", "--acls", "--xattrs", "-p"]
    run(*command, "-x", "-f", archive, "-C", out)


@pytest.mark.parametrize("suffix", STREAMS)
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_others_extract_ours(program: str, suffix: str, source: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / f"o{suffix}", tmp_path / "out"
    pack(source, archive)
    extract(program, archive, out)
    want, got = host_records(source), host_records(out)
    if program == "bsdtar":  # it leaves the time of `.` alone, and takes GNU tar's spelling of `=` for the name
        want[b"/"]["time"] = got[b"/"]["time"]
        got[b"/acl"]["xattrs"][b"user.a=b%3D%25"] = got[b"/acl"]["xattrs"].pop(b"user.a%3Db%253D%2525")  # type: ignore[index, attr-defined]
    assert differences(want, got) == []
    for name in ("sparse", "all-hole", "sparse-at-end"):
        found = os.stat(out / name)
        assert found.st_size == os.stat(source / name).st_size
        assert found.st_blocks * 512 < found.st_size
    times = {path: os.lstat(source / path).st_mtime_ns for path in ("fraction", "l1")}
    assert times == {path: os.lstat(out / path).st_mtime_ns for path in times}


@pytest.mark.parametrize(
    "flags",
    [
        ["--format=v7"],
        ["--format=ustar"],
        ["--format=oldgnu", "--sparse"],
        ["--format=gnu", "--sparse"],
        ["--format=pax", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"],
        ["--format=pax", "--sparse", "--sparse-version=0.0"],
        ["--format=pax", "--sparse", "--sparse-version=0.1"],
        ["--format=pax", "--sparse", "--sparse-version=1.0"],
        ["--format=pax", "--sparse", "--hole-detection=raw", "--sort=name"],
        ["--format=gnu", "--gzip"],
        ["--format=pax", "--zstd"],
        ["--format=gnu", "-G"],
        ["--format=gnu", "-V", "a volume"],
    ],
    ids=" ".join,
)
def test_we_read_gnu_tar(flags: list[str], source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "o.tar"
    what = source
    if flags[0] in ("--format=v7", "--format=ustar"):  # which refuse long names and large numbers
        what = tmp_path / "small"
        run("cp", "-a", source, what)
        run("rm", "-rf", what / "deep", what / ("s" * 101), what / ("s" * 100), what / ("z" * 255), what / "long-link")
        run(
            "rm",
            "-rf",
            what / "sub/symlink",
            os.fsdecode(bytes(what) + b"/" + b"\xff" * 150),
            os.fsdecode(bytes(what) + b"/link-\xfe"),
        )
        if flags[0] == "--format=v7":
            run("rm", "-rf", what / "block", what / "char", what / "null", what / "fifo", what / "\u00e9-utf8")
    run(tool("tar"), *flags, "-c", "-f", archive, "-C", what, ".")
    ignore = ("time",) if "-G" in flags else ()
    if "--xattrs" not in flags:
        ignore = (*ignore, "xattrs")
    with open_source(archive) as opened:
        assert differences(host_records(what), tree_records(opened.tree), ignore=ignore) == []
        if "--format=pax" in flags:
            kinds = {change.kind for change in diff(scan(what), opened.tree)}
            assert kinds <= ({"xattrs"} if "--xattrs" not in flags else set())
        if "--sparse" in flags:
            node = opened.tree["/sparse"]
            assert isinstance(node, File) and any(part.hole for part in node.content.segments())


@pytest.mark.parametrize("flags", [["--format=pax"], ["--format=gnutar"], ["--format=pax", "-j"], ["--format=pax", "--lz4"]])
def test_we_read_bsdtar(flags: list[str], source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "o.tar"
    run(tool("bsdtar"), *flags, "--numeric-owner", "--xattrs", "--acls", "-c", "-f", archive, "-C", source, ".")
    ignore = () if "--format=pax" in flags else ("xattrs",)
    want = host_records(source)
    if "--format=gnutar" in flags:
        del want[b"/char"]  # its number is too large for bsdtar's GNU header
    with open_source(archive) as opened:
        assert differences(want, tree_records(opened.tree), ignore=ignore) == []


def test_squashfs_tools_ng_both_ways(source: Path, tmp_path: Path) -> None:
    ours, image, theirs = tmp_path / "o.tar", tmp_path / "o.sqfs", tmp_path / "t.tar"
    pack(source, ours)
    with open(ours, "rb") as stream:
        import subprocess

        subprocess.run([tool("tar2sqfs"), "-q", "-f", str(image)], stdin=stream, check=True, capture_output=True)
    want = {path: record for path, record in host_records(source).items() if path != b"/acl"}
    with open_source(image) as opened:
        got = {path: record for path, record in tree_records(opened.tree).items() if path != b"/acl"}
        # it keeps neither hard links of what it read nor the root's metadata, and cuts attributes off links
        assert differences(want, got, ignore=("links", "group", "xattrs")) == []
    done = run("sh", "-c", f"{tool('sqfs2tar')} {image} > {theirs}")
    assert done.returncode == 0
    with open_source(theirs) as opened:
        got = {path: record for path, record in tree_records(opened.tree).items() if path not in (b"/", b"/acl")}
        want.pop(b"/")
        assert differences(want, got, ignore=("links", "group", "xattrs")) == []


def test_python_reads_ours() -> None:
    tree = hard()
    with tarfile.open(fileobj=io.BytesIO(written(FORMAT, tree))) as archive:
        members = {member.name.removeprefix("."): member for member in archive.getmembers()}
        for path, node in tree.walk():
            member = members[os.fsdecode(path) if path != b"/" else ""]
            assert member.uid == node.meta.uid and member.gid == node.meta.gid and member.mode == node.meta.mode
            assert abs(float(member.mtime) - node.meta.mtime_ns / 1e9) < 1e-3
            if isinstance(node, File) and not member.islnk():
                stream = archive.extractfile(member)
                assert stream is not None and stream.read() == read_all(node.content)
            assert member.isdir() == isinstance(node, Dir)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_we_read_python(form: int, tmp_path: Path) -> None:
    where = tmp_path / "o.tar"
    with tarfile.open(where, "w", format=form) as archive:
        info = tarfile.TarInfo("d/" + "x" * (90 if form == tarfile.USTAR_FORMAT else 300))
        info.size, info.mtime, info.uid = 3, 1_000_000.5 if form == tarfile.PAX_FORMAT else 1_000_000, 12345  # type: ignore[assignment]
        archive.addfile(info, io.BytesIO(b"abc"))
    with FileBlob(where) as blob:
        tree = read(FORMAT, blob)
        (_, node) = list(tree.walk())[-1]
        assert isinstance(node, File) and read_all(node.content) == b"abc" and node.meta.uid == 12345
        assert node.meta.mtime_ns == (1_000_000_500_000_000 if form == tarfile.PAX_FORMAT else 1_000_000_000_000_000)


def test_ours_is_the_same_from_an_extracted_one(source: Path, tmp_path: Path) -> None:
    pack(source, tmp_path / "one.tar", options=Options())
    extract("tar", tmp_path / "one.tar", tmp_path / "out")
    pack(tmp_path / "out", tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
