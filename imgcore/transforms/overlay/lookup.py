"""The search for one name in a directory of an overlay: which layers have it, and where that ends.

Layers are asked from the top. What is carried from one to the next is a `_Search`: the path to look for (a name in that
layer's part of the directory, or a path from the layer's root once an absolute redirect was read), whether anything below
may still be asked, whether a directory was found, whether a file was found whose content is yet to be found. Every layer
is walked component by component; redirects on the way change what the layers below are asked for, never this one
(Linux, `ovl_lookup`, `ovl_lookup_layer`, `ovl_lookup_single`).
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

from imgcore.errors import OverlayError
from imgcore.model import Dir, File, Node
from imgcore.transforms.overlay.layers import Markers
from imgcore.transforms.overlay.options import Effective

__all__ = ["Found", "Hit", "MergedDir", "Stack", "Step"]


class Hit(NamedTuple):
    """A node of one layer: 0 is the upper one, then the lower ones from the top."""

    layer: int
    node: Node


class Step(NamedTuple):
    """One thing that happened in a search: what was done with a node, and why."""

    layer: int
    path: bytes
    what: str


class MergedDir:
    """A directory of the overlay: its parts, the uppermost first.

    `marked` says that it has a mark `x` in one of its parts that counts. `single` is that of several parts, or the root.
    """

    __slots__ = ("is_root", "lowers", "marked", "upper")

    def __init__(self, upper: Dir | None, lowers: Sequence[tuple[int, Dir]], *, marked: bool = False, is_root: bool = False):
        self.upper, self.lowers, self.marked, self.is_root = upper, lowers, marked, is_root

    @property
    def parts(self) -> list[tuple[int, Dir]]:
        """All parts with their layers, the uppermost first."""
        return [*([(0, self.upper)] if self.upper is not None else []), *self.lowers]

    @property
    def top(self) -> tuple[int, Dir]:
        """The part that the directory's own metadata comes from."""
        return (0, self.upper) if self.upper is not None else self.lowers[0]


class Found(NamedTuple):
    """What a name stands for: the node whose metadata it has, the directory that it is, and where its content is.

    `content` is another one than `hit` for a file whose content is in a lower layer, None where it is in the data layers
    at `data_path`. `lower` is what the first of the lower layers has for a file of the upper one whose content is not there.
    """

    hit: Hit
    merged: MergedDir | None
    content: Hit | None
    data_path: bytes
    lower: Hit | None = None


class _Search:
    __slots__ = ("absolute", "ended", "is_dir", "marked", "owed", "path", "redirected", "steps")

    def __init__(self, name: bytes, steps: list[Step] | None) -> None:
        self.path = name
        self.ended = self.is_dir = self.owed = self.redirected = self.absolute = self.marked = False
        self.steps = steps

    def note(self, layer: int, path: bytes, what: str) -> None:
        if self.steps is not None:
            self.steps.append(Step(layer, path, what))


