"""Every field of every structure broken: only ImgcoreError comes out, soon, and without memory to match."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from imgcore.blob import BytesBlob, MemorySink
from imgcore.engine import get_engine
from imgcore.errors import ImgcoreError
from imgcore.events import Control
from imgcore.formats.squashfs import Options, open_image, write_image
from imgcore.formats.squashfs.check import check_blob
from imgcore.formats.squashfs.layout import Superblock
from imgcore.limits import Limits
from tests.kit.corrupter import Spot, broken, exercise, largest, spots
from tests.kit.sample_trees import everything
from tests.kit.squashfs_cases import all_cases


def image(compression: str = "none") -> bytes:
    sink = MemorySink()
    write_image(everything(), sink, Options(compression=compression, block_size=4096), Control(), get_engine("pure"))
    return sink.value()


RAW = image()
SPOTS = spots(RAW)


def few(all_spots: list[Spot], most: int = 6) -> list[Spot]:
    """Return at most `most` structures of each kind: the three hundred equal entries say nothing new."""
    count: dict[str, int] = {}
    out = []
    for spot in all_spots:
        count[spot.what] = count.get(spot.what, 0) + 1
        if count[spot.what] <= most:
            out.append(spot)
    return out


def test_the_sample_is_whole() -> None:
    assert exercise(RAW) == []
    kinds = {spot.what for spot in SPOTS}
    for kind in (
        "DirInode",
        "LDirInode",
        "RegInode",
        "LRegInode",
        "SymlinkInode",
        "DevInode",
        "IpcInode",
        "DirHeader",
        "DirEntry",
        "XattrEntry",
    ):
        assert kind in kinds


@pytest.mark.parametrize("spot", few(SPOTS), ids=lambda spot: f"{spot.what}@{spot.at:#x}".replace(" ", "-"))
def test_broken_field(spot: Spot) -> None:
    for what, changed in broken(RAW, spot):
        begin = time.monotonic()
        try:
            exercise(changed)
        except ImgcoreError:
            raise
        except Exception as error:
            raise AssertionError(what) from error
        assert time.monotonic() - begin < 20, what  # seconds even on a slow machine; a loop would never end


def test_memory_is_bounded_whatever_the_numbers_say() -> None:
    tracemalloc.start()
    try:
        for spot in few(SPOTS, 2):
            for what, changed in largest(RAW, spot):
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                exercise(changed)
                assert tracemalloc.get_traced_memory()[1] - before < 128 << 20, what
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd", "xz", "lz4"])
def test_cut_anywhere(compression: str) -> None:
    whole = image(compression)
    sb = Superblock.unpack_from(whole)
    tables = ("inode_table", "directory_table", "fragment_table", "lookup_table", "id_table", "xattr_id_table")
    starts = [0, 50, 95, 96, *(getattr(sb, f"{table}_start") for table in tables)]
    for cut in sorted({max(0, at + delta) for at in [*starts, sb.bytes_used] for delta in (-1, 0, 1)}):
        if cut >= sb.bytes_used:
            continue
        with pytest.raises(ImgcoreError) as caught:
            open_image(BytesBlob(whole[:cut]))
        assert caught.value.offset is not None or caught.value.structure is not None
        if cut >= 4:
            findings = list(check_blob(BytesBlob(whole[:cut]), Limits.default(), Control()))
            assert any(finding.fatal and finding.offset is not None for finding in findings)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "xz", "lz4"])
def test_flipped_bytes(compression: str) -> None:
    whole = image(compression)
    for at in range(96, len(whole), 397):
        changed = bytearray(whole)
        changed[at] ^= 0x55
        exercise(bytes(changed))


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_case_of_the_table(case) -> None:  # type: ignore[no-untyped-def]
    exercise(case.image)
