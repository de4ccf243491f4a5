"""Blocks taken over from an older image: the new one is as if there were none, and what does not fit is told."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgcore.blob import BytesBlob, MemorySink, Segment
from imgcore.engine import get_engine
from imgcore.errors import SourceChanged
from imgcore.events import Control, Event, Warned
from imgcore.formats.base import Report
from imgcore.formats.squashfs import Options, base_image, write_image
from imgcore.formats.squashfs.base_image import read_base
from imgcore.model import FileHints, Tree, tree
from imgcore.store import LocalStore
from tests.kit.squashfs_io import ENGINES, write

OPTIONS = Options(compression="zstd", level=6, block_size=4096)


def text(seed: int, size: int) -> bytes:
    words = [random.Random(word).randbytes(5).hex() for word in range(64)]
    source = random.Random(seed)
    return " ".join(source.choice(words) for _ in range(size // 11 + 1)).encode()[:size]


def sample(changed: int = 0) -> Tree:
    files = {f"/{number}": text(number, 9000 + number) for number in range(12)}
    return tree({**files, "/changed": text(100 + changed, 9000), "/noise": random.Random(5).randbytes(9000)})


def pack(what: Tree, options: Options, engine: str, base: bytes) -> tuple[bytes, Report, list[str]]:
    events: list[Event] = []
    sink = MemorySink()
    options = dataclasses.replace(options, base=BytesBlob(base), jobs=2)
    report = write_image(what, sink, options, Control(events.append), get_engine(engine))  # type: ignore[arg-type]
    return sink.value(), report, [event.message for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("compression", ["gzip", "zstd", "xz", "lz4"])
def test_what_is_the_same_is_taken_over(engine: str, compression: str) -> None:
    options = Options(compression=compression, block_size=4096)
    old = write(sample(), options)
    image, report, warnings = pack(sample(1), options, engine, old)
    assert image == write(sample(1), options)
    assert report.recalled > 20 and warnings == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"compression": "gzip"}, "its compression is gzip, not zstd"),
        ({"block_size": 8192}, "its blocks have 8192 bytes, not 4096"),
        ({"level": 7}, "its compressor has other options"),
        ({"compression": "none", "level": None}, "its compression is gzip, not zstd"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_other_settings_are_told(engine: str, change: dict[str, Any], why: str) -> None:
    old = write(sample(), dataclasses.replace(OPTIONS, **change))
    image, report, warnings = pack(sample(), OPTIONS, engine, old)
    assert image == write(sample(), OPTIONS)
    assert (report.recalled, warnings) == (0, [f"base not used: {why}"])


def test_a_level_that_is_not_recorded_is_found_out() -> None:
    """Images at level 15 say nothing of their level."""
    old = bytearray(write(sample(), dataclasses.replace(OPTIONS, level=3)))
    old[98:102] = (6).to_bytes(4, "little")  # the recorded level
    image, report, warnings = pack(sample(), OPTIONS, "pure", bytes(old))
    assert image == write(sample(), OPTIONS) and report.recalled == 0
    assert warnings == ["base not used: its blocks were compressed with other settings, or by another version of the library"]


def test_a_base_that_is_broken_or_no_image_is_told() -> None:
    old = write(sample(), OPTIONS)
    plain = write(sample(), OPTIONS)
    for at in range(96, len(old), 97):
        broken = bytearray(old)
        broken[at] ^= 0x40
        image, _, warnings = pack(sample(), OPTIONS, "pure", bytes(broken))
        assert image == plain, at
        assert all(warning.startswith("base not used: ") for warning in warnings)
    for base in (b"", b"no image", old[:200]):
        image, report, warnings = pack(sample(), OPTIONS, "pure", base)
        assert image == plain and report.recalled == 0
        assert len(warnings) == 1


def far_repetition() -> Tree:
    """A block that LZ4 finds nothing in, and others much: early store takes it for chance."""
    noise = random.Random(7).randbytes(66_000)
    return tree({"/far": (noise + noise)[: 128 << 10], "/text": text(1, 200_000)})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_early_store_is_not_recorded(engine: str, before: bool, after: bool) -> None:
    options = Options(compression="zstd", level=15)
    old = write(far_repetition(), dataclasses.replace(options, early_store=before))
    wanted = dataclasses.replace(options, early_store=after)
    assert write(far_repetition(), wanted) != old
    image, report, warnings = pack(far_repetition(), wanted, engine, old)
    assert image == write(far_repetition(), wanted)
    assert report.recalled > 0 and warnings == []


@pytest.mark.parametrize("engine", ENGINES)
def test_files_that_were_stored_raw_are_compressed(engine: str) -> None:
    old = write(sample(), dataclasses.replace(OPTIONS, hints=lambda path, node: FileHints(compress=False)))
    image, _, _ = pack(sample(), OPTIONS, engine, old)
    assert image == write(sample(), OPTIONS)


class _Changing:
    """An image that changes while it is the base: `reads` are good, and then other bytes, fewer, or an error."""

    def __init__(self, image: bytes, later: Any) -> None:
        self.image, self.size, self.later, self.packing = image, len(image), later, False

    def read_at(self, at: int, size: int) -> bytes:
        data = self.image[at : at + size]
        return self.later(data) if self.packing else data  # type: ignore[no-any-return]

    def segments(self) -> Iterator[Segment]:
        yield Segment(0, self.size, False)


def fail(data: bytes) -> bytes:
    raise SourceChanged("it is shorter")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "later", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:-1], lambda data: b"", fail]
)
def test_a_base_that_changes_is_told(engine: str, later: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base = _Changing(write(sample(), OPTIONS), later)

    def read(*arguments: Any) -> Any:
        found = read_base(*arguments)
        base.packing = True
        return found

    monkeypatch.setattr(base_image, "read_base", read)
    events: list[Event] = []
    sink = MemorySink()
    options = dataclasses.replace(OPTIONS, base=base)
    report = write_image(sample(), sink, options, Control(events.append), get_engine(engine))  # type: ignore[arg-type]
    assert sink.value() == write(sample(), OPTIONS) and report.recalled == 0
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "base: it changed meanwhile; blocks of it were compressed anew"
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_base_and_store_together(tmp_path: Path, engine: str) -> None:
    """The base is asked first; the store is asked, and told, of the rest."""
    old = write(sample(), OPTIONS)
    store = LocalStore(tmp_path / "c")
    for _ in range(2):
        image, report, _ = pack(sample(1), dataclasses.replace(OPTIONS, store=store), engine, old)
        assert image == write(sample(1), OPTIONS)
    few = store.info().objects
    assert 0 < few < report.recalled
