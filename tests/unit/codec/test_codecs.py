"""Every codec undoes itself, refuses what is broken, and is the same through every way to its library."""

from __future__ import annotations

import contextlib
import functools
import lzma
import random
import resource
import sys
import zlib as stdlib_zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.codec import binding, codec_infos, get_decoder, lz4, lzo, make_codec, xz, zlib, zstd
from imgcore.errors import Corrupt, Unsupported

BLOCK = 131072
CONFIGURATIONS = [
    ("zlib", 1),
    ("zlib", None),
    ("zlib", 12),
    ("zstd", 1),
    ("zstd", None),
    ("zstd", 22),
    ("xz", 0),
    ("xz", None),
    ("xz", 9),
    ("lz4", None),
    ("lz4", 3),
    ("lz4", 12),
    ("lzo", None),
]
NAMES = ["zlib", "zstd", "xz", "lz4", "lzo"]


@functools.cache
def samples() -> list[bytes]:
    source = random.Random(1)
    return [
        b"",
        b"a",
        b"abc" * 5,
        bytes(BLOCK),
        source.randbytes(BLOCK),
        b"".join(source.choice([b"the ", b"cat ", b"sat on ", b"a mat. "]) for _ in range(20000))[:BLOCK],
        bytes(source.choice(b"abcd") for _ in range(50001)),
    ]


@pytest.mark.parametrize(("name", "level"), CONFIGURATIONS)
def test_round_trip(name: str, level: int | None) -> None:
    codec, decode = make_codec(name, level, block_size=BLOCK), get_decoder(name)
    for raw in samples():
        stored = codec.compress(raw)
        assert decode(stored, BLOCK) == raw == decode(memoryview(stored), len(raw))
        assert codec.compress(memoryview(raw)) == stored  # also: no state is carried over


@pytest.mark.parametrize("name", NAMES)
def test_threads(name: str) -> None:
    codec, decode = make_codec(name, block_size=BLOCK), get_decoder(name)
    raws = samples() * 4
    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(codec.compress, raws))
        assert list(pool.map(decode, stored, [BLOCK] * len(raws))) == raws
    assert stored == [codec.compress(raw) for raw in raws]


@pytest.mark.parametrize("name", NAMES)
def test_more_than_allowed(name: str) -> None:
    codec, decode = make_codec(name, block_size=BLOCK), get_decoder(name)
    for raw in samples()[1:]:
        for allowed in {0, 1, len(raw) // 2, len(raw) - 1} - {len(raw)}:
            with pytest.raises(Corrupt):
                decode(codec.compress(raw), allowed)


@pytest.mark.parametrize("name", NAMES)
def test_truncated(name: str) -> None:
    """What is cut is refused or gives less, never more or other bytes (bare LZ4 has no end mark)."""
    codec, decode = make_codec(name, block_size=BLOCK), get_decoder(name)
    raw = samples()[5]
    stored = codec.compress(raw)
    for size in [*range(40), *range(40, len(stored), 997), len(stored) - 1]:
        try:
            out = decode(stored[:size], BLOCK)
        except Corrupt:
            continue
        assert name in ("lz4", "zstd") and len(out) < len(raw) and raw.startswith(out)
        assert name == "lz4" or size == 0


@pytest.mark.parametrize("name", [*NAMES, "lzma"])
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_garbage(name: str, data: bytes) -> None:
    with contextlib.suppress(Corrupt):
        assert len(get_decoder(name)(data, 4096)) <= 4096


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_flipped_bits(name: str, data: st.DataObject) -> None:
    stored = bytearray(make_codec(name, block_size=4096).compress(samples()[5][:4096]))
    for _ in range(data.draw(st.integers(1, 4))):
        stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(Corrupt):
        assert len(get_decoder(name)(bytes(stored), 4096)) <= 4096


def lzo_bomb(size: int) -> bytes:
    """Return an LZO stream of `size` bytes that gives 255 times as many: one literal run, one match."""
    return bytes([18, 65]) + b"\x20" + bytes(size) + b"\x01\x00\x00" + b"\x11\x00\x00"


def bombs() -> list[tuple[str, bytes]]:
    """Return streams that give, or claim, a hundred megabytes or more."""
    huge = bytes(100 << 20)
    frame = bytearray(make_codec("zstd", 1, block_size=BLOCK).compress(bytes(BLOCK)))
    claims = b"\x28\xb5\x2f\xfd\xe0" + (1 << 62).to_bytes(8, "little") + bytes(frame[9:])
    return [
        ("zlib", stdlib_zlib.compress(huge, 1)),
        ("zstd", make_codec("zstd", 1, block_size=BLOCK).compress(huge)),
        ("zstd", claims),
        ("xz", lzma.compress(huge, preset=0)),
        ("xz", lzma.compress(b"x" * 100, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])),
        ("lzma", lzma.compress(huge, format=lzma.FORMAT_ALONE, preset=0)),
        ("lz4", make_codec("lz4", block_size=BLOCK).compress(huge)),
        ("lzo", lzo_bomb(1 << 19)),
    ]


