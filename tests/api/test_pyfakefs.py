"""A file system that pyfakefs makes up, as a source and as a target: what an embedder's tests need no disk for."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

import imgcore
from imgcore.blob import BytesBlob, MemorySink
from imgcore.blob.faked import is_faked
from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.build.unpack import unpack
from imgcore.engine import native_available
from imgcore.errors import ImgcoreError, OutputError, SourceChanged, TargetExists
from imgcore.events import Control, Event, Warned
from imgcore.formats.squashfs import Options, open_image
from imgcore.hosts import scan
from imgcore.model import Tree, Whiteout, diff, directory, file, symlink, tree
from tests.kit.sample_trees import everything

pyfakefs = pytest.importorskip("pyfakefs.fake_filesystem")
FakeFilesystem = pyfakefs.FakeFilesystem

ENGINES: list[Literal["native", "pure"]] = ["native", "pure"] if native_available()[0] else ["pure"]
_NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def source(fs: object) -> Iterator[str]:
    """Return a directory that is made up, with all that pyfakefs has."""
    os.makedirs("/src/usr/bin")
    os.makedirs("/src/empty")
    with open("/src/usr/bin/tool", "wb") as stream:
        stream.write(b"#!/bin/sh\n" * 60_000)
    with open("/src/zeros", "wb") as stream:
        stream.write(bytes(300_000))
    with open("/src/" + os.fsdecode(b"\xff\n"), "wb") as stream:
        stream.write(b"odd")
    os.link("/src/usr/bin/tool", "/src/again")
    os.symlink("usr/bin", "/src/link")
    os.symlink("no-such", "/src/dangling")
    os.chmod("/src/usr/bin/tool", 0o4755)
    os.chmod("/src/empty", 0o1777)
    os.chown("/src/usr/bin/tool", 5, 6)
    os.setxattr("/src/zeros", "user.note", b"1")
    for path in ("/src/usr/bin/tool", "/src/empty"):
        os.utime(path, ns=(7, 1_700_000_000 * 10**9))
    yield "/src"


def test_the_file_system_is_made_up(fs: object) -> None:
    assert is_faked()
    assert not os.path.exists("/usr")


def test_os_is_real_elsewhere() -> None:
    assert not is_faked()


def test_scan(source: str) -> None:
    found = scan(source)
    assert {path for path, _ in found.walk()} == {
        b"/", b"/usr", b"/usr/bin", b"/usr/bin/tool", b"/zeros", b"/\xff\n", b"/again", b"/link", b"/dangling", b"/empty",
    }  # fmt: skip
    tool = found["/usr/bin/tool"]
    assert found["/again"] is tool
    assert (tool.meta.mode, tool.meta.uid, tool.meta.gid, tool.meta.mtime_ns) == (0o4755, 5, 6, 1_700_000_000 * 10**9)
    assert tool.content.read_at(3, 7) == b"bin/sh\n"  # type: ignore[union-attr]
    assert found["/zeros"].meta.xattrs == {b"user.note": b"1"}
    assert found["/link"].target == b"usr/bin"  # type: ignore[union-attr]
    followed = imgcore.exclude(found, ["dangling"])
    assert b"/link/tool" not in followed
    os.unlink("/src/dangling")
    assert scan(source, dereference=True)["/link/tool"].content.size == 600_000  # type: ignore[union-attr]


@pytest.mark.parametrize("engine", ENGINES)
def test_pack_to_memory(engine: Literal["native", "pure"], source: str) -> None:
    sink = MemorySink()
    report = pack(source, sink, format="squashfs", engine=engine, options=Options(jobs=3, allow_loss=("time",)))
    assert (report.engine, report.files, report.hard_links) == (engine, 3, 1)
    found = open_image(BytesBlob(sink.value())).tree
    assert list(diff(scan(source), found)) == []


def test_both_engines_give_the_same_image(source: str) -> None:
    images = []
    for engine in ENGINES:
        sink = MemorySink()
        pack(source, sink, format="squashfs", engine=engine)
        images.append(sink.value())
    assert len(set(images)) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_pack_to_a_path_and_unpack(engine: Literal["native", "pure"], source: str) -> None:
    os.mkdir("/out")
    pack(source, "/out/image.raw", engine=engine, verify=True)
    assert os.listdir("/out") == ["image.raw"]
    with pytest.raises(TargetExists):
        pack(source, "/out/image.raw", engine=engine)
    pack(source, "/out/image.raw", engine=engine, force=True)
    assert os.listdir("/out") == ["image.raw"]
    with imgcore.open("/out/image.raw") as image:
        report = unpack(image, "/there", owner="keep", jobs=4)
        assert (report.files, report.symlinks, report.hard_links) == (3, 2, 1)
        left = [change for change in diff(image.tree, scan("/there")) if change.kind != "mtime" or change.path != b"/"]
        assert left == []
    with open("/there/usr/bin/tool", "rb") as stream:
        assert stream.read() == b"#!/bin/sh\n" * 60_000
    assert os.stat("/there/again").st_ino == os.stat("/there/usr/bin/tool").st_ino


def test_unpack_everything_that_it_can_hold(fs: object) -> None:
    events: list[Event] = []
    unpack(everything(), "/there", owner="keep", control=Control(on_event=events.append))
    left = {event.message for event in events if isinstance(event, Warned)}
    assert all("made up" in message or "was not set" in message for message in left)
    special = {b"/block", b"/char", b"/fifo", b"/socket"}
    lost = [change for change in diff(everything(), scan("/there")) if change.path not in special]
    assert [change for change in lost if change.kind not in ("xattrs",)] == []


def test_unpack_follows_nothing(fs: object) -> None:
    os.makedirs("/there/real")
    os.symlink("/elsewhere", "/there/d")
    os.makedirs("/elsewhere")
    with pytest.raises(OutputError, match="not a directory"):
        unpack(tree({"/d/f": b"x"}), "/there", force=True)
    assert os.listdir("/elsewhere") == []
    with open("/there/f", "w") as stream:
        stream.write("old")
    with pytest.raises(TargetExists):
        unpack(tree({"/f": b"new"}), "/there")
    unpack(tree({"/f": b"new", "/real": directory(mode=0o700), "/l": symlink("f")}), "/there", force=True)
    with open("/there/f") as stream:
        assert stream.read() == "new"
    with pytest.raises(ImgcoreError):
        unpack(Tree(directory({b"w": Whiteout()})), "/there")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_changes_meanwhile(engine: Literal["native", "pure"], source: str) -> None:
    found = scan(source)
    with open("/src/zeros", "ab") as stream:
        stream.write(b"more")
    os.mkdir("/out")
    with pytest.raises(SourceChanged) as caught:
        pack(found, "/out/x.raw", engine=engine)
    assert caught.value.path == b"/zeros"
    assert os.listdir("/out") == []


def test_an_offset(source: str) -> None:
    with open("/disk.raw", "wb") as stream:
        stream.write(b"boot")
    pack(source, "/disk.raw", offset=4096)
    os.truncate("/disk.raw", os.stat("/disk.raw").st_size + 5000)
    with pytest.raises(TargetExists):
        pack(source, "/disk.raw", offset=4096)
    pack(source, "/disk.raw", offset=4096, force=True)
    with open("/disk.raw", "rb") as stream:
        data = stream.read()
    assert data[:4096] == b"boot" + bytes(4092)
    assert list(diff(scan(source), open_image(BytesBlob(data[4096:])).tree)) == []


def test_listings(source: str) -> None:
    from imgcore.build.spec import parse_source

    with open("/list", "w") as stream:
        stream.write("file /a 0600 1 2 /src/zeros\n")
    sink = MemorySink()
    pack(parse_source("packfile:/list"), sink, format="squashfs")
    assert open_image(BytesBlob(sink.value())).tree["/a"].content.size == 300_000  # type: ignore[union-attr]


def test_a_tree_from_memory_needs_no_file_system(fs: object) -> None:
    pack(tree({"/a": file(b"1")}), "/image.raw")
    with imgcore.open("/image.raw") as image:
        assert image.tree["/a"].content.read_at(0, 1) == b"1"


def test_no_descriptor_is_handed_on_to_the_real_dup(fs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object, fd: int) -> int:
        raise AssertionError(f"dup({fd}) would be that of the real system in an older pyfakefs")

    monkeypatch.setattr(type(os), "dup", refused, raising=False)
    shared = file(b"x" * 5000)
    unpack(tree({"/a/first": shared, "/b/second": shared}), "/there")
    assert os.stat("/there/a/first").st_ino == os.stat("/there/b/second").st_ino


def test_an_archive_that_is_decompressed_leaves_real_files_alone(tmp_path: Path, fs: FakeFilesystem) -> None:
    content = os.urandom(300_000)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("data")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    fs.pause()
    victims = [tmp_path / f"victim{number}" for number in range(12)]  # the made-up descriptors begin at low numbers too
    streams = []
    for path in victims:
        path.write_bytes(b"precious")
        streams.append(path.open("r+b", buffering=0))
    fs.resume()
    try:
        with open("/a.tar.gz", "wb") as stream:
            stream.write(packed.getvalue())
        with open_source("/a.tar.gz") as opened:
            assert opened.tree["/data"].content.read_at(0, len(content)) == content  # type: ignore[union-attr]
        fs.pause()
        assert {path.read_bytes() for path in victims} == {b"precious"}
        assert [os.lseek(stream.fileno(), 0, os.SEEK_CUR) for stream in streams] == [0] * len(streams)
    finally:
        for real in streams:
            real.close()
        fs.resume()


_TWICE = """
{first}
import pytest
from pyfakefs.fake_filesystem_unittest import Patcher

