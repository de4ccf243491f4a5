"""Where an image has the contents of its files, for an engine that writes them into files of the host itself.

The shape is that of squashfs: a file is a run of blocks that lie one behind the other, each compressed on its own or
stored as it is, and a tail inside a block that it shares with other files, the fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from imgcore.blob import Blob

__all__ = ["NO_FRAGMENT", "FileColumns", "StoredFiles", "UnpackFailed", "UnpackState"]

NO_FRAGMENT: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, eq=False)
class StoredFiles:
    """The contents of the regular files of one image, by row of a table; rows of other things hold anything.

    Nothing in it was compared with the image: whoever reads does that.

    Attributes:
        blob: the image; `size` bytes of it are in use.
        block_size: the raw length of each block but a file's last.
        codec: the name of the decoder, as `get_decoder` takes it.
        positions: where the first block of a file lies.
        words_at: which of `words` is the size word of its first block. A word is the length that is stored, 0 for a hole;
            bit 24 says that the block is not compressed.
        fragments, offsets: the fragment that has the tail, NO_FRAGMENT for none; where the tail begins in it.
        fragment_positions, fragment_words: the place of each fragment, and its size word.
    """

    blob: Blob
    size: int
    block_size: int
    codec: str
    positions: Sequence[int]
    words_at: Sequence[int]
    words: Sequence[int]
    fragments: Sequence[int]
    offsets: Sequence[int]
    fragment_positions: Sequence[int]
    fragment_words: Sequence[int]


class FileColumns(NamedTuple):
    """The files to be made, by row: names, which rows are wanted, and what they are to be given.

    `modes` are twelve bits. `xattrs` are those to be set, by row; `may_fail` says which names the system may refuse.
    """

    names: Sequence[bytes]
    wanted: bytes
    modes: Sequence[int]
    uids: Sequence[int]
    gids: Sequence[int]
    mtimes_ns: Sequence[int]
    sizes: Sequence[int]
    xattrs: Mapping[int, Mapping[bytes, bytes]]
    may_fail: Callable[[bytes], bool]


class UnpackFailed(Exception):
    """A file that could not be made: its row, what failed (exists, make, write, attributes, xattr, content), and why."""

    def __init__(self, row: int, what: str, errno: int, xattr: bytes) -> None:
        super().__init__(what)
        self.row, self.what, self.errno, self.xattr = row, what, errno, xattr


class UnpackState(NamedTuple):
    """How far it is.

    Attributes:
        files: that are whole; bytes: in them; written: bytes, without holes; last: a row that is done.
        left: files that are not done; dirs: directories that are still open.
    """

    files: int
    bytes: int
    written: int
    last: int
    left: int
    dirs: int
