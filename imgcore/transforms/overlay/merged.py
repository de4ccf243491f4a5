"""The merged view of an overlay: names in the kernel's order, nodes as they are seen, and the tree that they make.

A directory of which only one layer has a part is listed as it lies there, whiteouts included: names that are listed and
cannot be looked up (*ghosts*). A directory of several parts is listed from the lowest part's own order, with what the
others add behind it, the uppermost first; whiteouts are left out (Linux, `ovl_dir_read_merged`, `ovl_dir_is_real`).

Nothing is computed before it is asked for, and what lies in one layer without any mark is taken over as it is.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from imgcore.blob import EMPTY, Blob, Segment
from imgcore.errors import OverlayError
from imgcore.limits import Limits
from imgcore.model import Dir, File, Node, PathLike, Symlink, Table, Tree, normalize, split
from imgcore.transforms.overlay.layers import Layer, Markers
from imgcore.transforms.overlay.lookup import Found, Hit, MergedDir, Stack, Step
from imgcore.transforms.overlay.options import Effective

__all__ = ["Merged", "Seen", "Unopenable"]


class Seen(NamedTuple):
    """What a path of the merged tree is.

    `node` is as it is seen; for a directory its children are the merged ones. `layer` names where its metadata is from,
    `content_layer` where its content is: None for a file whose content cannot be found. `nlink` is the number of names
    that its layer has for it; 1 for a directory of several parts. `size` is what `stat` says of a regular file, which need
    not be the size of its content when that is in another layer.
    """

    node: Node
    layer: str
    content_layer: str | None
    nlink: int
    size: int


class Merged:
    """The view through an overlay mount. Made by `merge`; may be used by one thread at a time.

    `layers` are the upper layer, if there is one, and the lower ones, from the top; `data` are the data-only ones.
    """

    def __init__(self, upper: Layer | None, lowers: Sequence[Layer], data: Sequence[Layer], how: Effective, limits: Limits):
        self.upper, self.lowers, self.data = upper, tuple(lowers), tuple(data)
        self.how = how
        self._limits = limits
        self._marks = Markers(how.prefix)
        roots = [layer.tree.root for layer in lowers]
        top = None if upper is None else upper.tree.root
        self._stack = Stack(top, roots, [layer.tree.root for layer in data], how, self._marks)
        self._clean = [upper is not None and _is_clean(upper, how.prefix), *(_is_clean(layer, how.prefix) for layer in lowers)]
        self._made: dict[tuple[int, int], tuple[Node, Node]] = {}  # holds the first, whose id is in the key
        self._links: dict[int, dict[int, int]] = {}

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers that are merged, the uppermost first."""
        return self.lowers if self.upper is None else (self.upper, *self.lowers)

    def layer_name(self, number: int) -> str:
        """Return the name of a layer: 0 is the upper one, then the lower ones from the top."""
        if number == 0:
            return "" if self.upper is None else self.upper.name
        return self.lowers[number - 1].name

    @property
    def tree(self) -> Tree:
        """The merged tree: every name that can be looked up. What cannot is in `problems`."""
        step = max((layer.tree.time_step_ns for layer in (*self.layers, *self.data)), default=1)
        return Tree(self._directory(self._stack.root), self._limits, time_step_ns=step)

    def lookup(self, path: PathLike) -> Seen:
        """Return what is at `path`; symbolic links are not followed.

        Raises OverlayError with Linux's errno: ENOENT, ENOTDIR, and what marks give (EPERM, EIO, EINVAL, EACCES).
        """
        found, _ = self._find(normalize(path))
        if found.merged is not None:
            parts = found.merged.parts
            nlink = 1 if len(parts) > 1 else _dir_links(parts[0][1])
            return Seen(
                self._directory(found.merged), self.layer_name(found.hit.layer), self.layer_name(found.hit.layer), nlink, 0
            )
        try:
            where: str | None = self.content(found)[1]
        except OverlayError:
            where = None
        size = found.hit.node.content.size if isinstance(found.hit.node, File) else 0
        return Seen(self._leaf(found), self.layer_name(found.hit.layer), where, self._nlink(found.hit), size)

    def listdir(self, path: PathLike) -> list[bytes]:
        """Return the names that reading the directory gives, in Linux's order, with those that cannot be looked up.

        The order is exact where the layers' own order is: that of an image, or of a scan in Python. Raises as `lookup`.
        """
        found, full = self._find(normalize(path))
        if found.merged is None:
            raise OverlayError("not a directory", errno.ENOTDIR, path=full)
        try:
            return list(self.names(found.merged, strict=True))
        except OverlayError as error:
            error.path = full
            raise

    # What `explain` and `problems` work with

    @property
    def root(self) -> MergedDir:
        """The merged root."""
        return self._stack.root

    @property
    def hits(self) -> Sequence[Hit]:
        """What the latest search for a name found in lower layers, also when it failed."""
        return self._stack.hits

    @property
    def marks(self) -> Markers:
        """What reads the marks of this mount."""
        return self._marks

    @property
    def data_roots(self) -> Sequence[Dir]:
        """The roots of the data-only layers."""
        return self._stack.data

    def find(self, parent: MergedDir, name: bytes, steps: list[Step] | None = None) -> Found | None:
        """Return what a name in a merged directory stands for; see `Stack.find`."""
        return self._stack.find(parent, name, steps)

    def names(self, directory: MergedDir, *, strict: bool = False) -> Sequence[bytes]:
        """Return the names of a directory as reading it gives them; `strict` raises what Linux would raise meanwhile."""
        parts = directory.parts
        if not self.is_merged(directory):
            return list(parts[0][1].children)
        order: dict[bytes, tuple[int, Node]] = {}
        for layer, part in parts:
            for name, node in part.children.items():
                order.setdefault(name, (layer, node))
        lowest = parts[-1][1].children
        names = [*lowest, *(name for name in order if name not in lowest)] if len(parts) > 1 else list(lowest)
        listed: list[bytes] = []
        told = 2  # entries that the current call of getdents has given: `.` and `..` come first
        for name in names:
            try:
                if self._is_listed(directory, name, *order[name]):
                    listed.append(name)
                    told += 1
            except OverlayError:
                # Linux drops the name and ends the call; only a call that gave nothing yet tells of the error.
                if not told and strict:
                    raise
                told = 0
        return listed

    def is_merged(self, directory: MergedDir) -> bool:
        """Whether Linux reads a directory as one of several parts, and hides whiteouts in it."""
        return (
            directory.is_root
            or len(directory.lowers) + (directory.upper is not None) > 1
            or self._marks.has_origin(directory.top[1])
        )

    def _is_listed(self, directory: MergedDir, name: bytes, layer: int, node: Node) -> bool:
        marks = self._marks
        if marks.says_nothing(node):
            return True
        if not isinstance(node, File):
            return not marks.is_whiteout(node)
        return not (directory.marked and self._stack.flagged[layer]) or self._stack.find(directory, name) is not None

    # Nodes

    def _find(self, path: bytes) -> tuple[Found, bytes]:
        found = Found(Hit(*self._stack.root.top), self._stack.root, None, b"")
        for name in split(path):
            if found.merged is None:
                raise OverlayError("not a directory", errno.ENOTDIR, path=path)
            try:
                below = self._stack.find(found.merged, name)
            except OverlayError as error:
                error.path = path
                raise
            if below is None:
                raise OverlayError("no such path", errno.ENOENT, path=path)
            found = below
        return found, path

    def node_of(self, found: Found) -> Node:
        """Return what was found, as it is seen."""
        return self._leaf(found) if found.merged is None else self._directory(found.merged)

    def _directory(self, directory: MergedDir) -> Dir:
        layer, top = directory.top
        if len(directory.lowers) + (directory.upper is not None) == 1 and self._clean[layer] and not directory.is_root:
            return top
        return Dir(self._marks.shown_meta(top.meta), _Children(self, directory))

    def _leaf(self, found: Found) -> Node:
        node, place = found.hit.node, found.content
        if place is not None and place.node is node:
            return self._marks.shown(node)
        key = id(node), 0 if place is None else id(place.node)
        known = self._made.get(key)
        if known is None:
            assert isinstance(node, File)
            try:
                content: Blob = self.content(found)[0]
            except OverlayError as error:
                content = Unopenable(node.content.size, error)
            known = self._made[key] = node, File(self._marks.shown_meta(node.meta), content)
        return known[1]

    def content(self, found: Found) -> tuple[Blob, str]:
        """Return the content of a file and the layer that has it. Raises OverlayError with what opening it fails with."""
        if found.content is not None:
            node = found.content.node
            return node.content if isinstance(node, File) else EMPTY, self.layer_name(found.content.layer)
        failure = OverlayError("a file whose content is in no data layer", errno.ENOENT)
        for layer in self.data:
            try:
                return _at(layer.tree.root, found.data_path), layer.name
            except OverlayError as error:
                failure = error
        raise failure

    def _nlink(self, hit: Hit) -> int:
        """Return how many names a layer has for a node."""
        counts = self._links.get(hit.layer)
        if counts is None:
            layer = self.upper if hit.layer == 0 else self.lowers[hit.layer - 1]
            assert layer is not None
            counts = {key: len(paths) for key, paths in layer.tree.links().items()}
            self._links[hit.layer] = counts
        return counts.get(id(hit.node), 1)


