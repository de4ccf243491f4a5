"""One run's use of a store: who asks at a time, who makes blocks at a time, and what custom stores may be."""

from __future__ import annotations

import dataclasses
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from imgcore.blob import BytesBlob
from imgcore.codec import make_codec
from imgcore.engine.protocol import Spec
from imgcore.formats.squashfs import Options
from imgcore.model import tree
from imgcore.store import Kept, LocalStore, StoreUse
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import ENGINES, EngineName, write

SPEC = Spec(4096, make_codec("zstd", 3, block_size=4096), jobs=2)


class Slow:
    """A store that answers nobody before `together` threads ask."""

    at_once = 8

    def __init__(self, together: int) -> None:
        self.barrier = threading.Barrier(together)
        self.most = 0
        self.kept: dict[bytes, Kept] = {}

    def get(self, key: bytes, raw_size: int) -> Kept | None:
        if not self.barrier.broken and not self.most:
            try:
                self.barrier.wait(20)
                self.most = self.barrier.parties
            except threading.BrokenBarrierError:
                pass
        return self.kept.get(key)

    def put(self, key: bytes, raw_size: int, kept: Kept) -> None:
        self.kept[key] = kept

    def close(self, *, wait: bool = True) -> None:
        pass

    def warnings(self) -> list[str]:
        return []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_that_waits_is_asked_by_many(engine: EngineName) -> None:
    plain = write(everything(), Options(block_size=4096))
    store = Slow(6)
    for _ in range(2):
        assert write(everything(), Options(block_size=4096, jobs=1, store=store), engine) == plain
    assert store.most == 6


def test_threads_fit_into_memory() -> None:
    store: Any = Slow(1)
    assert SPEC.with_store(store).jobs == 8
    assert dataclasses.replace(SPEC, memory=12 * 4096).with_store(store).jobs == 2
    assert dataclasses.replace(SPEC, memory=40 * 4096).with_store(store).jobs == 8
    assert dataclasses.replace(SPEC, jobs=9).with_store(store).jobs == 9
    store.at_once = 1
    assert SPEC.with_store(store).jobs == 2


def test_makers_take_turns() -> None:
    store: Any = Slow(1)
    use = StoreUse(store, b"", b"", makers=2)
    inside, most, lock = 0, 0, threading.Lock()

    def work(name: int) -> None:
        nonlocal inside, most
        for number in range(20):
            raw = b"%d %d" % (name, number)
            assert use.recall(raw, looked_at=True) is None
            with lock:
                inside += 1
                most = max(most, inside)
            threading.Event().wait(0.001)
            with lock:
                inside -= 1
            if number % 3:  # the others failed
                use.keep(len(raw), Kept(False, b""))
        use.recall(b"%d 1" % name, looked_at=True)  # is known, and ends the turn that is left

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 2
    assert use.hits == 6 and use.misses == 120


def far_repetition() -> bytes:
    """A block that the quick look takes for chance, and zstd makes half as long."""
    noise = random.Random(7).randbytes(66_000)
    return (noise + noise)[: 128 << 10]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("first", ["block", "fragment"])
def test_a_fragment_is_no_block(tmp_path: Path, engine: EngineName, first: str) -> None:
    """Blocks are looked at before they are compressed, fragments are not: the same bytes are stored in two ways."""
    raw = far_repetition()
    half = len(raw) // 2
    trees = {"block": tree({"/a": raw}), "fragment": tree({"/b": raw[:half], "/c": raw[half:]})}
    sizes = {name: len(write(trees[name], Options(level=15), engine)) for name in trees}
    assert sizes["fragment"] < sizes["block"] - half // 2
    other = "fragment" if first == "block" else "block"
    for name in (first, other, first):
        store = LocalStore(tmp_path / "c")
        assert write(trees[name], Options(level=15, store=store), engine) == write(trees[name], Options(level=15), engine), name
    for name in (first, other):
        base = BytesBlob(write(trees[first], Options(level=15), engine))
        assert write(trees[name], Options(level=15, base=base), engine) == write(trees[name], Options(level=15), engine), name
