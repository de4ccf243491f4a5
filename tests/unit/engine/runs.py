"""Short ways to run an engine, and what several of its tests need."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from imgcore.blob import Blob, BytesBlob, HostFile, Identity
from imgcore.codec import make_codec
from imgcore.engine import Engine, Job, Kind, Piece, Spec, Tails, native_available
from imgcore.engine.protocol import SMALL_FILE
from imgcore.events import Control


def require_native() -> None:
    """Skip without the native engine; fail where IMGCORE_REQUIRE_NATIVE=1 says that it has to be there."""
    available, reason = native_available()
    if not available:
        if os.environ.get("IMGCORE_REQUIRE_NATIVE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def host_file(path: Path, content: bytes | None = None) -> HostFile:
    """Return a blob of the file at `path`, written first when `content` is given."""
    if content is not None:
        path.write_bytes(content)
    return HostFile(os.fsencode(path), Identity.of(path.lstat()))


def jobs_of(contents: Iterable[bytes | Blob]) -> list[Job]:
    """Return jobs named 0, 1, 2 and so on."""
    return [
        Job(str(index).encode(), BytesBlob(content) if isinstance(content, bytes) else content)
        for index, content in enumerate(contents)
    ]


def one_by_one(pieces: Iterable[Piece]) -> list[Piece]:
    """Return pieces with those that FILES stands for in its place."""
    found = []
    for piece in pieces:
        if piece.kind is not Kind.FILES:
            found.append(piece)
            continue
        records = list(SMALL_FILE.iter_unpack(piece.data))
        assert len(records) == piece.count > 0
        assert sum(size for _, _, size, _ in records) == piece.raw_size
        for number, (fragment, offset, size, same) in enumerate(records, piece.number):
            if size:
                found.append(Piece(Kind.TAIL, fragment, size, same, offset))
            found.append(Piece(Kind.END, number, size))
    return found


def pack(
    engine: Engine,
    contents: Iterable[bytes | Blob],
    *,
    block_size: int = 4096,
    codec: str | None = "lz4",
    level: int | None = None,
    tails: Tails = "all",
    dedup: bool = True,
    jobs: int = 2,
    memory: int = 8 << 20,
    early_store: bool = True,
) -> list[Piece]:
    """Return all pieces of these contents."""
    made = make_codec(codec, level, block_size=block_size) if codec else None
    spec = Spec(block_size, made, tails, dedup, jobs, max(memory, (2 * jobs + 4) * block_size), early_store)
    return one_by_one(engine.pack(jobs_of(contents), spec, Control()))
