"""Changes in place: whole or not at all, whenever they are stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, FileBlob, SliceBlob
from imgcore.build import in_place
from imgcore.build.in_place import apply_in_place, journal_of, recover
from imgcore.errors import Corrupt, OutputError

OLD = bytes(range(256)) * 64


def new_of(old: bytes) -> bytes:
    return old[:100] + b"new!" + old[104:8192] + old[4096:8192] + b"tail" * 100


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(OLD[:8192])
    return path


def patches(image: Path) -> list[tuple[int, object]]:
    return [(8192, SliceBlob(FileBlob(image), 4096, 4096)), (100, BytesBlob(b"new!")), (12288, BytesBlob(b"tail" * 100))]


def test_patches_hold_and_no_journal_stays(image: Path) -> None:
    apply_in_place(image, 8192, 12688, patches(image))  # type: ignore[arg-type]
    assert image.read_bytes() == new_of(OLD)
    assert os.listdir(image.parent) == ["image"] and recover(image) is None


def test_a_patch_may_read_what_another_one_overwrites(image: Path) -> None:
    swap = [(0, SliceBlob(FileBlob(image), 4096, 4096)), (4096, SliceBlob(FileBlob(image), 0, 4096))]
    apply_in_place(image, 8192, 8192, swap)
    assert image.read_bytes() == OLD[4096:8192] + OLD[:4096]


def test_stopped_anywhere_it_is_the_old_or_the_new(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop after each write that there is, as kill -9 does, and look at what recovery makes of it."""
    real_pwrite, real_write, real_sync = os.pwrite, os.write, os.fsync
    left = [0]

    class Killed(BaseException):
        pass

    def count(function: object, *words: object) -> object:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return function(*words)  # type: ignore[operator]

    outcomes = set()
    for stop in range(40):
        image.write_bytes(OLD[:8192])
        left[0] = stop
        with monkeypatch.context() as patched:
            patched.setattr(in_place.os, "pwrite", lambda *words: count(real_pwrite, *words))
            patched.setattr(in_place.os, "write", lambda *words: count(real_write, *words))
            patched.setattr(in_place.os, "fsync", lambda *words: count(real_sync, *words))
            patched.setattr(in_place.os, "unlink", lambda *words: None)  # a dead process cleans nothing up
            patched.setattr(in_place.os, "ftruncate", lambda *words: None)
            try:
                apply_in_place(image, 8192, 12688, patches(image))  # type: ignore[arg-type]
                ended = True
            except Killed:
                ended = False
        said = recover(image)
        assert image.read_bytes() in (OLD[:8192], new_of(OLD)), stop
        outcomes.add(said)
        assert not os.path.exists(journal_of(image))
        if ended:
            break
    assert ended and {"undone", "finished"} <= outcomes


def test_kill_minus_nine(image: Path, tmp_path: Path) -> None:
    image.write_bytes(bytes(8 << 20))
    program = (
        "import sys\nfrom imgcore.blob import BytesBlob\nfrom imgcore.build.in_place import apply_in_place\n"
        "print('begin', flush=True)\n"
        "while True:\n apply_in_place(sys.argv[1], 8 << 20, 8 << 20, [(0, BytesBlob(b'x' * (8 << 20)))])\n"
        " apply_in_place(sys.argv[1], 8 << 20, 8 << 20, [(0, BytesBlob(bytes(8 << 20)))])\n"
    )
    for delay in (0.0, 0.02, 0.05, 0.11):
        with subprocess.Popen([sys.executable, "-c", program, str(image)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        recover(image)
        assert image.read_bytes() in (bytes(8 << 20), b"x" * (8 << 20))


def test_what_is_refused(image: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="changed meanwhile"):
        apply_in_place(image, 1, 1, [])
    Path(os.fsdecode(journal_of(image))).write_bytes(b"something else, which is long enough to be read as a head")
    with pytest.raises(OutputError, match="under way"):
        apply_in_place(image, 8192, 8192, [(0, BytesBlob(b"x"))])
    with pytest.raises(Corrupt, match="not a journal"):
        recover(image)
    with pytest.raises(OutputError):
        apply_in_place(tmp_path / "none", 0, 0, [])
    assert image.read_bytes() == OLD[:8192]
