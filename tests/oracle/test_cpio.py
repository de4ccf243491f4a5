"""cpio and its peers: GNU cpio and bsdtar read ours and we read theirs; an initrd as Linux has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.build.unpack import unpack
from imgcore.formats.cpio import FORMAT, Options
from tests.kit.archives import hard, written
from tests.kit.oracles import differences, host_records, run, tool, tree_records

pytestmark = [pytest.mark.oracle, pytest.mark.usefixtures("needs_root")]

LOSSES = ("xattr", "time")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with everything in it that a cpio can hold."""
    place = tmp_path_factory.mktemp("cpio") / "source"
    unpack(hard(sockets=True, xattrs=False).map(lambda path, node: None if path in (b"/late", b"/old") else node), place)
    return place


def listing(place: Path) -> bytes:
    done = subprocess.run(["find", ".", "-print0"], cwd=place, capture_output=True, check=True)
    return done.stdout


def their_cpio(kind: str, place: Path, archive: Path) -> None:
    command = [tool("cpio"), "--quiet", "-o", "-0", "-H", kind, "-F", str(archive)]
    subprocess.run(command, cwd=place, input=listing(place), check=True, capture_output=True)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst", ".bz2"])
@pytest.mark.parametrize("program", ["cpio", "bsdtar"])
def test_others_extract_ours(program: str, suffix: str, source: Path, tmp_path: Path) -> None:
    archive, out = tmp_path / f"o.cpio{suffix}", tmp_path / "out"
    pack(source, archive)
    out.mkdir()
    want = host_records(source)
    if program == "bsdtar":
        run(tool("bsdtar"), "--numeric-owner", "-p", "-x", "-f", archive, "-C", out)
        want[b"/"]["time"] = host_records(out)[b"/"]["time"]
    else:
        undo = {"": "cat", ".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".bz2": "bzip2"}[suffix]
        command = f"{tool(undo)} {'-dc' if suffix else ''} {archive} | {tool('cpio')} --quiet -idm --preserve-modification-time"
        run("sh", "-c", f"cd {out} && {command}")
    got = host_records(out)
    for path, record in want.items():  # cpio sets a directory's time before what it holds is made, and no link's
        if record["type"] in ("dir", "symlink") and program == "cpio":
            record["time"] = got[path]["time"]
    if program == "bsdtar":  # which makes files of sockets
        assert got.pop(b"/socket")["type"] == "file"
        del want[b"/socket"]
    assert differences(want, got) == []


@pytest.mark.parametrize("kind", ["newc", "crc", "odc"])
def test_we_read_cpio(kind: str, source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "o.cpio"
    what = source
    if kind == "odc":  # whose numbers are small
        what = tmp_path / "small"
        run("cp", "-a", source, what)
        run("rm", "-rf", what / "deep", what / "char")
        for name in ("fifo", "socket", "block"):
            os.chown(what / name, 1, 1, follow_symlinks=False)
    their_cpio(kind, what, archive)
    with open_source(archive) as opened:
        assert differences(host_records(what), tree_records(opened.tree)) == []
        assert opened.format is FORMAT


def test_we_read_bsdtar(source: Path, tmp_path: Path) -> None:
    archive = tmp_path / "o.cpio"
    run(tool("bsdtar"), "--format=newc", "--numeric-owner", "-c", "-f", archive, "-C", source, ".")
    want = host_records(source)
    with open_source(archive) as opened:
        got = tree_records(opened.tree)
        if b"/socket" not in got:
            del want[b"/socket"]
        assert differences(want, got) == []


def test_an_initrd_of_several_parts(tmp_path: Path) -> None:
    """Uncompressed microcode, then archives of other kinds: what an early one has, a later one replaces."""
    for name, files in {
        "a": {"kernel/x": "1", "etc": "old"},
        "b": {"etc": "new", "bin/sh": "2"},
        "c": {"etc": "newest"},
    }.items():
        for path, text in files.items():
            where = tmp_path / name / path
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(text)
        their_cpio("newc", tmp_path / name, tmp_path / f"{name}.cpio")
    parts = [(tmp_path / f"{name}.cpio").read_bytes() for name in "abc"]
    zstd = subprocess.run([tool("zstd"), "-c"], input=parts[1], capture_output=True, check=True).stdout
    xz = subprocess.run([tool("xz"), "-c", "--check=crc32"], input=parts[2], capture_output=True, check=True).stdout
    chains = {
        "early": (parts[0] + zstd + bytes(7) + xz, ["plain", "zstd", "xz"]),
        "late": (parts[0] + zstd + bytes(-len(parts[0] + zstd) % 4) + parts[2], ["plain", "zstd", "plain"]),
        "plain": (b"".join(parts), ["plain"] * 3),
        "compressed": (zstd + xz, ["plain", "plain"]),
    }
    for name, (data, kinds) in chains.items():
        image = tmp_path / f"{name}.img"
        image.write_bytes(data)
        with open_source(image) as opened:
            assert [path for path, _ in opened.tree.walk()] == [b"/", b"/bin", b"/bin/sh", b"/etc", b"/kernel", b"/kernel/x"][
                : 6 if name != "compressed" else 4
            ]
            assert opened.image is not None
            if name != "compressed":
                assert opened.image.info()["parts"] == (kinds if name != "early" else ["plain", "zstd", "zstd"])
            content = opened.tree["/etc"].content  # type: ignore[union-attr]
            assert content.read_at(0, 10) == b"newest"


def test_single_streams_that_linux_reads(source: Path, tmp_path: Path) -> None:
    what = hard(sockets=True, xattrs=False)
    for name, check in (("gzip", ["gzip", "-l"]), ("xz", ["xz", "--robot", "-l"])):
        where = tmp_path / "o"
        where.write_bytes(written(FORMAT, what, Options(compression=name, jobs=3, allow_loss=LOSSES)))
        if name == "xz":
            line = next(line for line in run(tool("xz"), *check[1:], where).stdout.splitlines() if line.startswith("file"))
            assert line.split("\t")[1:3] == ["1", "1"] and "CRC32" in line
        else:
            assert where.read_bytes().count(b"\x1f\x8b\x08\0\0\0\0\0") == 1
