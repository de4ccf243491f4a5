"""Reads cpio archives, and the chain of them that an initrd is, as Linux unpacks it: in order, the later wins.

A compressed part is decompressed into a temporary file, bounded by the limits. Contents are slices of the archive. Names
of one inode number, within one archive, are one file; its content stands at one of them, in newc at the last.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from imgcore.blob import EMPTY, Blob, SliceBlob, Spool, read_chunks
from imgcore.codec import StreamDecoder, detect_stream
from imgcore.errors import Corrupt, NotThisFormat
from imgcore.events import Control
from imgcore.formats.archive import Deferred, TreeBuilder, Window, member_path
from imgcore.formats.base import Finding, LayoutItem
from imgcore.formats.common import BlobImage
from imgcore.formats.cpio.layout import TRAILER, NewcHeader, Numbers, OdcHeader, byte_sum, numbers_of
from imgcore.formats.cpio.magic import CRC, NEWC, ODC
from imgcore.limits import Limits
from imgcore.model import Device, File, Meta, Node, Pipe, Socket, Symlink, Tree

__all__ = ["CpioImage", "open_image"]

_SECOND: Final = 10**9
_KINDS: Final = {NEWC: "newc", CRC: "crc", ODC: "odc"}
_HEAD: Final = 16


def open_image(blob: Blob, limits: Limits | None = None) -> CpioImage:
    """Return the cpio in `blob`. Raises NotThisFormat, Corrupt, LimitExceeded."""
    return CpioImage(blob, limits or Limits.default())


class Member(NamedTuple):
    """One member; offsets are bytes of the part that it is in."""

    magic: bytes
    offset: int
    numbers: Numbers
    name: bytes
    data: int
    end: int


class Part(NamedTuple):
    """One archive of the chain: `blob` is the whole image, or a decompressed part of it.

    `first` is where it begins in the image, `end` is where it ends; `stream` is how it is compressed.
    """

    blob: Blob
    first: int
    end: int
    stream: str | None


def _aligned(at: int, start: int) -> int:
    return at + (start - at) % 4


def members(blob: Blob, start: int, limits: Limits) -> Iterator[Member]:
    """Yield the members of the archive at `start`, the trailer last. Raises Corrupt, LimitExceeded."""
    window, at = Window(blob), start
    while True:
        magic = window.read(at, 6)
        if magic not in _KINDS:
            if not magic.strip(b"\0"):
                raise Corrupt("archive ends without TRAILER!!!", offset=at, structure="NewcHeader", field="c_magic")
            raise Corrupt(
                "no header where one has to be", offset=at, structure="NewcHeader", field="c_magic", found=repr(magic)[2:-1]
            )
        kind: type[NewcHeader] | type[OdcHeader] = OdcHeader if magic == ODC else NewcHeader
        numbers = numbers_of(window.read(at, kind.SIZE), at)
        if numbers.namesize > limits.max_path + 1:
            limits.require("max_path", numbers.namesize - 1)
        raw = window.read(at + kind.SIZE, numbers.namesize)
        name = raw.partition(b"\0")[0]
        if not numbers.namesize or len(raw) < numbers.namesize or raw[-1] != 0:
            raise Corrupt(
                "name is cut or has no end", offset=at + kind.SIZE, structure=kind.__name__, field="c_namesize", path=name[:256]
            )
        data = at + kind.SIZE + numbers.namesize
        if kind is NewcHeader:
            data = _aligned(data, start)
        end = data + numbers.filesize
        if numbers.filesize and end > blob.size:
            raise Corrupt(
                "member is cut: the archive ends before its content does",
                path=name[:256],
                offset=at,
                structure=kind.__name__,
                field="c_filesize",
                found=f"{max(0, blob.size - data)} bytes",
                allowed=f"{numbers.filesize} bytes",
            )
        if numbers.filesize > limits.max_file_size:
            limits.require("max_file_size", numbers.filesize)
        end = min(_aligned(end, start) if kind is NewcHeader else end, blob.size)
        yield Member(magic, at, numbers, name, data, end)
        if name == TRAILER:
            return
        at = end


class _Group(Deferred):
    """The names of one inode; the node is made when its archive ends, since the content may come last."""

    __slots__ = ("content", "meta", "mtime_ns")

    def __init__(self, meta: Meta) -> None:
        super().__init__()
        self.meta = meta
        self.content: Blob = EMPTY


class CpioImage(BlobImage):
    """An open cpio; see `formats.base.Image`."""

    def __init__(self, blob: Blob, limits: Limits) -> None:
        self.blob = blob
        self.limits = limits
        self.parts: list[Part] = []
        self.garbage: int | None = None
        self._spools: list[Spool] = []
        self._builder = TreeBuilder(limits, "NewcHeader")
        self._kinds: Counter[str] = Counter()
        if blob.read_at(0, 6) not in _KINDS:
            raise NotThisFormat("not a cpio", offset=0, structure="NewcHeader", field="c_magic", found=blob.read_at(0, 6).hex())
        try:
            self._read_all()
            self.tree: Tree = self._builder.finish(_SECOND)
        except BaseException:
            self._close_spools()
            raise

    # Parts

    def _read_all(self) -> None:
        at: int | None = 0
        while at is not None:
            head = self.blob.read_at(at, _HEAD)
            name = detect_stream(head)
            if head[:6] in _KINDS:
                end = self._read_part(self.blob, at)
                self.parts.append(Part(self.blob, at, end, None))
            elif name is not None:
                end = self._read_compressed(name, at)
            else:
                self.garbage = at
                return
            at = _next_part(self.blob, end)

    def _read_compressed(self, name: str, first: int) -> int:
        """Read the archives in the compressed bytes from `first` on; return where these end."""
        rest = SliceBlob(self.blob, first, self.blob.size - first)
        memory = max(64 << 20, self.limits.max_metadata // 8)
        decoder = StreamDecoder(name, read_chunks(rest, 1 << 18), memory=memory, start=first, strict=False)
        spool = Spool()
        self._spools.append(spool)
        for data in decoder:
            spool.append(data)
            self.limits.require("max_stream", sum(one.size for one in self._spools))
        spool.seal()
        end = first + decoder.position
        at = _next_part(spool, 0)
        while at is not None:
            if spool.read_at(at, 6) not in _KINDS:
                raise Corrupt("compressed part holds no cpio", offset=first, structure="NewcHeader", found=f"{name} stream")
            self.parts.append(Part(spool, first, end, name))
            at = _next_part(spool, self._read_part(spool, at))
        return end

    def _read_part(self, blob: Blob, start: int) -> int:
        """Add the members of the archive at `start` to the tree; return where it ends."""
        groups: dict[tuple[int, ...], _Group | Node] = {}
        end = start
        for member in members(blob, start, self.limits):
            end = member.end
            if member.name == TRAILER:
                break
            self._kinds[_KINDS[member.magic]] += 1
            if member.magic == CRC and stat.S_ISREG(member.numbers.mode):
                self._require_sum(blob, member)
            self._add(blob, member, groups)
        for group in groups.values():
            if isinstance(group, _Group):
                group.node = File(group.meta, group.content)
        return end

    def _require_sum(self, blob: Blob, member: Member) -> None:
        size = member.numbers.filesize
        total = sum(byte_sum(data) for data in read_chunks(SliceBlob(blob, member.data, size))) if size else 0
        if size and total & 0xFFFFFFFF != member.numbers.check:
            raise Corrupt(
                "checksum of a file does not fit",
                path=member.name[:256],
                offset=member.offset,
                structure="NewcHeader",
                field="c_check",
                found=f"{total & 0xFFFFFFFF:08x}",
                allowed=f"{member.numbers.check:08x}",
            )

    def _add(self, blob: Blob, member: Member, groups: dict[tuple[int, ...], _Group | Node]) -> None:
        numbers, at, builder = member.numbers, member.offset, self._builder
        parts = member_path(member.name, at, "NewcHeader")
        mtime_ns = numbers.mtime * _SECOND
        meta = Meta(numbers.mode & 0o7777, numbers.uid, numbers.gid, mtime_ns)
        kind = stat.S_IFMT(numbers.mode)
        builder.charge(len(member.name))
        if kind == stat.S_IFDIR:
            builder.add_dir(parts, meta, at)
            return
        key = (numbers.ino, numbers.devmajor, numbers.devminor, kind) if numbers.nlink > 1 else ()
        if kind == stat.S_IFREG:
            content = SliceBlob(blob, member.data, numbers.filesize) if numbers.filesize else EMPTY
            if not key:
                builder.add(parts, File(meta, content), at, mtime_ns)
                return
            group = groups.get(key)
            if not isinstance(group, _Group):
                group = groups[key] = _Group(meta)
            if content.size:
                group.content, group.meta = content, meta
            builder.add(parts, group, at, mtime_ns)
            return
        known = groups.get(key) if key else None
        if known is None:
            known = self._special(blob, member, meta, kind)
            if key:
                groups[key] = known
        builder.add(parts, known, at, mtime_ns)

    def _special(self, blob: Blob, member: Member, meta: Meta, kind: int) -> Node:
        numbers = member.numbers
        if kind == stat.S_IFLNK:
            self.limits.require("max_path", numbers.filesize)
            self._builder.charge(numbers.filesize)
            target = blob.read_at(member.data, numbers.filesize)
            if not target or b"\0" in target:
                raise Corrupt("symbolic link without a target", path=member.name, offset=member.offset, structure="NewcHeader")
            return Symlink(meta, target)
        if kind == stat.S_IFIFO:
            return Pipe(meta)
        if kind == stat.S_IFSOCK:
            return Socket(meta)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            return Device(meta, "char" if kind == stat.S_IFCHR else "block", numbers.rdevmajor, numbers.rdevminor)
        raise Corrupt(
            "member of no type that there is",
            path=member.name[:256],
            offset=member.offset,
            structure="NewcHeader",
            field="c_mode",
            found=f"{numbers.mode:#o}",
        )

    # The rest of an image

    def info(self) -> dict[str, object]:
        """Return what the archive is made of as plain values."""
        return {
            "kinds": sorted(self._kinds),
            "members": self._kinds.total(),
            "parts": [part.stream or "plain" for part in self.parts],
            "end": self.parts[-1].end,
            "file_size": self.blob.size,
        }

    def layout(self) -> Iterator[LayoutItem]:
        """Yield the headers and the content of every member; of a compressed part its place only."""
        end, last = 0, -1
        for part in self.parts:
            if part.stream is not None:
                if part.first != last:
                    yield LayoutItem(part.first, part.end - part.first, "compressed part", part.stream)
            else:
                for member in members(part.blob, part.first, self.limits):
                    name = member.name.decode("utf-8", "surrogateescape")
                    yield LayoutItem(member.offset, member.data - member.offset, f"header: {_KINDS[member.magic]}", name)
                    if member.numbers.filesize:
                        yield LayoutItem(member.data, member.numbers.filesize, "content", "")
            end, last = part.end, part.first
        if end < self.blob.size:
            yield LayoutItem(end, self.blob.size - end, "behind the end", "" if self.garbage is None else "ignored")

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the format's rules."""
        from imgcore.formats.cpio.check import check_blob

        return check_blob(self.blob, self.limits, control or Control())

    def _close_spools(self) -> None:
        for spool in self._spools:
            spool.close()

    def close(self) -> None:
        """Close the decompressed parts, and the blob if it can be closed."""
        self._close_spools()
        super().close()


def _next_part(blob: Blob, at: int) -> int | None:
    """Return where the first byte from `at` on is that is not zero, None without one."""
    while at < blob.size:
        data = blob.read_at(at, 1 << 20)
        rest = len(data.lstrip(b"\0"))
        if rest:
            return at + len(data) - rest
        at += len(data)
    return None
