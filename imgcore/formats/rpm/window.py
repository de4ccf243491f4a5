"""The latest part of a payload that is being undone, in memory; what nobody has taken yet goes on into a temporary file.

Whoever reads files in the order of the payload, or nearly so, finds each of them here, and nothing is written to a disk
meanwhile. What was taken once is forgotten when newer bytes need its room: who wants it again gets `Forgotten`, and has the
payload undone again.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable, Iterator
from typing import Final

from imgcore.blob import Segment, Spool

__all__ = ["Forgotten", "Window"]

_ROOM: Final = 32 << 20
_BLOCK: Final = 64 << 10
_ZEROS: Final = bytes(_BLOCK)


class Forgotten(Exception):
    """Bytes that were taken before, and are not kept any more."""


class Window:
    """A blob that grows at its end. One thread at a time appends, any number of them read.

    `needed` says of bytes (from, to) that leave the memory whether anybody may still want them.
    """

    def __init__(self, needed: Callable[[int, int], bool], room: int = _ROOM) -> None:
        self._needed = needed
        self._room = room
        self._lock = threading.Lock()
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._kept = 0  # how many of the chunks the file has too, or knows that nobody needs them
        self._size = 0
        self._closed = False
        self._spool: Spool | None = None
        self._readable = 0  # bytes that the file has
        self._gone: list[tuple[int, int]] = []  # parts of it that are not what was there, in order

    @property
    def size(self) -> int:
        """Bytes that were appended."""
        return self._size

    def append(self, data: bytes) -> None:
        """Add bytes at the end. Raises OutputError where the temporary file takes no more."""
        with self._lock:
            self._chunks.append(data)
            self._starts.append(self._size)
            self._size += len(data)
            if self._size - self._starts[0] > self._room:
                self._make_room()

    def flush(self) -> int:
        """Return how many bytes can be read: all."""
        return self._size

    def seal(self) -> Window:
        """End the writing."""
        return self

    def close(self) -> None:
        """Forget all; twice is fine."""
        with self._lock:
            self._closed = True
            self._chunks, self._starts, self._kept = [], [], 0
            if self._spool is not None:
                self._spool.close()

    def _make_room(self) -> None:
        """Give the oldest chunks to the file, and drop those that it really has."""
        if self._spool is None:
            self._spool = Spool()
        while self._kept < len(self._chunks) - 1 and self._size - self._starts[self._kept] > self._room:
            data, start = self._chunks[self._kept], self._starts[self._kept]
            if self._needed(start, start + len(data)):
                self._spool.append(data)
            else:
                self._spool.append(bytes(len(data)))  # a hole
                self._forget(start, start + len(data))
            self._kept += 1
        self._readable = self._spool.flush()
        done = 0
        while done < self._kept and self._starts[done] + len(self._chunks[done]) <= self._readable:
            done += 1
        del self._chunks[:done], self._starts[:done]
        self._kept -= done

    def _forget(self, start: int, end: int) -> None:
        if self._gone and self._gone[-1][1] == start:
            start = self._gone.pop()[0]
        self._gone.append((start, end))

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes. Raises Forgotten."""
        with self._lock:
            if self._closed:
                raise Forgotten
            end = min(at + size, self._size)
            if at >= end:
                return b""
            begin = self._starts[0] if self._starts else self._size
            pieces = []
            if at < begin:
                self._require(at, min(end, begin))
                assert self._spool is not None
                pieces.append(self._spool.read_at(at, min(end, begin) - at))
                at = min(end, begin)
            number = bisect.bisect_right(self._starts, at) - 1
            while at < end:
                data, start = self._chunks[number], self._starts[number]
                piece = data[at - start : end - start]
                pieces.append(piece)
                at += len(piece)
                number += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _require(self, at: int, end: int) -> None:
        """Raise Forgotten where some of these bytes are not kept."""
        number = bisect.bisect_right(self._gone, (at, self._size + 1)) - 1
        if (number >= 0 and self._gone[number][1] > at) or (number + 1 < len(self._gone) and self._gone[number + 1][0] < end):
            raise Forgotten

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes."""
        return self.segments_in(0, self._size)

    def segments_in(self, at: int, size: int) -> Iterator[Segment]:
        """Yield data and holes of a part: a hole is whole blocks of zeros. Raises Forgotten."""
        end = min(at + size, self._size)
        start = at
        while at < end:
            following = min((at // _BLOCK + 1) * _BLOCK, end)
            if following - at == _BLOCK and self._is_hole(at):
                if start < at:
                    yield Segment(start, at - start, False)
                stop = following
                while end - stop >= _BLOCK and self._is_hole(stop):
                    stop += _BLOCK
                yield Segment(at, stop - at, True)
                start = at = stop
            else:
                at = following
        if start < end:
            yield Segment(start, end - start, False)

    def _is_hole(self, at: int) -> bool:
        return self.read_at(at, 8) == _ZEROS[:8] and self.read_at(at, _BLOCK) == _ZEROS
