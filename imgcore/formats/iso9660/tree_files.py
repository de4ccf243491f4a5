"""Files of a tree that is written: found by their paths, put into it, brought into the order of their places."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from imgcore.errors import PathError
from imgcore.formats.iso9660.sources import AnyContent, Content
from imgcore.model import Dir, File, Meta, Node, split

__all__ = ["file_at", "in_order_of_places", "with_file"]


def in_order_of_places(contents: Iterable[Content]) -> list[AnyContent]:
    """Return each content once: those of a higher priority first, else in the order of walking."""
    seen: dict[int, Content] = {}
    for content in contents:
        seen.setdefault(id(content), content)
    return list[AnyContent](sorted(seen.values(), key=lambda content: -content.priority))


def file_at(root: Dir, path: bytes) -> Node:
    """Return the node at a path. Raises PathError."""
    node: Node = root
    for name in split(path):
        child = node.children.get(name) if isinstance(node, Dir) else None
        if child is None:
            raise PathError("no such file in the tree", path=path, hint="boot images are named by their path in the image")
        node = child
    return node


def with_file(root: Dir, path: bytes, made: File) -> Dir:
    """Return a root with a file at a path, in directories that are made where they are missing."""
    names = split(path)
    if len(names) == 1:
        return dataclasses.replace(root, children={**root.children, names[0]: made})
    below = root.children.get(names[0])
    if below is not None and not isinstance(below, Dir):
        raise PathError("not a directory", path=path)
    here = below if below is not None else Dir(Meta(0o755, 0, 0, root.meta.mtime_ns), {})
    rest = b"/" + b"/".join(names[1:])
    return dataclasses.replace(root, children={**root.children, names[0]: with_file(here, rest, made)})
