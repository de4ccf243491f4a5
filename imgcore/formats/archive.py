"""What the readers of tar and cpio share: a tree made of members as they come.

A `TreeBuilder` does to a tree what extraction does to a directory: a later member takes an earlier one's place, a
directory that comes again only gets new metadata, missing directories are made (0755, root, the time of the member that
first needed them). Nothing is ever "outside": an absolute name or one with `..` is refused, and so is a member below
something that is not a directory.
"""

from __future__ import annotations

from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt, ImgcoreError, LimitExceeded, show
from imgcore.formats.base import Finding
from imgcore.limits import Limits
from imgcore.model import Dir, Meta, Node, Tree

__all__ = ["Deferred", "TreeBuilder", "Window", "finding_of", "member_path"]

_WINDOW: Final = 64 << 10
_ENTRY_COST: Final = 256  # bytes that a name and its node take at least


class Window:
    """Reads of a few bytes at rising positions of a blob, served from one larger read."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self.size = blob.size
        self._at = 0
        self._data = b""

    def read(self, at: int, size: int) -> bytes:
        """Return the bytes from `at`, at most `size`, fewer only at the end."""
        begin = at - self._at
        if begin >= 0 and begin + size <= len(self._data):
            return self._data[begin : begin + size]
        if size > _WINDOW:
            return self.blob.read_at(at, size)
        self._at, self._data = at, self.blob.read_at(at, _WINDOW)
        return self._data[:size]


def member_path(name: bytes, offset: int, structure: str) -> list[bytes]:
    """Return the components of a member's name, none for the root. Raises Corrupt for a name that leads elsewhere."""
    parts = [part for part in name.split(b"/") if part and part != b"."]
    problem = None
    if not name:
        problem = "empty name"
    elif name.startswith(b"/"):
        problem = "absolute name"
    elif b".." in parts:
        problem = "`..` in a name"
    elif b"\0" in name:
        problem = "NUL byte in a name"
    if problem is not None:
        raise Corrupt(f"{problem} in an archive", offset=offset, structure=structure, field="name", path=name)
    return parts


class Deferred:
    """A name whose node is known later: set `node` before the tree is finished."""

    __slots__ = ("node",)

    def __init__(self) -> None:
        self.node: Node | None = None


class _Link(Deferred):
    """A hard link before its target."""

    __slots__ = ("offset", "path", "target")

    def __init__(self, path: list[bytes], target: list[bytes], offset: int) -> None:
        super().__init__()
        self.path, self.target, self.offset = path, target, offset


class _Folder:
    """A directory that is being filled."""

    __slots__ = ("children", "meta")

    def __init__(self, meta: Meta) -> None:
        self.meta = meta
        self.children: dict[bytes, Node | _Folder | Deferred] = {}


def _text(parts: list[bytes]) -> bytes:
    return b"/" + b"/".join(parts)


