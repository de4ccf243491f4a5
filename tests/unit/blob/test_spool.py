"""Spools: bytes in order, zeros as holes, errors that name the directory."""

from __future__ import annotations

import errno
import os
import random
import threading

import pytest

from imgcore.blob import Blob, Segment, SliceBlob, Spool, read_all
from imgcore.errors import OutputError

BLOCK = 64 << 10


def spooled(*parts: bytes) -> Spool:
    spool = Spool()
    for part in parts:
        spool.append(part)
    return spool.seal()


@pytest.mark.parametrize("step", [1000, BLOCK, 3 * BLOCK + 1, 5 << 20])
def test_reads_what_was_written(step: int) -> None:
    noise = random.Random(1).randbytes(BLOCK)
    data = noise + bytes(3 * BLOCK) + b"x" + bytes(40 * BLOCK) + noise[:77] + bytes(20 * BLOCK + 5)
    with spooled(*(data[at : at + step] for at in range(0, len(data), step))) as spool:
        assert isinstance(spool, Blob)
        assert spool.size == len(data)
        assert read_all(spool) == data
        assert spool.read_at(len(data) - 3, 10) == bytes(3)
        assert spool.read_at(len(data), 10) == spool.read_at(-1, 10) == b""
        runs = list(spool.segments())
        assert sum(run.size for run in runs) == len(data)
        assert sum(run.size for run in runs if run.hole) >= 50 * BLOCK
        part = list(SliceBlob(spool, BLOCK, 2 * BLOCK).segments())
        assert part == [Segment(0, 2 * BLOCK, True)]


def test_zeros_take_no_disk() -> None:
    with spooled(*[bytes(1 << 20)] * 300) as spool:
        assert spool.size == 300 << 20
        assert os.fstat(spool._fd).st_blocks < 100
        assert list(spool.segments()) == [Segment(0, 300 << 20, True)]


def test_empty_and_sealed() -> None:
    with spooled() as spool:
        assert (spool.size, read_all(spool), list(spool.segments())) == (0, b"", [])
        assert spool.seal() is spool
        with pytest.raises(ValueError, match="sealed"):
            spool.append(b"x")


def test_leaves_no_name_and_no_descriptor(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = os.listdir("/proc/self/fd")
    spool = spooled(b"x" * 100)
    assert os.listdir(str(tmp_path)) == []
    spool.close()
    spool.close()
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ValueError, match="closed"):
        spool.read_at(0, 1)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Spool() as spool:
        monkeypatch.setattr("os.pwrite", full)
        spool.append(b"x" * 100)
        with pytest.raises(OutputError, match="No space") as caught:
            spool.seal()
        assert caught.value.hint and "TMPDIR" in caught.value.hint
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(OutputError):
        Spool()


def test_threads_read_at_once() -> None:
    data = random.Random(2).randbytes(1 << 20)
    wrong: list[int] = []
    with spooled(data) as spool:

        def reader(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(200):
                at = chance.randrange(len(data))
                if spool.read_at(at, 1000) != data[at : at + 1000]:
                    wrong.append(at)

        threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_what_was_flushed_can_be_read_before_the_end() -> None:
    with Spool() as spool:
        assert spool.flush() == 0
        written = b""
        for number in range(40):
            data = bytes(30_000) if number % 3 else bytes([number + 1]) * 50_000
            spool.append(data)
            written += data
            there = spool.flush()
            assert there % (64 << 10) == 0 and len(written) - there < 64 << 10
            assert spool.read_at(0, there) == written[:there]
            assert sum(segment.size for segment in spool.segments_in(0, there)) == there
        spool.append(bytes(200_000))  # holes at the end
        written += bytes(200_000)
        there = spool.flush()
        assert spool.read_at(0, there) == written[:there]
        spool.seal()
        assert spool.flush() == len(written) and spool.read_at(0, len(written)) == written
