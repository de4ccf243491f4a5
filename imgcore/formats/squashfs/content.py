"""A file's content as a Blob: blocks and the tail are found by the inode and decoded when they are read."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from imgcore.blob import Segment
from imgcore.errors import Corrupt, context
from imgcore.formats.squashfs.inode_reader import Inode, read_words
from imgcore.formats.squashfs.layout import BLOCK_RAW, NO_FRAGMENT, block_length

if TYPE_CHECKING:
    from imgcore.formats.squashfs.reader import SquashfsImage

__all__ = ["FileContent", "decode_block", "read_stored"]


def decode_block(image: SquashfsImage, position: int, word: int, expected: int | None) -> bytes:
    """Return a data or fragment block, decoded; `expected` is its raw length, None when only the block size bounds it.

    Raises Corrupt where Linux gives an I/O error.
    """
    key = (position, word)
    data = image.blocks.get(key)
    if data is None:
        with context(offset=position, structure="data block"):
            data = _decode(image, position, word)
        image.blocks.put(key, data)
    if expected is not None and len(data) != expected:
        raise Corrupt(
            "block has another length than its file says",
            offset=position,
            structure="data block",
            found=len(data),
            allowed=expected,
        )
    return data


def read_stored(image: SquashfsImage, position: int, word: int) -> bytes:
    """Return a data or fragment block as it is stored. Raises Corrupt."""
    length, limit = block_length(word), image.superblock.block_size
    if word >> 25:
        raise Corrupt("size word with unknown bits", field="size word", found=f"{word:#x}", allowed="25 bits")
    if not 0 < length <= limit:
        raise Corrupt("stored block longer than a block", field="size word", found=length, allowed=f"1 to {limit}")
    if position + length > image.superblock.bytes_used:
        raise Corrupt(
            "block reaches beyond the image",
            field="size word",
            found=f"{length} bytes at {position:#x}",
            allowed=f"up to {image.superblock.bytes_used:#x}",
        )
    return image.blob.read_at(position, length)


def _decode(image: SquashfsImage, position: int, word: int) -> bytes:
    stored = read_stored(image, position, word)
    if word & BLOCK_RAW:
        return stored
    if image.on_stored is not None:
        image.on_stored(position, stored)
    return image.decoder(stored, image.superblock.block_size)


class FileContent:
    """The content of one regular file of an image; a Blob; thread-safe."""

    __slots__ = ("_image", "_inode", "_positions", "_words")

    def __init__(self, image: SquashfsImage, inode: Inode) -> None:
        self._image = image
        self._inode = inode
        self._words: array[int] | None = None
        self._positions: array[int] | None = None

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._inode.size

    def words(self) -> array[int]:
        """Return the size word of each block."""
        if self._words is None:
            image, inode = self._image, self._inode
            image.limits.require("max_file_size", inode.size)
            self._words = read_words(image.inodes, inode, inode.block_count(image.superblock.block_size))
        return self._words

    def positions(self) -> array[int]:
        """Return where each block lies in the image; for a hole, where the next block would."""
        if self._positions is None:
            if self._inode.start > self._image.superblock.bytes_used and any(self.words()):
                raise Corrupt(
                    "content outside of the image",
                    offset=self._inode.place[0],
                    structure=f"inode {self._inode.number}",
                    field="start_block",
                    found=f"{self._inode.start:#x}",
                    allowed=f"below {self._image.superblock.bytes_used:#x}",
                )
            lengths = (block_length(word) for word in self.words())
            found = array("Q", accumulate(lengths, initial=self._inode.start))
            found.pop()
            self._positions = found
        return self._positions

    def block(self, index: int) -> bytes:
        """Return block `index` decoded, the tail included, as long as the file says. Raises Corrupt."""
        inode, block_size = self._inode, self._image.superblock.block_size
        expected = min(block_size, inode.size - index * block_size)
        words = self.words()
        if index < len(words):
            word = words[index]
            return bytes(expected) if word == 0 else decode_block(self._image, self.positions()[index], word, expected)
        entry = self._image.fragment(inode.fragment)
        whole = decode_block(self._image, entry.start_block, entry.size, None)
        if inode.offset + expected > len(whole):
            raise Corrupt(
                "tail reaches beyond its fragment",
                offset=entry.start_block,
                structure=f"fragment {inode.fragment}",
                found=f"{expected} bytes at {inode.offset}",
                allowed=f"within {len(whole)}",
            )
        return whole[inode.offset : inode.offset + expected]

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file. Raises Corrupt."""
        inode, block_size = self._inode, self._image.superblock.block_size
        if at < 0 or at >= inode.size or size <= 0:
            return b""
        self._require_tail()
        end = min(at + size, inode.size)
        first, last = at // block_size, (end - 1) // block_size
        if first == last:
            return self.block(first)[at - first * block_size : end - first * block_size]
        parts = [self.block(index) for index in range(first, last + 1)]
        parts[0] = parts[0][at - first * block_size :]
        parts[-1] = parts[-1][: end - last * block_size]
        return b"".join(parts)

    def _require_tail(self) -> None:
        """Raise Corrupt for a fragment where there is nothing that could be in it."""
        if self._inode.fragment != NO_FRAGMENT and self._inode.size % self._image.superblock.block_size == 0:
            raise Corrupt("fragment of a file that ends with a whole block", structure="RegInode", field="fragment")

    def segments(self) -> Iterator[Segment]:
        """Yield runs of stored blocks and of holes. Raises Corrupt."""
        block_size, size = self._image.superblock.block_size, self._inode.size
        if not size:
            return
        self._require_tail()
        words = self.words()
        begin, hole = 0, False
        for index, word in enumerate(words):
            if (word == 0) != hole:
                if index * block_size > begin:
                    yield Segment(begin, index * block_size - begin, hole)
                begin, hole = index * block_size, word == 0
        stored = min(len(words) * block_size, size)
        if hole and stored < size:
            yield Segment(begin, stored - begin, True)
            begin, hole = stored, False
        if size > begin:
            yield Segment(begin, size - begin, hole)
