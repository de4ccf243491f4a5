"""What a format can hold, and what a tree would lose in it.

`Capabilities` is a value that each format declares. `find_losses` lists everything in a tree that the format cannot
hold, `project` returns the tree as the format would give it back. A writer takes only what `checked` lets through: an
unrepresentable tree raises NotRepresentable with every loss listed, before a byte is written.
"""

from __future__ import annotations

import dataclasses
import stat
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress
from operator import sub
from typing import Final, Literal, TypeAlias

from imgcore.errors import NotRepresentable, show
from imgcore.model.node import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, TypeName, Whiteout, type_name
from imgcore.model.table import Table
from imgcore.model.tree import Tree
from imgcore.values import value_class

__all__ = ["LOSS_KINDS", "Capabilities", "Loss", "LossKind", "checked", "find_losses", "project"]

LossKind: TypeAlias = Literal["link", "xattr", "device", "time", "name", "sparse", "lookup", "acl", "fraction", "mark", "tree"]
LOSS_KINDS: tuple[LossKind, ...] = ("link", "xattr", "device", "time", "name", "sparse", "lookup")
"""The kinds a caller may allow. `acl`, `fraction` and `mark` (of overlayfs) are only warned of, `tree` cannot be allowed."""

_WARN_ONLY = frozenset(("acl", "fraction", "mark"))
_NO_OWNER = (1 << 32) - 1  # what chown takes for "leave it"
_TYPE_OF: Final[dict[int, TypeName]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_ACLS = frozenset((b"system.posix_acl_access", b"system.posix_acl_default"))


@value_class
class Capabilities:
    """What a format can hold.

    Attributes:
        types: the node types that exist in it.
        hardlinks: whether two names may share one node (but never a directory).
        xattr_prefixes: prefixes of the extended attributes it can store; empty for none.
        max_xattrs: bytes of names and values of one node's extended attributes.
        max_xattr_value: bytes of one value; Linux hands out no more than 64 KiB.
        time_step_ns: resolution of times.
        min_time_ns, max_time_ns: range of times, inclusive.
        max_name: bytes of a name. max_target: bytes of a symbolic link's target.
        max_file_size: bytes of a file.
        max_ids: distinct owners and groups, counted together; None where each node has its own.
        max_major, max_minor: device numbers.
        sparse: whether holes survive.
    """

    types: frozenset[TypeName] = frozenset(("dir", "file", "symlink", "char", "block", "fifo", "socket"))
    hardlinks: bool = True
    xattr_prefixes: tuple[bytes, ...] = ()
    max_xattrs: int = 64 << 10
    max_xattr_value: int = 64 << 10
    time_step_ns: int = 1
    min_time_ns: int = -(1 << 63)
    max_time_ns: int = (1 << 63) - 1
    max_name: int = 255
    max_target: int = 4095
    max_file_size: int = (1 << 63) - 1
    max_ids: int | None = None
    max_major: int = 0xFFF
    max_minor: int = 0xFFFFF
    sparse: bool = True


@value_class
class Loss:
    """One thing that a format cannot hold, that a policy leaves out (`mark`) or that a merge gives an error for (`lookup`).

    `kind` is what `allow_loss` names.
    """

    kind: LossKind
    path: bytes
    message: str

    def __str__(self) -> str:
        return f"{show(self.path)}: {self.message}"


def find_losses(tree: Tree, caps: Capabilities) -> Iterator[Loss]:
    """Yield everything in `tree` that a format with `caps` cannot hold, in walk order; fractions of times, all as one, last."""
    if tree.table is not None and _only_fractions(tree.table, caps):
        yield from _fraction_losses(tree.table, _fractions(tree.table, caps.time_step_ns))
        return
    seen: dict[int, bytes] = {}
    ids: set[int] = set()
    over = False
    fractions, first_fraction = 0, b""
    for path, node in tree.walk():
        if len(path) - path.rfind(b"/") - 1 > caps.max_name:
            yield Loss("tree", path, f"name of more than {caps.max_name} bytes")
        if not isinstance(node, Dir):
            first = seen.setdefault(id(node), path)
            if first is not path:
                if not caps.hardlinks:
                    yield Loss("link", path, f"hard link to {show(first)}")
                continue
        yield from _node_losses(path, node, caps)
        if node.meta.mtime_ns % caps.time_step_ns and caps.min_time_ns <= node.meta.mtime_ns <= caps.max_time_ns:
            fractions, first_fraction = fractions + 1, first_fraction or path
        ids.add(node.meta.uid)
        ids.add(node.meta.gid)
        if caps.max_ids is not None and len(ids) > caps.max_ids and not over:
            over = True
            yield Loss("tree", path, f"more than {caps.max_ids} different owners and groups, this one is beyond")
    if fractions:
        yield _fraction_loss(first_fraction, fractions)


def _fraction_loss(first: bytes, count: int) -> Loss:
    return Loss("fraction", first, f"the fraction of a second of {'its time' if count == 1 else f'{count} times, the first'}")


def _only_fractions(table: Table, caps: Capabilities) -> bool:
    """Return whether a tree of columns loses nothing, or nothing but fractions of a second: without a look at each node."""
    ids = set(table.uids) | set(table.gids)
    sizes = map(table.sizes.__getitem__, table.file_rows()) if table.links else compress(table.sizes, _are_files(table))
    return (
        {_TYPE_OF[kind << 12] for kind in set(table.types())} <= caps.types
        and (caps.hardlinks or not table.links)
        and max(map(len, table.shape.names)) <= caps.max_name
        and 0 <= min(ids) <= max(ids) < _NO_OWNER
        and (caps.max_ids is None or len(ids) <= caps.max_ids)
        and caps.min_time_ns <= min(table.mtimes) <= max(table.mtimes) <= caps.max_time_ns
        and max(sizes, default=0) <= caps.max_file_size
        and all(0 < len(target) <= caps.max_target and b"\0" not in target for target in table.targets.values())
        and all(major <= caps.max_major and minor <= caps.max_minor for major, minor in table.devices.values())
        and not any(any(_xattr_losses(b"", xattrs, caps)) for xattrs in table.xattrs.values())
    )


def _are_files(table: Table) -> list[bool]:
    return [kind == stat.S_IFREG >> 12 for kind in table.types()]


def _fraction_losses(table: Table, fractions: Sequence[int]) -> list[Loss]:
    """Return the loss of fractions of a second, which are given for each row."""
    if not any(fractions):
        return []
    rows: Iterator[int] = compress(range(len(table)), fractions)
    if table.links:
        rows = (row for row in rows if row not in table.links)
    found = list(rows)
    return [_fraction_loss(table.shape.path(found[0]), len(found))] if found else []


def _without_fractions(tree: Tree, table: Table, caps: Capabilities) -> tuple[Tree, list[Loss]]:
    """Return what `checked` does for columns that lose nothing else."""
    step = caps.time_step_ns
    fractions = _fractions(table, step)
    losses = _fraction_losses(table, fractions)
    if not losses and step <= tree.time_step_ns:
        return tree, losses
    mtimes = array("q", map(sub, table.mtimes, fractions)) if losses else table.mtimes
    coarser = max(step, tree.time_step_ns)
    changed = dataclasses.replace(table, mtimes=mtimes)
    return Tree.of_table(changed, tree.limits, time_step_ns=coarser, is_layer=tree.is_layer), losses


def _fractions(table: Table, step: int) -> Sequence[int]:
    return [] if step == 1 else [mtime % step for mtime in table.mtimes]


def _node_losses(path: bytes, node: Node, caps: Capabilities) -> Iterator[Loss]:
    name = type_name(node)
    if name not in caps.types:
        kind: LossKind = "device" if isinstance(node, (Device, Pipe, Socket)) else "tree"
        yield Loss(kind, path, f"a {name} cannot be stored")
    meta = node.meta
    if not 0 <= meta.mode <= 0o7777:
        yield Loss("tree", path, f"mode {meta.mode:#o} is not twelve permission bits")
    if not (0 <= meta.uid < _NO_OWNER and 0 <= meta.gid < _NO_OWNER):
        yield Loss("tree", path, f"owner {meta.uid}:{meta.gid} is none that Linux has")
    if not caps.min_time_ns <= meta.mtime_ns <= caps.max_time_ns:
        yield Loss("time", path, f"time {meta.mtime_ns // 10**9} is outside of what can be stored")
    if meta.xattrs:
        yield from _xattr_losses(path, meta.xattrs, caps)
    if isinstance(node, File) and node.content.size > caps.max_file_size:
        yield Loss("tree", path, f"file of {node.content.size} bytes, at most {caps.max_file_size} can be stored")
    elif isinstance(node, Symlink) and not 0 < len(node.target) <= caps.max_target:
        yield Loss("tree", path, f"link target of {len(node.target)} bytes, 1 to {caps.max_target} can be stored")
    elif isinstance(node, Symlink) and b"\0" in node.target:
        yield Loss("tree", path, "link target with a NUL byte")
    elif isinstance(node, Device) and not (0 <= node.major <= caps.max_major and 0 <= node.minor <= caps.max_minor):
        yield Loss("device", path, f"device number {node.major}:{node.minor}")
    elif isinstance(node, Dir):
        if node.opaque:
            yield Loss("tree", path, "an opaque directory has to be translated to a whiteout dialect first")
        for child in node.children:
            if child in (b"", b".", b"..") or b"/" in child or b"\0" in child:
                yield Loss("tree", path, f"impossible name `{show(child)}`")


def _keeps(name: bytes, caps: Capabilities) -> bool:
    return any(name.startswith(prefix) and len(name) > len(prefix) for prefix in caps.xattr_prefixes)


def _possible(name: bytes, value: bytes, caps: Capabilities) -> bool:
    return len(name) <= 255 and b"\0" not in name and len(value) <= caps.max_xattr_value


def _xattr_losses(path: bytes, xattrs: Mapping[bytes, bytes], caps: Capabilities) -> Iterator[Loss]:
    total = 0
    for name, value in sorted(xattrs.items()):
        if _keeps(name, caps):
            total += len(name) + len(value)
            if not _possible(name, value, caps):
                yield Loss("xattr", path, f"extended attribute {show(name[:64])}, name or value too long")
        else:
            yield Loss("acl" if name in _ACLS else "xattr", path, f"extended attribute {show(name)}")
    if total > caps.max_xattrs:
        yield Loss("xattr", path, f"{total} bytes of extended attributes, at most {caps.max_xattrs} can be stored")


def project(tree: Tree, caps: Capabilities) -> Tree:
    """Return `tree` as a format with `caps` gives it back: times cut and clamped, what it cannot hold left out."""
    step = max(caps.time_step_ns, tree.time_step_ns)
    if tree.table is not None and _only_fractions(tree.table, caps):
        mtimes = [mtime - mtime % caps.time_step_ns for mtime in tree.table.mtimes]
        table = dataclasses.replace(tree.table, mtimes=mtimes)
        return Tree.of_table(table, tree.limits, time_step_ns=step, is_layer=tree.is_layer)

    def change(path: bytes, node: Node) -> Node | None:
        if type_name(node) not in caps.types or isinstance(node, Whiteout):
            return None
        if isinstance(node, Device) and not (0 <= node.major <= caps.max_major and 0 <= node.minor <= caps.max_minor):
            return None
        meta = _projected(node.meta, caps)
        return node if meta is node.meta else dataclasses.replace(node, meta=meta)

    return Tree(tree.map(change).root, tree.limits, time_step_ns=step, is_layer=tree.is_layer)


def _projected(meta: Meta, caps: Capabilities) -> Meta:
    time = min(max(meta.mtime_ns, caps.min_time_ns), caps.max_time_ns)
    time -= time % caps.time_step_ns
    xattrs = meta.xattrs
    if xattrs:
        kept = {name: value for name, value in xattrs.items() if _keeps(name, caps) and _possible(name, value, caps)}
        if sum(len(name) + len(value) for name, value in kept.items()) > caps.max_xattrs:
            kept = {}
        if len(kept) != len(xattrs):
            xattrs = kept
    if time == meta.mtime_ns and xattrs is meta.xattrs:
        return meta
    return dataclasses.replace(meta, mtime_ns=time, xattrs=xattrs)


def checked(tree: Tree, caps: Capabilities, *, allow: Collection[str] = (), format_name: str) -> tuple[Tree, list[Loss]]:
    """Return (the projected tree, the losses to warn of): those that are only warned of and those in `allow`.

    Raises NotRepresentable with all other losses.
    """
    if tree.table is not None and _only_fractions(tree.table, caps):
        return _without_fractions(tree, tree.table, caps)
    warned: list[Loss] = []
    refused: list[Loss] = []
    for loss in find_losses(tree, caps):
        (warned if loss.kind in _WARN_ONLY or (loss.kind != "tree" and loss.kind in allow) else refused).append(loss)
    if refused:
        kinds = sorted({loss.kind for loss in refused} - {"tree"})
        more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise NotRepresentable(
            f"{format_name} cannot hold this tree: {refused[0].message}{more}",
            path=refused[0].path,
            losses=refused,
            hint=f"--allow-loss {','.join(kinds)} writes it without"
            if kinds and all(x.kind != "tree" for x in refused)
            else None,
        )
    if not warned and caps.time_step_ns <= tree.time_step_ns:
        return tree, warned
    return project(tree, caps), warned
