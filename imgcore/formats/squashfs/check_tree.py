"""The part of `check` that follows the tree: every inode, listing, index, block, fragment, xattr and export entry.

It walks by itself rather than through the reader's nodes, since it goes on where the reader stops, and it looks at what
no node shows: numbers, order, the directory index, how blocks are compressed.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt
from imgcore.events import Control
from imgcore.formats.base import Finding
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.check_codec import inspector
from imgcore.formats.squashfs.check_data import DataChecker
from imgcore.formats.squashfs.check_dirs import entry_rules, listing_rules
from imgcore.formats.squashfs.dir_reader import DirItem, read_listing
from imgcore.formats.squashfs.findings import entry_finding, from_error, inode_finding
from imgcore.formats.squashfs.inode_reader import Inode, read_inode
from imgcore.formats.squashfs.layout import NO_TABLE, NO_XATTR
from imgcore.formats.squashfs.reader import SquashfsImage
from imgcore.limits import Limits
from imgcore.model import join

__all__ = ["TreeChecker"]

_LONGEST_TARGET: Final = 4095
_NO_OWNER: Final = 0xFFFFFFFF


class TreeChecker:
    """Checks everything below the superblock of one image. Raises what the reader raises when the superblock is bad."""

    def __init__(self, blob: Blob, limits: Limits, control: Control, xz_dictionary: int | None) -> None:
        self.image = SquashfsImage(blob, limits, self._on_stored)
        self.control = control
        self.sb = self.image.superblock
        self.data = DataChecker(self.image)
        self._inspect = inspector(layout.COMPRESSIONS[self.sb.compression], self.sb.block_size, xz_dictionary)
        self._stored: list[Finding] = []
        self._path: bytes | None = None  # what is being looked at, for findings about compressed blocks
        self._by_number: dict[int, int] = {}  # inode number, as directory entries say it, to reference
        self._names: dict[int, tuple[int, bytes]] = {}  # reference of anything but a directory: names so far, the first
        self._nlinks: dict[int, int] = {}
        self._dirs: dict[int, bytes] = {}
        self._sets: set[int] = set()
        self._owners = self.sb.no_ids

    def _on_stored(self, position: int, stored: bytes) -> None:
        for rule, message in self._inspect(stored):
            self._stored.append(Finding(rule, "error", message, False, self._path, position, "compressed block"))

    def run(self) -> Iterator[Finding]:
        """Yield every finding."""
        for finding in self._all():
            yield from self._flush()
            yield finding
        yield from self._flush()

    def _flush(self) -> Iterator[Finding]:
        found, self._stored = self._stored, []
        yield from found

    def _all(self) -> Iterator[Finding]:
        yield from self._id_rules()
        root = self._inode(self.sb.root_inode)
        if isinstance(root, Finding):
            yield dataclasses.replace(root, path=b"/", fatal=True)
            return
        if root.basic != layout.DIR:
            yield inode_finding("root-inode", "the root is not a directory", b"/", root, found=root.kind, allowed=1, fatal=True)
            return
        self._by_number[root.number] = root.reference
        yield from self._inode_rules(root, b"/")
        yield from self._walk(root)
        self._path = None
        yield from self.data.fragments()
        yield from self._export()
        yield from self._counts()

    def _id_rules(self) -> Iterator[Finding]:
        try:
            ids = self.image.ids()
        except Corrupt as error:
            yield from_error("id-table", error)
            return
        at, name = self.sb.id_table_start, "id table"
        self._owners = len(ids)
        if len(ids) < self.sb.no_ids:
            message = "id table is shorter than its count says"
            yield Finding(
                "id-table", "warning", message, found=str(len(ids)), allowed=str(self.sb.no_ids), offset=at, structure=name
            )
        if _NO_OWNER in ids:
            yield Finding(
                "id-table",
                "error",
                "4294967295 as an owner, which Linux takes for none",
                found=str(_NO_OWNER),
                offset=at,
                structure=name,
            )

    def _inode(self, reference: int) -> Inode | Finding:
        try:
            return read_inode(self.image.inodes, reference)
        except Corrupt as error:
            return from_error("inode", error)

    def _walk(self, root: Inode) -> Iterator[Finding]:
        self._dirs[root.reference] = b"/"
        todo: list[tuple[Inode, bytes, int]] = [(root, b"/", 0)]
        while todo:
            inode, path, depth = todo.pop()
            self._path = path
            self.control.check()
            self.image.limits.require("max_depth", depth)
            items: list[DirItem] = []
            try:
                for item in read_listing(self.image.listings, inode):
                    items.append(item)
                    self.image.limits.require("max_entries", len(items) + len(self._by_number))
            except Corrupt as error:
                yield from_error("listing", error, path=path)
            yield from listing_rules(self.image, inode, path, items)
            subdirs = 0
            for item in items:
                self._path = child_path = join(path, item.name)
                yield from entry_rules(item, child_path)
                child = self._inode(item.reference)
                if isinstance(child, Finding):
                    yield dataclasses.replace(child, path=child_path)
                    continue
                yield from self._pair_rules(item, child, child_path)
                if child.basic == layout.DIR:
                    subdirs += 1
                    if child.reference in self._dirs:
                        yield inode_finding("directory-loop", "directory with two names, or inside itself", child_path, child)
                        continue
                    self._dirs[child.reference] = child_path
                    yield from self._inode_rules(child, child_path)
                    if child.parent != inode.number:
                        yield inode_finding(
                            "parent",
                            "parent_inode is another one",
                            child_path,
                            child,
                            field="parent_inode",
                            found=child.parent,
                            allowed=inode.number,
                            severity="warning",
                        )
                    todo.append((child, child_path, depth + 1))
                    continue
                count, first = self._names.get(child.reference, (0, child_path))
                self._names[child.reference] = count + 1, first
                if not count:
                    self._nlinks[child.reference] = child.nlink
                    yield from self._inode_rules(child, child_path)
                    yield from self._leaf_rules(child, child_path)
            if inode.nlink not in (subdirs + 2, len(items) + 2):
                yield inode_finding(
                    "nlink",
                    "link count of a directory",
                    path,
                    inode,
                    field="nlink",
                    found=inode.nlink,
                    allowed=subdirs + 2,
                    severity="warning",
                )

    def _pair_rules(self, item: DirItem, child: Inode, path: bytes) -> Iterator[Finding]:
        """What an entry says of its inode, against the inode."""
        if 1 <= item.kind <= layout.SOCKET and item.kind != child.basic:
            yield entry_finding(
                "entry-type",
                f"type differs from its inode's, {child.kind}",
                path,
                item,
                field="type",
                found=item.kind,
                severity="warning",
            )
        if item.number != child.number:
            yield entry_finding(
                "entry-number",
                f"inode number differs from its inode's, {child.number}",
                path,
                item,
                field="inode_number",
                found=item.number,
                severity="warning",
            )
        first = self._by_number.setdefault(item.number, item.reference)
        if first != item.reference:
            yield entry_finding(
                "inode-twice",
                "two inodes of one number: Linux gives the first one's data for both",
                path,
                item,
                field="inode_number",
                found=item.number,
            )

    def _inode_rules(self, inode: Inode, path: bytes) -> Iterator[Finding]:
        """Rules of squashfs_new_inode and of the tables that an inode points into."""
        if inode.number == 0:
            yield inode_finding(
                "inode-number", "inode number 0", path, inode, field="inode_number", found=0, allowed="at least 1"
            )
        elif inode.number > self.sb.inodes:
            yield inode_finding(
                "inode-number",
                "inode number above the count",
                path,
                inode,
                field="inode_number",
                found=inode.number,
                allowed=self.sb.inodes,
                severity="warning",
            )
        if inode.mode & ~0o7777:
            yield inode_finding(
                "mode",
                "mode with more than permission bits",
                path,
                inode,
                field="mode",
                found=oct(inode.mode),
                allowed="0o7777",
            )
        for field, index in (("uid", inode.uid), ("guid", inode.gid)):
            if index >= self._owners:
                yield inode_finding(
                    "id",
                    "owner outside of the id table",
                    path,
                    inode,
                    field=field,
                    found=index,
                    allowed=f"below {self._owners}",
                )
        if inode.xattr != NO_XATTR and inode.xattr not in self._sets:
            self._sets.add(inode.xattr)
            yield from self._xattr_rules(inode, path)

    def _xattr_rules(self, inode: Inode, path: bytes) -> Iterator[Finding]:
        try:
            found = self.image.xattrs(inode.xattr)
            count = self.image.xattr_id(inode.xattr).count
        except Corrupt as error:
            yield dataclasses.replace(from_error("xattr", error, path=path), field=error.field or "xattr")
            return
        for name in found:
            if b"\0" in name or (name.endswith(b".") and name.count(b".") == 1):
                message = "xattr without a name, or with a NUL byte in it"
                yield inode_finding("xattr-name", message, path, inode, field="xattr", found=name)
        if count == 0:
            yield inode_finding(
                "xattr-count",
                "empty set of xattrs, which unsquashfs refuses",
                path,
                inode,
                field="xattr",
                found=0,
                severity="warning",
            )
        elif len(found) < count:
            yield inode_finding(
                "xattr-prefix",
                "xattr of an unknown kind, or twice: Linux skips it",
                path,
                inode,
                field="xattr",
                severity="warning",
            )

    def _leaf_rules(self, inode: Inode, path: bytes) -> Iterator[Finding]:
        if inode.basic == layout.SYMLINK:
            if not 0 < len(inode.target) <= _LONGEST_TARGET:
                yield inode_finding(
                    "symlink",
                    "link target that Linux cannot follow",
                    path,
                    inode,
                    field="symlink_size",
                    found=len(inode.target),
                    allowed=f"1 to {_LONGEST_TARGET}",
                )
            elif b"\0" in inode.target:
                yield inode_finding(
                    "symlink", "link target with a NUL byte: Linux ends it there", path, inode, field="symlink_size"
                )
        elif inode.basic == layout.REG:
            for finding in self.data.file(inode):
                yield dataclasses.replace(finding, path=path)

    def _export(self) -> Iterator[Finding]:
        """The export table gives each inode number its reference (squashfs_inode_lookup)."""
        sb = self.sb
        if sb.lookup_table_start == NO_TABLE:
            return
        wrong = 0
        for number in range(1, sb.inodes + 1):
            try:
                raw = self.image.table_item(sb.lookup_table_start, number - 1, sb.inodes, 8, "export table")
            except Corrupt as error:
                yield from_error("export", error)
                return
            (reference,) = struct.unpack("<Q", raw)
            if self._by_number.get(number, reference) != reference and (wrong := wrong + 1) == 1:
                yield Finding(
                    "export",
                    "error",
                    f"export table names another inode for number {number}: file handles would open it",
                    offset=sb.lookup_table_start,
                    structure="export table",
                    found=f"{reference:#x}",
                    allowed=f"{self._by_number[number]:#x}",
                )

    def _counts(self) -> Iterator[Finding]:
        for reference, (count, path) in self._names.items():
            if self._nlinks[reference] != count:
                inode = self._inode(reference)
                if isinstance(inode, Inode):
                    yield inode_finding(
                        "nlink",
                        "link count is not the number of names",
                        path,
                        inode,
                        field="nlink",
                        found=inode.nlink,
                        allowed=count,
                        severity="warning",
                    )
        found = len(self._names) + len(self._dirs)
        if found != self.sb.inodes:
            yield Finding(
                "inode-count",
                "warning",
                "another number of inodes in the tree",
                offset=4,
                structure="Superblock",
                field="inodes",
                found=str(self.sb.inodes),
                allowed=str(found),
            )
