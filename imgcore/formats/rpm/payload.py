"""The payload of a package: a compressed cpio, undone into a temporary file when a content is first asked for.

What a file is stands in the header; the payload has only contents. Its members are those of newc (070701), of crc (070702),
or stripped ones (07070X and the file's number in the header). Of hard links the last member has the content. Every content
is compared with its digest in the header before it is given out, and the compressed payload with the header's.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import stat
import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from imgcore.blob import EMPTY, Blob, Segment, SliceBlob, Spool, read_chunks
from imgcore.codec import HEAD_SIZE, detect_stream
from imgcore.codec.bounded import bounded_stream
from imgcore.engine.threads import Behind
from imgcore.errors import Corrupt, ImgcoreError, Unsupported, VerificationFailed
from imgcore.formats.archive import Window
from imgcore.formats.cpio.layout import TRAILER, NewcHeader, Numbers, byte_sum, numbers_of
from imgcore.formats.cpio.magic import CRC, NEWC
from imgcore.formats.rpm.digests import digest_of, file_algorithm, payload_digests
from imgcore.formats.rpm.header import Header
from imgcore.formats.rpm.layout import STRIPPED, Tag
from imgcore.formats.rpm.package import Package, PackageFile
from imgcore.limits import Limits

__all__ = ["Payload", "PayloadFile", "hard_links"]

_Do: TypeAlias = "Callable[[Callable[[bytes], None], bytes], None]"

_CHUNK: Final = 256 << 10
_WORTH_A_THREAD: Final = 1 << 20  # bytes of a payload
_STREAMS: Final = frozenset(("gzip", "bzip2", "xz", "lzma", "zstd"))
_STRIPPED_SIZE: Final = 16  # magic and eight digits, filled up to four bytes
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


class PayloadFile:
    """The content of one file of the package: a blob of known size, which is unpacked when it is read."""

    __slots__ = ("index", "payload", "size")

    def __init__(self, payload: Payload, index: int, size: int) -> None:
        self.payload = payload
        self.index = index
        self.size = size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file. Raises Corrupt, VerificationFailed, LimitExceeded for a package that is broken."""
        return self.payload.content(self.index).read_at(at, size)

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes."""
        return self.payload.content(self.index).segments()

    def segments_in(self, at: int, size: int) -> Iterator[Segment]:
        """Yield data and holes of a part."""
        content = self.payload.content(self.index)
        return content.segments_in(at, size) if isinstance(content, SliceBlob) else content.segments()


def hard_links(files: tuple[PackageFile, ...]) -> dict[int, list[int]]:
    """Return the numbers of all files of each inode that has several names, by the number of each of them."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, file in enumerate(files):
        if file.inode and stat.S_ISREG(file.mode) and not file.is_ghost:
            groups.setdefault((file.device, file.inode), []).append(number)
    return {number: group for group in groups.values() if len(group) > 1 for number in group}