def test_bombs() -> None:
    prepared = bombs()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limit = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (96 << 20), limit[1]))
    try:
        for name, data in prepared:
            with pytest.raises(Corrupt):
                get_decoder(name)(data, BLOCK)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= peak + (96 << 10)


@pytest.mark.parametrize("name", ["zlib", "xz", "lzo"])
def test_bytes_after_the_stream_are_ignored(name: str) -> None:
    stored = make_codec(name, block_size=4096).compress(b"hello " * 100)
    assert get_decoder(name)(stored + b"trailing", 4096) == b"hello " * 100


def test_lzma_as_squashfs_writes_it() -> None:
    raw = samples()[5]
    stream = lzma.compress(raw, format=lzma.FORMAT_ALONE)
    with_size = stream[:5] + len(raw).to_bytes(8, "little") + stream[13:]
    decode = get_decoder("lzma")
    assert decode(stream, BLOCK) == decode(with_size, BLOCK) == raw
    with pytest.raises(Corrupt):
        decode(with_size[:-20], BLOCK)
    with pytest.raises(Corrupt):
        decode(with_size[:12], BLOCK)


def test_zstd_frame_is_one_that_linux_reads() -> None:
    import zstandard

    for raw in samples():
        parameters = zstandard.get_frame_parameters(make_codec("zstd", 22, block_size=BLOCK).compress(raw))
        assert parameters.content_size == len(raw) and parameters.window_size <= max(len(raw), 1 << 10)


def test_xz_dictionary_is_a_block() -> None:
    for block_size, expected in [(4096, 8192), (8192, 8192), (1 << 20, 1 << 20)]:
        codec = make_codec("xz", 9, block_size=block_size)
        assert isinstance(codec, xz.XzCodec) and codec.dict_size == expected
        lzma.decompress(codec.compress(b"x" * 5000), format=lzma.FORMAT_XZ)


def test_lzo_sizes_without_decoding() -> None:
    codec = make_codec("lzo", block_size=BLOCK)
    for raw in samples():
        assert lzo.output_size(codec.compress(raw), 1 << 30) == len(raw)
    with pytest.raises(Corrupt):
        lzo.output_size(codec.compress(samples()[5])[:-5], 1 << 30)


@pytest.mark.parametrize(
    ("name", "level"), [("zlib", 0), ("zlib", 13), ("zstd", 0), ("zstd", 23), ("xz", -1), ("xz", 10), ("lz4", 2), ("lzo", 1)]
)
def test_bad_level(name: str, level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        make_codec(name, level, block_size=BLOCK)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="lz5"):
        make_codec("lz5", block_size=BLOCK)
    with pytest.raises(ValueError, match="lz5"):
        get_decoder("lz5")


def test_infos() -> None:
    infos = codec_infos()
    assert [info.name for info in infos] == NAMES
    for info in infos:
        assert info.available and info.version
        codec = make_codec(info.name, block_size=BLOCK)
        assert (codec.name, codec.level) == (info.name, info.default_level)
        assert info.version in codec.fingerprint


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lzallright", None)
    get_decoder.cache_clear()
    with pytest.raises(Unsupported) as caught:
        make_codec("lzo", block_size=BLOCK)
    assert caught.value.hint == "pip install 'imgcore[lzo]'"
    with pytest.raises(Unsupported):
        get_decoder("lzo")
    assert not codec_infos()[-1].available


@pytest.mark.parametrize(
    ("name", "module", "loader"),
    [("zlib", zlib, "deflate_library"), ("zstd", zstd, "zstd_module"), ("lz4", lz4, "lz4_library"), ("xz", xz, "lzma_library")],
)
def test_without_the_libraries_functions(monkeypatch: pytest.MonkeyPatch, name: str, module: ModuleType, loader: str) -> None:
    """Where the symbols cannot be reached, the packages' own functions do the work, and the core has to call back."""
    bound = make_codec(name, block_size=BLOCK)
    stored = [bound.compress(raw) for raw in samples()]
    monkeypatch.setattr(module, loader, lambda: None)
    codec, decode = make_codec(name, block_size=BLOCK), module.make_decoder()
    assert codec.bound is None  # type: ignore[attr-defined]
    for raw, other in zip(samples(), stored, strict=True):
        assert decode(codec.compress(raw), BLOCK) == decode(other, BLOCK) == raw
        if raw:
            with pytest.raises(Corrupt):
                decode(other, len(raw) - 1)
            with pytest.raises(Corrupt):
                decode(b"\xff" * 20, BLOCK)
    assert module.info().version


def test_bound_functions_are_real() -> None:
    loaders: list[Callable[[], object]] = [
        binding.lz4_library,
        binding.deflate_library,
        binding.lzma_library,
        binding.zstd_module,
    ]
    assert all(loader() is not None for loader in loaders), "this platform's wheels do not lend their functions"
    for name, level in CONFIGURATIONS[:-1]:
        bound = make_codec(name, level, block_size=BLOCK).bound  # type: ignore[attr-defined]
        assert isinstance(bound, binding.Bound) and all(bound.addresses)
    assert binding._load("sys", {}) is None