def _at(root: Dir, path: bytes) -> Blob:
    """Return the regular file at a path of a data layer. Raises OverlayError with what Linux says where there is none."""
    *above, last = [name for name in path[1:].split(b"/") if name != b"."] or [b""]
    directory = root
    way: list[Dir] = []
    for name in above:
        if name == b"..":  # a plain lookup below the layer's root, unlike that of redirects
            if not way:
                raise OverlayError("content outside of a data layer", errno.EXDEV)
            directory = way.pop()
            continue
        way.append(directory)
        node = directory.children.get(name)
        if isinstance(node, Symlink):
            raise OverlayError("a symbolic link on the way to content in a data layer", errno.ELOOP)
        if node is not None and not isinstance(node, Dir):
            raise OverlayError("no directory on the way to content in a data layer", errno.ENOTDIR)
        if node is None:
            raise OverlayError("no way to content in a data layer", errno.ENOENT)
        directory = node
    found = directory.children.get(last)
    if not isinstance(found, File):
        raise OverlayError("no regular file where content is looked for in a data layer", errno.ENOENT)
    return found.content


class Unopenable(Blob):
    """The content of a file that can be looked at and not be opened; `size` is what the file says."""

    def __init__(self, size: int, error: OverlayError) -> None:
        self._size, self._error = size, error

    @property
    def size(self) -> int:
        """What `stat` says."""
        return self._size

    def read_at(self, at: int, size: int) -> bytes:
        """Raise the OverlayError that opening the file gives."""
        raise OverlayError(self._error.message, self._error.errno)

    def segments(self) -> Iterator[Segment]:
        """Yield all of it as data."""
        if self._size:
            yield Segment(0, self._size, hole=False)


