"""A policy: who owns everything, how late it may be, which extended attributes stay. A value, applied to a tree.

    Policy(owners=Owners.root(), clock=Clock.clamp(epoch_ns)).apply(tree)

The default policy keeps all but `user.overlay.*` and `trusted.overlay.*`: these say what a directory of the host is in
an overlay mount, and would be taken for whiteouts where the image becomes a layer. A tree that was made to be a layer
(`Tree.is_layer`) keeps them. Of any other tree, `lost` names those that had a meaning.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

from imgcore.errors import show
from imgcore.model import NO_XATTRS, Loss, Meta, Node, Table, Tree
from imgcore.values import field, value_class

__all__ = ["Clock", "IdRange", "Owners", "Policy"]

_OVERLAY = (b"user.overlay.", b"trusted.overlay.")
_HANDLES = frozenset(prefix + name for prefix in _OVERLAY for name in (b"origin", b"uuid", b"impure", b"nlink", b"upper"))
"""Marks that say nothing outside of the mount that made them: handles of files, and what was counted."""
_MAX_ID = (1 << 32) - 1
_Change: TypeAlias = Callable[[Meta], Meta]


@value_class
class IdRange:
    """`count` ids from `first` on become those from `to` on."""

    first: int
    to: int
    count: int = 1

    def __post_init__(self) -> None:
        if not (self.first >= 0 and self.to >= 0 and self.count >= 1 and max(self.first, self.to) + self.count - 1 <= _MAX_ID):
            raise ValueError(f"ids {self.first}:{self.to}:{self.count} are not inside of 32 bits")


@value_class
class Owners:
    """Who owns the entries.

    Attributes:
        ids: (uid, gid) for all entries; None, or None in place of one, for each its own.
        uid_map, gid_map: what becomes of ranges of ids; the first that holds an id counts, one in none of them stays.
        offset: added to every id, after all else.
    """

    ids: tuple[int | None, int | None] | None = None
    uid_map: tuple[IdRange, ...] = ()
    gid_map: tuple[IdRange, ...] = ()
    offset: int = 0

    def __post_init__(self) -> None:
        if self.ids is not None and not all(number is None or 0 <= number <= _MAX_ID for number in self.ids):
            raise ValueError(f"owner {self.ids[0]}:{self.ids[1]} is not two numbers of 32 bits")

    @classmethod
    def keep(cls) -> Owners:
        """Return the policy that leaves owners as they are."""
        return cls()

    @classmethod
    def root(cls) -> Owners:
        """Return the policy that gives everything to root."""
        return cls((0, 0))

    @classmethod
    def fixed(cls, uid: int | None, gid: int | None) -> Owners:
        """Return the policy that gives everything to one owner and group; None leaves one as it is."""
        return cls((uid, gid))

    def of(self, uid: int, gid: int) -> tuple[int, int]:
        """Return what becomes of one owner and group."""
        if self.ids is not None:
            uid = uid if self.ids[0] is None else self.ids[0]
            gid = gid if self.ids[1] is None else self.ids[1]
        return _mapped(uid, self.uid_map) + self.offset, _mapped(gid, self.gid_map) + self.offset


def _mapped(number: int, ranges: tuple[IdRange, ...]) -> int:
    for first, to, count in ((one.first, one.to, one.count) for one in ranges):
        if first <= number < first + count:
            return to + number - first
    return number


@value_class
class Clock:
    """What becomes of times: kept; "clamp": none later than `ns`; "fixed": all become `ns` (since 1970)."""

    kind: Literal["keep", "clamp", "fixed"] = "keep"
    ns: int = 0

    @classmethod
    def keep(cls) -> Clock:
        """Return the policy that leaves times as they are."""
        return cls()

    @classmethod
    def clamp(cls, ns: int) -> Clock:
        """Return the policy that sets times later than `ns` to `ns`, as SOURCE_DATE_EPOCH asks for."""
        return cls("clamp", ns)

    @classmethod
    def fixed(cls, ns: int) -> Clock:
        """Return the policy that sets every time to `ns`."""
        return cls("fixed", ns)

    def of(self, mtime_ns: int) -> int:
        """Return what becomes of one time."""
        if self.kind == "keep":
            return mtime_ns
        return min(mtime_ns, self.ns) if self.kind == "clamp" else self.ns


def _marks(xattrs: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the names of the marks of overlayfs that have a meaning: all but handles and counters."""
    return sorted(name for name in xattrs if name.startswith(_OVERLAY) and name not in _HANDLES)