def once(name):
    import imgcore
    with Patcher() as patcher:
        patcher.fs.create_file("/src/" + name, contents=name * 10_000)
        imgcore.pack("/src", "/out.raw")
        with imgcore.open("/out.raw") as image:
            assert [path for path, _ in image.tree.walk()] == [b"/", b"/" + name.encode()]
            imgcore.unpack(image, "/there")
        with open("/there/" + name) as stream:
            assert stream.read() == name * 10_000

once("one")
once("two")
import os, imgcore
os.makedirs(ROOT + "/real")
with open(ROOT + "/real/three", "w") as stream:
    stream.write("three")
imgcore.pack(ROOT + "/real", ROOT + "/out.raw")
assert sorted(os.listdir(ROOT)) == ["out.raw", "real"], os.listdir(ROOT)
with imgcore.open(ROOT + "/out.raw") as image:
    assert image.tree["/three"].content.read_at(0, 9) == b"three"
once("four")
print("done")
"""


@pytest.mark.parametrize("first", ["import imgcore", "import pyfakefs", "import sys, pyfakefs; sys.modules.pop('pyfakefs')"])
def test_several_made_up_file_systems_in_one_process(first: str, tmp_path: Path) -> None:
    """Names of imgcore are imported when they are first used: that may be in the first, and has to hold in the next."""
    code = f"ROOT = {str(tmp_path)!r}\n" + _TWICE.format(first=first)
    root = str(Path(imgcore.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root}
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
