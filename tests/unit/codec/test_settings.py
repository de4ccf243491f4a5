"""Codecs in other settings than a level: filters and parameters of xz, zlib's windows and strategies, fast LZ4 and zstd."""

from __future__ import annotations

import lzma
import random
import zlib as stdlib_zlib
from pathlib import Path

import pytest

from imgcore.codec import BestCodec, Codec, best_of, binding, get_decoder, lz4, make_codec, xz
from imgcore.codec.lz4 import Lz4Codec
from imgcore.codec.xz import BCJ, XzCodec
from imgcore.codec.zlib import STRATEGIES, StrategyCodec
from imgcore.engine import Engine, Job, Kind, Spec, get_engine
from imgcore.events import Control
from tests.unit.engine.runs import require_native

BLOCK = 65536
HERE = [bcj for bcj in BCJ if XzCodec.has_filter(bcj)]


def code() -> bytes:
    """Return machine code: what filters are for."""
    return Path("/proc/self/exe").read_bytes()[1 << 16 : 3 << 16]


def samples() -> list[bytes]:
    text = b"".join(random.Random(1).choices([b"the ", b"cat ", b"sat on ", b"a mat. "], k=20000))
    return [code()[:BLOCK], text[:BLOCK], text[:5], random.Random(2).randbytes(BLOCK), bytes(BLOCK)]


SETTINGS: list[tuple[str, Codec]] = [
    *((f"xz {bcj}", XzCodec(1, block_size=BLOCK, bcj=bcj)) for bcj in HERE),
    ("xz lc lp pb", XzCodec(6, block_size=BLOCK, lc=1, lp=2, pb=0)),
    ("xz lc4", XzCodec(6, block_size=BLOCK, lc=4)),
    ("xz extreme", XzCodec(3, block_size=BLOCK, extreme=True)),
    ("xz dictionary", XzCodec(6, block_size=BLOCK, dict_size=3 << 13)),
    *((f"zlib {strategy}", StrategyCodec(6, window=12, strategy=strategy)) for strategy in STRATEGIES),
    ("zlib window 8", StrategyCodec(9, window=8)),
    ("lz4 accelerated", Lz4Codec(acceleration=17)),
    ("zstd -7", make_codec("zstd", -7, block_size=BLOCK)),
    ("zstd -131072", make_codec("zstd", -131072, block_size=BLOCK)),
    ("best", BestCodec((make_codec("xz", 1, block_size=BLOCK), XzCodec(1, block_size=BLOCK, bcj="x86")))),
]
ALL = pytest.mark.parametrize("codec", [codec for _, codec in SETTINGS], ids=[name for name, _ in SETTINGS])


@ALL
def test_round_trip(codec: Codec) -> None:
    decode = get_decoder(codec.name)
    for raw in samples():
        stored = codec.compress(raw)
        assert decode(stored, BLOCK) == raw
        assert codec.compress(memoryview(raw)) == stored
    assert decode(codec.compress(b""), 0) == b""


@ALL
def test_engines_agree(codec: Codec) -> None:
    require_native()
    spec = Spec(BLOCK, codec, jobs=2, early_store=False)

    def stored(engine: Engine) -> list[bytes]:
        jobs = [Job(b"f", _blob(raw)) for raw in samples()]
        return [piece.data for piece in engine.pack(jobs, spec, Control()) if piece.kind in (Kind.BLOCK, Kind.FRAGMENT)]

    assert stored(get_engine("pure")) == stored(get_engine("native"))


def _blob(raw: bytes):  # type: ignore[no-untyped-def]
    from imgcore.blob import BytesBlob

    return BytesBlob(raw)


def test_fingerprints_differ() -> None:
    prints = [codec.fingerprint for _, codec in SETTINGS]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("bcj", ["x86", "powerpc", "ia64", "arm", "armthumb", "sparc"])
