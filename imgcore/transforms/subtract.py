"""A tree less what trees below it have, by three rules: what an image that lies over others has to hold.

* `overlay`: the layer that shows the tree over the bases: all that is new or changed, whiteouts for what is gone.
* `identical`: the tree without what is the same in content and metadata. What is gone from a base leaves no mark.
* `mkosi`: what mkosi makes of an image with Overlay=yes, which only ever adds: below the hierarchies (/usr and /opt)
  whatever a base has a path for goes, even where it differs; directories that a base has get its mode, time and
  attributes; elsewhere what is identical goes. Whiteouts and the marks of overlayfs go, and so do empty directories.

The tree is what is seen with the bases below it. One that is an overlay's upper directory is fine for `mkosi`: what it lacks
of the bases would have gone anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from imgcore.errors import MergeConflict
from imgcore.events import Control
from imgcore.model import Device, Dir, Meta, Node, Tree, Whiteout, join
from imgcore.values import value_class

if TYPE_CHECKING:
    from imgcore.transforms.overlay.layer_diff import Differ

__all__ = ["SubtractRule", "subtract"]

SubtractRule: TypeAlias = Literal["mkosi", "overlay", "identical"]

_RULES: Final = ("mkosi", "overlay", "identical")
_MARKS: Final = (b"trusted.overlay.", b"user.overlay.")


def subtract(
    tree: Tree,
    bases: Sequence[Tree],
    rule: SubtractRule = "mkosi",
    *,
    hierarchies: Sequence[bytes] | None = (b"/usr", b"/opt"),
    prune: bool = True,
    control: Control | None = None,
) -> Tree:
    """Return `tree` less what `bases` have, the uppermost base first, by one of the module's rules.

    `hierarchies` and `prune` are for `mkosi`: the paths below which the mere name decides, None for everywhere; and whether
    empty directories go. Raises ValueError for another rule or without bases, MergeConflict where `mkosi` finds a directory
    in place of something else of a base, and what `layer_between` raises.
    """
    # Late: few subtract, and all that a program of some milliseconds waits for is read from disk.
    from imgcore.transforms.overlay import layer_between, merge
    from imgcore.transforms.overlay.arguments import require_one_of
    from imgcore.transforms.overlay.layer_diff import Differ

    require_one_of("rule", rule, _RULES)
    if not bases:
        raise ValueError("nothing to subtract")
    base = bases[0] if len(bases) == 1 else merge(bases).tree
    control = control or Control()
    if rule == "overlay":
        return layer_between(base, tree, control=control)
    if rule == "identical":
        return tree.with_root(_Subtraction(Differ(base, tree, "trusted", control, escape=False), (), False).of(tree, base))
    bare = tree.map(_bare)
    differ = Differ(base, bare, "trusted", control, escape=False)
    places = (b"/",) if hierarchies is None else tuple(hierarchies)
    return bare.with_root(_Subtraction(differ, places, prune).of(bare, base))


def _bare(path: bytes, node: Node) -> Node | None:
    """Return a node without marks of overlayfs, None for one that is such a mark."""
    if isinstance(node, Whiteout) or (isinstance(node, Device) and node.kind == "char" and not (node.major or node.minor)):
        return None
    if any(name.startswith(_MARKS) for name in node.meta.xattrs):
        kept = {name: value for name, value in node.meta.xattrs.items() if not name.startswith(_MARKS)}
        node = dataclasses.replace(node, meta=dataclasses.replace(node.meta, xattrs=kept))
    return dataclasses.replace(node, opaque=False) if isinstance(node, Dir) and node.opaque else node


@value_class(eq=False, frozen=False)
class _Level:
    """A directory while it is walked: the base's one, what is left of it, its names still to look at.

    `touched` says that something in it is not what the base has, so that an upper layer would have the directory.
    """

    path: bytes
    node: Dir
    base: Dir | None
    left: dict[bytes, Node]
    names: list[bytes]
    touched: bool


class _Subtraction:
    """One walk over a tree and its base: below `places` names decide, elsewhere content and metadata do."""

    def __init__(self, differ: Differ, places: Sequence[bytes], prune: bool) -> None:
        self._differ = differ
        self._places = places
        self._prune = prune

    def of(self, tree: Tree, base: Tree) -> Dir:
        """Return the root of what is left."""
        # A directory is known to be needed when all below it was seen, so it is added to its parent when its level is left.
        stack = [self._level(b"/", tree.root, base.root)]
        while True:
            level = stack[-1]
            if level.names:
                self._look(level, level.names.pop(), stack)
                continue
            stack.pop()
            if not stack:
                return dataclasses.replace(tree.root, children=level.left)
            stays = self._stays(level)
            if level.left or stays:
                name = level.path[level.path.rfind(b"/") + 1 :]
                meta = self._meta(level.path, level.node, level.base)
                stack[-1].left[name] = dataclasses.replace(level.node, meta=meta, children=level.left)
            stack[-1].touched |= stays

    @staticmethod
    def _level(path: bytes, node: Dir, base: Dir | None) -> _Level:
        gone = base is not None and any(name not in node.children for name in base.children)
        return _Level(path, node, base, {}, list(node.children), gone)

    def _look(self, level: _Level, name: bytes, stack: list[_Level]) -> None:
        self._differ.control.check()
        node, path = level.node.children[name], join(level.path, name)
        old = None if level.base is None else level.base.children.get(name)
        by_name = self._by_name(path)
        if isinstance(node, Dir):
            if by_name and old is not None and not isinstance(old, Dir):
                raise MergeConflict("a directory, where the base has something else", path=path)
            stack.append(self._level(path, node, old if isinstance(old, Dir) else None))
            return
        same = old is not None and not isinstance(old, Dir) and self._differ.same(old, node)
        level.touched |= not same
        if old is None or not (by_name or same):
            level.left[name] = node

    def _by_name(self, path: bytes) -> bool:
        """Whether a name that the base has too is enough to go."""
        return any(place == b"/" or path == place or path.startswith(place + b"/") for place in self._places)

    def _stays(self, level: _Level) -> bool:
        """Whether a directory of which nothing is left is there all the same."""
        if self._prune:
            return False
        base = level.base
        if base is None or not self._differ.same_meta(base.meta, level.node.meta):
            return True
        return level.touched and self._by_name(level.path)

    def _meta(self, path: bytes, node: Dir, base: Dir | None) -> Meta:
        if base is None or not self._by_name(path):
            return node.meta
        xattrs: Mapping[bytes, bytes] = {**node.meta.xattrs, **base.meta.xattrs}
        return dataclasses.replace(node.meta, mode=base.meta.mode, mtime_ns=base.meta.mtime_ns, xattrs=xattrs)