class Payload:
    """The payload of a package; thread-safe. It lies in `blob` from the end of the main header on."""

    def __init__(self, blob: Blob, signature: Header, header: Header, package: Package, limits: Limits, verify: bool) -> None:
        self._blob = blob
        self._signature = signature
        self._header = header
        self._files = package.files
        self._algorithm = package.digest_algorithm
        self._limits = limits
        self._verify = verify
        self.links = hard_links(package.files)
        self._lock = threading.Lock()
        self._contents: dict[int, Blob] | None = None
        self._plain: Blob | None = None
        self._spool: Spool | None = None
        self._verified: set[int] = set()
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

    def content(self, number: int) -> Blob:
        """Return the content of a file, which was compared with its digest.

        Raises Corrupt, Unsupported, VerificationFailed, LimitExceeded, OutputError.
        """
        contents = self._contents
        if contents is None:
            contents = self._load()
        content = contents.get(number, EMPTY)
        if self._verify and number not in self._verified:
            self._require_digest(number, content)
            self._verified.update(self.links.get(number, (number,)))
        return content

    def unpacked(self) -> Blob:
        """Return the whole cpio; raises as `content`."""
        self._load()
        assert self._plain is not None
        return self._plain

    def close(self) -> None:
        """Remove the temporary file; twice is fine."""
        with self._lock:
            self._closed = True
            if self._spool is not None:
                self._spool.close()

    def _load(self) -> dict[int, Blob]:
        with self._lock:
            if self._contents is not None:
                return self._contents
            if self._failed is not None:
                raise copy.copy(self._failed)
            if self._closed:
                raise ValueError("the package was closed")
            try:
                plain = self._unpack()
                places = _Walk(plain, self._files, self.links, self._limits).places()
            except ImgcoreError as error:
                self._failed = copy.copy(error)
                if self._spool is not None:
                    self._spool.close()
                raise
            self._plain = plain
            self._contents = {
                number: SliceBlob(plain, at, self._files[number].size)
                for number, at in places.items()
                if self._files[number].size
            }
            return self._contents

    def _unpack(self) -> Blob:
        """Return the cpio: in the package itself, or undone into a temporary file."""
        kind = self._header.text(Tag.PAYLOADFORMAT) or "cpio"
        if kind != "cpio":
            raise Unsupported("payload of another kind", structure="header", field="PAYLOADFORMAT", found=kind, allowed="cpio")
        start, name = self._header.end, self.stream
        packed = SliceBlob(self._blob, start, self._blob.size - start)
        digest = next(iter(payload_digests(self._signature, self._header)), None) if self._verify else None
        if name is None:
            if digest is not None:
                digest.require(digest_of(digest, packed, self._header))
            return packed
        self._spool = spool = Spool()
        try:
            made = None if digest is None else digest.start(self._header)
            with _side(packed.size) as do:
                chunks = read_chunks(packed, _CHUNK) if made is None else _told(packed, made.update, do)
                # What stands behind the stream is nobody's: of v3 and v4 packages only digests would tell.
                total = 0
                for data in bounded_stream(name, chunks, self._limits, start=start, strict=False):
                    total += len(data)
                    self._limits.require("max_stream", total)
                    do(spool.append, data)
                for _ in chunks:  # what the stream did not need is part of the digest
                    pass
            spool.seal()
            if digest is not None and made is not None:
                digest.require(made.hexdigest())
        except BaseException:
            spool.close()
            raise
        return spool

    def _require_digest(self, number: int, content: Blob) -> None:
        found = self._wrong_digest(number, content)
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

    def _wrong_digest(self, number: int, content: Blob) -> str | None:
        """Return the digest of a content that has another one in the header, else None."""
        file, name = self._files[number], file_algorithm(self._algorithm)
        if name is None or not file.digest or not stat.S_ISREG(file.mode) or file.is_ghost:
            return None
        total = hashlib.new(name, usedforsecurity=False)
        for data in read_chunks(content):
            total.update(data)
        return None if total.hexdigest() == file.digest.lower() else total.hexdigest()

    def wrong_digests(self) -> Iterator[tuple[int, str]]:
        """Yield (number, digest that was found) of every file whose content is another; of hard links the first."""
        contents = self._load()
        for number in range(len(self._files)):
            if self.links.get(number, (number,))[0] == number:
                found = self._wrong_digest(number, contents.get(number, EMPTY))
                if found is not None:
                    yield number, found


def _told(blob: Blob, tell: Callable[[bytes], None], do: _Do) -> Iterator[bytes]:
    """Yield the pieces of a blob, of each of which `tell` is told."""
    for data in read_chunks(blob, _CHUNK):
        do(tell, data)
        yield data


@contextlib.contextmanager
def _side(size: int) -> Iterator[_Do]:
    """Give what does calls meanwhile, on another thread where that is worth it; they are done when the block is left."""
    if size < _WORTH_A_THREAD:
        yield lambda call, data: call(data)
        return
    with Behind() as behind:
        yield behind.do


