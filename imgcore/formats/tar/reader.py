"""Reads tars: one walk over the headers makes the tree; contents are slices of the archive, read when they are asked for."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from imgcore.blob import EMPTY, Blob, SliceBlob
from imgcore.errors import Corrupt, context, show
from imgcore.events import Control
from imgcore.formats.archive import TreeBuilder, member_path
from imgcore.formats.base import Finding, LayoutItem
from imgcore.formats.common import BlobImage
from imgcore.formats.tar.acl import acl_from_text
from imgcore.formats.tar.layout import BLOCK, TYPE_NAMES, checksum_fits
from imgcore.formats.tar.members import Ending, Member, MemberReader
from imgcore.formats.tar.sparse import SparseBlob
from imgcore.limits import Limits
from imgcore.model import NO_XATTRS, Device, File, Meta, Pipe, Symlink, Tree

__all__ = ["TarImage", "looks_like_tar", "open_image"]

_SECOND: Final = 10**9
_EMPTY_SIZES: Final = (1024, 10240)
_ACLS: Final = {
    b"SCHILY.acl.access": b"system.posix_acl_access",
    b"SCHILY.acl.default": b"system.posix_acl_default",
}
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def open_image(blob: Blob, limits: Limits | None = None) -> TarImage:
    """Return the tar in `blob`, which is not compressed. Raises NotThisFormat, Corrupt, Unsupported, LimitExceeded."""
    return TarImage(blob, limits or Limits.default())


def looks_like_tar(blob: Blob) -> bool:
    """Return whether the first block is a header of any tar, or the blob is the archive of nothing that GNU tar writes."""
    block = blob.read_at(0, BLOCK)
    if len(block) < BLOCK:
        return False
    if block.count(0) == BLOCK:
        return blob.size in _EMPTY_SIZES and blob.read_at(0, blob.size).count(0) == blob.size
    return block[0] != 0 and checksum_fits(block)


def xattrs_of(member: Member) -> Mapping[bytes, bytes]:
    """Return the extended attributes that a member's PAX records tell of. Raises Corrupt."""
    out: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    context = b""
    for key, value in member.records:
        if key.startswith(b"SCHILY.xattr."):
            name = key[13:].replace(b"%3D", b"=").replace(b"%25", b"%")
            out[name] = value
        elif key.startswith(b"LIBARCHIVE.xattr."):
            name = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), key[17:])
            try:
                out.setdefault(name, base64.b64decode(value + b"=" * (-len(value) % 4), validate=True))
            except binascii.Error:
                raise Corrupt("extended attribute is no base64", structure="PAX header", field=show(key)) from None
        elif key in _ACLS and value:
            binary = acl_from_text(value)
            if binary is None:
                texts[key] = value
            else:
                out.setdefault(_ACLS[key], binary)
        elif key == b"RHT.security.selinux":
            context = value
        else:
            continue
    for key, value in texts.items():  # with a name of someone: kept, so that whoever cannot store it says so
        if _ACLS[key] not in out:
            out[key] = value
    if context:
        out.setdefault(b"security.selinux", context.rstrip(b"\0") + b"\0")
    if any(not name or b"\0" in name for name in out):
        raise Corrupt("extended attribute with an impossible name", structure="PAX header")
    return out or NO_XATTRS


class TarImage(BlobImage):
    """An open tar; see `formats.base.Image`."""

    def __init__(self, blob: Blob, limits: Limits) -> None:
        self.blob = blob
        self.limits = limits
        self._reader = MemberReader(blob, limits)
        self._builder = TreeBuilder(limits, "Header")
        self._kinds: Counter[bytes] = Counter()
        self._stored = 0
        for member in self._reader:
            self._kinds[member.kind] += 1
            self._stored += member.stored
            self._add(member)
        self.tree: Tree = self._builder.finish(1 if self._reader.fractions else _SECOND)

    @property
    def end(self) -> int:
        """Where the archive ends."""
        return self._reader.end

    @property
    def ending(self) -> Ending:
        """How it ends."""
        return self._reader.ending

    def _add(self, member: Member) -> None:
        builder, kind, at = self._builder, member.kind, member.header
        parts = member_path(member.name, at, "Header")
        xattrs: Mapping[bytes, bytes] = NO_XATTRS
        if member.records:
            with context(path=member.name[:256], offset=at):
                xattrs = xattrs_of(member)
                size = sum(len(name) + len(value) for name, value in xattrs.items())
                self.limits.require("max_xattrs", size)
            builder.charge(size)
        builder.charge(len(member.name) + len(member.link))
        meta = Meta(member.mode, member.uid, member.gid, member.mtime_ns, xattrs)
        if kind in (b"5", b"D") or (kind in (b"0", b"\0", b"7") and member.name.endswith(b"/")):
            builder.add_dir(parts, meta, at)
        elif kind == b"1":
            builder.link(parts, member_path(member.link, at, "Header"), at, meta.mtime_ns)
        elif kind == b"2":
            if not member.link or b"\0" in member.link:
                raise Corrupt(
                    "symbolic link without a target", path=member.name, offset=at, structure="Header", field="linkname"
                )
            builder.add(parts, Symlink(meta, member.link), at, meta.mtime_ns)
        elif kind in (b"3", b"4"):
            device = Device(meta, "char" if kind == b"3" else "block", member.major, member.minor)
            builder.add(parts, device, at, meta.mtime_ns)
        elif kind == b"6":
            builder.add(parts, Pipe(meta), at, meta.mtime_ns)
        else:
            builder.add(parts, File(meta, self._content(member)), at, meta.mtime_ns)

    def _content(self, member: Member) -> Blob:
        if member.runs is not None:
            self._builder.charge(100 * len(member.runs))
            return SparseBlob(self.blob, member.data, member.runs, member.size)
        return SliceBlob(self.blob, member.data, member.size) if member.size else EMPTY

    def info(self) -> dict[str, object]:
        """Return what the archive is made of as plain values."""
        kinds = {TYPE_NAMES[kind]: count for kind, count in sorted(self._kinds.items())}
        return {
            "dialects": sorted(self._reader.dialects),
            "members": self._kinds.total(),
            "kinds": kinds,
            "content_bytes": self._stored,
            "end": self._reader.end,
            "ending": self._reader.ending,
            "file_size": self.blob.size,
        }

    def layout(self) -> Iterator[LayoutItem]:
        """Yield the headers and the content of every member, and the end."""
        reader = MemberReader(self.blob, self.limits)
        for member in reader:
            if member.header > member.offset:
                yield LayoutItem(member.offset, member.header - member.offset, "extended headers", "")
            name = TYPE_NAMES[member.kind]
            yield LayoutItem(member.header, BLOCK, f"Header: {name}", member.name.decode("utf-8", "surrogateescape"))
            first = member.header + BLOCK
            if member.data > first:
                yield LayoutItem(first, member.data - first, "sparse map", f"{len(member.runs or ())} runs")
            if member.stored:
                yield LayoutItem(member.data, member.stored, "content", "")
        if self.blob.size > reader.end:
            yield LayoutItem(reader.end, self.blob.size - reader.end, "end of archive", reader.ending)

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the format's rules."""
        from imgcore.formats.tar.check import check_blob

        return check_blob(self.blob, self.limits, control or Control())
