"""Whole streams: what the standard tools' libraries write is undone, broken ones name the place, bombs stay small."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tracemalloc
from collections.abc import Iterator

import lz4.block
import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.codec import StreamCompressor, StreamDecoder, decompress_stream, detect_stream, stream, stream_level
from imgcore.errors import Corrupt, ImgcoreError, LimitExceeded

TEXT = b"".join(b"line %d of some text\n" % (number * 7919 % 1000) for number in range(20_000))
NOISE = random.Random(5).randbytes(300_000)


def legacy_lz4(data: bytes) -> bytes:
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        block = lz4.block.compress(data[at : at + (8 << 20)], store_size=False)
        out += len(block).to_bytes(4, "little") + block
    return out


MAKERS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
    "lz4-legacy": legacy_lz4,
}


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def undone(data: bytes, size: int = 1 << 20, **more: object) -> bytes:
    name = detect_stream(data[: stream.HEAD_SIZE])
    assert name is not None
    return b"".join(decompress_stream(name, pieces(data, size), **more))  # type: ignore[arg-type]


@pytest.fixture(params=["cffi", "package"])
def zstd_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with zstandard's own functions, and with its package's API only."""
    if request.param == "package":
        monkeypatch.setattr(stream, "zstd_module", lambda: None)


@pytest.mark.usefixtures("zstd_ways")
@pytest.mark.parametrize("size", [1, 7, 65536, 1 << 20])
@pytest.mark.parametrize("name", MAKERS)
def test_every_kind(name: str, size: int) -> None:
    data = TEXT[:3000] if size < 10 else TEXT + NOISE
    packed = MAKERS[name](data)
    assert detect_stream(packed[:16]) == name
    assert undone(packed, size) == data


@pytest.mark.usefixtures("zstd_ways")
@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"lzma"}))
def test_members_padding_and_other_kinds_behind(name: str) -> None:
    whole = MAKERS[name](TEXT) + MAKERS[name](b"") + MAKERS[name](NOISE)
    assert undone(whole) == TEXT + NOISE
    if name != "lz4-legacy":
        assert undone(whole + bytes(5000)) == TEXT + NOISE
        assert undone(whole + bytes(8) + MAKERS["gzip"](b"more") + bytes(3)) == TEXT + NOISE + b"more"
        with pytest.raises(Corrupt, match="behind the end") as caught:
            undone(whole + bytes(4) + b"garbage")
        assert caught.value.offset == len(whole) + 4


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"lz4-legacy"}))
def test_where_a_stream_ends(name: str) -> None:
    packed = MAKERS[name](TEXT)
    decoder = StreamDecoder(name, pieces(packed + bytes(8) + b"0707 behind it", 1000), strict=False)
    assert b"".join(decoder) == TEXT
    assert decoder.position == len(packed) + 8


@pytest.mark.usefixtures("zstd_ways")
@pytest.mark.parametrize("name", MAKERS)
def test_every_cut_and_many_broken_bytes(name: str) -> None:
    packed = MAKERS[name](TEXT[:400])
    ends = {0} if name == "lz4-legacy" else set()  # its magic alone is an empty stream
    for length in range(16, len(packed)):
        with pytest.raises(Corrupt) as caught:
            undone(packed[:length], 64)
        assert length - 4 in ends or (caught.value.offset is not None and caught.value.offset <= length)
    chance = random.Random(name)
    for _ in range(300):
        broken = bytearray(packed)
        broken[chance.randrange(4, len(packed))] ^= 1 << chance.randrange(8)
        try:
            b"".join(decompress_stream(name, pieces(bytes(broken), 100)))
        except ImgcoreError as error:
            assert error.offset is not None


@pytest.mark.usefixtures("zstd_ways")
@pytest.mark.parametrize("name", MAKERS)
def test_a_bomb_comes_in_small_pieces(name: str) -> None:
    packed = MAKERS[name](bytes(64 << 20))
    tracemalloc.start()
    total = 0
    for piece in decompress_stream(name, pieces(packed, 1 << 20)):
        assert 0 < len(piece) <= 1 << 20
        total += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 64 << 20
    assert peak < 40 << 20  # a block of the old lz4 format is 8 MiB, and several are in flight


