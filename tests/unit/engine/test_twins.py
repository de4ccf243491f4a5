"""Both engines give equal pieces: a table of edge cases, and random files of few different blocks."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgcore.blob import Blob, BytesBlob, Segment, SliceBlob, ZeroBlob
from imgcore.engine import Engine, Kind, Piece, Spec, Tails
from tests.unit.engine.runs import host_file, pack, require_native

CODECS = [
    (None, None),
    ("zlib", 1),
    ("zlib", 12),
    ("zstd", 3),
    ("zstd", 19),
    ("xz", 1),
    ("lz4", None),
    ("lz4", 9),
    ("lzo", None),
]


def words(size: int, seed: int) -> bytes:
    """Return bytes that compress somewhat."""
    source = random.Random(seed)
    vocabulary = [source.randbytes(source.randrange(1, 9)) for _ in range(50)]
    out = bytearray()
    while len(out) < size:
        out += source.choice(vocabulary)
    return bytes(out[:size])


def edge_contents(bs: int) -> list[bytes]:
    """Return contents at all the edges of a block size."""
    text, noise = words(3 * bs + 100, 1), random.Random(2).randbytes(2 * bs + 77)
    return [
        b"",
        b"x",
        text[: bs - 1],
        text[:bs],
        text[: bs + 1],
        text,
        text,  # a whole duplicate
        text[: 2 * bs],  # a shared prefix
        text[bs:],  # a shared suffix, at another block
        noise,
        noise[: bs + 5],
        noise[2 * bs :],  # a tail that is another file's tail
        bytes(1),
        bytes(bs - 1),
        bytes(bs),
        bytes(bs + 1),
        bytes(5 * bs),
        bytes(2 * bs) + text[:bs] + bytes(bs) + noise[:3],
        b"x",
        text[: bs // 2],
        text[: bs // 2 + 1],
        noise[: bs // 2 + 1],
        b"",
    ]


@pytest.mark.parametrize("tails", ["all", "small", "none"])
@pytest.mark.parametrize("dedup", [True, False])
@pytest.mark.parametrize(("codec", "level"), CODECS)
def test_edges(
    pure: Engine, native: Engine, tmp_path: Path, codec: str | None, level: int | None, tails: Tails, dedup: bool
) -> None:
    contents = edge_contents(4096)
    expected = pack(pure, contents, codec=codec, level=level, tails=tails, dedup=dedup)
    files: list[bytes | Blob] = [host_file(tmp_path / str(i), data) for i, data in enumerate(contents)]
    assert pack(native, files, codec=codec, level=level, tails=tails, dedup=dedup) == expected
    assert pack(native, contents, codec=codec, level=level, tails=tails, dedup=dedup, jobs=1) == expected
    assert pack(pure, files, codec=codec, level=level, tails=tails, dedup=dedup, jobs=1) == expected


@pytest.mark.parametrize("block_size", [4096, 65536, 131072, 1 << 20])
@pytest.mark.parametrize(("codec", "level"), CODECS[1:])
def test_block_sizes(pure: Engine, native: Engine, block_size: int, codec: str, level: int | None) -> None:
    contents = [words(block_size + 1000, 7), random.Random(3).randbytes(block_size // 2), words(block_size // 3, 8)]
    expected = pack(pure, contents, block_size=block_size, codec=codec, level=level)
    assert pack(native, contents, block_size=block_size, codec=codec, level=level) == expected


def test_pieces_rebuild_the_files(engine: Engine) -> None:
    contents = edge_contents(4096)
    for tails in ("all", "small", "none"):
        assert rebuild(pack(engine, contents, codec=None, tails=tails), 4096) == contents


def rebuild(pieces: list[Piece], block_size: int) -> list[bytes]:
    """Return the contents that uncompressed pieces describe."""
    blocks = {p.number: p.data for p in pieces if p.kind is Kind.BLOCK}
    fragments = {p.number: p.data for p in pieces if p.kind is Kind.FRAGMENT}
    files: list[bytes] = []
    current = b""
    for kind, number, raw_size, count, offset, _, _ in pieces:
        if kind in (Kind.BLOCK, Kind.SAME):
            current += blocks[number]
            assert len(blocks[number]) == raw_size
        elif kind is Kind.ZERO:
            current += bytes(raw_size)
            assert count == -(-raw_size // block_size)
        elif kind is Kind.TAIL:
            current += fragments[number][offset : offset + raw_size]
        elif kind is Kind.END:
            assert number == len(files) and raw_size == len(current)
            files.append(current)
            current = b""
    return files


def sparse(path: Path, size: int, parts: dict[int, bytes]) -> Blob:
    """Return a file with holes around some parts."""
    with path.open("wb") as stream:
        stream.truncate(size)
        for at, data in parts.items():
            stream.seek(at)
            stream.write(data)
    return host_file(path)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 1 << 20, (1 << 20) + 5])
def test_holes(pure: Engine, native: Engine, tmp_path: Path, size: int) -> None:
    files = [
        sparse(tmp_path / "hole", size, {}),
        sparse(tmp_path / "start", size + 9000, {0: b"a" * 5000}),
        sparse(tmp_path / "end", size + 8192, {size + 8000: b"b" * 192}),
        sparse(tmp_path / "mid", size + 300000, {70000: b"c" * 10000, 200000: words(5000, 1)}),
        ZeroBlob(size),
        Concatenated([ZeroBlob(size), BytesBlob(b"x" * 100), ZeroBlob(5000), ZeroBlob(5000)]),
    ]
    for tails in ("all", "none"):
        expected = pack(pure, files, tails=tails)
        assert expected == pack(pure, [blob.read_at(0, blob.size) for blob in files], tails=tails)
        assert pack(native, files, tails=tails) == expected


class Concatenated:
    """Several blobs after each other, whose holes may touch."""

    def __init__(self, parts: list[Blob]) -> None:
        self.parts = parts

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def read_at(self, at: int, size: int) -> bytes:
        return b"".join(part.read_at(0, part.size) for part in self.parts)[at : at + size]

    def segments(self) -> Iterator[Segment]:
        start = 0
        for part in self.parts:
            for at, size, hole in part.segments():
                yield Segment(start + at, size, hole)
            start += part.size


class Unreadable(ZeroBlob):
    """A hole that must not be read."""

    def read_at(self, at: int, size: int) -> bytes:
        raise AssertionError("a hole was read")


def test_huge_hole_is_not_read(engine: Engine, tmp_path: Path) -> None:
    size = (20 << 30) + 4096
    for blob in (Unreadable(size), sparse(tmp_path / "big", size, {})):
        pieces = pack(engine, [blob], block_size=4096)
        assert [(p.kind, p.count, p.raw_size) for p in pieces] == [
            (Kind.ZERO, size // 4096, size),
            (Kind.END, 0, size),
        ]


def test_offsets_above_4_gib(engine: Engine, tmp_path: Path) -> None:
    blob = sparse(tmp_path / "big", (4 << 30) + 1, {(4 << 30) - 10: b"0123456789A"})
    pieces = pack(engine, [blob, b"A"], block_size=131072, codec=None)
    assert [p.kind for p in pieces] == [Kind.ZERO, Kind.BLOCK, Kind.TAIL, Kind.END, Kind.TAIL, Kind.END, Kind.FRAGMENT]
    assert pieces[1].data.endswith(b"\0" + b"0123456789")
    assert pieces[4].count == 1 and pieces[6].data == b"A"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(
        st.tuples(st.lists(st.sampled_from(b"\0ab"), max_size=5), st.sampled_from([0, 0, 1, 7, 1000, 2048, 4095])), max_size=40
    ),
    tails=st.sampled_from(["all", "small", "none"]),
    jobs=st.sampled_from([1, 4]),
    dedup=st.booleans(),
    collide=st.booleans(),
    on_host=st.booleans(),
)
def test_random_files(
    tmp_path: Path,
    files: list[tuple[list[int], int]],
    tails: Tails,
    jobs: int,
    dedup: bool,
    collide: bool,
    on_host: bool,
    pure: Engine,
) -> None:
    require_native()
    from imgcore.engine.native import NativeEngine

    native = NativeEngine(hash_mask=0 if collide else (1 << 64) - 1)
    contents = [b"".join(bytes([c]) * 4096 for c in blocks) + b"t" * tail for blocks, tail in files]
    expected = pack(pure, contents, tails=tails, jobs=jobs, dedup=dedup)
    given_files: list[bytes | Blob] = list(contents)
    if on_host:
        given_files = [host_file(tmp_path / str(i), data) for i, data in enumerate(contents)]
    assert pack(native, given_files, tails=tails, jobs=jobs, dedup=dedup, memory=0) == expected


@pytest.mark.parametrize("mask", [0, 1, 0xFF])
def test_collisions(pure: Engine, tmp_path: Path, mask: int) -> None:
    require_native()
    from imgcore.engine.native import NativeEngine

    source = random.Random(5)
    blocks = [source.randbytes(4096) for _ in range(20)]
    contents = [b"".join(source.choices(blocks, k=6)) + source.choice(blocks)[: source.randrange(30)] for _ in range(30)]
    files: list[bytes | Blob] = [host_file(tmp_path / str(i), data) for i, data in enumerate(contents)]
    expected = pack(pure, contents)
    assert pack(NativeEngine(hash_mask=mask), files) == expected
    assert pack(NativeEngine(hash_mask=mask), contents) == expected


def test_many_small_files(pure: Engine, native: Engine, tmp_path: Path) -> None:
    source = random.Random(6)
    contents = [source.randbytes(source.choice([0, 1, 20, 300])) * source.randrange(4) for _ in range(9000)]
    files: list[bytes | Blob] = []
    for index, data in enumerate(contents):
        files.append(host_file(tmp_path / str(index), data) if index % 3 else data)
    assert pack(native, iter(files), jobs=3) == pack(pure, contents)


@pytest.mark.parametrize("jobs", [1, 3])
def test_least_memory(pure: Engine, jobs: int, tmp_path: Path) -> None:
    require_native()
    from imgcore.engine.native import NativeEngine, Times

    found: list[Times] = []
    contents = edge_contents(65536) * 3
    memory = (2 * jobs + 4) * 65536
    expected = pack(pure, contents, block_size=65536, codec="zstd", level=1, jobs=jobs, memory=memory)
    files: list[bytes | Blob] = [host_file(tmp_path / str(i), data) for i, data in enumerate(contents)]
    for given_files in (files, contents):
        engine = NativeEngine(observe=found.append)
        assert pack(engine, given_files, block_size=65536, codec="zstd", level=1, jobs=jobs, memory=memory) == expected
    assert all(0 < times.peak_bytes <= memory for times in found)


def test_slices_and_long_paths(pure: Engine, native: Engine, tmp_path: Path) -> None:
    base = words(20000, 4)
    deep = tmp_path
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=descriptor)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor, deep = deeper, deep / ("d" * 250)
    fd = os.open("file", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=descriptor)
    os.write(fd, base)
    from imgcore.blob import HostFile, Identity

    long_path = HostFile(os.fsencode(deep / "file"), Identity.of(os.fstat(fd)))
    os.close(fd)
    os.close(descriptor)
    files: list[bytes | Blob] = [SliceBlob(BytesBlob(base), 10, 9000), long_path, base]
    assert pack(native, files) == pack(pure, files)


def test_compress_all(engine: Engine) -> None:
    from imgcore.codec import get_decoder, make_codec

    codec = make_codec("zstd", 3, block_size=8192)
    blocks = [words(8192, seed) for seed in range(40)] + [os.urandom(8192), b"", b"x"]
    for jobs in (1, 3):
        for (compressed, stored), raw in zip(engine.compress_all(blocks, codec, jobs), blocks, strict=True):
            assert (get_decoder("zstd")(stored, 8192) if compressed else stored) == raw
            assert len(stored) <= len(raw)
    assert engine.compress_all(blocks, None, 2) == [(False, raw) for raw in blocks]


def test_xxh3_is_the_public_one() -> None:
    require_native()
    xxhash = pytest.importorskip("xxhash")
    from imgcore.engine.native import xxh3

    data = random.Random(9).randbytes(5000)
    for size in [*range(600), 1023, 1024, 1025, 1087, 1088, 1089, 2048, 2049, 4999, 5000]:
        assert xxh3(data[:size]) == xxhash.xxh3_128_intdigest(data[:size]), size


def test_engine_of_that_name(engine: Engine) -> None:
    from imgcore.engine import get_engine

    assert get_engine(engine.name).name == engine.name  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not an engine"):
        get_engine("fast")  # type: ignore[arg-type]


def test_spec_is_checked() -> None:
    for bad in ({"block_size": 0}, {"jobs": 0}, {"memory": 6 * 4096 - 1}):
        with pytest.raises(ValueError, match=r"not|few"):
            Spec(**{"block_size": 4096, "codec": None, "jobs": 1, **bad})  # type: ignore[arg-type]
