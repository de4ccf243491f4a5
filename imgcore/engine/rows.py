"""What an engine may do with many rows of a tree at once: turn them into inodes and listings of squashfs.

`imgcore.formats.squashfs` says what these bytes are, row by row; a `RowEncoder` knows the common cases and is quick. What
it is asked for is said by the column: an array for each thing, an element for each row.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

__all__ = ["ContentColumns", "ListedRows", "RowColumns", "RowEncoder"]


class RowColumns(NamedTuple):
    """A tree, as an encoder takes it.

    `starts` and `parents` are those of `Shape`; `types` are basic types of inodes; `nlinks` has the links of what is no
    directory, where they are not 1, `xattrs` the ids of extended attributes, both by row; `owners` has the place of each
    id in the id table; `positions` says where each inode begins in the stream of inodes: who encodes one sets it.
    """

    names: Sequence[bytes]
    starts: array[int]
    parents: array[int]
    modes: Sequence[int]
    uids: Sequence[int]
    gids: Sequence[int]
    mtimes: Sequence[int]
    sizes: Sequence[int]
    numbers: Sequence[int]
    types: bytes
    nlinks: Mapping[int, int]
    xattrs: Mapping[int, int]
    owners: dict[int, int]
    positions: array[int]


class ContentColumns(NamedTuple):
    """Where the contents of files are, one element each; `words` has the size words of all, `counts` how many each has."""

    starts: array[int]
    fragments: array[int]
    offsets: array[int]
    sparses: array[int]
    counts: array[int]
    words: array[int]


class ListedRows(NamedTuple):
    """Directories whose listings are there.

    `rows` are theirs, `begins` the positions of their listings, `sizes` the bytes of these, `headers` (offset, first name)
    of what is to be indexed, `subdirs` counts the directories in each.
    """

    rows: array[int]
    begins: array[int]
    sizes: array[int]
    headers: Sequence[Sequence[tuple[int, bytes]]]
    subdirs: array[int]


class RowEncoder(Protocol):
    """Encodes rows of one tree."""

    def set_contents(self, contents: ContentColumns) -> None:
        """Say where contents are, before the first file is encoded; the arrays cannot grow from then on."""
        ...

    def files(self, rows: array[int], numbers: array[int] | None, start: int, first: int, at: int) -> tuple[int, bytes]:
        """Return how many of `rows` from place `start` on were encoded, and their inodes, which begin at `at`.

        It ends before the first that is no file, or that has very many words. `numbers` says which content each of `rows`
        has; when it is None, the contents are those from number `first` on.
        """
        ...

    def listings(
        self, dirs: array[int], begin: int, blocks: array[int]
    ) -> tuple[bytes, array[int], Sequence[Sequence[tuple[int, bytes]]]]:
        """Return the listings of some directories, the size of each, and of each (offset, first name) of headers to index.

        `dirs` are their places in `starts`, `begin` the position of the first listing, `blocks` where the blocks of
        inodes begin.
        """
        ...

    def directories(self, listed: ListedRows, start: int, blocks: array[int], at: int) -> tuple[int, bytes]:
        """Return how many of the directories from place `start` on were encoded, and their inodes, which begin at `at`.

        It ends before the first whose listing has an index. `blocks` says where the blocks of listings begin.
        """
        ...
