"""The payload of a package: a compressed cpio. Whoever unpacks takes its contents in its order (`in_order`); for whoever
asks for one of them it is undone into a temporary file, that far.

What a file is stands in the header; the payload has only contents. Its members are those of newc (070701), of crc (070702),
or stripped ones (07070X and the file's number in the header). Of hard links the last member has the content. Every content
is compared with its digest in the header before it is given out; before the last one is, the rest is read, and the payload
compared with the header's digest of it. So several threads that want contents undo and write at the same time. Of a package
whose header or files have no digest all is undone first.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import stat
import threading
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from imgcore.blob import Blob, Segment, SliceBlob, Spool, read_chunks
from imgcore.blob.streamed import Contents, StreamedBlob
from imgcore.codec import HEAD_SIZE, detect_stream
from imgcore.errors import Corrupt, ImgcoreError, Unsupported, VerificationFailed, context
from imgcore.formats.cpio.magic import CRC, NEWC
from imgcore.formats.rpm.digests import file_algorithm, header_digests, payload_digests
from imgcore.formats.rpm.header import Header
from imgcore.formats.rpm.in_order import InOrder
from imgcore.formats.rpm.layout import STRIPPED, Tag
from imgcore.formats.rpm.members import Walk, hard_links
from imgcore.formats.rpm.package import Package
from imgcore.formats.rpm.undoing import Undoing
from imgcore.limits import Limits

if TYPE_CHECKING:
    from _hashlib import HASH

__all__ = ["Payload", "PayloadFile"]

_STREAMS: Final = frozenset(("gzip", "bzip2", "xz", "lzma", "zstd"))


class PayloadFile(StreamedBlob):
    """The content of one file of the package: a blob of known size, which is unpacked when it is read."""

    __slots__ = ("payload", "size")

    def __init__(self, payload: Payload, index: int, size: int) -> None:
        super().__init__(payload, index)
        self.payload = payload
        self.size = size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file. Raises Corrupt, VerificationFailed, LimitExceeded for a package that is broken."""
        if at == 0 and size >= self.size:
            return self.payload.whole(self.index)
        return self.payload.content(self.index).read_at(at, size)

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes."""
        return self.segments_in(0, self.size)

    def segments_in(self, at: int, size: int) -> Iterator[Segment]:
        """Yield data and holes of a part."""
        found = list(self.payload.raw(self.index).segments_in(at, size))
        if any(one.hole for one in found):
            self.payload.content(self.index)  # nobody reads a hole, so what is said of it has to be right
        return iter(found)


class Payload:
    """The payload of a package; thread-safe. It lies in `blob` from the end of the main header on."""

    def __init__(self, blob: Blob, signature: Header, header: Header, package: Package, limits: Limits, verify: bool) -> None:
        self._blob = blob
        self._signature = signature
        self._header = header
        self._files = package.files
        self._name = f"{package.name}-{package.version}-{package.release}.{package.arch}"  # of several in one tree
        self._algorithm = package.digest_algorithm
        self._limits = limits
        self._verify = verify
        self.links = hard_links(package.files)
        self._lock = threading.Lock()
        self._contents: dict[int, SliceBlob] = {}  # what may be given out
        self._verified: set[int] = set()
        self._stage: _Stage | None = None
        self._failed: ImgcoreError | None = None
        self._closed = False

    @property
    def stream(self) -> str | None:
        """How the payload is compressed, None where it is not. Raises Corrupt for what is neither this nor cpio."""
        head = self._blob.read_at(self._header.end, HEAD_SIZE)
        if head[:6] in (NEWC, CRC, STRIPPED):
            return None
        name = detect_stream(head)
        if name not in _STREAMS:
            raise Corrupt(
                "payload is neither a cpio nor compressed",
                offset=self._header.end,
                structure="payload",
                found=head[:6].hex(" ") or "nothing",
            )
        return name

    def raw(self, number: int) -> SliceBlob:
        """Return the content of a file that has one, undone so far, and not compared with its digest; raises as `content`."""
        content = self._contents.get(number)
        if content is not None:
            return content
        with context(image=self._name):
            return self._find(number)

    def content(self, number: int) -> SliceBlob:
        """Return the content of a file that has one, which was compared with its digest.

        Raises Corrupt, Unsupported, VerificationFailed, LimitExceeded, OutputError.
        """
        content = self.raw(number)
        if self._verify and number not in self._verified:
            self._require_digest(number, read_chunks(content))
        return content

    def whole(self, number: int) -> bytes:
        """Return all bytes of a file, read once; raises as `content`."""
        content = self.raw(number)
        data = content.read_at(0, content.size)
        if self._verify and number not in self._verified:
            self._require_digest(number, (data,))
        return data

    def unpacked(self) -> Blob:
        """Return the whole cpio; raises as `content`."""
        with self._lock:
            return self._undone(None).plain

    def close(self) -> None:
        """Remove the temporary file; twice is fine."""
        with self._lock:
            self._closed = True
            if self._stage is not None:
                self._stage.close()

    def _find(self, number: int) -> SliceBlob:
        with self._lock:
            if number not in self._contents:
                stage = self._undone(number)
                walk = stage.walk
                while walk.fresh:
                    one = walk.fresh.pop()
                    self._contents[one] = SliceBlob(stage.plain, walk.places[one], self._files[one].size)
            return self._contents[number]

    def _undone(self, number: int | None) -> _Stage:
        """Undo as much as the content of a file needs, all of it for None or where not all is digested."""
        if self._failed is not None:
            raise copy.copy(self._failed)
        if self._closed:
            raise ValueError("the package was closed")
        try:
            if self._stage is None:
                self._stage = self._start()
            stage = self._stage
            every = number is None or not stage.by_itself
            while not stage.done and (every or number not in stage.walk.places or stage.has_all):
                stage.step()
        except ImgcoreError as error:
            self._failed = copy.copy(error)
            if self._stage is not None:
                self._stage.close()
            raise
        return stage

    def _is_digested(self) -> bool:
        """Return whether the header and all contents have digests: then each content can be told by itself."""
        if not self._verify or not header_digests(self._signature) or file_algorithm(self._algorithm) is None:
            return False
        return all(file.digest or not stat.S_ISREG(file.mode) or file.is_ghost for file in self._files)

    def _undoing(self) -> tuple[Undoing, Blob, str | None]:
        """Return (the payload undone from its beginning on, the payload as it is, how that is compressed)."""
        kind = self._header.text(Tag.PAYLOADFORMAT) or "cpio"
        if kind != "cpio":
            raise Unsupported("payload of another kind", structure="header", field="PAYLOADFORMAT", found=kind, allowed="cpio")
        start, stream = self._header.end, self.stream
        packed = SliceBlob(self._blob, start, self._blob.size - start)
        digest = next(iter(payload_digests(self._signature, self._header)), None) if self._verify else None
        return Undoing(packed, stream, digest, self._header, self._limits), packed, stream

    def _start(self) -> _Stage:
        undoing, packed, stream = self._undoing()
        plain: Blob = packed if stream is None else Spool()
        return _Stage(undoing, plain, Walk(plain, self._files, self.links, self._limits), self._limits, self._is_digested())

    @property
    def in_order(self) -> bool:
        """Whether `take` is the quickest way: nothing was undone so far, and each content has a digest."""
        return self._stage is None and self._failed is None and not self._closed and self._is_digested()

    def take(self, wanted: Collection[int], *, ahead: bool) -> Contents:
        """Yield contents in the payload's order, see `ContentStream`; raises as `content`."""
        if not self._is_digested():
            raise ValueError("a content of this package cannot be told by itself")
        way = InOrder(self._undoing()[0], self._files, self.links, self, self._limits)
        with context(image=self._name), contextlib.closing(way.contents(wanted, ahead)) as contents:
            for number, pieces in contents:
                if self._closed:
                    raise ValueError("the package was closed")
                yield number, self._named(pieces)

    def _named(self, pieces: Iterator[memoryview]) -> Iterator[memoryview]:
        with context(image=self._name):
            yield from pieces

    def _require_digest(self, number: int, pieces: Iterable[bytes]) -> None:
        total = self.hash_of(number)
        self.require(number, total if total is None else _fed(total, pieces))
        self._verified.update(self.links.get(number, (number,)))

    def hash_of(self, number: int) -> HASH | None:
        """Return the hash to be fed with a content, None for one without a digest."""
        file, name = self._files[number], file_algorithm(self._algorithm)
        if name is None or not file.digest or not stat.S_ISREG(file.mode) or file.is_ghost:
            return None
        return hashlib.new(name, usedforsecurity=False)

    def require(self, number: int, total: HASH | None) -> None:
        """Raise VerificationFailed where the hash of a content is not its digest."""
        if total is not None and total.hexdigest() != self._files[number].digest.lower():
            raise VerificationFailed(
                "content of a file does not fit its digest",
                image=self._name,
                path=self._files[number].path,
                offset=self._header.place(Tag.FILEDIGESTS),
                structure="header",
                field="FILEDIGESTS",
                found=total.hexdigest(),
                allowed=self._files[number].digest,
            )

    def wrong_digests(self) -> Iterator[tuple[int, str]]:
        """Yield (number, digest that was found) of every file whose content is another; of hard links the first."""
        self.unpacked()
        for number, file in enumerate(self._files):
            if self.links.get(number, (number,))[0] == number and stat.S_ISREG(file.mode) and not file.is_ghost:
                total = self.hash_of(number)
                if total is None:
                    continue
                found = _fed(total, read_chunks(self._find(number)) if file.size else ()).hexdigest()
                if found != file.digest.lower():
                    yield number, found


