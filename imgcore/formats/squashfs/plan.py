"""What the writer knows of a tree before it writes: numbers, link counts, order, and the height of directories.

All of it goes by the rows of a `Table`. The root is number 1, the children of one directory are numbered one after
another, so that a listing needs few headers. A node of several names has one number, that of its first row, unless hard
links are not wanted: then each name has its own.
"""

from __future__ import annotations

import stat
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from imgcore.formats.squashfs.layout import BLOCK_DEVICE, CHAR_DEVICE, DIR, FIFO, REG, SOCKET, SYMLINK
from imgcore.model import Table
from imgcore.values import value_class

__all__ = ["Plan", "plan_table"]

_BASIC: Final = {
    stat.S_IFREG: REG,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFCHR: CHAR_DEVICE,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
}
_TYPES: Final = bytes(_BASIC.get(kind << 12, 0) for kind in range(256))


@value_class(eq=False, frozen=False)
class Plan:
    """A table, and what follows from it.

    Attributes:
        links: the first row of the same node, for each further name that shares an inode.
        types: the basic type of each row's inode.
        order: the rows of distinct nodes as a walk comes to them, the root first.
        numbers: the inode number of each row.
        nlinks: how many names a node has, by its first row, where they are several.
        positions: where each row's inode begins in the inode stream, once it is there.
        xattrs: the id of the extended attributes, by row, where there are any.
    """

    table: Table
    links: Mapping[int, int]
    types: Sequence[int]
    order: Sequence[int]
    numbers: Sequence[int]
    nlinks: Mapping[int, int]
    positions: array[int]
    xattrs: dict[int, int]

    def leaves(self) -> list[int]:
        """Return the rows of distinct nodes but directories, in walk order."""
        types = self.types
        return [row for row in self.order if types[row] != DIR]

    def files(self) -> list[int]:
        """Return the rows of distinct regular files, in walk order."""
        types = self.types
        return [row for row in self.order if types[row] == REG]

    def levels(self) -> list[list[int]]:
        """Return the directories by height (0: nothing but leaves in it), as places in `shape.dirs`, in walk order."""
        shape = self.table.shape
        heights = dict.fromkeys(shape.dirs, 0)
        for row in reversed(shape.dirs[1:]):  # a directory comes before those below it
            parent = shape.parents[row]
            heights[parent] = max(heights[parent], heights[row] + 1)
        levels: list[list[int]] = [[] for _ in range(heights[0] + 1)]
        for place, height in enumerate(heights.values()):
            levels[height].append(place)
        return levels

    def subdirs(self) -> Counter[int]:
        """Return how many directories are in each directory, by row."""
        return Counter(map(self.table.shape.parents.__getitem__, self.table.shape.dirs[1:]))

    def paths_of(self, row: int) -> list[bytes]:
        """Return all names of a node, the first one first."""
        path = self.table.shape.path
        return [path(row), *(path(other) for other, first in self.links.items() if first == row)]


def plan_table(table: Table, *, hardlinks: bool = True) -> Plan:
    """Return the plan of a table."""
    links = table.links if hardlinks else {}
    rows = table.shape.walk()
    numbers: Sequence[int] = range(1, len(table) + 1)
    order: Sequence[int] = rows
    if links:
        order = array("I", dict.fromkeys(links.get(row, row) for row in rows))
        made, number = array("I"), 0
        for row in range(len(table)):
            first = links.get(row)
            number += first is None
            made.append(number if first is None else made[first])
        numbers = made
    nlinks = {row: count + 1 for row, count in Counter(links.values()).items()}
    types = table.types().translate(_TYPES)
    return Plan(table, links, types, order, numbers, nlinks, array("q", [-1]) * len(table), {})