class TreeBuilder:
    """Takes members in the archive's order and gives their tree; every method raises Corrupt and LimitExceeded."""

    def __init__(self, limits: Limits, structure: str) -> None:
        self._limits = limits
        self._structure = structure
        self._root = _Folder(Meta(0o755))
        self._root_known = False
        self._entries = 1
        self._held = 0
        self._deferred: list[tuple[_Folder, bytes, Deferred]] = []
        self._last: tuple[list[bytes], _Folder] = ([], self._root)

    def charge(self, size: int) -> None:
        """Count bytes of metadata that are kept."""
        self._held += size
        if self._held > self._limits.max_metadata:
            self._limits.require("max_metadata", self._held)

    def _count(self, parts: list[bytes], offset: int) -> None:
        self._entries += 1
        self.charge(_ENTRY_COST)
        limits = self._limits
        if self._entries > limits.max_entries or len(parts) > limits.max_depth:
            try:
                limits.require("max_entries", self._entries)
                limits.require("max_depth", len(parts))
            except LimitExceeded as error:
                error.offset = offset
                raise

    def _refuse(
        self, message: str, parts: list[bytes], offset: int, *, found: str | None = None, hint: str | None = None
    ) -> Corrupt:
        return Corrupt(message, path=_text(parts), offset=offset, structure=self._structure, found=found, hint=hint)

    def _parent(self, parts: list[bytes], offset: int, mtime_ns: int) -> _Folder:
        """Return the directory that holds `parts`, made where it is missing."""
        above = parts[:-1]
        if above == self._last[0]:
            return self._last[1]
        if len(parts) > self._limits.max_depth:
            self._count(parts, offset)
        folder = self._root
        for depth, name in enumerate(above):
            found = folder.children.get(name)
            if found is None:
                self._count(parts[: depth + 1], offset)
                found = folder.children[name] = _Folder(Meta(0o755, mtime_ns=mtime_ns))
            elif not isinstance(found, _Folder):
                raise self._refuse(
                    "member below something that is not a directory",
                    parts,
                    offset,
                    found=show(_text(above[: depth + 1])),
                    hint="an archive of this kind writes through a link or file that it holds itself",
                )
            folder = found
        self._last = (above, folder)
        return folder

    def _known_root(self, mtime_ns: int) -> None:
        if not self._root_known:
            self._root_known = True
            self._root.meta = Meta(0o755, mtime_ns=mtime_ns)

    def add(self, parts: list[bytes], node: Node | Deferred, offset: int, mtime_ns: int = 0) -> None:
        """Put a node that is not a directory at a path; `mtime_ns` is for directories that are missing above it."""
        if not parts:
            raise self._refuse("root is not a directory", parts, offset)
        self._count(parts, offset)
        self._known_root(mtime_ns)
        folder = self._parent(parts, offset, mtime_ns)
        old = folder.children.get(parts[-1])
        if isinstance(old, _Folder):
            if old.children:
                raise self._refuse("member in the place of a directory that is not empty", parts, offset)
            self._last = ([], self._root)  # it may have been the one that went
        folder.children[parts[-1]] = node
        if isinstance(node, Deferred):
            self._deferred.append((folder, parts[-1], node))

    def add_dir(self, parts: list[bytes], meta: Meta, offset: int) -> None:
        """Make a directory, or give one that is there its metadata."""
        self._count(parts, offset)
        self._known_root(meta.mtime_ns)
        if not parts:
            self._root.meta = meta
            return
        folder = self._parent(parts, offset, meta.mtime_ns)
        old = folder.children.get(parts[-1])
        if isinstance(old, _Folder):
            old.meta = meta
        else:
            folder.children[parts[-1]] = _Folder(meta)

    def link(self, parts: list[bytes], target: list[bytes], offset: int, mtime_ns: int) -> None:
        """Give the node at `target`, now or later, another name."""
        found = self._find(target)
        if isinstance(found, _Folder):
            raise self._refuse("hard link to a directory", parts, offset, found=show(_text(target)))
        if parts == target and found is not None:
            return
        self.charge(len(target) * 64)
        self.add(parts, _Link(parts, target, offset) if found is None else found, offset, mtime_ns)

    def _find(self, parts: list[bytes]) -> Node | _Folder | Deferred | None:
        node: Node | _Folder | Deferred | None = self._root
        for name in parts:
            if not isinstance(node, _Folder):
                return None
            node = node.children.get(name)
        return node

    def _resolve(self, first: _Link) -> Node:
        """Return the node of a link, of a link to a link, and so on."""
        chain: list[_Link] = []
        seen: set[int] = set()
        found: Node | _Folder | Deferred | None = first
        while isinstance(found, Deferred) and found.node is None:
            if not isinstance(found, _Link) or id(found) in seen:
                found = None
                break
            seen.add(id(found))
            chain.append(found)
            found = self._find(found.target)
        node = found.node if isinstance(found, Deferred) else found
        if node is None or isinstance(node, _Folder):
            what = "hard link to nothing" if node is None else "hard link to a directory"
            raise self._refuse(what, first.path, first.offset, found=show(_text(first.target)))
        for link in chain:
            link.node = node
        return node

    def finish(self, time_step_ns: int) -> Tree:
        """Return the tree; the builder cannot be used any more."""
        for folder, name, deferred in self._deferred:
            if folder.children.get(name) is deferred and deferred.node is None and isinstance(deferred, _Link):
                self._resolve(deferred)
        for folder, name, deferred in self._deferred:
            if folder.children.get(name) is deferred:
                assert deferred.node is not None, "a node that was promised did not come"
                folder.children[name] = deferred.node
        root = Dir(self._root.meta, self._root.children)  # type: ignore[arg-type]  # filled with nodes below
        todo = [self._root]
        while todo:
            children = todo.pop().children
            for name, child in children.items():
                if isinstance(child, _Folder):
                    todo.append(child)
                    children[name] = Dir(child.meta, child.children)  # type: ignore[arg-type]
        return Tree(root, self._limits, time_step_ns=time_step_ns)


def finding_of(error: ImgcoreError, rule: str) -> Finding:
    """Return the finding that says what `error` says; what follows it in the archive cannot be read."""
    path = error.path if isinstance(error.path, bytes) or error.path is None else error.path.encode()
    found, allowed = (None if value is None else str(value) for value in (error.found, error.allowed))
    return Finding(rule, "error", error.message, True, path, error.offset, error.structure, error.field, found, allowed)
