"""Many small files of the host, read by the engine's threads instead of one by one.

The engine packs ends of files together into large blocks, for formats that store them so. Told to compress nothing and to look
for no duplicates, it is a quick reader: files come back in order, a thousand in one piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from imgcore.engine import Engine
from imgcore.engine.protocol import SMALL_FILE, HostRun, Job, Kind, Spec
from imgcore.events import Control

__all__ = ["MOST", "read_small_files"]

MOST: Final = 256 << 10
"""Bytes of a file that is still small: at most a block of the engine."""
_BLOCK: Final = 1 << 20


def read_small_files(
    files: Iterable[Job | HostRun], engine: Engine, control: Control, *, jobs: int = 2
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of each file, of which none is empty or larger than MOST. Raises SourceError, Cancelled."""
    spec = Spec(_BLOCK, None, dedup=False, jobs=jobs, memory=(2 * jobs + 12) * _BLOCK)
    waiting: deque[tuple[int, int, int]] = deque()  # fragment, offset in it, bytes: files whose block is not there yet
    held: dict[int, memoryview] = {}
    for piece in engine.pack(files, spec, control):
        kind = piece.kind
        if kind is Kind.FILES:
            waiting.extend((fragment, offset, size) for fragment, offset, size, _ in SMALL_FILE.iter_unpack(piece.data))
        elif kind is Kind.TAIL:
            waiting.append((piece.number, piece.offset, piece.raw_size))
        elif kind is Kind.FRAGMENT:
            held[piece.number] = memoryview(piece.data)
        while waiting and waiting[0][0] in held:
            number, offset, size = waiting.popleft()
            yield held[number][offset : offset + size]
            for old in [one for one in held if one < number]:
                del held[old]
    assert not waiting
