"""A cache on a disk that is full, and on one that is mounted read-only."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from imgcore.build.pack import pack
from imgcore.events import Control, Event, Warned
from imgcore.formats.squashfs import Options
from imgcore.model import Tree, tree
from imgcore.store import LocalStore
from tests.kit import oracles
from tests.kit.squashfs_io import ENGINES, EngineName

pytestmark = pytest.mark.oracle


def sample() -> Tree:
    chance = random.Random(3)
    return tree({f"/{number}": chance.randbytes(3000).hex().encode() for number in range(200)})


def packed(to: Path, engine: EngineName, cache: Path | None) -> tuple[bytes, int, list[str]]:
    events: list[Event] = []
    options = Options(compression="gzip", block_size=4096, jobs=2)
    report = pack(sample(), to, options=options, engine=engine, cache=cache, force=True, control=Control(events.append))
    return to.read_bytes(), report.recalled, [event.message for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_disk_that_is_full_and_one_that_is_read_only(tmp_path: Path, engine: EngineName) -> None:
    plain, _, _ = packed(tmp_path / "plain.raw", engine, None)
    disk = tmp_path / "disk"
    disk.mkdir()
    with oracles.tmpfs(disk, "size=400k"):
        cache = disk / "c"
        image, recalled, warnings = packed(tmp_path / "a.raw", engine, cache)
        assert (image, recalled) == (plain, 0)
        assert warnings == ["cache: nothing more is kept: No space left on device"]
        image, recalled, _ = packed(tmp_path / "a.raw", engine, cache)
        assert image == plain and recalled > 0
        kept = LocalStore(cache, create=False).info()
        assert kept.objects > 0 and kept.unfinished == 0
        oracles.run("mount", "-o", "remount,ro", disk)
        image, recalled, warnings = packed(tmp_path / "a.raw", engine, cache)
        assert image == plain and recalled > 0
        assert warnings == ["cache: nothing more is kept: Read-only file system"]
