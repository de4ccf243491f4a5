"""A directory of this machine as a tree that is read where it is looked at, and nowhere else.

For questions about a few paths of a whole system: what cannot be read elsewhere, or never ends (`/proc`), does not matter.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping

from imgcore.errors import SourceUnreadable
from imgcore.hosts.directory import meta_of, node_at
from imgcore.limits import Limits
from imgcore.model import Dir, Node, Tree

__all__ = ["look_at"]


def look_at(path: str | bytes | os.PathLike[str], *, limits: Limits | None = None) -> Tree:
    """Return the tree of a directory; what cannot be read raises SourceUnreadable when it is looked at."""
    name = os.path.realpath(os.fsencode(path))
    try:
        found = os.stat(name)
    except OSError as error:
        raise SourceUnreadable(f"cannot open: {error.strerror}", path=name) from None
    return Tree(Dir(meta_of(found, name), _Children(name, {})), limits)


class _Children(Mapping[bytes, Node]):
    """The entries of a directory, in the order of the file system."""

    def __init__(self, path: bytes, known: dict[tuple[int, int], Node]) -> None:
        self._path, self._known = path, known
        self._nodes: dict[bytes, Node] = {}
        self._names: list[bytes] | None = None

    def __getitem__(self, name: bytes) -> Node:
        node = self._nodes.get(name)
        if node is None:
            if not name or name in (b".", b"..") or b"/" in name:
                raise KeyError(name)
            node = self._nodes[name] = self._read(name)
        return node

    def _read(self, name: bytes) -> Node:
        path = os.path.join(self._path, name)
        try:
            found = os.lstat(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise KeyError(name) from None
            raise SourceUnreadable(f"cannot read: {error.strerror}", path=path) from None
        if stat.S_ISDIR(found.st_mode):
            return Dir(meta_of(found, path), _Children(path, self._known))
        return node_at(path, known=self._known)

    def _listed(self) -> list[bytes]:
        if self._names is None:
            try:
                self._names = os.listdir(self._path)
            except OSError as error:
                raise SourceUnreadable(f"cannot read directory: {error.strerror}", path=self._path) from None
        return self._names

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._listed())

    def __len__(self) -> int:
        return len(self._listed())
