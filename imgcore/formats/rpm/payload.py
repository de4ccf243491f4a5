"""The payload of a package: a compressed cpio, undone as far as somebody asks for a content.

What a file is stands in the header; the payload has only contents. Its members are those of newc (070701), of crc (070702),
or stripped ones (07070X and the file's number in the header). Of hard links the last member has the content. Every content
is compared with its digest in the header before it is given out; before the last one is, the rest is read, and the payload
compared with the header's digest of it. So several threads that want contents undo and write at the same time. The
latest part of it is kept in memory (`window`); who asks for what was taken before has all of it undone once more, into a
temporary file. Of a package whose header or files have no digest all is undone there before anything is given out.
"""

from __future__ import annotations

import copy
import hashlib
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from imgcore.blob import Blob, Segment, SliceBlob, Spool, read_chunks
from imgcore.blob.faked import is_faked
from imgcore.codec import HEAD_SIZE, detect_stream
from imgcore.codec.bounded import bounded_stream
from imgcore.errors import Corrupt, ImgcoreError, Unsupported, VerificationFailed, context
from imgcore.formats.cpio.magic import CRC, NEWC
from imgcore.formats.rpm.digests import Digest, file_algorithm, header_digests, payload_digests
from imgcore.formats.rpm.header import Header
from imgcore.formats.rpm.layout import STRIPPED, Tag
from imgcore.formats.rpm.members import Walk, hard_links
from imgcore.formats.rpm.package import Package
from imgcore.formats.rpm.window import Forgotten, Window
from imgcore.limits import Limits

if TYPE_CHECKING:
    from _hashlib import HASH

__all__ = ["Payload", "PayloadFile"]

Found = TypeVar("Found")
_CHUNK: Final = 256 << 10
_STREAMS: Final = frozenset(("gzip", "bzip2", "xz", "lzma", "zstd"))


class PayloadFile:
    """The content of one file of the package: a blob of known size, which is unpacked when it is read."""

    __slots__ = ("index", "payload", "size")

    def __init__(self, payload: Payload, index: int, size: int) -> None:
        self.payload = payload
        self.index = index
        self.size = size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file. Raises Corrupt, VerificationFailed, LimitExceeded for a package that is broken."""
        return self.payload.read(self.index, at, min(size, self.size - at)) if 0 <= at < self.size else b""

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes."""
        return self.segments_in(0, self.size)

    def segments_in(self, at: int, size: int) -> Iterator[Segment]:
        """Yield data and holes of a part."""
        return iter(self.payload.segments(self.index, at, size))


