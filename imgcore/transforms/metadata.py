"""Change metadata of chosen nodes: extended attributes, modes, the root directory.

A `Where` chooses: it is called with the path and the node of every name. A node of several names is chosen when one of
its names is, and is changed once, so that hard links stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeAlias

from imgcore.errors import PathError
from imgcore.model import NO_XATTRS, Dir, File, Meta, Node, Symlink, Tree
from imgcore.transforms.modes import ModeRule

__all__ = ["Where", "change_meta", "change_modes", "change_root", "set_xattrs", "strip_xattrs"]

Where: TypeAlias = Callable[[bytes, Node], bool]


def change_meta(tree: Tree, change: Callable[[Node], Meta], *, where: Where | None = None, required: str | None = None) -> Tree:
    """Return `tree` with the metadata of the chosen nodes, all without `where`, as `change` gives it.

    `required` is what chose them, as text: then it is a PathError when nothing was.
    """
    chosen: dict[int, Node] | None = None
    if where is not None:
        chosen = {id(node): node for path, node in tree.walk() if where(path, node)}
        if not chosen:
            if required is not None:
                raise PathError("nothing in the tree matches", found=f"`{required}`")
            return tree

    def changed(path: bytes, node: Node) -> Node:
        if chosen is not None and id(node) not in chosen:
            return node
        meta = change(node)
        return node if meta is node.meta else dataclasses.replace(node, meta=meta)

    return tree.map(changed)


def change_modes(
    tree: Tree,
    *,
    files: ModeRule | None = None,
    dirs: ModeRule | None = None,
    links: ModeRule | None = None,
    where: Where | None = None,
) -> Tree:
    """Return `tree` with other permissions: by `dirs` those of directories, by `links` of symbolic links, else by `files`.

    Nothing looks at the permissions of a symbolic link.
    """

    def change(node: Node) -> Meta:
        rule = dirs if isinstance(node, Dir) else links if isinstance(node, Symlink) else files
        if rule is None:
            return node.meta
        mode = rule.apply(node.meta.mode, isinstance(node, Dir))
        return node.meta if mode == node.meta.mode else dataclasses.replace(node.meta, mode=mode)

    return change_meta(tree, change, where=where)


def set_xattrs(tree: Tree, xattrs: Mapping[bytes, bytes], *, where: Where | None = None, required: str | None = None) -> Tree:
    """Return `tree` with extended attributes added to the chosen nodes, or replaced.

    `user.*` goes to regular files and directories only: Linux has it on nothing else.
    """
    others = {name: value for name, value in xattrs.items() if not name.startswith(b"user.")}

    def change(node: Node) -> Meta:
        more = xattrs if _may_have_user_xattrs(node) else others
        return dataclasses.replace(node.meta, xattrs={**node.meta.xattrs, **more}) if more else node.meta

    return change_meta(tree, change, where=where, required=required)


def _may_have_user_xattrs(node: Node) -> bool:
    """Return whether Linux hands out `user.*` attributes of such a node (xattr_permission)."""
    return isinstance(node, File | Dir)


def strip_xattrs(tree: Tree, names: Callable[[bytes], bool], *, where: Where | None = None) -> Tree:
    """Return `tree` without the extended attributes whose full names `names` says yes to."""

    def change(node: Node) -> Meta:
        meta = node.meta
        if not meta.xattrs or not any(names(name) for name in meta.xattrs):
            return meta
        kept = {name: value for name, value in meta.xattrs.items() if not names(name)}
        return dataclasses.replace(meta, xattrs=kept or NO_XATTRS)

    return change_meta(tree, change, where=where)


def change_root(tree: Tree, change: Callable[[Meta], Meta]) -> Tree:
    """Return `tree` with other metadata of its root."""
    return tree.with_root(dataclasses.replace(tree.root, meta=change(tree.root.meta)))
