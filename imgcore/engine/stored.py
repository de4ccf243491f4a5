"""Where an image has the contents of its files, for an engine that writes them into files of the host itself.

The shape is that of squashfs: a file is a run of blocks that lie one behind the other, each compressed on its own or
stored as it is, and a tail inside a block that it shares with other files, the fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from imgcore.blob import Blob
from imgcore.values import value_class

__all__ = ["NO_FRAGMENT", "MadeKind", "StoredFiles", "TreeColumns", "UnpackFailed", "UnpackState"]

NO_FRAGMENT: Final = 0xFFFFFFFF


@value_class(eq=False)
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


class MadeKind(IntEnum):
    """What the native engine makes of a row; CALLER is what it leaves to the caller."""

    CALLER = 0
    FILE = 1
    LINK = 2
    DIR = 3


class TreeColumns(NamedTuple):
    """The tree to be made, by row: in the order of `imgcore.model.Table`.

    `kinds` has a MadeKind for each row; `targets` are those of symbolic links, by row; `modes` are twelve bits. `xattrs` are
    those to be set on files and directories, by row; `may_fail` says which names the system may refuse.
    """

    names: Sequence[bytes]
    dirs: Sequence[int]
    starts: Sequence[int]
    parents: Sequence[int]
    kinds: bytes
    targets: Mapping[int, bytes]
    modes: Sequence[int]
    uids: Sequence[int]
    gids: Sequence[int]
    mtimes_ns: Sequence[int]
    sizes: Sequence[int]
    xattrs: Mapping[int, Mapping[bytes, bytes]]
    may_fail: Callable[[bytes], bool]


class UnpackFailed(Exception):
    """What could not be made: its row, what failed, and why.

    `what` is one of exists, make, write, attributes, xattr (`xattr` is its name), content, make_dir, open_dir, not_dir,
    replaced.
    """

    def __init__(self, row: int, what: str, errno: int, xattr: bytes) -> None:
        super().__init__(what)
        self.row, self.what, self.errno, self.xattr = row, what, errno, xattr


class UnpackState(NamedTuple):
    """How far it is.

    Attributes:
        files: that are whole; bytes: in them; written: bytes, without holes; links: symbolic ones; last: a row that is done.
        done: whether this stage is at its end.
    """

    files: int
    bytes: int
    written: int
    links: int
    last: int
    done: bool
