"""`check`: every rule of Linux that a squashfs image breaks, each with its place.

The rules are those of the kernel's `fs/squashfs` (the function is named where a rule comes from one), and a few of the
format and of unsquashfs that Linux does not test. A finding is *fatal* when Linux would not mount the image or a part of
it is missing; an *error* when Linux fails or misreads something in it; a *warning* otherwise.

This module checks what is read at mount time: the superblock, the compressor options, and how the tables lie. It then
hands over to `check_tree`.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import FormatError, NotThisFormat
from imgcore.events import Control
from imgcore.formats.base import Finding, Severity
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.check_tree import TreeChecker
from imgcore.formats.squashfs.findings import from_error
from imgcore.formats.squashfs.layout import METADATA_SIZE, NO_TABLE, FragmentEntry, Superblock, XattrId, XattrTable
from imgcore.limits import Limits
from imgcore.values import value_class

__all__ = ["check_blob"]

_BLOCK_ON_DISK: Final = METADATA_SIZE + 2
_SECTOR: Final = 512
_DEVICE_BLOCK: Final = 1024


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no squashfs at all, LimitExceeded, SourceError, Cancelled."""
    raw = blob.read_at(0, Superblock.SIZE)
    if raw[:4] != struct.pack("<I", layout.MAGIC)[: len(raw)] or len(raw) < 4:
        raise NotThisFormat("not a squashfs image", structure="Superblock", field="s_magic", found=raw[:4].hex() or "nothing")
    if len(raw) < Superblock.SIZE:
        yield Finding("cut", "error", "image ends inside the superblock", True, offset=len(raw), structure="Superblock")
        return
    mount = _MountChecker(blob, Superblock.unpack_unchecked(raw))
    fatal = False
    for finding in mount.run():
        fatal = fatal or finding.fatal
        yield finding
    try:
        checker = TreeChecker(blob, limits, control, mount.xz_dictionary)
    except FormatError as error:
        if not fatal:
            yield from_error("superblock", error, fatal=True)
        return
    yield from checker.run()


