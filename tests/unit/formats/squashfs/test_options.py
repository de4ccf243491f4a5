"""The options of the writer: text to values, bounds, and what they put into an image."""

from __future__ import annotations

import random

import pytest

from imgcore.codec.xz import XzCodec
from imgcore.errors import Unsupported
from imgcore.formats.squashfs import Options
from imgcore.formats.squashfs.codecs import compressor_options
from imgcore.formats.squashfs.options import FILTERS
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


def test_layout_and_codec_settings_from_text() -> None:
    layout = {
        "align": "4K",
        "order": "suffix",
        "uncompressed": "inodes,ids",
        "holes": "no",
        "hardlinks": "no",
        "optimize": "yes",
    }
    assert Options().with_settings(layout) == Options(
        align=4096, order="suffix", uncompressed=("inodes", "ids"), holes=False, hardlinks=False, optimize=True
    )
    xz = {"compression": "xz", "filters": "x86,arm64", "dict-size": "512K", "block-size": "1M", "lc": "0", "lp": "4"}
    assert Options().with_settings({**xz, "pb": "2", "extreme": "yes"}) == Options(
        "xz", block_size=1 << 20, filters=("x86", "arm64"), dict_size=512 << 10, lc=0, lp=4, pb=2, extreme=True
    )
    gzip = {"compression": "gzip", "window": "8", "strategy": "default,rle"}
    assert Options().with_settings(gzip) == Options("gzip", window=8, strategy=("default", "rle"))
    assert Options().with_settings({"compression": "lz4", "acceleration": "9"}) == Options("lz4", acceleration=9)
    assert Options().with_settings({"level": "-7"}) == Options(level=-7)
    assert Options("lzo").with_settings({"algorithm": "lzo1x_999"}).algorithm == "lzo1x_999"


@pytest.mark.parametrize(
    ("text", "block_size", "expected"),
    [("75%", "128K", 98304), ("37.5%", "128K", 49152), ("100%", "1M", 1 << 20), ("8K", "4K", 8192)],
)
def test_dictionary_sizes(text: str, block_size: str, expected: int) -> None:
    made = Options("xz").with_settings({"dict-size": text, "block-size": block_size})
    assert made.dict_size == expected


@pytest.mark.parametrize("text", ["60%", "1%", "200%", "x%", "%", "1.2.3%", "33.3333%", "9K", "256K", "4K", "5M", "-8K"])
def test_bad_dictionary_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"dict"):
        Options("xz").with_settings({"dict-size": text})


@pytest.mark.parametrize(
    "settings",
    [
        {"colour": "red"},
        {"align": "3000"},
        {"align": "2K"},
        {"align": "128M"},
        {"order": "size"},
        {"hints": "file"},
        {"uncompressed": "inodes,inodes"},
        {"uncompressed": "everything"},
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
        {"compression": "zstd", "filters": ("x86",)},
        {"compression": "xz", "filters": ("mips",)},
        {"compression": "xz", "filters": ("x86", "x86")},
        {"compression": "xz", "window": 9},
        {"compression": "xz", "lc": 3, "lp": 2},
        {"compression": "xz", "lp": 2},
        {"compression": "xz", "pb": 5},
        {"compression": "gzip", "window": 7},
        {"compression": "gzip", "strategy": ("huffman", "lucky")},
        {"compression": "gzip", "window": 9, "level": 12},
        {"compression": "gzip", "dict_size": 8192},
        {"compression": "lz4", "acceleration": 0},
        {"compression": "lz4", "acceleration": 2, "level": 9},
        {"compression": "lz4", "acceleration": 2, "optimize": True},
        {"compression": "lzo", "algorithm": "lzo1x_1"},
        {"compression": "zstd", "algorithm": "lzo1x_999"},
        {"compression": "lzo", "optimize": True},
        {"compression": "none", "optimize": True},
        {"align": 3 * 4096},
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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"compression": "gzip", "strategy": ("default",)}, ""),
        ({"compression": "gzip", "strategy": ("default", "filtered")}, "090000000f000300"),
        ({"compression": "gzip", "strategy": ("huffman",)}, "090000000f000400"),
        ({"compression": "gzip", "strategy": ("rle", "fixed"), "window": 8, "level": 1}, "0100000008001800"),
        ({"compression": "gzip", "window": 10}, "090000000a000100"),
        ({"compression": "gzip", "optimize": True}, ""),
        ({"compression": "zstd", "level": -5}, "fbffffff"),
        ({"compression": "zstd", "optimize": True}, "16000000"),
        ({"compression": "lz4", "acceleration": 9}, "0100000000000000"),
        ({"compression": "lz4", "optimize": True}, "0100000001000000"),
        ({"compression": "xz", "filters": ("x86",)}, "0000020001000000"),
        ({"compression": "xz", "filters": ("sparc", "powerpc")}, "0000020022000000"),
        ({"compression": "xz", "dict_size": 65536}, "0000010000000000"),
        ({"compression": "xz", "dict_size": 131072, "extreme": True, "pb": 0}, ""),
    ],
    ids=str,
)
def test_compressor_options_of_settings(options: dict[str, object], expected: str) -> None:
    assert compressor_options(Options(**options)).hex() == expected  # type: ignore[arg-type]


def test_a_filter_that_is_not_here() -> None:
    missing = [bcj for bcj in FILTERS if not XzCodec.has_filter(bcj)]
    if not missing:
        pytest.skip("this liblzma has all filters")
    with pytest.raises(ValueError, match=f"no filter `{missing[0]}`"):
        write_report(tree({"/a": b"a"}), Options(compression="xz", filters=(missing[0],)))


def test_early_store_can_be_turned_off() -> None:
    chance = random.Random(1).randbytes(1 << 18)  # repeats further away than LZ4 looks
    stored = {}
    for early in (True, False):
        options = Options(compression="zstd", level=15, block_size=1 << 20, early_store=early)
        stored[early] = write_report(tree({"/a": chance * 4}), options)[1].bytes_stored
    assert stored[True] == 1 << 20
    assert stored[False] < 1 << 18 | 1 << 12


def test_many_jobs_with_large_blocks_need_memory_and_get_it() -> None:
    options = Options(block_size=1 << 20, jobs=64, memory=4 << 30)
    assert write_report(tree({"/a": b"a"}), options)[1].files == 1


def test_pad() -> None:
    image, _ = write_report(tree({"/a": b"a"}), Options(pad=4 << 20))
    assert len(image) == 4 << 20
