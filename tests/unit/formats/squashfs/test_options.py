"""The options of the writer: text to values, bounds, and what they put into an image."""

from __future__ import annotations

import random

import pytest

from imgcore.errors import Unsupported
from imgcore.formats.squashfs import Options
from imgcore.formats.squashfs.codecs import compressor_options
from imgcore.model import tree
from tests.kit.squashfs_io import write_report


def test_settings_from_text() -> None:
    made = Options().with_settings(
        {
            "fragments": "none",
            "export": "no",
            "early-store": "no",
            "dedup": "yes",
            "block_size": "1M",
            "level": "3",
            "time": "7",
        }
    )
    assert made == Options(fragments="none", export=False, early_store=False, block_size=1 << 20, level=3, time=7)


@pytest.mark.parametrize(
    "settings",
    [
        {"colour": "red"},
        {"export": "maybe"},
        {"level": "high"},
        {"jobs": "4"},
        {"fragments": "some"},
        {"pad": "1000"},
        {"time": "-1"},
    ],
)
def test_bad_settings(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)).replace("_", ".") + "|not"):
        Options().with_settings(settings)


@pytest.mark.parametrize(
    "values",
    [
        {"compression": "lzma"},
        {"compression": "lzo", "level": 3},
        {"compression": "none", "level": 1},
        {"block_size": 2048},
        {"block_size": 2 << 20},
        {"block_size": 5000},
        {"time": 1 << 32},
        {"jobs": 0},
        {"memory": 1},
        {"memory": 1 << 63},
        {"pad": 512},
        {"pad": 1 << 40},
        {"block_size": 1 << 20, "jobs": 64},
    ],
    ids=str,
)
def test_bad_values(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Options(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("codec", "level"), [("gzip", 13), ("gzip", 0), ("zstd", 23), ("xz", 10), ("lz4", 2), ("lz4", 13)])
def test_bad_levels(codec: str, level: int) -> None:
    with pytest.raises((ValueError, Unsupported)):
        write_report(tree({"/a": b"a"}), Options(compression=codec, level=level))


@pytest.mark.parametrize(
    ("codec", "level", "expected"),
    [
        ("gzip", None, "060000000f000100"),
        ("gzip", 9, ""),
        ("gzip", 12, ""),  # libdeflate goes further than the field may say
        ("zstd", None, ""),
        ("zstd", 3, "03000000"),
        ("lz4", None, "0100000000000000"),
        ("lz4", 9, "0100000001000000"),
        ("xz", None, ""),
        ("lzo", None, ""),
        ("none", None, ""),
    ],
)
def test_compressor_options(codec: str, level: int | None, expected: str) -> None:
    assert compressor_options(Options(compression=codec, level=level)).hex() == expected


def test_early_store_can_be_turned_off() -> None:
    chance = random.Random(1).randbytes(1 << 18)  # repeats further away than LZ4 looks
    stored = {}
    for early in (True, False):
        options = Options(compression="zstd", level=15, block_size=1 << 20, early_store=early)
        stored[early] = write_report(tree({"/a": chance + chance}), options)[1].bytes_stored
    assert stored[True] == 1 << 19
    assert stored[False] < 1 << 18 | 1 << 12


def test_many_jobs_with_large_blocks_need_memory_and_get_it() -> None:
    options = Options(block_size=1 << 20, jobs=64, memory=4 << 30)
    assert write_report(tree({"/a": b"a"}), options)[1].files == 1


def test_pad() -> None:
    image, _ = write_report(tree({"/a": b"a"}), Options(pad=4 << 20))
    assert len(image) == 4 << 20