@value_class(frozen=False)
class _Table:
    """Where a lookup table lies: its list of positions, and what follows it."""

    name: str
    field: str
    start: int
    count: int
    item_size: int
    end: int

    @property
    def blocks(self) -> int:
        return -(-self.count * self.item_size // METADATA_SIZE)


class _MountChecker:
    """The rules of squashfs_fill_super and of the functions that it calls."""

    def __init__(self, blob: Blob, superblock: Superblock) -> None:
        self.blob = blob
        self.sb = superblock
        self.xz_dictionary: int | None = None

    def _field(
        self,
        rule: str,
        field: str,
        message: str,
        found: object,
        allowed: object,
        *,
        fatal: bool = True,
        severity: Severity = "error",
    ) -> Finding:
        place = next(item for item in Superblock.LAYOUT if item.name == field)
        return Finding(
            rule,
            severity,
            message,
            fatal,
            offset=place.offset,
            structure="Superblock",
            field=field,
            found=str(found),
            allowed=str(allowed),
        )

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong with everything that is read at mount time."""
        for place, value, allowed in self.sb.violations():
            yield self._field("superblock", place.name, f"{place.name} cannot be right", value, allowed)
        yield from self._numbers()
        yield from self._size()
        if self.sb.bytes_used <= self.blob.size:
            yield from self._settings()
            yield from self._tables()

    def _numbers(self) -> Iterator[Finding]:
        sb = self.sb
        if layout.COMPRESSIONS.get(sb.compression) == "lzma":
            yield self._field("lzma", "compression", "Linux never had lzma in squashfs", 2, "1, 3, 4, 5 or 6")
        if sb.block_log < 64 and sb.block_size != 1 << sb.block_log:
            yield self._field(
                "block-log", "block_log", "block_log does not fit block_size", sb.block_log, f"log2 of {sb.block_size}"
            )
        if sb.root_inode & 0xFFFF > METADATA_SIZE:
            yield self._field(
                "root-inode", "root_inode", "root inode outside of a metadata block", sb.root_inode & 0xFFFF, 8191
            )
        unknown = sb.flags & ~sum(layout.FLAG_NAMES)
        if unknown:
            yield self._field("flags", "flags", "unknown flags", f"{unknown:#x}", 0, fatal=False, severity="warning")
        if sb.inodes == 0:
            yield self._field("inode-count", "inodes", "no inodes", 0, "at least 1", fatal=sb.lookup_table_start != NO_TABLE)
        elif sb.no_ids > 2 * sb.inodes:
            yield self._field(
                "id-count",
                "no_ids",
                "more owners than inodes can have",
                sb.no_ids,
                2 * sb.inodes,
                fatal=False,
                severity="warning",
            )

    def _size(self) -> Iterator[Finding]:
        used, size = self.sb.bytes_used, self.blob.size
        if used > size:
            yield self._field(
                "cut", "bytes_used", "image is cut: the file is shorter than the image in it", f"{size} bytes", f"{used} bytes"
            )
        elif -(-used // _DEVICE_BLOCK) * _DEVICE_BLOCK > size // _SECTOR * _SECTOR:
            yield self._field(
                "padding",
                "bytes_used",
                "file ends inside the last device block",
                f"{size} bytes",
                f"a multiple of {_DEVICE_BLOCK}",
            )
        elif size % 4096:
            yield self._field(
                "padding",
                "bytes_used",
                "length unfit for dm-verity and for 4K disks",
                f"{size} bytes",
                "a multiple of 4096",
                fatal=False,
                severity="warning",
            )

    def _settings(self) -> Iterator[Finding]:
        """Rules of get_comp_opts and of the codecs' comp_opts functions."""
        compression = layout.COMPRESSIONS.get(self.sb.compression, "")
        data = b""
        if self.sb.flags & layout.FLAG_COMPRESSOR_OPTIONS:
            head = self.blob.read_at(layout.SUPERBLOCK_SIZE, 2)
            length = int.from_bytes(head, "little") & ~layout.METADATA_RAW
            data = self.blob.read_at(layout.SUPERBLOCK_SIZE + 2, length)
            if not 0 < length <= METADATA_SIZE or len(data) < length:
                yield self._setting(f"compressor options of {length} bytes", length)
                return
        if compression == "lz4":
            if len(data) < 8:
                yield self._setting("lz4 needs compressor options", len(data))
            elif int.from_bytes(data[:4], "little") != 1:
                yield self._setting("lz4 options of an unknown version", int.from_bytes(data[:4], "little"))
        elif compression == "xz" and data:
            dictionary = int.from_bytes(data[:4], "little")
            if len(data) < 8:
                yield self._setting("xz options of less than 8 bytes", len(data))
                return
            low = dictionary & -dictionary
            if dictionary not in (low, low | low << 1) or not dictionary:
                yield self._setting("xz dictionary that is neither 2^n nor 2^n + 2^(n+1)", dictionary)
            else:
                self.xz_dictionary = dictionary

    def _setting(self, message: str, found: int) -> Finding:
        return Finding(
            "compressor-options",
            "error",
            message,
            True,
            offset=layout.SUPERBLOCK_SIZE,
            structure="compressor options",
            found=str(found),
        )

    def _tables(self) -> Iterator[Finding]:
        """The chain of tables, from the last to the first; each must end where the next one begins."""
        sb = self.sb
        following = sb.bytes_used
        if sb.xattr_id_table_start != NO_TABLE:
            raw = self.blob.read_at(sb.xattr_id_table_start, XattrTable.SIZE) if sb.xattr_id_table_start < following else b""
            if len(raw) < XattrTable.SIZE:
                at = f"{sb.xattr_id_table_start:#x}"
                yield self._field(
                    "table", "xattr_id_table_start", "xattr table outside of the image", at, f"below {following:#x}"
                )
                return
            head = XattrTable.unpack_unchecked(raw)
            start = sb.xattr_id_table_start + XattrTable.SIZE
            table = _Table("xattr id table", "xattr_id_table_start", start, head.xattr_ids, XattrId.SIZE, following)
            first = yield from self._chain(table, sb.xattr_id_table_start)
            if first is None:
                return
            if head.xattr_table_start >= first:
                at = f"{head.xattr_table_start:#x}"
                yield self._field("table", "xattr_id_table_start", "xattrs behind their ids", at, f"below {first:#x}")
                return
            following = head.xattr_table_start
        tables = [("id table", "id_table_start", sb.no_ids, 4)]
        if sb.lookup_table_start != NO_TABLE:
            tables.append(("export table", "lookup_table_start", sb.inodes, 8))
        if sb.fragments:
            tables.append(("fragment table", "fragment_table_start", sb.fragments, FragmentEntry.SIZE))
        for name, field, count, size in tables:
            start = getattr(sb, field)
            first = yield from self._chain(_Table(name, field, start, count, size, following), start)
            if first is None:
                return  # where the earlier tables have to end is not known
            following = first
        message = "{} behind what follows it"
        if sb.directory_table_start > following:
            at = f"{sb.directory_table_start:#x}"
            yield self._field(
                "table", "directory_table_start", message.format("directory table"), at, f"at most {following:#x}"
            )
        if sb.inode_table_start >= sb.directory_table_start:
            at, allowed = f"{sb.inode_table_start:#x}", f"below {sb.directory_table_start:#x}"
            yield self._field("table", "inode_table_start", message.format("inode table"), at, allowed)

    def _chain(self, table: _Table, last_end: int) -> Generator[Finding, None, int | None]:
        """Yield what is wrong with one lookup table; return the position of its first block, None when it is wrong.

        Linux wants every table but that of the fragments to end exactly where the next one begins, and its blocks to
        lie one behind the other.
        """
        exact = table.name != "fragment table"
        if table.count == 0:
            yield self._field("table", table.field, f"{table.name} is empty", 0, "at least 1 item")
            return None
        end = table.start + 8 * table.blocks
        if end != table.end if exact else end > table.end:
            message = f"{table.name} does not end where the next structure begins"
            yield self._field("table", table.field, message, f"{end:#x}", f"{table.end:#x}")
            return None
        raw = self.blob.read_at(table.start, 8 * table.blocks)
        positions: tuple[int, ...] = struct.unpack(f"<{table.blocks}Q", raw)
        if not exact:
            if positions[0] >= last_end:
                message = f"{table.name} lies behind its list"
                yield self._field("table", table.field, message, f"{positions[0]:#x}", f"below {last_end:#x}")
                return None
            return positions[0]
        for number, (at, after) in enumerate(zip(positions, (*positions[1:], last_end), strict=True)):
            if not at < after <= at + _BLOCK_ON_DISK:
                yield Finding(
                    "table",
                    "error",
                    f"{table.name}: block {number} is not followed by the next one",
                    True,
                    offset=table.start + 8 * number,
                    structure=table.name,
                    found=f"{at:#x}",
                    allowed=f"{max(after - _BLOCK_ON_DISK, 0):#x} to {after - 1:#x}",
                )
                return None
        return positions[0]
