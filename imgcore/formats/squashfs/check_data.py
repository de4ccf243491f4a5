"""The part of `check` that reads content: every block of every file, every fragment, each decoded once."""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.errors import Corrupt
from imgcore.formats.base import Finding
from imgcore.formats.squashfs.content import decode_block
from imgcore.formats.squashfs.findings import from_error
from imgcore.formats.squashfs.inode_reader import Inode, read_words
from imgcore.formats.squashfs.layout import NO_FRAGMENT, block_length
from imgcore.formats.squashfs.reader import SquashfsImage

__all__ = ["DataChecker"]


class DataChecker:
    """Decodes content and remembers the length of what it decoded."""

    def __init__(self, image: SquashfsImage) -> None:
        self.image = image
        self._lengths: dict[tuple[int, int], int | Finding] = {}

    def _length(self, position: int, word: int) -> int | Finding:
        """Return the raw length of a stored block, or what is wrong with it."""
        key = (position, word)
        known = self._lengths.get(key)
        if known is None:
            try:
                known = len(decode_block(self.image, position, word, None))
            except Corrupt as error:
                known = from_error("block", error)
            self._lengths[key] = known
        return known

    def file(self, inode: Inode) -> Iterator[Finding]:
        """Yield what is wrong with a regular file's content (squashfs_read_inode, squashfs_readpage_block)."""
        block_size = self.image.superblock.block_size
        where = f"inode {inode.number}"
        if inode.sparse > inode.size:
            yield Finding(
                "sparse",
                "error",
                "more holes than bytes: Linux reports absurd disk usage",
                False,
                None,
                inode.place[0],
                where,
                "sparse",
                str(inode.sparse),
                f"at most {inode.size}",
            )
        tail = inode.size % block_size
        if inode.fragment != NO_FRAGMENT and tail == 0:
            yield Finding(
                "fragment-full",
                "error",
                "fragment of a file that ends with a whole block: Linux does not open it",
                False,
                None,
                inode.place[0],
                where,
                "fragment",
            )
            return
        try:
            self.image.limits.require("max_file_size", inode.size)
            words = read_words(self.image.inodes, inode, inode.block_count(block_size))
        except Corrupt as error:
            yield from_error("size-words", error)
            return
        position = inode.start
        for index, word in enumerate(words):
            if not word:
                continue
            expected = min(block_size, inode.size - index * block_size)
            length = self._length(position, word)
            if isinstance(length, Finding):
                yield length
            elif length != expected:
                yield Finding(
                    "block-length",
                    "error",
                    f"block {index} has another length than its file says",
                    False,
                    None,
                    position,
                    where,
                    "size word",
                    str(length),
                    str(expected),
                )
            position += block_length(word)
        if position > self.image.superblock.inode_table_start and any(words):
            yield Finding("overlap", "warning", "content inside the tables", False, None, inode.start, where, "start_block")
        if inode.fragment != NO_FRAGMENT:
            yield from self._tail(inode, tail, where)

    def _tail(self, inode: Inode, tail: int, where: str) -> Iterator[Finding]:
        try:
            entry = self.image.fragment(inode.fragment)
        except Corrupt as error:
            yield from_error("fragment", error)
            return
        length = self._length(entry.start_block, entry.size)
        if isinstance(length, Finding):
            yield length
        elif inode.offset + tail > length:
            yield Finding(
                "fragment-end",
                "error",
                "tail reaches beyond its fragment",
                False,
                None,
                inode.place[0],
                where,
                "offset",
                f"{tail} bytes at {inode.offset}",
                f"within {length}",
            )

    def fragments(self) -> Iterator[Finding]:
        """Yield what is wrong with fragments that no file uses."""
        for number in range(self.image.superblock.fragments):
            try:
                entry = self.image.fragment(number)
            except Corrupt as error:
                yield from_error("fragment", error)
                return
            if (entry.start_block, entry.size) not in self._lengths:
                found = self._length(entry.start_block, entry.size)
                if isinstance(found, Finding):
                    yield found
