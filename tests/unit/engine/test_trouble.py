"""What goes wrong while packing: files that change, blobs and codecs that fail, calls that are cancelled or given up."""

from __future__ import annotations

import errno
import gc
import os
import random
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, HostFile, Identity, Segment, ZeroBlob
from imgcore.codec import make_codec
from imgcore.engine import Engine, Job, Kind, Spec
from imgcore.errors import Cancelled, Corrupt, SourceChanged, SourceError, SourceUnreadable
from imgcore.events import Control
from tests.unit.engine.runs import host_file, jobs_of, one_by_one, pack, require_native

SIZES = [10, 4096, 5000, 300000]  # a tail, a block, a block and a tail, many blocks


def spoil(path: Path, how: str) -> None:
    """Do to a file what must not happen while it is packed."""
    if how == "vanished":
        path.unlink()
    elif how == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif how == "symlink":
        path.rename(path.with_suffix(".moved"))
        path.symlink_to(path.with_suffix(".moved"))
    elif how == "directory":
        path.unlink()
        path.mkdir()
    elif how == "replaced":
        other = path.with_suffix(".new")
        other.write_bytes(path.read_bytes())
        other.rename(path)
    elif how == "grew":
        with path.open("ab") as stream:
            stream.write(b"x")
    elif how == "shrank":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "touched":
        os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["vanished", "fifo", "symlink", "directory", "replaced", "grew", "shrank", "touched"])
