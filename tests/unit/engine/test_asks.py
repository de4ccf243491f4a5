"""What a job or a spec asks for beyond the usual: raw blocks, tails of their own, nothing shared, no holes; several codecs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgcore.blob import Blob, BytesBlob, ZeroBlob
from imgcore.codec import BestCodec, make_codec
from imgcore.engine import Engine, Job, Kind, Piece, Spec, Tails
from imgcore.events import Control
from tests.unit.engine.runs import host_file, one_by_one, require_native

BLOCK = 4096
TEXT = (b"text that shrinks; " * 300)[:BLOCK]
OTHER = (b"other text, that shrinks too; " * 300)[:BLOCK]
NOISE = random.Random(1).randbytes(BLOCK)


def run(engine: Engine, jobs: Sequence[Job], **more: object) -> list[Piece]:
    usual = {"codec": make_codec("lz4", block_size=BLOCK), "jobs": 2, "memory": 1 << 20}
    spec = Spec(BLOCK, **{**usual, **more})  # type: ignore[arg-type]
    return one_by_one(engine.pack(jobs, spec, Control()))


def job(data: bytes | Blob, **asks: bool) -> Job:
    return Job(b"f", BytesBlob(data) if isinstance(data, bytes) else data, **asks)


def short(pieces: list[Piece]) -> str:
    """Return the pieces as letters: B block (b raw), S same, T tail, t same tail, Z zeros, F fragment (f raw)."""
    letters = {Kind.BLOCK: "bB", Kind.SAME: "SS", Kind.ZERO: "ZZ", Kind.FRAGMENT: "fF", Kind.END: "  "}
    return "".join("Tt"[p.count] if p.kind is Kind.TAIL else letters[p.kind][p.compressed] for p in pieces)


def test_raw_blocks_equal_raw_blocks_only(engine: Engine) -> None:
    jobs = [job(TEXT), job(TEXT, compress=False), job(TEXT), job(TEXT, compress=False), job(NOISE), job(NOISE, compress=False)]
    pieces = run(engine, jobs)
    assert short(pieces) == "B b S S b b "
    assert [p.number for p in pieces if p.kind is Kind.SAME] == [0, 1]


def test_raw_files_have_tails_of_their_own(engine: Engine) -> None:
    jobs = [job(TEXT + b"tail"), job(TEXT + b"tail", compress=False), job(b"x", compress=False)]
    assert short(run(engine, jobs)) == "BT bb b f"


def test_tails_of_their_own(engine: Engine) -> None:
    pieces = run(engine, [job(TEXT + b"tail", pack_tail=False), job(b"tail"), job(b"tail", pack_tail=False)])
    assert short(pieces) == "Bb T S f"


def test_what_is_not_shared(engine: Engine) -> None:
    alone, usual = job(TEXT + b"tail", dedup=False), job(TEXT + b"tail")
    assert short(run(engine, [alone, usual, alone, usual])) == "BT BT BT St f"
    assert short(run(engine, [usual, usual], dedup=False)) == "BT BT f"


def test_zeros_like_any_others(engine: Engine, tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as stream:
        stream.truncate(3 * BLOCK)
    for data in (bytes(3 * BLOCK), ZeroBlob(3 * BLOCK), host_file(sparse)):
        assert short(run(engine, [job(data, holes=False), job(data)])) == "BSS Z "
        assert short(run(engine, [job(data, holes=False, dedup=False)])) == "BBB "


def test_spec_stores_blocks_or_fragments(engine: Engine) -> None:
    jobs = [job(TEXT + OTHER[:3000]), job(TEXT, compress=False)]
    assert short(run(engine, jobs)) == "BT b F"
    assert short(run(engine, jobs, raw_blocks=True)) == "bT S F"
    assert short(run(engine, jobs, raw_fragments=True)) == "BT b f"
    assert short(run(engine, jobs, raw_blocks=True, raw_fragments=True)) == "bT S f"


@pytest.mark.parametrize("names", [("zlib", "zlib"), ("zstd", "zstd"), ("lz4", "lz4"), ("xz", "xz")])
def test_the_shortest_of_several_is_kept(engine: Engine, names: tuple[str, str]) -> None:
    low = make_codec(names[0], 3, block_size=BLOCK)
    high = make_codec(names[1], 9, block_size=BLOCK)
    contents = [TEXT, OTHER, NOISE, random.Random(2).randbytes(30) * 100, bytes(random.Random(3).choices(b"abcd", k=BLOCK))]
    jobs = [job(data) for data in contents]
    stored = [p.data for p in run(engine, jobs, codec=BestCodec((low, high)), tails="none") if p.kind is Kind.BLOCK]
    for data, raw in zip(stored, contents, strict=True):
        one, two = low.compress(raw), high.compress(raw)
        assert data == min((raw, one, two), key=len)  # of equals the first


ASKS = st.fixed_dictionaries(dict.fromkeys(("compress", "pack_tail", "dedup", "holes"), st.booleans()))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(
        st.tuples(st.lists(st.sampled_from(b"\0ab"), max_size=4), st.sampled_from([0, 1, 1000, 4095]), ASKS), max_size=30
    ),
    tails=st.sampled_from(["all", "small", "none"]),
    raw=st.tuples(st.booleans(), st.booleans()),
    codecs=st.integers(0, 3),
    collide=st.booleans(),
    on_host=st.booleans(),
)
def test_engines_agree(
    tmp_path: Path,
    pure: Engine,
    files: list[tuple[list[int], int, dict[str, bool]]],
    tails: Tails,
    raw: tuple[bool, bool],
    codecs: int,
    collide: bool,
    on_host: bool,
) -> None:
    require_native()
    from imgcore.engine.native import NativeEngine

    contents = [b"".join(bytes([c]) * BLOCK for c in blocks) + b"t" * tail for blocks, tail, _ in files]
    jobs = [
        job(host_file(tmp_path / str(at), data) if on_host else data, **asks)
        for at, (data, (_, _, asks)) in enumerate(zip(contents, files, strict=True))
    ]
    made = tuple(make_codec("lz4", level, block_size=BLOCK) for level in (None, 3, 12)[:codecs])
    codec = BestCodec(made) if made else None
    asked = {"codec": codec, "tails": tails, "raw_blocks": raw[0], "raw_fragments": raw[1]}
    pieces = run(pure, jobs, **asked)
    assert run(NativeEngine(hash_mask=0 if collide else (1 << 64) - 1), jobs, **asked, memory=8 * BLOCK) == pieces
    stored = {(p.kind, p.number): p.compressed for p in pieces if p.kind in (Kind.BLOCK, Kind.FRAGMENT)}
    assert not any(stored[key] for key in stored if raw[key[0] is Kind.FRAGMENT])
