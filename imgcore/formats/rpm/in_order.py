"""The contents of a payload in its own order, straight from what undoes it: no temporary file, nothing read twice.

The member that the walk meets is given out while it comes, and its digest computed meanwhile; it is right when its pieces
have ended without an error. The last content ends only when the rest of the payload was read and compared with its digest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Protocol

from imgcore.blob import Segment
from imgcore.blob.streamed import Contents
from imgcore.engine.ahead import Ahead
from imgcore.formats.cpio.layout import byte_sum
from imgcore.formats.rpm.members import Member, Walk
from imgcore.formats.rpm.package import PackageFile
from imgcore.formats.rpm.undoing import Undoing
from imgcore.limits import Limits

if TYPE_CHECKING:
    from _hashlib import HASH

__all__ = ["InOrder"]


class _Window:
    """The last pieces of a stream, as a blob of which the beginning is forgotten."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._start = 0  # of the first piece
        self.size = 0

    def append(self, data: bytes) -> None:
        self._pieces.append(data)
        self.size += len(data)

    def forget(self, before: int) -> None:
        """Forget the pieces that end before a place."""
        while self._pieces and self._start + len(self._pieces[0]) <= before:
            self._start += len(self._pieces.popleft())

    def read_at(self, at: int, size: int) -> bytes:
        start, parts = self._start, []
        for piece in self._pieces:
            if start >= at + size:
                break
            if start + len(piece) > at:
                parts.append(piece[max(at - start, 0) : at + size - start])
            start += len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def segments(self) -> Iterator[Segment]:
        yield Segment(0, self.size, False)

    def view(self, at: int, end: int) -> memoryview:
        """Return the bytes from `at` on that are in the first piece, at most up to `end`; those before are forgotten."""
        self.forget(at)
        if not self._pieces or at < self._start:
            return memoryview(b"")
        return memoryview(self._pieces[0])[at - self._start : end - self._start]


class Told(Protocol):
    """Who knows the digests of the files."""

    def hash_of(self, number: int) -> HASH | None:
        """Return the hash to be fed with a content, None where that has no digest."""
        ...

    def require(self, number: int, total: HASH | None) -> None:
        """Raise VerificationFailed for a wrong digest."""
        ...


class InOrder:
    """One way through a payload."""

    def __init__(
        self, undoing: Undoing, files: tuple[PackageFile, ...], links: dict[int, list[int]], told: Told, limits: Limits
    ) -> None:
        self._undoing = undoing
        self._window = _Window()
        self._walk = Walk(self._window, files, links, limits)
        self._links = links
        self._told = told
        self._limits = limits
        self._last = False  # all is there

    def contents(self, wanted: Collection[int], ahead: bool) -> Contents:
        """Yield what `ContentStream.take` does. Raises what undoing and the walk do, and VerificationFailed."""
        thread = Ahead(iter(self._undoing)) if ahead else None
        try:
            self._pieces: Iterator[bytes] = iter(self._undoing) if thread is None else thread
            left = set(wanted)
            while left and (member := self._next()) is not None:
                self._walk.take(member)
                numbers = self._links.get(member.number, (member.number,))
                number = next((one for one in numbers if one in left and one in self._walk.places), None)
                self._walk.fresh.clear()
                if number is None:
                    self._pass(member)
                else:
                    left.discard(number)
                    yield number, self._content(number, member)
        finally:
            if thread is not None:
                thread.close()

    def _more(self) -> None:
        """Have one piece more in the window."""
        data = next(self._pieces, None)
        if data is None:
            self._last = True
            return
        self._window.append(data)
        self._limits.require("max_stream", self._window.size)

    def _next(self) -> Member | None:
        """Return the next member, None at the end; the target of a link is there."""
        while True:
            self._window.forget(self._walk.at)
            member = self._walk.peek(self._window.size, self._last)
            if member is not None:
                if self._walk.has_target(member):
                    self._pass(member)
                return member
            if self._walk.ended:
                return None
            self._more()

    def _pass(self, member: Member) -> None:
        """Have all of a member behind us, but what the walk still has to look at."""
        while member.data + member.size > self._window.size:
            if self._last:
                raise self._walk.cut(member, self._window.size)
            self._window.forget(self._walk.at)
            self._more()

    def _content(self, number: int, member: Member) -> Iterator[memoryview]:
        """Yield the pieces of a content, and compare them with what is said of them."""
        total, added = self._told.hash_of(number), 0
        at, end = member.data, member.data + member.size
        while at < end:
            view = self._window.view(at, end)
            if not view:
                if self._last:
                    raise self._walk.cut(member, self._window.size)
                self._more()
                continue
            if total is not None:
                total.update(view)
            if member.sum is not None:
                added += byte_sum(bytes(view))
            at += len(view)
            yield view
        self._walk.require_sum(member, added)
        if len(self._walk.places) == len(self._walk.wanted):
            self._finish()
        self._told.require(number, total)

    def _finish(self) -> None:
        """Walk over the rest, and compare the payload with its digest."""
        while (member := self._next()) is not None:
            self._walk.take(member)
            self._pass(member)
        while not self._last:
            self._window.forget(self._window.size)
            self._more()
        self._undoing.require_digest()