def test_xz_is_what_python_writes(bcj: str) -> None:
    lzma2 = {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": BLOCK, "lc": 1, "lp": 1, "pb": 1}
    ours = XzCodec(6, block_size=BLOCK, bcj=bcj, lc=1, lp=1, pb=1)
    for raw in samples():
        theirs = lzma.compress(raw, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=[{"id": BCJ[bcj]}, lzma2])
        assert ours.compress(raw) == theirs


def test_a_filter_helps_where_it_should() -> None:
    plain, filtered = XzCodec(6, block_size=BLOCK), XzCodec(6, block_size=BLOCK, bcj="x86")
    text = samples()[1]
    assert len(plain.compress(text)) <= len(filtered.compress(text))
    if code()[:4] != b"" and Path("/proc/self/exe").read_bytes()[18] == 62:  # EM_X86_64
        assert len(filtered.compress(code()[:BLOCK])) < len(plain.compress(code()[:BLOCK]))


def test_missing_filters_say_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    xz._has_filter.cache_clear()
    monkeypatch.setattr(xz, "lzma_library", lambda: None)
    try:
        with pytest.raises(ValueError, match=r"no filter `arm64`, which liblzma has since 5\.4"):
            XzCodec(6, block_size=BLOCK, bcj="arm64")
        with pytest.raises(ValueError, match=r"no filter `riscv`, which liblzma has since 5\.6"):
            XzCodec(6, block_size=BLOCK, bcj="riscv")
        codec = XzCodec(6, block_size=BLOCK, bcj="x86", pb=0)
        assert codec.bound is None
        stored = codec.compress(code()[:BLOCK])
    finally:
        xz._has_filter.cache_clear()
    monkeypatch.undo()
    assert XzCodec(6, block_size=BLOCK, bcj="x86", pb=0).compress(code()[:BLOCK]) == stored


def test_accelerated_lz4_without_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lz4, "lz4_library", lambda: None)
    codec = Lz4Codec(acceleration=9)
    assert codec.bound is None
    assert get_decoder("lz4")(codec.compress(samples()[1]), BLOCK) == samples()[1]


@pytest.mark.parametrize(
    "made",
    [
        lambda: XzCodec(6, block_size=BLOCK, bcj="mips"),
        lambda: XzCodec(6, block_size=BLOCK, dict_size=BLOCK + 1),
        lambda: XzCodec(6, block_size=BLOCK, dict_size=4096),
        lambda: XzCodec(6, block_size=BLOCK, lc=3, lp=2),
        lambda: XzCodec(6, block_size=BLOCK, pb=5),
        lambda: StrategyCodec(10),
        lambda: StrategyCodec(6, window=7),
        lambda: StrategyCodec(6, strategy="lucky"),
        lambda: Lz4Codec(acceleration=0),
        lambda: Lz4Codec(9, acceleration=2),
        lambda: make_codec("zstd", -131073, block_size=BLOCK),
        lambda: make_codec("zstd", 0, block_size=BLOCK),
        lambda: BestCodec(()),
        lambda: BestCodec((Lz4Codec(), StrategyCodec())),
    ],
)
def test_refused(made) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"."):
        made()


def test_best_keeps_the_first_of_equals_and_each_once() -> None:
    low, high = make_codec("zlib", 1, block_size=BLOCK), make_codec("zlib", 12, block_size=BLOCK)
    best = best_of([low, high, make_codec("zlib", 1, block_size=BLOCK)])
    assert isinstance(best, BestCodec) and best.alternatives == (low, high)
    assert best_of([low, low]) is low
    assert (best.name, best.level, best.slow, getattr(best, "bound", None)) == ("zlib", 1, True, None)
    for raw in samples():
        assert best.compress(raw) == min(low.compress(raw), high.compress(raw), key=len)


def test_zlib_windows_are_in_the_stream() -> None:
    for window in range(9, 16):
        stream = StrategyCodec(9, window=window).compress(samples()[1])
        assert stream[0] >> 4 == window - 8
        assert stdlib_zlib.decompress(stream) == samples()[1]


def test_functions_are_bound_where_they_can_be() -> None:
    for codec in (Lz4Codec(acceleration=2), XzCodec(1, block_size=BLOCK, bcj="x86", lc=1)):
        assert isinstance(codec.bound, binding.Bound) and all(codec.bound.addresses)
    assert StrategyCodec().bound is None