def test_a_million_members_of_nothing_are_no_trouble() -> None:
    member = gzip.compress(b"", mtime=0)
    assert undone(member * 100_000) == b""


@pytest.mark.usefixtures("zstd_ways")
def test_windows_and_dictionaries_are_bounded() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    packed = compressor.compress(NOISE) + compressor.flush()
    assert undone(packed) == NOISE
    with pytest.raises(LimitExceeded) as caught:
        undone(packed, memory=32 << 20)
    assert caught.value.field == "max_metadata" and caught.value.hint
    packed = lzma.compress(NOISE, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 64 << 20}])
    assert undone(packed) == NOISE
    with pytest.raises(LimitExceeded):
        undone(packed, memory=32 << 20)


@pytest.mark.parametrize(
    "head", [b"", b"\x1f", b"hsqs", b"070701", b"\x5d\0\0\0\0", b"\x5d\0\0\x80\0" + b"\xff" * 7, bytes(16)]
)
def test_what_is_no_stream(head: bytes) -> None:
    assert detect_stream(head) is None


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="known"):
        StreamDecoder("zip", [])
    with pytest.raises(ValueError, match="none of"):
        stream_level("lz4", None)
    for name, level in (("gzip", 13), ("zstd", 0), ("xz", 10), ("bzip2", 0)):
        with pytest.raises(ValueError, match="levels"):
            stream_level(name, level)
    with pytest.raises(ValueError, match="no level"):
        stream_level("none", 1)
    with pytest.raises(ValueError, match="levels 1 to 9"):
        stream_level("gzip", 12, single=True)


def made(data: bytes, name: str, *, step: int = 100_000, **more: object) -> bytes:
    out: list[bytes] = []
    with StreamCompressor(name, out.append, **more) as compressor:  # type: ignore[arg-type]
        for piece in pieces(data, step):
            compressor.write(piece)
    return b"".join(out)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(
    ("name", "level"), [("gzip", None), ("gzip", 1), ("bzip2", None), ("xz", 0), ("zstd", None), ("zstd", 1)]
)
def test_written_streams(name: str, level: int | None, single: bool) -> None:
    data = (TEXT + NOISE) * 8
    one = made(data, name, level=level, single=single)
    assert made(data, name, level=level, jobs=3, step=333_333, single=single) == one
    assert undone(one) == data
    assert made(b"", name, level=level, single=single) and undone(made(b"", name, single=single)) == b""
    if name == "zstd":
        assert zstandard.ZstdDecompressor().decompressobj().decompress(one) == data
        assert zstandard.get_frame_parameters(one).has_checksum
    else:
        assert {"gzip": gzip, "bzip2": bz2, "xz": lzma}[name].decompress(one) == data  # type: ignore[attr-defined]
    if single and name == "gzip":
        assert int.from_bytes(one[-4:], "little") == len(data)


def test_no_compression_passes_through() -> None:
    assert made(TEXT, "none") == TEXT
    assert made(b"", "none") == b""


def test_an_error_ends_the_threads() -> None:
    class Stop(Exception):
        pass

    def refuse(data: bytes) -> None:
        raise Stop

    with pytest.raises(Stop), StreamCompressor("gzip", refuse, jobs=2) as compressor:
        for _ in range(10):
            compressor.write(NOISE * 10)


@settings(max_examples=40)
@given(
    parts=st.lists(
        st.tuples(st.sampled_from(sorted(set(MAKERS) - {"lzma", "lz4-legacy"})), st.binary(max_size=300)), min_size=1
    ),
    step=st.integers(1, 400),
)
def test_any_members_in_any_steps(parts: list[tuple[str, bytes]], step: int) -> None:
    packed = b"".join(MAKERS[name](data) for name, data in parts)
    assert undone(packed, step) == b"".join(data for _, data in parts)
