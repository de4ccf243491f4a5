"""Symbolic links of a merged tree, followed as Linux does inside of a chroot: what a path names in the end."""

from __future__ import annotations

import errno
from collections.abc import Callable

from imgcore.errors import OverlayError
from imgcore.model import Node, Symlink

__all__ = ["followed"]

_MOST_LINKS = 40


def followed(lookup: Callable[[bytes], Node], path: bytes) -> bytes:
    """Return the path that `path` leads to; the last name of it need not exist.

    Raises OverlayError: ELOOP after 40 links, and what `lookup` raises for what is on the way.
    """
    todo = path.split(b"/")[::-1]
    done: list[bytes] = []
    links = 0
    while todo:
        name = todo.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            done[-1:] = []
            continue
        here = b"/" + b"/".join([*done, name])
        try:
            node: Node | None = lookup(here)
        except OverlayError as error:
            if error.errno != errno.ENOENT or any(part not in (b"", b".") for part in todo):
                raise
            node = None
        if not isinstance(node, Symlink):
            done.append(name)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OverlayError("too many levels of symbolic links", errno.ELOOP, path=path)
        if node.target.startswith(b"/"):
            done = []
        todo += node.target.split(b"/")[::-1]
    return b"/" + b"/".join(done)
