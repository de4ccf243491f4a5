"""Paths inside a root: symbolic links are resolved as if that root were all there is.

`chase` says where a path leads, and what is there. `..` never leaves the root, an absolute link starts at it again.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from imgcore.errors import PathError
from imgcore.model import Dir, Node, Symlink, Tree, Whiteout

__all__ = ["Place", "chase", "directory_at"]

_MOST_LINKS: Final = 32  # systemd's own bound


class Place(NamedTuple):
    """Where a path leads: the path without links, and the node."""

    path: bytes
    node: Node


def chase(tree: Tree, path: bytes, *, follow_last: bool = True) -> Place | None:
    """Return where `path` leads, None where nothing is there.

    Raises PathError after 32 links, and where a component on the way is no directory.
    """
    nodes: list[Node] = [tree.root]
    names: list[bytes] = []
    todo = [part for part in path.split(b"/") if part not in (b"", b".")][::-1]
    links = 0
    while todo:
        name = todo.pop()
        if name == b"..":
            if names:
                names.pop()
                nodes.pop()
            continue
        parent = nodes[-1]
        if not isinstance(parent, Dir):
            raise PathError("not a directory", path=b"/" + b"/".join(names))
        node = parent.children.get(name)
        if node is None or isinstance(node, Whiteout):
            return None
        if isinstance(node, Symlink) and (todo or follow_last):
            links += 1
            if links > _MOST_LINKS:
                raise PathError("too many levels of symbolic links", path=path)
            todo += [part for part in node.target.split(b"/") if part not in (b"", b".")][::-1]
            if node.target.startswith(b"/"):
                del nodes[1:], names[:]
            continue
        names.append(name)
        nodes.append(node)
    return Place(b"/" + b"/".join(names), nodes[-1])


def directory_at(tree: Tree, path: bytes) -> Place | None:
    """Return the directory that `path` leads to, None where there is none, or something else."""
    try:
        found = chase(tree, path)
    except PathError:
        return None
    return found if found is not None and isinstance(found.node, Dir) else None
