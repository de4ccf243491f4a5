"""What the native engine found in a directory of the host, as the columns of a tree."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from itertools import compress
from typing import Final

from imgcore.engine import Scanned
from imgcore.errors import SourceUnreadable
from imgcore.model import HostColumns, Shape, Table
from imgcore.model.table import mode_types

__all__ = ["table_of"]

_KNOWN: Final = frozenset((stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK))


def table_of(found: Scanned, top: bytes, read_xattrs: Callable[[bytes], Mapping[bytes, bytes]]) -> Table:
    """Return the tree of the directory `top`; `read_xattrs` returns the extended attributes of what is at a path.

    Raises SourceUnreadable for a file of an unknown type.
    """
    shape = Shape(found.names, found.dirs, found.children)
    modes = found.modes
    kinds = mode_types(modes)
    present = {kind << 12 for kind in set(kinds)}
    if not present <= _KNOWN:
        row = next(row for row, kind in enumerate(kinds) if kind << 12 not in _KNOWN)
        raise SourceUnreadable(f"a file of an unknown type ({kinds[row] << 12:#o})", path=_on_host(top, shape.path(row)))
    targets: dict[int, bytes] = {}
    if stat.S_IFLNK in present:
        rows = compress(range(len(kinds)), [kind << 12 == stat.S_IFLNK for kind in kinds])
        targets = dict(zip(rows, found.targets, strict=True))
    devices: dict[int, tuple[int, int]] = {}
    if not present.isdisjoint((stat.S_IFCHR, stat.S_IFBLK)):
        rows = compress(range(len(kinds)), [kind << 12 in (stat.S_IFCHR, stat.S_IFBLK) for kind in kinds])
        devices = {row: (found.rdevs[row] >> 32, found.rdevs[row] & 0xFFFFFFFF) for row in rows}
    xattrs = {row: read_xattrs(_on_host(top, shape.path(row))) for row in found.xattr_rows}
    if own := read_xattrs(_on_host(top, b"/.")):
        xattrs[0] = own
    return Table(
        shape=shape,
        modes=modes,
        uids=found.uids,
        gids=found.gids,
        mtimes=found.mtimes,
        sizes=found.sizes,
        targets=targets,
        devices=devices,
        xattrs={row: values for row, values in xattrs.items() if values},
        links=_links(found, kinds),
        host=HostColumns(top, found.devs, found.inos, found.mtimes, found.ctimes, found.blocks),
    )


def _links(found: Scanned, kinds: bytes) -> dict[int, int]:
    """Return the first row of each file that has several names here, by the rows of the others."""
    links: dict[int, int] = {}
    first: dict[tuple[int, int], int] = {}
    if max(found.nlinks) == 1:
        return links
    for row in compress(range(len(kinds)), [count > 1 for count in found.nlinks]):
        if kinds[row] << 12 != stat.S_IFDIR:
            known = first.setdefault((found.devs[row], found.inos[row]), row)
            if known != row:
                links[row] = known
    return links


def _on_host(top: bytes, path: bytes) -> bytes:
    return top[:-1] + path if top.endswith(b"/") else top + path