def test_changed_file(engine: Engine, tmp_path: Path, how: str, size: int) -> None:
    blob = host_file(tmp_path / "file", bytes(range(1, 251)) * (size // 250) + b"z" * (size % 250))
    spoil(tmp_path / "file", how)
    with pytest.raises(SourceChanged) as caught:
        pack(engine, [b"before", blob, b"after"])
    assert caught.value.path == b"1"


def test_changed_sparse_file(engine: Engine, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as stream:
        stream.truncate(1 << 20)
    blob = host_file(tmp_path / "file")
    spoil(tmp_path / "file", "touched")
    with pytest.raises(SourceChanged) as caught:
        pack(engine, [blob])
    assert caught.value.path == b"0"


def test_files_before_the_bad_one_come_first(engine: Engine, tmp_path: Path) -> None:
    blob = host_file(tmp_path / "file", b"x" * 100)
    (tmp_path / "file").unlink()
    ends = []
    with pytest.raises(SourceChanged):
        for found in engine.pack(jobs_of([b"a" * 9000, b"b", blob]), Spec(4096, None), Control()):
            ends += [piece.number for piece in one_by_one([found]) if piece.kind is Kind.END]
    assert ends == [0, 1]


def test_change_seen_while_comparing(tmp_path: Path) -> None:
    """A duplicate is compared with the earlier file, which is named when that is not there any more."""
    require_native()
    from imgcore.engine.native import NativeEngine

    content = random.Random(1).randbytes(4096)
    blob = host_file(tmp_path / "file", content)

    class Removing(BytesBlob):
        def read_at(self, at: int, size: int) -> bytes:
            time.sleep(0.05)  # by now the first file was read
            (tmp_path / "file").unlink(missing_ok=True)
            return super().read_at(at, size)

    with pytest.raises(SourceChanged) as caught:
        pack(NativeEngine(), [blob, Removing(content)], jobs=1)
    assert caught.value.path == b"0"


def test_change_that_hides_behind_size_and_time(engine: Engine, tmp_path: Path) -> None:
    blob = host_file(tmp_path / "file", b"A" * 1000)
    (tmp_path / "file").write_bytes(b"B" * 1000)
    os.utime(tmp_path / "file", ns=(0, blob.identity.mtime_ns))
    with pytest.raises(SourceChanged):
        pack(engine, [blob])
    with pytest.raises(SourceChanged):
        blob.read_at(0, 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(engine: Engine, tmp_path: Path) -> None:
    blob = host_file(tmp_path / "file", b"secret")
    (tmp_path / "file").chmod(0)
    with pytest.raises(SourceUnreadable) as caught:
        pack(engine, [blob])
    assert caught.value.path == b"0"


def test_system_error_is_told(engine: Engine, tmp_path: Path) -> None:
    blob = HostFile(os.fsencode(tmp_path / ("n" * 300)), Identity(1, 1, 100, 0, 0, 8))
    with pytest.raises(SourceUnreadable, match=os.strerror(errno.ENAMETOOLONG)) as caught:
        pack(engine, [blob])
    assert caught.value.path == b"0"


@dataclass
class Bad:
    """A blob that fails where it is told to."""

    size: int
    error: BaseException | None = None
    short: bool = False
    holes: bool = False

    def read_at(self, at: int, size: int) -> bytes:
        if self.error is not None:
            raise self.error
        return bytes(size - 1 if self.short else size)

    def segments(self) -> Iterator[Segment]:
        if self.holes and self.error is not None:
            raise self.error
        yield Segment(0, self.size, False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("holes", [False, True])
def test_blob_that_fails(engine: Engine, size: int, holes: bool) -> None:
    with pytest.raises(SourceError) as source:
        pack(engine, [b"x", Bad(size, SourceUnreadable("no", path=b"/its/own/name"), holes=holes)])
    assert source.value.path == b"1"
    with pytest.raises(Corrupt) as corrupt:
        pack(engine, [b"x", Bad(size, Corrupt("broken", offset=7), holes=holes)])
    assert (corrupt.value.path, corrupt.value.offset) == (b"1", 7)
    with pytest.raises(ZeroDivisionError):
        pack(engine, [b"x", Bad(size, ZeroDivisionError(), holes=holes)])


def test_blob_that_ends_early(engine: Engine) -> None:
    with pytest.raises(SourceChanged, match="ended early") as caught:
        pack(engine, [b"x", Bad(5000, short=True)])
    assert caught.value.path == b"1"


class OwnCodec:
    """A codec that the core knows no functions of; it may fail."""

    name, level, fingerprint, slow = "own", None, "own", False

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    def compress(self, data: bytes | memoryview) -> bytes:
        if self.error is not None:
            raise self.error
        return bytes(data[: len(data) // 2])


def test_own_codec(engine: Engine, pure: Engine) -> None:
    contents = [bytes([i]) * 5000 for i in range(1, 50)]
    spec = Spec(4096, OwnCodec(), jobs=3)
    pieces = one_by_one(engine.pack(jobs_of(contents), spec, Control()))
    assert pieces == list(pure.pack(jobs_of(contents), spec, Control()))
    assert len(pieces[0].data) == 2048


@pytest.mark.parametrize("content", [b"x" * 4096, b"x" * 10])
def test_codec_that_fails(engine: Engine, content: bytes) -> None:
    with pytest.raises(ZeroDivisionError):
        list(engine.pack(jobs_of([content] * 3), Spec(4096, OwnCodec(ZeroDivisionError())), Control()))


def threads() -> int:
    """Return the number of threads of this process, those of C too."""
    return len(os.listdir("/proc/self/task"))


def gone_to(count: int) -> bool:
    """Return whether the number of threads becomes `count`; Python joins a thread a moment before the system does."""
    deadline = time.monotonic() + 5
    while threads() != count and time.monotonic() < deadline:
        time.sleep(0.01)
    return threads() == count


def endless() -> Iterator[Job]:
    """Yield jobs for ever."""
    source = random.Random(3)
    while True:
        yield Job(b"f", BytesBlob(source.randbytes(20000)))


@pytest.mark.parametrize("when", [0, 1, 5000])
def test_cancel(engine: Engine, when: int) -> None:
    before, control, seen = threads(), Control(), 0
    with pytest.raises(Cancelled):
        if not when:
            control.cancel()
        for _ in engine.pack(endless(), Spec(4096, make_codec("lz4", block_size=4096), jobs=2), control):
            seen += 1
            if seen == when:
                control.cancel()
    assert seen < when + 1100 and gone_to(before)


def test_cancel_from_a_thread_while_blocked(engine: Engine) -> None:
    """A call that waits for slow content looks at the flag."""

    class Slow(BytesBlob):
        def read_at(self, at: int, size: int) -> bytes:
            time.sleep(0.3)
            return super().read_at(at, size)

    control = Control()
    timer = threading.Timer(0.05, control.cancel)
    timer.start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        list(engine.pack(jobs_of([Slow(bytes(30 << 20))] * 3), Spec(1 << 20, None), control))
    timer.join()
    assert time.monotonic() - start < 3


def test_given_up_iterators_end_their_threads(engine: Engine) -> None:
    before = threads()
    for pulls in range(6):
        pieces = engine.pack(endless(), Spec(4096, make_codec("zstd", 1, block_size=4096), jobs=3), Control())
        for _ in range(pulls):
            next(pieces)
        if pulls % 2:
            pieces.close()  # type: ignore[attr-defined]
        del pieces
    gc.collect()
    assert gone_to(before)


def test_failing_list_of_files(engine: Engine) -> None:
    def files() -> Iterator[Job]:
        yield Job(b"a", BytesBlob(b"x" * 9000))
        raise ZeroDivisionError

    before = threads()
    with pytest.raises(ZeroDivisionError):
        list(engine.pack(files(), Spec(4096, None), Control()))
    assert gone_to(before)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_packing(engine: Engine) -> None:
    pieces = engine.pack(endless(), Spec(4096, None, jobs=2), Control())
    next(pieces)
    if engine.name == "pure":
        pieces.close()  # type: ignore[attr-defined]
        pytest.skip("concurrent.futures does not survive a fork")
    child = os.fork()
    if child == 0:
        pieces.close()  # type: ignore[attr-defined]
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    pieces.close()  # type: ignore[attr-defined]


def test_memory_does_not_grow(engine: Engine, tmp_path: Path) -> None:
    """300 MB of content that does not compress, within 8 MiB and a margin for everything else."""
    noise = random.Random(1).randbytes(1 << 20)

    class Noise(ZeroBlob):
        def read_at(self, at: int, size: int) -> bytes:
            return at.to_bytes(8, "little") + noise[at % 99 : at % 99 + size - 8]

        def segments(self) -> Iterator[Segment]:
            yield Segment(0, self.size, False)

    spec = Spec(131072, make_codec("lz4", block_size=131072), jobs=2, memory=8 << 20)
    list(engine.pack(jobs_of([Noise(20 << 20)]), spec, Control())).clear()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    total = sum(len(piece.data) for piece in engine.pack(jobs_of([Noise(300 << 20)]), spec, Control()))
    assert total == 300 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 << 10  # KiB


def test_few_descriptors(engine: Engine, tmp_path: Path) -> None:
    """Many sparse files, all of holes, are not all open at once."""
    files = []
    for index in range(500):
        with (tmp_path / str(index)).open("wb") as stream:
            stream.truncate(10 << 20)
        files.append(host_file(tmp_path / str(index)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 100, hard))
    try:
        assert sum(piece.count for piece in pack(engine, files, block_size=131072)) == 500 * 80
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
