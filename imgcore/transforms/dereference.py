"""Symbolic links replaced by what they lead to inside the tree, as after chroot."""

from __future__ import annotations

from imgcore.errors import PathError, context
from imgcore.model import Dir, Node, Symlink, Tree, join

__all__ = ["dereference"]


def dereference(tree: Tree) -> Tree:
    """Return `tree` without symbolic links: each becomes the file or directory that it leads to.

    A file that a link leads to is a hard link of it; a directory is copied. Raises PathError for a link that leads
    nowhere, around in a circle, or to a directory that it is in.
    """
    limits = tree.limits
    root = Dir(tree.root.meta, {}, tree.root.opaque)
    todo: list[tuple[bytes, Dir, Dir, tuple[int, ...]]] = [(b"/", tree.root, root, (id(tree.root),))]
    count = 1
    while todo:
        above, source, target, parents = todo.pop()
        assert isinstance(target.children, dict)
        for name, node in source.children.items():
            path = join(above, name)
            count += 1
            limits.require("max_entries", count)
            found: Node = node
            if isinstance(node, Symlink):
                with context(path=path):
                    found = _end_of(tree, path)
            if isinstance(found, Dir):
                if id(found) in parents:
                    raise PathError("a symbolic link to a directory that it is in", path=path)
                copy = Dir(found.meta, {}, found.opaque)
                target.children[name] = copy
                todo.append((path, found, copy, (*parents, id(found))))
            else:
                target.children[name] = found
    return tree.with_root(root)


def _end_of(tree: Tree, path: bytes) -> Node:
    try:
        return tree.lookup(path, follow=True)
    except PathError as error:
        raise PathError(f"a symbolic link that leads nowhere: {error.message}", path=path) from None
