"""Changes in place: whole or not at all, whenever they are stopped."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, FileBlob, SliceBlob
from imgcore.build import in_place
from imgcore.build.half_changed import is_half_changed, journal_of
from imgcore.build.in_place import hold
from imgcore.errors import Corrupt, OutputError, SourceUnreadable

OLD = bytes(range(256)) * 64


def apply(image: Path, new_size: int, patches: list[tuple[int, object]]) -> None:
    with hold(image) as held:
        held.apply(new_size, patches)  # type: ignore[arg-type]


def recover(image: Path) -> str | None:
    with hold(image) as held:
        return held.recovered


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
    apply(image, 12688, patches(image))
    assert image.read_bytes() == new_of(OLD)
    assert os.listdir(image.parent) == ["image"] and recover(image) is None


def test_a_patch_may_read_what_another_one_overwrites(image: Path) -> None:
    swap: list[tuple[int, object]] = [(0, SliceBlob(FileBlob(image), 4096, 4096)), (4096, SliceBlob(FileBlob(image), 0, 4096))]
    apply(image, 8192, swap)
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
                apply(image, 12688, patches(image))
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
        "import sys\nfrom imgcore.blob import BytesBlob\nfrom imgcore.build.in_place import hold\n"
        "print('begin', flush=True)\n"
        "while True:\n"
        " with hold(sys.argv[1]) as held: held.apply(8 << 20, [(0, BytesBlob(b'x' * (8 << 20)))])\n"
        " with hold(sys.argv[1]) as held: held.apply(8 << 20, [(0, BytesBlob(bytes(8 << 20)))])\n"
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
    Path(os.fsdecode(journal_of(image))).write_bytes(b"something else, which is long enough" * 9)
    assert is_half_changed(image)
    with pytest.raises(Corrupt, match="not a journal"), hold(image):
        pass
    os.unlink(journal_of(image))
    with hold(image) as held:
        os.truncate(image, 1)
        with pytest.raises(OutputError, match="changed meanwhile"):
            held.apply(1, [])
    image.write_bytes(OLD[:8192])
    with pytest.raises(SourceUnreadable), hold(tmp_path / "none"):
        pass
    assert image.read_bytes() == OLD[:8192] and not is_half_changed(image)


# --- two at once


def test_who_changes_an_image_is_alone(image: Path) -> None:
    for change in (True, False):
        with hold(image), pytest.raises(OutputError, match="another process"), hold(image, change=change):
            pass
    with hold(image, change=False), hold(image, change=False) as held:
        assert held.blob.size == 8192
    with hold(image, change=False), pytest.raises(OutputError, match="another process"), hold(image):
        pass


def test_a_change_that_is_under_way_is_not_taken_for_one_that_was_stopped(image: Path) -> None:
    class Slow(BytesBlob):
        def read_at(self, at: int, size: int) -> bytes:
            assert is_half_changed(image)
            with pytest.raises(OutputError, match="another process"), hold(image):
                pass
            with pytest.raises(OutputError, match="another process"), hold(image, change=False):
                pass
            return super().read_at(at, size)

    apply(image, 8192, [(100, Slow(b"new!"))])
    assert image.read_bytes() == OLD[:100] + b"new!" + OLD[104:8192] and not is_half_changed(image)


# --- journals that outlive their image


def stopped(image: Path, monkeypatch: pytest.MonkeyPatch, *, committed: bool) -> None:
    """Leave the journal of a change, as a process does that is killed before or after it counts."""

    class Killed(BaseException):
        pass

    def kill(*words: object, **more: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(in_place.journal, "replay" if committed else "commit", kill)
        patched.setattr(in_place.os, "unlink", lambda *words: None)
        patched.setattr(in_place.os, "ftruncate", lambda *words: None)
        with pytest.raises(Killed):
            apply(image, 12688, patches(image))
    assert is_half_changed(image)


@pytest.mark.parametrize("other", [b"x" * 8192, b"x" * 12688, OLD[:8191], OLD[:4096], OLD[:8192], OLD[:12688]])
def test_a_journal_is_not_applied_to_another_image(image: Path, other: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(image, monkeypatch, committed=True)
    image.write_bytes(other)
    with pytest.raises(Corrupt, match="not of this image") as caught, hold(image):
        pass
    assert caught.value.hint is not None and "remove the journal" in caught.value.hint
    assert image.read_bytes() == other and is_half_changed(image)


@pytest.mark.parametrize("other", [b"x" * 8192, b"x" * 12688, OLD[:4096], OLD[:8192]])
def test_a_journal_that_does_not_count_cuts_no_other_image(image: Path, other: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(image, monkeypatch, committed=False)
    image.write_bytes(other)
    assert recover(image) == ("undone" if other == OLD[:8192] else None)
    assert image.read_bytes() == other and not is_half_changed(image)


@pytest.mark.parametrize(
    "listing",
    [
        "{}",
        "[1]",
        "null",
        '{"places": [[-1, 512]]}',
        '{"places": 1}',
        '{"places": [[0, 512]], "old": "", "size": 1}',
        "not json",
    ],
)
def test_a_listing_that_is_none_is_not_applied(image: Path, listing: str) -> None:
    text = listing.encode()
    head = b"imgcore journal 2\n" + struct.pack("<QQ32s", 8192, 8192, bytes(32)) + struct.pack("<Q", len(text))
    Path(os.fsdecode(journal_of(image))).write_bytes(head + text + b"committed\n")
    assert recover(image) is None
    assert image.read_bytes() == OLD[:8192] and not is_half_changed(image)


@pytest.mark.parametrize("committed", [True, False])
def test_a_stopped_change_is_settled_once(image: Path, committed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped(image, monkeypatch, committed=committed)
    with hold(image, change=False) as held:  # who only reads it settles it too
        assert held.recovered == ("finished" if committed else "undone")
    assert image.read_bytes() == (new_of(OLD) if committed else OLD[:8192]) and recover(image) is None
