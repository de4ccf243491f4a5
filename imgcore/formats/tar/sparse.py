"""Sparse files in tar: their maps in four dialects, and the blob that they describe.

The dialects are GNU's own (type `S`: runs in the header and in blocks behind it) and three of PAX: 0.0 (a record for
each number), 0.1 (one record with all) and 1.0 (text in front of the content). Only 1.0 is written.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from imgcore.blob import Blob, Segment
from imgcore.errors import Corrupt
from imgcore.formats.archive import Window
from imgcore.formats.tar.layout import BLOCK, GnuSparse, GnuSparseMore, parse_number
from imgcore.limits import Limits

__all__ = ["SparseBlob", "gnu_runs", "map_text", "pax_runs", "text_runs"]

Run = tuple[int, int]
"""Where data lies in the file, and its size."""

_COST: Final = 200  # bytes that a run takes in memory


class SparseBlob:
    """A file of which only `runs` are stored, one after another from byte `start` of another blob; the rest is holes."""

    __slots__ = ("_at", "_blob", "_runs", "_size", "_stored")

    def __init__(self, blob: Blob, start: int, runs: Sequence[Run], size: int) -> None:
        self._blob = blob
        self._size = size
        self._runs = [run for run in runs if run[1]]
        self._at = [run[0] for run in self._runs]
        self._stored: list[int] = []
        for _, length in self._runs:
            self._stored.append(start)
            start += length

    @property
    def size(self) -> int:
        """Bytes in the file, holes included."""
        return self._size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file."""
        if at < 0 or at >= self._size or size <= 0:
            return b""
        end = min(at + size, self._size)
        parts = []
        for number in range(max(0, bisect.bisect_right(self._at, at) - 1), len(self._runs)):
            begin, length = self._runs[number]
            if begin >= end:
                break
            low, high = max(at, begin), min(end, begin + length)
            if low >= high:
                continue
            parts.append(bytes(low - at))
            parts.append(self._blob.read_at(self._stored[number] + low - begin, high - low))
            at = high
        parts.append(bytes(end - at))
        return b"".join(parts)

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes."""
        at = 0
        for begin, length in self._runs:
            if begin > at:
                yield Segment(at, begin - at, True)
            yield Segment(begin, length, False)
            at = begin + length
        if at < self._size:
            yield Segment(at, self._size - at, True)


def check_runs(runs: Iterable[Run], stored: int, size: int, offset: int, path: bytes) -> list[Run]:
    """Return the runs, which rise, lie inside of the file and are as long as what is stored. Raises Corrupt."""
    out: list[Run] = []
    at = total = 0
    for begin, length in runs:
        if begin < at or length < 0 or begin + length > size:
            raise _broken("runs out of order or beyond the file's size", offset, path, f"{length} bytes at {begin}")
        if length:
            out.append((begin, length))
            at = begin + length
            total += length
    if total > stored:
        raise _broken("more data than the member has", offset, path, f"{total} bytes", f"at most {stored}")
    return out


def _broken(problem: str, offset: int, path: bytes, found: object = None, allowed: str | None = None) -> Corrupt:
    message = f"sparse map is broken: {problem}"
    return Corrupt(message, path=path, offset=offset, structure="sparse map", found=found, allowed=allowed)


def gnu_runs(window: Window, header: bytes, at: int, limits: Limits, path: bytes) -> tuple[list[Run], int, int]:
    """Return (runs, size with holes, where the content begins) of a member of type S whose header is at `at`."""
    first = GnuSparse.unpack_unchecked(header)
    runs: list[Run] = []
    more, raw, place = first.isextended, first.runs, at
    try:
        size = parse_number(first.realsize)
        while True:
            for start in range(0, len(raw), 24):
                if raw[start : start + 12].strip(b"\0 "):
                    runs.append((parse_number(raw[start : start + 12]), parse_number(raw[start + 12 : start + 24])))
            place += BLOCK
            if more in (b"\0", b"0"):
                break
            limits.require("max_metadata", _COST * len(runs))
            block = GnuSparseMore.unpack_from(window.read(place, BLOCK), base=place)
            more, raw = block.isextended, block.runs
    except ValueError as error:
        raise _broken(str(error), place, path) from None
    return runs, size, place


def _numbers(texts: Sequence[bytes], offset: int, path: bytes) -> list[int]:
    if not all(text.isdigit() and len(text) <= 20 for text in texts):
        raise _broken("not a number", offset, path)
    return [int(text) for text in texts]


def pax_runs(records: Sequence[tuple[bytes, bytes]], limits: Limits, offset: int, path: bytes) -> list[Run]:
    """Return the runs that PAX records of the dialects 0.0 and 0.1 have."""
    whole = [value for key, value in records if key == b"GNU.sparse.map"]
    if whole:
        texts = [text for text in whole[-1].split(b",") if text]
    else:
        texts = []
        for key, value in records:
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                if (key == b"GNU.sparse.offset") != (len(texts) % 2 == 0):
                    raise _broken("a place without a size, or the other way round", offset, path)
                texts.append(value)
    if len(texts) % 2:
        raise _broken("a place without a size", offset, path)
    limits.require("max_metadata", _COST * len(texts) // 2)
    numbers = _numbers(texts, offset, path)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def text_runs(window: Window, at: int, stored: int, limits: Limits, path: bytes) -> tuple[list[Run], int]:
    """Return (runs, bytes that the map takes) of a member of the dialect 1.0 whose content begins at `at`."""
    texts: list[bytes] = []
    rest, taken, wanted = b"", 0, 1
    while len(texts) < wanted:
        if taken + BLOCK > stored:
            raise _broken("it is longer than the member", at, path)
        lines = (rest + window.read(at + taken, BLOCK)).split(b"\n")
        taken += BLOCK
        rest = lines.pop()
        texts += lines
        if len(rest) > 20 and len(texts) < wanted:
            raise _broken("not a number", at + taken - BLOCK, path)
        if wanted == 1 and texts:
            (count,) = _numbers(texts[:1], at, path)
            wanted = 1 + 2 * count
            limits.require("max_metadata", _COST * count)
    numbers = _numbers(texts[1:wanted], at, path)
    return list(zip(numbers[::2], numbers[1::2], strict=True)), taken


def map_text(runs: Sequence[Segment], size: int) -> tuple[list[Run], bytes]:
    """Return the runs of data and their map as 1.0 has it; a file that ends in a hole gets an empty run there."""
    data = [(run.at, run.size) for run in runs if not run.hole]
    if not data or sum(data[-1]) < size:
        data.append((size, 0))
    text = b"%d\n" % len(data) + b"".join(b"%d\n%d\n" % run for run in data)
    return data, text + bytes(-len(text) % BLOCK)
