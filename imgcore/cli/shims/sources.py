"""The trees that mksquashfs makes of its sources: one directory, several sources by name, a list of paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

from imgcore.cli.shims.arguments import ShimError
from imgcore.events import Control
from imgcore.hosts import Mounts, meta_at, node_at, scan
from imgcore.model import Dir, Meta, Node, Tree, TreeBuilder

__all__ = ["Known", "cpio_tree", "named_tree", "single_tree"]

Known: TypeAlias = dict[tuple[int, int], Node]
"""Device and inode to node: sources that have a file in common share it, as mksquashfs has it."""

_ROOT_MODE = 0o777  # of a root that is no directory of the host


def single_tree(path: str, xattrs: bool, mounts: Mounts, control: Control, known: Known) -> Tree:
    """Return the tree of one directory."""
    return scan(path, xattrs=xattrs, mounts=mounts, known=known, control=control)


def _node(path: bytes, xattrs: bool, mounts: Mounts, control: Control, known: Known) -> Node:
    if os.path.isdir(path) and not os.path.islink(path):
        return scan(path, xattrs=xattrs, mounts=mounts, known=known, control=control).root
    return node_at(path, known=known)


def named_tree(sources: Sequence[str], xattrs: bool, mounts: Mounts, control: Control, known: Known, *, whole: bool) -> Tree:
    """Return a tree that holds each source by its last name, or with `whole` by all of its path.

    A name that is taken gets `_1`, `_2` and so on.
    """
    made: list[tuple[bytes, bytes, Node]] = []
    taken: set[bytes] = set()
    for source in sources:
        raw = os.fsencode(source)
        if not os.path.lexists(raw):
            raise ShimError(f"cannot stat source `{source}`: No such file or directory")
        node = _node(raw, xattrs, mounts, control, known)
        if whole:
            made.append((raw, _clean(raw), node))
            continue
        name = os.path.basename(os.path.abspath(raw))
        unique, count = name, 0
        while unique in taken:
            count += 1
            unique = b"%s_%d" % (name, count)
        taken.add(unique)
        made.append((b"", b"/" + unique, node))
    builder = _builder([node for _, _, node in made], whole=whole)
    for raw, path, node in made:
        _add_parents(builder, raw, xattrs)
        if builder.get(path) is None:
            builder.add(path, node)
    return builder.tree()


def cpio_tree(names: Sequence[bytes], xattrs: bool, known: Known) -> Tree:
    """Return a tree of exactly the paths named, and the directories above them."""
    nodes: list[tuple[bytes, bytes, Node]] = []
    for name in names:
        if not os.path.lexists(name):
            raise ShimError(f"cannot stat `{os.fsdecode(name)}`: No such file or directory")
        is_dir = os.path.isdir(name) and not os.path.islink(name)
        node: Node = Dir(meta_at(name, xattrs=xattrs), {}) if is_dir else node_at(name, known=known)
        nodes.append((name, _clean(name), node))
    builder = _builder([node for _, _, node in nodes], whole=True)
    for name, path, node in nodes:
        _add_parents(builder, name, xattrs)
        if path != b"/" and builder.get(path) is None:
            builder.add(path, node)
    return builder.tree()


def _builder(nodes: Sequence[Node], *, whole: bool) -> TreeBuilder:
    """Return a builder whose root is as old as the newest of the nodes, or is the working directory where paths are whole."""
    builder = TreeBuilder()
    newest = max((node.meta.mtime_ns for node in nodes), default=0)
    builder.set_meta(b"/", meta_at(b".") if whole else Meta(_ROOT_MODE, os.geteuid(), os.getegid(), newest))
    return builder


def _add_parents(builder: TreeBuilder, raw: bytes, xattrs: bool) -> None:
    """Add the directories above a path of the host, with the metadata that they have there."""
    host, above = b"/" if raw.startswith(b"/") else b"", b""
    for part in raw.split(b"/")[:-1]:
        host = os.path.join(host, part)
        if part in (b"", b".", b".."):
            continue
        above += b"/" + part
        if builder.get(above) is None:
            builder.add(above, Dir(meta_at(host, xattrs=xattrs), {}))


def _clean(path: bytes) -> bytes:
    """Return a path of the host as a path of the tree: what leads up or to the root is cut, as tar does."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".", b"..")]
    return b"/" + b"/".join(parts)
