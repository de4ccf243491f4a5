from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

import pytest

from imgcore.blob import AtomicFile, MemorySink, PlainFile, Sink, StreamSink, open_sink
from imgcore.blob import sink as sink_module
from imgcore.errors import OutputError, TargetExists


def write(sink: Sink) -> None:
    assert sink.append(b"head....") == 0
    assert sink.append(memoryview(b"body")) == 8
    sink.patch(4, b"1234")
    assert (sink.position, sink.read_back(2, 8)) == (12, b"ad1234bo")


def left_in(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir())


@pytest.fixture(params=["unnamed", "named", "unlinkable"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the temporary file have a name, as on systems without O_TMPFILE, or none that can be given to it later."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    elif request.param == "unlinkable":
        link = os.link

        def refuse(source: object, *names: object, **more: object) -> None:
            if str(source).startswith("/proc"):
                raise OSError(errno.EXDEV, "no")
            link(source, *names, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


def test_every_sink_writes_the_same(tmp_path: Path) -> None:
    stream = io.BytesIO()
    (tmp_path / "plain").write_bytes(b"x" * 20)
    memory = MemorySink()
    for sink in (AtomicFile(tmp_path / "atomic"), PlainFile(tmp_path / "plain", start=3), StreamSink(stream), memory):
        with sink as opened:
            write(opened)
    assert (tmp_path / "atomic").read_bytes() == stream.getvalue() == memory.value() == b"head1234body"
    assert (tmp_path / "plain").read_bytes() == b"xxxhead1234bodyxxxxx"


def test_an_atomic_file_appears_at_the_end(tmp_path: Path, kind: str) -> None:
    with AtomicFile(tmp_path / "f") as sink:
        write(sink)
        assert not (tmp_path / "f").exists()
    assert left_in(tmp_path) == ["f"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o666 & ~umask


def test_an_error_leaves_nothing(tmp_path: Path, kind: str) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name, replace in (("f", False), ("old", True)):
        with pytest.raises(KeyboardInterrupt), AtomicFile(tmp_path / name, replace=replace) as sink:
            write(sink)
            raise KeyboardInterrupt
    assert left_in(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_replacing_keeps_the_mode(tmp_path: Path, kind: str) -> None:
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "f").chmod(0o640)
    with pytest.raises(TargetExists):
        AtomicFile(tmp_path / "f")
    with AtomicFile(tmp_path / "f", replace=True, sync=False) as sink:
        write(sink)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640
    assert left_in(tmp_path) == ["f"]


def test_a_target_that_appears_meanwhile(tmp_path: Path, kind: str) -> None:
    with pytest.raises(TargetExists), AtomicFile(tmp_path / "f") as sink:
        write(sink)
        (tmp_path / "f").write_bytes(b"theirs")
    assert (tmp_path / "f").read_bytes() == b"theirs"
    assert left_in(tmp_path) == ["f"]


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink_module.os, "pwrite", full)
    with pytest.raises(OutputError, match="No space") as caught, AtomicFile(tmp_path / "f") as sink:
        sink.append(b"x")
    assert caught.value.hint is not None and "full" in caught.value.hint
    monkeypatch.undo()
    assert left_in(tmp_path) == []


def test_choosing(tmp_path: Path) -> None:
    memory = MemorySink()
    assert open_sink(memory) is memory
    with open_sink(io.BytesIO()) as stream:
        assert isinstance(stream, StreamSink)
    with open_sink(tmp_path / "f") as atomic:
        assert isinstance(atomic, AtomicFile)
    with pytest.raises(TypeError):
        open_sink(5)  # type: ignore[arg-type]
    with pytest.raises(OutputError):
        open_sink(tmp_path / "none" / "f")
    with pytest.raises(OutputError):
        open_sink(tmp_path, replace=True)


def test_a_full_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught, open_sink("/dev/full") as sink:
        write(sink)
    assert caught.value.path == b"/dev/full"


@pytest.mark.parametrize("size", [None, 0, 5, 8])
def test_a_failure_behind_an_offset(tmp_path: Path, size: int | None) -> None:
    path = tmp_path / "f"
    if size is not None:
        path.write_bytes(b"h" * size)
    with pytest.raises(KeyboardInterrupt), open_sink(path, start=8) as sink:
        write(sink)
        raise KeyboardInterrupt
    assert path.exists() == (size is not None)
    if size is not None:
        assert path.read_bytes() == b"h" * size


def test_behind_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"h" * 100)
    with pytest.raises(TargetExists, match="behind the offset"):
        open_sink(path, start=8)
    assert path.read_bytes() == b"h" * 100
    with open_sink(path, start=8, replace=True) as sink:
        write(sink)
    assert path.read_bytes() == b"h" * 8 + b"head1234body"
    with pytest.raises(ValueError, match="negative"):
        open_sink(path, start=-1)
    with pytest.raises(OutputError, match="offset needs"):
        open_sink("/dev/null", start=8)


def test_a_link_to_nothing_is_followed(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to("f")
    with pytest.raises(KeyboardInterrupt), open_sink(tmp_path / "l", start=1):
        raise KeyboardInterrupt
    assert left_in(tmp_path) == ["l"]
    with open_sink(tmp_path / "l", start=1) as sink:
        write(sink)
    assert (tmp_path / "f").read_bytes() == b"\0head1234body"