class _Children(Mapping[bytes, Node]):
    """The names of a merged directory that can be looked up, found when they are asked for."""

    __slots__ = ("_directory", "_merged", "_nodes", "_whole")

    def __init__(self, merged: Merged, directory: MergedDir) -> None:
        self._merged, self._directory = merged, directory
        self._nodes: dict[bytes, Node] = {}
        self._whole = False

    def _load(self) -> dict[bytes, Node]:
        if not self._whole:
            found: dict[bytes, Node] = {}
            for name in self._merged.names(self._directory):
                try:
                    found[name] = self._one(name)
                except KeyError:
                    continue
            self._nodes, self._whole = found, True
        return self._nodes

    def _one(self, name: bytes) -> Node:
        known = self._nodes.get(name)
        if known is not None:
            return known
        try:
            found = self._merged.find(self._directory, name)
        except OverlayError:
            raise KeyError(name) from None
        if found is None:
            raise KeyError(name)
        node = self._nodes[name] = self._merged.node_of(found)
        return node

    def __getitem__(self, name: bytes) -> Node:
        return self._load()[name] if self._whole else self._one(name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())


def _is_clean(layer: Layer, prefix: bytes) -> bool:
    """Whether a layer has no mark at all, as far as its columns say so."""
    table: Table | None = (layer.tree if layer.part_of is None else layer.part_of).table
    if table is None:
        return False
    marked = any(name.startswith(prefix) for xattrs in table.xattrs.values() for name in xattrs)
    return not marked and (0, 0) not in table.devices.values()


def _dir_links(node: Dir) -> int:
    return 2 + sum(isinstance(child, Dir) for child in node.children.values())
