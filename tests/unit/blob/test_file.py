from __future__ import annotations

import os
from pathlib import Path

import pytest

from imgcore.blob import FileBlob, HostFile, Identity, Segment, read_all
from imgcore.errors import SourceChanged, SourceUnreadable


def host(path: Path) -> HostFile:
    return HostFile(os.fsencode(path), Identity.of(path.stat()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "f").write_bytes(b"0123456789")
    return tmp_path / "f"


def test_reading(path: Path) -> None:
    blob = host(path)
    assert read_all(blob) == b"0123456789"
    assert (blob.read_at(8, 10), blob.read_at(10, 1), blob.read_at(-1, 1)) == (b"89", b"", b"")
    with FileBlob(path) as image:
        assert (image.size, image.read_at(8, 10), image.read_at(10, 1)) == (10, b"89", b"")
        image.close()


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"0123456789")
    other.rename(path)


def linked(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"01234"),
        lambda path: path.write_bytes(b"0123456789more"),
        lambda path: os.utime(path, ns=(1, 1)),
        replaced,
        linked,
        pipe,
    ],
    ids=["gone", "shorter", "longer", "touched", "replaced", "linked", "pipe"],
)
def test_a_file_that_is_not_the_scanned_one(path: Path, change: object) -> None:
    blob = host(path)
    change(path)  # type: ignore[operator]
    with pytest.raises(SourceChanged) as caught:
        blob.read_at(0, 10)
    assert caught.value.path == os.fsencode(path)


def test_an_image_that_is_cut_while_it_is_read(path: Path) -> None:
    with FileBlob(path) as image:
        os.truncate(path, 5)
        assert image.read_at(0, 5) == b"01234"
        with pytest.raises(SourceChanged):
            image.read_at(0, 10)


def test_what_is_no_image_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    for name in ("none", ".", "/dev/null"):
        with pytest.raises(SourceUnreadable):
            FileBlob(tmp_path / name)


def test_holes(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
        file.truncate(3 << 20)
    blob = host(tmp_path / "f")
    with FileBlob(tmp_path / "f") as image:
        found = [list(blob.segments()), list(image.segments())]
    for segments in found:
        assert segments[0].hole and segments[-1].hole
        assert sum(segment.size for segment in segments) == 3 << 20


def test_systems_that_know_no_holes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(path, 1 << 20)
    monkeypatch.delattr(os, "SEEK_HOLE")
    whole = [Segment(0, 1 << 20, False)]
    assert list(host(path).segments()) == whole
    with FileBlob(path) as image:
        assert list(image.segments()) == whole


def test_reading_after_close_is_an_error_and_never_another_file(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"image")
    (tmp_path / "other").write_bytes(b"other")
    blob = FileBlob(tmp_path / "image")
    blob.close()
    blob.close()
    with open(tmp_path / "other", "rb"):  # likely takes the descriptor's number
        with pytest.raises(ValueError, match="closed"):
            blob.read_at(0, 5)
        with pytest.raises(ValueError, match="closed"):
            list(blob.segments())


def test_close_waits_for_a_reader(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"image")
    blob = FileBlob(tmp_path / "image")
    segments = blob.segments()
    next(segments)
    blob.close()
    with open(os.devnull) as other:
        assert os.fstat(blob._fd).st_ino == os.stat(tmp_path / "image").st_ino != os.fstat(other.fileno()).st_ino
    assert list(segments) == []
    with pytest.raises(OSError):
        os.fstat(blob._fd)