def _fed(total: HASH, pieces: Iterable[bytes]) -> HASH:
    for data in pieces:
        total.update(data)
    return total


class _Stage:
    """A payload that is undone step by step, into a temporary file where it is compressed.

    Attributes:
        plain: the cpio, as far as it is there; in the package itself where that is not compressed.
        walk: the walk over its members.
        by_itself: whether a content may be given out before all is there.
        done: whether all is there, and was compared with its digest.
    """

    def __init__(self, undoing: Undoing, plain: Blob, walk: Walk, limits: Limits, by_itself: bool) -> None:
        self.plain = plain
        self.walk = walk
        self.by_itself = by_itself
        self.done = False
        self._undoing = undoing
        self._pieces = iter(undoing)
        self._limits = limits
        self._there = 0

    @property
    def has_all(self) -> bool:
        """Whether every content was met: then the rest is for the digest."""
        return len(self.walk.places) == len(self.walk.wanted)

    def step(self) -> None:
        """Undo one piece more. Raises what undoing and the walk raise, and VerificationFailed at the end."""
        data = next(self._pieces, None)
        spool = self.plain if isinstance(self.plain, Spool) else None
        if data is not None:
            self._there += len(data)
            self._limits.require("max_stream", self._there)
            if spool is not None:
                spool.append(data)
            self.walk.advance(self._there if spool is None else spool.flush(), False)
            return
        if spool is not None:
            spool.seal()
        self.walk.advance(self._there, True)
        self._undoing.require_digest()
        self.done = True

    def close(self) -> None:
        """Remove the temporary file; twice is fine."""
        if isinstance(self.plain, Spool):
            self.plain.close()
