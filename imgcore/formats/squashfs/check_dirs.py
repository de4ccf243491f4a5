"""The part of `check` that judges listings: names, their order, and the index that Linux trusts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imgcore.errors import Corrupt
from imgcore.formats.base import Finding
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.dir_reader import DirItem, bad_name
from imgcore.formats.squashfs.findings import entry_finding, from_error, inode_finding
from imgcore.formats.squashfs.inode_reader import Inode, read_index
from imgcore.formats.squashfs.layout import METADATA_SIZE
from imgcore.formats.squashfs.reader import SquashfsImage
from imgcore.model import join

__all__ = ["entry_rules", "listing_rules"]

_LONGEST_NAME: Final = 255


def entry_rules(item: DirItem, path: bytes) -> Iterator[Finding]:
    """Yield what is wrong with one entry by itself (squashfs_readdir)."""
    if bad_name(item.name):
        yield entry_finding("name", "impossible name: Linux does not list the directory", path, item, found=item.name)
    if len(item.name) > _LONGEST_NAME:
        message = "name of 256 bytes, which no other file system can hold"
        yield entry_finding("name-length", message, path, item, severity="warning")
    if item.number == 0:
        yield entry_finding(
            "entry-number", "inode number 0: programs do not see the name", path, item, field="inode_number", found=0
        )
    if not 1 <= item.kind <= layout.SOCKET:
        message = "type that is not a basic one: Linux does not list the directory"
        yield entry_finding("entry-type", message, path, item, field="type", found=item.kind)


def listing_rules(image: SquashfsImage, inode: Inode, path: bytes, items: list[DirItem]) -> Iterator[Finding]:
    """Yield what is wrong with a listing as a whole; Linux's squashfs_lookup ends at the first greater name."""
    before = b""
    seen: set[bytes] = set()
    for item in items:
        if item.name in seen:
            yield entry_finding("name-twice", "name twice in one directory", join(path, item.name), item)
        elif item.name < before:
            message = "name before a lesser one: Linux lists it but may not open it"
            yield entry_finding("unsorted", message, join(path, item.name), item)
        seen.add(item.name)
        before = item.name
    if inode.size in (1, 2):
        message, allowed = "listing size below 3", "0, or at least 3"
        yield inode_finding(
            "dir-size", message, path, inode, field="file_size", found=inode.size, allowed=allowed, severity="warning"
        )
    if inode.index_count:
        yield from _index_rules(image, inode, path, items)


def _index_rules(image: SquashfsImage, inode: Inode, path: bytes, items: list[DirItem]) -> Iterator[Finding]:
    """Yield what is wrong with an index: a wrong entry hides names from Linux (get_dir_index_using_name)."""
    headers: dict[int, DirItem] = {}
    for item in items:
        headers.setdefault(item.header, item)
    try:
        entries = read_index(image.inodes, inode)
    except Corrupt as error:
        yield from_error("index", error, path=path)
        return
    start = image.superblock.directory_table_start
    for number, (entry, name) in enumerate(entries):
        first = headers.get(entry.index)
        place = start + entry.start_block, (entry.index + inode.offset) % METADATA_SIZE
        if first is None:
            message = f"index entry {number} does not name a header"
            yield inode_finding("index", message, path, inode, field="index", found=entry.index)
        elif first.header_place != place:
            message, right = f"index entry {number} names another place than its header's", first.header_place
            yield inode_finding("index", message, path, inode, field="start_block", found=place, allowed=right)
        elif name != first.name:
            lesser = name < first.name  # a lesser name sends Linux past the names before it, a greater one only slows it
            message = f"index entry {number} has a {'lesser' if lesser else 'greater'} name than its run"
            yield inode_finding(
                "index",
                message,
                path,
                inode,
                field="name",
                found=name,
                allowed=first.name,
                severity="error" if lesser else "warning",
            )