class _Walk:
    """A walk over the members of the cpio in `blob`."""

    def __init__(self, blob: Blob, files: tuple[PackageFile, ...], links: dict[int, list[int]], limits: Limits) -> None:
        self._window = Window(blob)
        self._blob = blob
        self._files = files
        self._links = links
        self._limits = limits
        self._numbers = {file.path.lstrip(b"/"): number for number, file in enumerate(files)}

    def places(self) -> dict[int, int]:
        """Return where the content of each file begins that has one. Raises Corrupt, LimitExceeded."""
        found: dict[int, int] = {}
        seen: set[int] = set()
        at = 0
        while True:
            offset, (number, size, data) = at, self._member(at)
            if number is None:
                break
            file = self._files[number]
            if number in seen:
                raise self._wrong("file is in the payload twice", offset, file.path)
            seen.add(number)
            if data + size > self._blob.size:
                raise self._wrong(
                    "payload is cut: it ends before the content of a file does", offset, file.path, found=self._blob.size - data
                )
            if stat.S_ISLNK(file.mode):
                if self._window.read(data, size) != file.target:
                    raise self._wrong("symbolic link has another target than in the header", offset, file.path)
            elif size and stat.S_ISREG(file.mode) and not file.is_ghost:
                for one in self._links.get(number, [number]):
                    if self._files[one].size != size:
                        raise self._wrong(
                            "content has another size than in the header",
                            offset,
                            self._files[one].path,
                            found=f"{size} bytes",
                            allowed=f"{self._files[one].size} bytes",
                        )
                    found[one] = data
            elif size and not file.is_ghost:
                raise self._wrong("content of something that is no file", offset, file.path, found=f"{size} bytes")
            at = -(-(data + size) // 4) * 4
        for number, file in enumerate(self._files):
            if file.size and number not in found and stat.S_ISREG(file.mode) and not file.is_ghost:
                raise self._wrong("content of a file is not in the payload", at, file.path)
        return found

    def _wrong(
        self, message: str, offset: int, path: bytes | None = None, *, found: object = None, allowed: object = None
    ) -> Corrupt:
        return Corrupt(message, path=path, offset=offset, structure="payload", found=found, allowed=allowed)

    def _member(self, at: int) -> tuple[int | None, int, int]:
        """Return (number of the file, None for the end, size of its content, where that begins) of the member at `at`."""
        magic = self._window.read(at, 6)
        if magic == STRIPPED:
            return self._stripped(at)
        if magic not in (NEWC, CRC):
            message = "payload ends without TRAILER!!!" if not magic.strip(b"\0") else "no member where one has to be"
            raise self._wrong(message, at, found=repr(magic)[2:-1])
        numbers = numbers_of(self._window.read(at, NewcHeader.SIZE), at)
        self._limits.require("max_path", numbers.namesize)
        raw = self._window.read(at + NewcHeader.SIZE, numbers.namesize)
        name, end, _ = raw.partition(b"\0")
        if not end or len(raw) < numbers.namesize:
            raise self._wrong("name is cut or has no end", at, name[:256])
        data = -(-(at + NewcHeader.SIZE + numbers.namesize) // 4) * 4
        if name == TRAILER:
            return None, 0, data
        number = self._numbers.get(b"" if name == b"." else name.removeprefix(b".").removeprefix(b"/"))
        if number is None:
            raise self._wrong("payload has a file that the header has not", at, name[:256])
        if stat.S_IFMT(numbers.mode) != stat.S_IFMT(self._files[number].mode):
            raise self._wrong("file is of another type than in the header", at, name[:256], found=f"{numbers.mode:#o}")
        if magic == CRC and stat.S_ISREG(numbers.mode):
            self._require_sum(at, data, numbers, name)
        return number, numbers.filesize, data

    def _require_sum(self, at: int, data: int, numbers: Numbers, name: bytes) -> None:
        if data + numbers.filesize > self._blob.size:
            return  # which is said better by the caller
        part = SliceBlob(self._blob, data, numbers.filesize)
        total = sum(byte_sum(piece) for piece in read_chunks(part)) & 0xFFFFFFFF
        if numbers.filesize and total != numbers.check:
            raise self._wrong(
                "checksum of a file does not fit", at, name[:256], found=f"{total:08x}", allowed=f"{numbers.check:08x}"
            )

    def _stripped(self, at: int) -> tuple[int, int, int]:
        raw = self._window.read(at, _STRIPPED_SIZE)
        digits = raw[6:14]
        if len(raw) < _STRIPPED_SIZE or not _HEX.issuperset(digits):
            raise self._wrong("member is cut or has no number", at, found=repr(raw)[2:-1])
        number = int(digits, 16)
        if number >= len(self._files):
            raise self._wrong("member of a file that is not there", at, found=number, allowed=f"below {len(self._files)}")
        file = self._files[number]
        size = 0
        if stat.S_ISLNK(file.mode):
            size = len(file.target)
        elif stat.S_ISREG(file.mode) and number == self._links.get(number, [number])[-1]:
            size = file.size
        return number, size, at + _STRIPPED_SIZE
