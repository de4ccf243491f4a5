"""The members of a package's payload, walked over as the cpio comes: where the content of each file of the header lies."""

from __future__ import annotations

import stat
from typing import Final, NamedTuple

from imgcore.blob import Blob, SliceBlob, read_chunks
from imgcore.errors import Corrupt
from imgcore.formats.cpio.layout import TRAILER, NewcHeader, byte_sum, numbers_of
from imgcore.formats.cpio.magic import CRC, NEWC
from imgcore.formats.rpm.layout import STRIPPED
from imgcore.formats.rpm.package import PackageFile
from imgcore.limits import Limits

__all__ = ["Member", "Walk", "hard_links"]

_HEAD: Final = 512  # bytes that are looked at first: most names end in them
_STRIPPED_SIZE: Final = 16  # magic and eight digits, filled up to four bytes
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


def hard_links(files: tuple[PackageFile, ...]) -> dict[int, list[int]]:
    """Return the numbers of all files of each inode that has several names, by the number of each of them."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, file in enumerate(files):
        if file.inode and stat.S_ISREG(file.mode) and not file.is_ghost:
            groups.setdefault((file.device, file.inode), []).append(number)
    return {number: group for group in groups.values() if len(group) > 1 for number in group}


class Member(NamedTuple):
    """A member as its head says: number of the file, size of its content, where that begins, where the member does.

    `sum` is what the bytes of the content add up to, None where the member does not say.
    """

    number: int
    size: int
    data: int
    offset: int
    sum: int | None = None


class Walk:
    """A walk over the members of a cpio, of which `blob` has more and more.

    Attributes:
        places: where the content of each file begins that was met; all names of a hard link are there at once.
        fresh: what was added to the places; whoever takes it empties it.
        wanted: numbers of the files that have a content.
        at: where the next member begins.
        ended: whether the trailer was met.
    """

    def __init__(self, blob: Blob, files: tuple[PackageFile, ...], links: dict[int, list[int]], limits: Limits) -> None:
        self._blob = blob
        self._files = files
        self._links = links
        self._limits = limits
        self._numbers = {file.path.lstrip(b"/"): number for number, file in enumerate(files)}
        self._seen: set[int] = set()
        self.at = 0
        self.ended = False
        self.places: dict[int, int] = {}
        self.fresh: list[int] = []
        self.wanted = [
            number for number, file in enumerate(files) if file.size and stat.S_ISREG(file.mode) and not file.is_ghost
        ]

    def _read(self, at: int, size: int) -> bytes:
        return self._blob.read_at(at, size)

    def advance(self, there: int, last: bool) -> None:
        """Go on as far as there are `there` bytes of the cpio; with `last` they are all. Raises Corrupt, LimitExceeded."""
        while (member := self.peek(there, last)) is not None:
            if member.data + member.size > there:
                if not last:
                    return
                raise self.cut(member, there)
            if member.sum is not None:
                part = SliceBlob(self._blob, member.data, member.size)
                self.require_sum(member, sum(byte_sum(piece) for piece in read_chunks(part)))
            self.take(member)

    def peek(self, there: int, last: bool) -> Member | None:
        """Return the next member, whose head is among the `there` bytes; None where it is not yet, and at the end."""
        if self.ended:
            return None
        found = self._member(self.at, there, last)
        if isinstance(found, Member):
            return found
        if found:
            self.ended = True
            self._require_all()
        return None

    def has_target(self, member: Member) -> bool:
        """Return whether a member has the target of a symbolic link, which has to be there when it is taken."""
        file = self._files[member.number]
        return stat.S_ISLNK(file.mode) and member.size == len(file.target)

    def cut(self, member: Member, there: int) -> Corrupt:
        """Return the error for a content that is cut."""
        message = "payload is cut: it ends before the content of a file does"
        path, found = self._files[member.number].path, f"{max(0, there - member.data)} bytes"
        return self._wrong(message, member.offset, path, found=found)

    def require_sum(self, member: Member, total: int) -> None:
        """Raise Corrupt unless the bytes of a content add up to what its member says."""
        total &= 0xFFFFFFFF
        if member.size and member.sum is not None and total != member.sum:
            path, allowed = self._files[member.number].path, f"{member.sum:08x}"
            raise self._wrong("checksum of a file does not fit", member.offset, path, found=f"{total:08x}", allowed=allowed)

    def take(self, member: Member) -> None:
        """Know where the content of a file is, and go on behind it. Raises Corrupt."""
        number, size, data, offset, _ = member
        self.at = -(-(data + size) // 4) * 4
        file = self._files[number]
        if number in self._seen:
            raise self._wrong("file is in the payload twice", offset, file.path)
        self._seen.add(number)
        if stat.S_ISLNK(file.mode):
            if size != len(file.target) or self._read(data, size) != file.target:
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
                self.places[one] = data
                self.fresh.append(one)
        elif size and not file.is_ghost:
            raise self._wrong("content of something that is no file", offset, file.path, found=f"{size} bytes")

    def _require_all(self) -> None:
        for number in self.wanted:
            if number not in self.places:
                raise self._wrong("content of a file is not in the payload", self.at, self._files[number].path)

    def _wrong(
        self, message: str, offset: int, path: bytes | None = None, *, found: object = None, allowed: object = None
    ) -> Corrupt:
        return Corrupt(message, path=path, offset=offset, structure="payload", found=found, allowed=allowed)

    def _member(self, at: int, there: int, last: bool) -> Member | bool:
        """Return the member at `at`, True for the end, False for one that has not come yet."""
        head = self._read(at, max(0, min(_HEAD, there - at)))
        magic = head[:6]
        if len(head) < _STRIPPED_SIZE and not last:
            return False
        if magic == STRIPPED:
            return self._stripped(at, head[:_STRIPPED_SIZE])
        if magic not in (NEWC, CRC):
            message = "payload ends without TRAILER!!!" if not magic.strip(b"\0") else "no member where one has to be"
            raise self._wrong(message, at, found=repr(magic)[2:-1])
        if len(head) < NewcHeader.SIZE and not last:
            return False
        numbers = numbers_of(head[: NewcHeader.SIZE], at)
        self._limits.require("max_path", numbers.namesize)
        end = NewcHeader.SIZE + numbers.namesize
        if at + end > there and not last:
            return False
        raw = head[NewcHeader.SIZE : end] if end <= len(head) else self._read(at + NewcHeader.SIZE, numbers.namesize)
        name, nul, _ = raw.partition(b"\0")
        if not nul or len(raw) < numbers.namesize:
            raise self._wrong("name is cut or has no end", at, name[:256])
        data = -(-(at + end) // 4) * 4
        if name == TRAILER:
            return True
        number = self._numbers.get(b"" if name == b"." else name.removeprefix(b".").removeprefix(b"/"))
        if number is None:
            raise self._wrong("payload has a file that the header has not", at, name[:256])
        if stat.S_IFMT(numbers.mode) != stat.S_IFMT(self._files[number].mode):
            raise self._wrong("file is of another type than in the header", at, name[:256], found=f"{numbers.mode:#o}")
        has_sum = magic == CRC and stat.S_ISREG(numbers.mode)
        return Member(number, numbers.filesize, data, at, numbers.check if has_sum else None)

    def _stripped(self, at: int, raw: bytes) -> Member:
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
        return Member(number, size, at + _STRIPPED_SIZE, at)