class Payload:
    """The payload of a package; thread-safe. It lies in `blob` from the end of the main header on."""

    def __init__(self, blob: Blob, signature: Header, header: Header, package: Package, limits: Limits, verify: bool) -> None:
        self._blob = blob
        self._signature = signature
        self._header = header
        self._files = package.files
        self._name = f"{package.name}-{package.version}-{package.release}.{package.arch}"
        self._algorithm = package.digest_algorithm
        self._limits = limits
        self._verify = verify
        self.links = hard_links(package.files)
        self._lock = threading.Lock()
        self._contents: dict[int, SliceBlob] = {}  # what may be given out
        self._verified: set[int] = set()
        self._taken: set[int] = set()  # read to their ends
        self._order: deque[tuple[int, int, int]] = deque()  # (begin, end, number) of contents, as they come
        self._stage: _Undoing | None = None
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

    def read(self, number: int, at: int, size: int) -> bytes:
        """Return bytes of a file that has a content, which was compared with its digest.

        Raises Corrupt, Unsupported, VerificationFailed, LimitExceeded, OutputError.
        """
        with context(image=self._name):  # of several packages in one tree
            data = self._again(number, lambda content: self._read(number, content, at, size))
        if at + size >= self._files[number].size:
            self._taken.update(self.links.get(number, (number,)))
        return data

    def segments(self, number: int, at: int, size: int) -> list[Segment]:
        """Return data and holes of a part of a file; raises as `read`."""
        with context(image=self._name):
            found = self._again(number, lambda content: list(content.segments_in(at, size)))
            if any(one.hole for one in found):  # nobody reads a hole, so what is said of it has to be right
                self._again(number, lambda content: self._verify_content(number, content))
        return found

    def _read(self, number: int, content: SliceBlob, at: int, size: int) -> bytes:
        if at == 0 and size == content.size:  # read once
            data = content.read_at(0, size)
            if self._verify and number not in self._verified:
                self._require_digest(number, (data,))
            return data
        self._verify_content(number, content)
        return content.read_at(at, size)

    def _verify_content(self, number: int, content: SliceBlob) -> None:
        if self._verify and number not in self._verified:
            self._require_digest(number, read_chunks(content))

    def _again(self, number: int, look: Callable[[SliceBlob], Found]) -> Found:
        """Return what `look` finds in the content of a file; where that was forgotten meanwhile, it is undone again."""
        while True:
            content = self._contents.get(number)
            try:
                return look(self._find(number) if content is None else content)
            except Forgotten:
                with self._lock:
                    self._undo_again()

    def unpacked(self) -> Blob:
        """Return the whole cpio; raises as `content`."""
        with self._lock:
            plain = self._undone(None).plain
            assert not isinstance(plain, Window)
            return plain

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
                self._collect(stage)
            return self._contents[number]

    def _collect(self, stage: _Undoing) -> None:
        """Take over what the walk met."""
        for one in stage.walk.fresh:
            place, size = stage.walk.places[one], self._files[one].size
            self._contents[one] = SliceBlob(stage.plain, place, size)
            self._order.append((place, place + size, one))
        stage.walk.fresh.clear()

    def _undone(self, number: int | None) -> _Undoing:
        """Undo as much as the content of a file needs, all of it for None or where not all is digested."""
        if self._failed is not None:
            raise copy.copy(self._failed)
        if self._closed:
            raise ValueError("the package was closed")
        try:
            if self._stage is None:
                self._stage = self._start(number is not None)
            every = number is None or not self._stage.by_itself
            if number is None and isinstance(self._stage.plain, Window):
                self._undo_again()
            stage = self._stage
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

    def _start(self, windowed: bool) -> _Undoing:
        kind = self._header.text(Tag.PAYLOADFORMAT) or "cpio"
        if kind != "cpio":
            raise Unsupported("payload of another kind", structure="header", field="PAYLOADFORMAT", found=kind, allowed="cpio")
        start, stream, by_itself = self._header.end, self.stream, self._is_digested()
        packed = SliceBlob(self._blob, start, self._blob.size - start)
        plain: Blob = packed
        if stream is not None:
            plain = Window(self._needed) if windowed and by_itself and not is_faked() else Spool()
        walk = Walk(plain, self._files, self.links, self._limits)
        digest = next(iter(payload_digests(self._signature, self._header)), None) if self._verify else None
        made = None if digest is None else digest.start(self._header)
        return _Undoing(packed, stream, plain, walk, self._limits, start, digest, made, by_itself)

    def _undo_again(self) -> None:
        """Begin anew, with all of the payload in a temporary file, if that is not so already."""
        if self._closed:
            raise ValueError("the package was closed")
        if self._stage is not None and isinstance(self._stage.plain, Window):
            self._stage.close()
            self._contents.clear()
            self._order.clear()
            self._stage = self._start(False)

    def _needed(self, start: int, end: int) -> bool:
        """Whether bytes of the payload that leave the memory may still be wanted; asked in their order."""
        stage = self._stage
        if stage is None or end > stage.walk.at:  # a file that is not there as a whole
            return True
        self._collect(stage)
        while self._order and self._order[0][1] <= start:
            self._order.popleft()
        for first, _, number in self._order:
            if first >= end:
                break
            if number not in self._taken:
                return True
        return False

    def _require_digest(self, number: int, pieces: Iterable[bytes]) -> None:
        found = self._wrong_digest(number, pieces)
        if found is not None:
            raise VerificationFailed(
                "content of a file does not fit its digest",
                path=self._files[number].path,
                offset=self._header.place(Tag.FILEDIGESTS),
                structure="header",
                field="FILEDIGESTS",
                found=found,
                allowed=self._files[number].digest,
            )
        self._verified.update(self.links.get(number, (number,)))

    def _wrong_digest(self, number: int, pieces: Iterable[bytes]) -> str | None:
        """Return the digest of a content that has another one in the header, else None."""
        file, name = self._files[number], file_algorithm(self._algorithm)
        if name is None or not file.digest or not stat.S_ISREG(file.mode) or file.is_ghost:
            return None
        total = hashlib.new(name, usedforsecurity=False)
        for data in pieces:
            total.update(data)
        return None if total.hexdigest() == file.digest.lower() else total.hexdigest()

    def wrong_digests(self) -> Iterator[tuple[int, str]]:
        """Yield (number, digest that was found) of every file whose content is another; of hard links the first."""
        self.unpacked()
        for number, file in enumerate(self._files):
            if self.links.get(number, (number,))[0] == number and stat.S_ISREG(file.mode) and not file.is_ghost:
                found = self._wrong_digest(number, read_chunks(self._find(number)) if file.size else ())
                if found is not None:
                    yield number, found


class _Undoing:
    """A payload that is undone step by step.

    Attributes:
        plain: the cpio, as far as it is there; in the package itself where that is not compressed.
        walk: the walk over its members.
        by_itself: whether a content may be given out before all is there.
        done: whether all is there, and was compared with its digest.
    """

    def __init__(
        self,
        packed: Blob,
        stream: str | None,
        plain: Blob,
        walk: Walk,
        limits: Limits,
        start: int,
        digest: Digest | None,
        made: HASH | None,
        by_itself: bool,
    ) -> None:
        self.plain = plain
        self.walk = walk
        self.by_itself = by_itself
        self.done = False
        self._digest = digest
        self._made = made
        self._limits = limits
        self._there = 0
        self._chunks = self._told(packed)
        # What stands behind the stream is nobody's: of v3 and v4 packages only digests would tell.
        self._pieces = self._chunks
        if stream is not None:
            self._pieces = bounded_stream(stream, self._chunks, limits, start=start, strict=False)

    def _told(self, packed: Blob) -> Iterator[bytes]:
        """Yield the pieces of the payload as it is in the package, and digest them."""
        for data in read_chunks(packed, _CHUNK):
            if self._made is not None:
                self._made.update(data)
            yield data

    @property
    def has_all(self) -> bool:
        """Whether every content was met: then the rest is for the digest."""
        return len(self.walk.places) == len(self.walk.wanted)

    def step(self) -> None:
        """Undo one piece more. Raises what undoing and the walk raise, and VerificationFailed at the end."""
        data = next(self._pieces, None)
        spool = self.plain if isinstance(self.plain, (Spool, Window)) else None
        if data is not None:
            self._there += len(data)
            self._limits.require("max_stream", self._there)
            if spool is not None:
                spool.append(data)
            self.walk.advance(self._there if spool is None else spool.flush(), False)
            return
        for _ in self._chunks:  # what the stream did not need is part of the digest
            pass
        if spool is not None:
            spool.seal()
        self.walk.advance(self._there, True)
        if self._digest is not None and self._made is not None:
            self._digest.require(self._made.hexdigest())
        self.done = True

    def close(self) -> None:
        """Remove the temporary file; twice is fine."""
        if isinstance(self.plain, (Spool, Window)):
            self.plain.close()