class Stack:
    """The layers of one mount; `roots` are those of the merged lower layers, `data` of the data-only ones."""

    def __init__(self, upper: Dir | None, roots: Sequence[Dir], data: Sequence[Dir], how: Effective, marks: Markers) -> None:
        self.roots, self.data, self.how, self.marks = roots, data, how, marks
        self.hits: list[Hit] = []  # what the latest search found in lower layers, also when it failed
        self.flagged = [False] * (len(roots) + 1)  # layers in which a directory with the mark x was met
        for layer, root in enumerate(roots[:-1], 1):
            if marks.opaque(root) == b"x":
                self.flagged[layer] = True
        self.root = MergedDir(upper, list(enumerate(roots, 1)), marked=any(self.flagged), is_root=True)

    def find(self, parent: MergedDir, name: bytes, steps: list[Step] | None = None) -> Found | None:
        """Return what `name` in `parent` stands for, None where it does not exist; `steps` is told what was met.

        Raises OverlayError with EPERM, EINVAL, EACCES or EIO, as Linux does.
        """
        if len(name) > 255:
            raise OverlayError("the name is too long", errno.ENAMETOOLONG)
        search = _Search(name, steps)
        deep = self.how.follow or bool(self.data)
        upper: Node | None = None
        self.hits = []
        is_copy = False
        candidates = parent.lowers
        if parent.upper is not None:
            upper = self._probe(search, 0, parent.upper, bottom=not candidates and not deep)
            is_copy = upper is not None and search.owed
            if search.path.startswith(b"/"):
                candidates = self.root.lowers
        hits = self.hits = list[Hit]()
        own, at = candidates is parent.lowers, 0
        while at < len(candidates):
            if search.ended:
                break
            layer, directory = candidates[at]
            at += 1
            self._gate(search)
            bottom = layer == len(self.roots) if deep else at == len(candidates)
            if self.data and not search.is_dir:
                bottom = False
            node = self._probe(search, layer, directory, bottom=bottom)
            if node is not None and not (search.owed and hits):
                hits.append(Hit(layer, node))
            if own and search.path.startswith(b"/"):
                own, candidates, at = False, self.root.lowers, layer
        return self._result(search, upper, is_copy, hits)

    def _gate(self, search: _Search) -> None:
        if search.owed and not self.how.metacopy:
            raise OverlayError("a file whose content is in a lower layer, which needs metacopy=on", errno.EPERM)
        if search.redirected and not self.how.follow:
            raise OverlayError("a redirect, which this mount does not follow", errno.EPERM)

    def _result(self, search: _Search, upper: Node | None, is_copy: bool, hits: list[Hit]) -> Found | None:
        in_data = search.owed and bool(hits) and bool(self.data) and search.absolute
        if not in_data:
            self._gate(search)
            if search.owed or (is_copy and not hits):
                raise OverlayError("a file whose content is nowhere in the layers below", errno.EIO)
        if upper is None and not hits:
            return None
        first = Hit(0, upper) if upper is not None else hits[0]
        if not isinstance(first.node, Dir):
            lower = hits[0] if upper is not None and hits else None
            if in_data:
                return Found(first, None, None, search.path, lower)
            return Found(first, None, hits[-1] if hits else first, b"", lower)
        lowers = [(hit.layer, hit.node) for hit in hits if isinstance(hit.node, Dir)]
        merged = MergedDir(upper if isinstance(upper, Dir) else None, lowers, marked=search.marked)
        return Found(first, merged, None, b"")

    def _probe(self, search: _Search, layer: int, directory: Dir, *, bottom: bool) -> Node | None:
        """Look for the search path in one layer; return what is there, and set what the layers below are asked for."""
        path = search.path
        is_absolute = path.startswith(b"/")
        names = path[1:].split(b"/") if is_absolute else [path]
        before = b"/" if is_absolute else b""  # of the path that the layers below get: what stands before this component
        current = self.roots[layer - 1] if is_absolute else directory
        for number, name in enumerate(names):
            last = number == len(names) - 1
            if name in (b".", b".."):
                raise OverlayError(f"a redirect through `{name.decode()}`", errno.EACCES)
            node = current.children.get(name)
            if node is None:
                return None
            found = self._look(search, layer, path, node, last=last, bottom=bottom)
            if not found:
                return None
            rest = names[number + 1 :]
            if not bottom and (not isinstance(node, Dir) or self.marks.opaque(node) != b"y"):
                target = self._redirect(search, node)
                if target is not None:
                    search.redirected = True
                    search.absolute = target.startswith(b"/")
                    if search.absolute:
                        search.ended = False
                    prefix = b"" if search.absolute else before
                    search.path = b"/".join([prefix + target, *rest])
                    search.note(layer, path, f"redirects to {search.path.decode('utf-8', 'backslashreplace')}")
                    before = prefix + target
                else:
                    search.absolute = False
                    before += name
            else:
                before += name
            if last:
                return node
            before += b"/"
            assert isinstance(node, Dir)
            current = node
        raise AssertionError("a path has at least one component")

    def _look(self, search: _Search, layer: int, path: bytes, node: Node, *, last: bool, bottom: bool) -> bool:
        """Say whether the walk goes on with this node; set `ended` and what else follows from it."""
        marks = self.marks
        if marks.says_nothing(node) and not search.owed and not search.is_dir:  # the usual case, in short
            if isinstance(node, Dir):
                search.is_dir = last
                return True
            search.ended = True
            return last
        if marks.is_whiteout(node):
            return self._end(search, layer, path, "whiteout")
        if search.owed and last and not isinstance(node, File):
            return self._end(search, layer, path, "no regular file, where content is looked for")
        if not isinstance(node, Dir):
            if search.is_dir or not last:
                return self._end(search, layer, path, "no directory")
            mark = marks.metacopy(node)
            if mark is None:
                search.ended, search.owed = True, False
            else:
                if 0 < len(mark) < 4:
                    raise OverlayError("a metacopy attribute that is too short", errno.EIO)
                search.owed = True
            return True
        if not bottom:
            opaque = marks.opaque(node)
            if opaque == b"y":
                search.ended = True
                search.note(layer, path, "opaque: nothing below it is merged")
            elif opaque == b"x" and last and layer:
                self.flagged[layer] = search.marked = True
        if last:
            search.is_dir = True
        return True

    @staticmethod
    def _end(search: _Search, layer: int, path: bytes, what: str) -> bool:
        search.ended = True
        search.note(layer, path, what)
        return False

    def _redirect(self, search: _Search, node: Node) -> bytes | None:
        target = self.marks.redirect(node)
        if target is None or not (isinstance(node, Dir) or search.owed):
            return None
        wrong = not target or (b"/" in target and not target.startswith(b"/")) or b"" in target.split(b"/")[1:]
        if wrong:
            raise OverlayError("a redirect that is no name and no absolute path", errno.EINVAL)
        return target