def _losses(path: bytes, marks: Iterable[bytes]) -> Iterator[Loss]:
    for name in marks:
        yield Loss("mark", path, f"mark of overlayfs {show(name)} (kept with xattrs=all)")


@value_class
class Policy:
    """Owners, times and extended attributes of a tree that is written.

    Attributes:
        owners: who owns the entries.
        clock: what becomes of their times.
        xattrs: "keep" (all; but those of overlayfs only in a layer), "all", "none", or a shell glob of the names that stay.
    """

    owners: Owners = field(default_factory=Owners)
    clock: Clock = field(default_factory=Clock)
    xattrs: str = "keep"

    def apply(self, tree: Tree) -> Tree:
        """Return `tree` under this policy; the very same tree when nothing changes. Hard links survive."""
        if tree.is_layer and self.xattrs == "keep":
            return dataclasses.replace(self, xattrs="all").apply(tree)
        if self == Policy(xattrs="all"):
            return tree
        if tree.table is not None:
            table = self._changed(tree.table)
            if table is tree.table:
                return tree
            return Tree.of_table(table, tree.limits, time_step_ns=tree.time_step_ns, is_layer=tree.is_layer)
        change = self._change()
        if all(change(node.meta) is node.meta for _, node in tree.walk()):
            return tree

        def changed(path: bytes, node: Node) -> Node:
            meta = change(node.meta)
            return node if meta is node.meta else dataclasses.replace(node, meta=meta)

        return tree.map(changed)

    def lost(self, tree: Tree) -> Iterator[Loss]:
        """Yield the marks of overlayfs that "keep" takes from `tree` although they have a meaning.

        Without them an opaque directory shows what it hid, and a whiteout or a file of metadata alone is an empty file.
        """
        if self.xattrs != "keep" or tree.is_layer:
            return
        table = tree.table
        if table is not None:
            for row, xattrs in table.xattrs.items():
                if row not in table.links and (marks := _marks(xattrs)):
                    yield from _losses(table.shape.path(row), marks)
            return
        seen: set[int] = set()
        for path, node in tree.walk():
            if node.meta.xattrs and id(node) not in seen:
                seen.add(id(node))
                yield from _losses(path, _marks(node.meta.xattrs))

    def _changed(self, table: Table) -> Table:
        """Return the columns under this policy; the very same when nothing changes."""
        changes: dict[str, Any] = {}
        if self.owners != Owners():
            uids = {uid: self.owners.of(uid, 0)[0] for uid in set(table.uids)}
            gids = {gid: self.owners.of(0, gid)[1] for gid in set(table.gids)}
            changes["uids"] = array("q", map(uids.__getitem__, table.uids))
            changes["gids"] = array("q", map(gids.__getitem__, table.gids))
        if self.clock.kind == "fixed" or (self.clock.kind == "clamp" and max(table.mtimes) > self.clock.ns):
            changes["mtimes"] = list(map(self.clock.of, table.mtimes))
        stays = self._stays()
        if not all(stays(name) for xattrs in table.xattrs.values() for name in xattrs):
            kept = {row: {name: xattrs[name] for name in xattrs if stays(name)} for row, xattrs in table.xattrs.items()}
            changes["xattrs"] = {row: xattrs for row, xattrs in kept.items() if xattrs}
        return dataclasses.replace(table, **changes) if changes else table

    def _change(self) -> _Change:
        """Return the function from old to new metadata; it returns its argument itself when nothing changes."""
        stays = self._stays()
        clock, owners = self.clock, self.owners
        keeps_owners = owners == Owners()

        def change(meta: Meta) -> Meta:
            mtime_ns = clock.of(meta.mtime_ns)
            uid, gid = (meta.uid, meta.gid) if keeps_owners else owners.of(meta.uid, meta.gid)
            xattrs = meta.xattrs
            if xattrs and not all(stays(name) for name in xattrs):
                xattrs = {name: value for name, value in xattrs.items() if stays(name)} or NO_XATTRS
            if xattrs is meta.xattrs and (uid, gid, mtime_ns) == (meta.uid, meta.gid, meta.mtime_ns):
                return meta
            return Meta(meta.mode, uid, gid, mtime_ns, xattrs)

        return change

    def _stays(self) -> Callable[[bytes], bool]:
        if self.xattrs == "all":
            return lambda name: True
        if self.xattrs == "none":
            return lambda name: False
        if self.xattrs == "keep":
            return lambda name: not name.startswith(_OVERLAY)
        pattern = re.compile(fnmatch.translate(self.xattrs).encode("utf-8", "surrogateescape"), re.DOTALL)
        return lambda name: pattern.match(name) is not None
