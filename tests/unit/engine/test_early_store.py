"""What cannot shrink is stored without asking a slow codec: by the same rule in both engines, and at no cost in size."""

from __future__ import annotations

import base64
import gzip
import lzma
import random
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgcore.blob import Blob
from imgcore.codec import lz4, make_codec
from imgcore.engine import Engine, Kind, Spec, get_engine
from imgcore.engine.pure import cannot_shrink
from imgcore.events import Control
from tests.unit.engine.runs import host_file, jobs_of, pack, require_native

LEAST = 16384
SLOW = [("zlib", 1), ("zlib", 12), ("zstd", 5), ("zstd", 15), ("xz", 0), ("lz4", 3), ("lzo", None)]
FAST = [("zstd", 1), ("zstd", 4), ("lz4", None)]


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int, seed: int = 1) -> bytes:
    source = random.Random(seed)
    words = [b"the", b"block", b"of", b"a", b"file", b"shrinks", b"well", b"\n"]
    return b" ".join(source.choice(words) for _ in range(size // 3 + 10))[:size]


def hexadecimal(size: int, seed: int = 1) -> bytes:
    return noise(size // 2 + 1, seed).hex().encode()[:size]


def base64_text(size: int, seed: int = 1) -> bytes:
    return base64.b64encode(noise(size, seed))[:size]


def gzipped(size: int, seed: int = 1) -> bytes:
    return gzip.compress(hexadecimal(3 * size, seed), mtime=0)[:size]


def xz(size: int, seed: int = 1) -> bytes:
    return lzma.compress(hexadecimal(3 * size, seed), preset=0)[1000:][:size]


def frequencies(size: int, seed: int = 1) -> bytes:
    """Return numbers in sequence: all byte values, much to find for LZ4."""
    return bytes((i + seed) % 256 for i in range(size))


KINDS = {
    "noise": noise,
    "text": text,
    "hexadecimal": hexadecimal,
    "base64": base64_text,
    "gzip": gzipped,
    "xz": xz,
    "sequence": frequencies,
    "zeros": lambda size, seed: bytes(size),
}


class CountingCodec:
    """Remembers what it was asked to compress; its result is always small."""

    name, level, fingerprint, slow = "counting", None, "counting", True

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._lock = threading.Lock()

    def compress(self, data: bytes | memoryview) -> bytes:
        with self._lock:
            self.asked.append(bytes(data))
        return b"small"


def asked(engine: Engine, contents: list[bytes], block_size: int, **options: bool) -> list[bytes]:
    """Return the blocks that the codec got."""
    codec = CountingCodec()
    pieces = engine.pack(jobs_of(contents), Spec(block_size, codec, "none", jobs=2, **options), Control())
    assert sum(piece.compressed for piece in pieces) == len(codec.asked)
    return sorted(codec.asked)


@pytest.mark.parametrize("block_size", [LEAST, 131072, 1 << 20])
def test_codec_gets_only_what_may_shrink(engine: Engine, block_size: int) -> None:
    contents = {name: kind(block_size, 3) for name, kind in KINDS.items() if name not in ("zeros", "gzip")}
    half = contents["noise"][: block_size // 2] + contents["text"][: block_size // 2]
    expected = [contents["text"], contents["hexadecimal"], contents["base64"], contents["sequence"], half]
    assert asked(engine, [*contents.values(), half], block_size) == sorted(expected)
    assert asked(engine, [*contents.values(), half], block_size, early_store=False) == sorted([*contents.values(), half])


def test_fragments_are_not_looked_at(engine: Engine) -> None:
    codec = CountingCodec()
    contents = [noise(10000, 1), noise(10000, 2), text(20000)]
    pieces = list(engine.pack(jobs_of(contents), Spec(32768, codec), Control()))
    assert [piece.compressed for piece in pieces if piece.kind is Kind.FRAGMENT] == [True, True]
    assert sorted(codec.asked) == sorted([contents[0] + contents[1], contents[2]])


def test_short_blocks_are_not_looked_at(engine: Engine) -> None:
    assert asked(engine, [noise(LEAST - 1), noise(LEAST)], 1 << 17) == [noise(LEAST - 1)]


def uneven(pairs: int, changed: int) -> bytes:
    """Return 16384 bytes in which the values occur 64 times, but for some that occur 0 and 128 times, and `changed` ones."""
    counts = [64] * 256
    for pair in range(pairs):
        counts[2 * pair], counts[2 * pair + 1] = 0, 128
    counts[254], counts[255] = 64 - changed, 64 + changed
    content = [value for value, count in enumerate(counts) for _ in range(count)]
    random.Random(pairs).shuffle(content)
    return bytes(content)


def test_frequencies_at_the_limit(engine: Engine) -> None:
    """sum(c * c) is 256 * 64 * 64 + 4 * 2 * 64 * 64, exactly 33 / 8192 of the square of the size."""
    limit, above = uneven(4, 0), uneven(4, 1)
    assert cannot_shrink(limit) and not cannot_shrink(above)
    assert asked(engine, [limit, above, uneven(3, 63), uneven(5, 0)], LEAST) == sorted([above, uneven(5, 0)])


@pytest.mark.parametrize("hidden", [False, True])
def test_repetitions_at_the_limit(monkeypatch: pytest.MonkeyPatch, hidden: bool) -> None:
    """The more of a block repeats, the more LZ4 finds; both engines draw the line in the same place."""
    require_native()
    if hidden:  # a build of the `lz4` package without visible symbols: its Python function decides for both
        monkeypatch.setattr(lz4, "lz4_library", lambda: None)
    base = noise(LEAST, 9)
    contents = [base[:-length] + base[:length] for length in range(200, 450)]
    got = asked(get_engine("native"), contents, LEAST)
    assert got == asked(get_engine("pure"), contents, LEAST)
    assert contents[-1] in got and contents[0] not in got and got == sorted(contents[-len(got) :])


def test_failing_look(monkeypatch: pytest.MonkeyPatch) -> None:
    require_native()
    import imgcore.engine.native as module

    def fail(data: bytes, room: int) -> int:
        raise MemoryError

    monkeypatch.setattr(lz4, "lz4_library", lambda: None)
    monkeypatch.setattr(module, "compress_into", fail)
    with pytest.raises(MemoryError):
        asked(get_engine("native"), [noise(LEAST)], LEAST)


@pytest.mark.parametrize(("name", "level"), SLOW + FAST)
@pytest.mark.parametrize("block_size", [LEAST, 131072])
def test_twins(pure: Engine, native: Engine, name: str, level: int | None, block_size: int) -> None:
    contents = [kind(3 * block_size + 1000, 5) for kind in KINDS.values()]
    contents += [one(block_size // 2, 6) + two(block_size // 2, 7) for one in KINDS.values() for two in KINDS.values()]
    expected = pack(pure, contents, block_size=block_size, codec=name, level=level)
    assert pack(native, contents, block_size=block_size, codec=name, level=level) == expected
    stored = {piece.number for piece in expected if piece.kind is Kind.BLOCK and not piece.compressed}
    assert stored and len(stored) < sum(piece.kind is Kind.BLOCK for piece in expected)


@pytest.mark.parametrize(("name", "level"), SLOW + FAST)
def test_which_codecs_are_slow(name: str, level: int | None) -> None:
    assert make_codec(name, level, block_size=4096).slow is ((name, level) in SLOW)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(
        st.lists(
            st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 3), st.sampled_from([1, 700, 8000, 16384, 40000, 65536])),
            max_size=4,
        ),
        max_size=8,
    ),
    block_size=st.sampled_from([8192, LEAST, 65536]),
    codec=st.sampled_from([("zlib", 3), ("zstd", 5), ("lz4", 4), ("lzo", None)]),
    early_store=st.booleans(),
)
def test_twins_on_mixtures(
    files: list[list[tuple[str, int, int]]], block_size: int, codec: tuple[str, int | None], early_store: bool
) -> None:
    require_native()
    contents = [b"".join(KINDS[kind](size, seed) for kind, seed, size in parts) for parts in files]
    pieces = [
        pack(get_engine(name), contents, block_size=block_size, codec=codec[0], level=codec[1], early_store=early_store)
        for name in ("pure", "native")
    ]
    assert pieces[0] == pieces[1]


def real_files(place: Path) -> list[bytes | Blob]:
    """Return some hundred real programs, and compressed files of several kinds made from them."""
    found = sorted(path for path in Path("/usr/bin").iterdir() if stat.S_ISREG(path.lstat().st_mode))
    programs = [path for path in found if 0 < path.stat().st_size < 300_000][:300]
    out: list[bytes | Blob] = [host_file(path) for path in programs]
    for index, path in enumerate(programs[::10]):
        raw = path.read_bytes()
        for suffix, packed in (
            ("gz", gzip.compress(raw, 6)),
            ("b64", base64.encodebytes(raw)),
            ("hex", raw[:5000].hex().encode()),
        ):
            out.append(host_file(place / f"{index}.{suffix}", packed))
        for name in ("zstd", "xz", "lz4"):
            packed = make_codec(name, block_size=1 << 20).compress(raw)
            out.append(host_file(place / f"{index}.{name}", packed + noise(500, index)))
    return out


@pytest.mark.parametrize(("name", "level"), [("zstd", 5), ("zlib", 6)])
def test_real_files_get_no_larger(name: str, level: int, tmp_path: Path) -> None:
    files = real_files(tmp_path)
    sizes = [
        sum(
            len(piece.data)
            for piece in pack(get_engine(), files, block_size=131072, codec=name, level=level, early_store=early)
        )
        for early in (False, True)
    ]
    assert sizes[0] <= sizes[1] <= sizes[0] * 1.001
