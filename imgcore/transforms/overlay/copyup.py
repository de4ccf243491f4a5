"""The upper layer while it is being changed: nodes that may be altered in place, and how things get up there.

`Upper` holds a copy of the upper layer. The nodes of that copy belong to it alone and are altered in place, so that all names
of a hard link see a change, and so that the lookup of `lookup.Stack`, which holds the root, always sees what is there now.

Copying something up makes the directories above it first, each without its content. A copy has the metadata and the
attributes of the original but the mount's own, a mark `origin` unless other names of the original stay behind in the lower
layer, and its parent a mark `impure` (Linux, `copy_up.c`).
"""

from __future__ import annotations

import dataclasses
import errno
import stat
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imgcore.blob import Blob, ZeroBlob
from imgcore.errors import OverlayError
from imgcore.model import Device, Dir, File, Meta, Node, Tree
from imgcore.transforms.overlay import acl
from imgcore.transforms.overlay.lookup import Found, MergedDir
from imgcore.transforms.overlay.merged import Merged
from imgcore.transforms.overlay.spliced import over, resized

__all__ = ["Spot", "Upper", "fail"]


class Spot(NamedTuple):
    """A name in a merged directory, and what it stands for: None where it does not exist.

    `above` are the names of the directories on the way with what they are, the root left out.
    """

    above: Sequence[tuple[bytes, MergedDir]]
    parent: MergedDir
    name: bytes
    found: Found | None

    @property
    def parts(self) -> list[bytes]:
        """The names of its path."""
        return [*(name for name, _ in self.above), self.name]

    @property
    def is_no_directory(self) -> bool:
        """Whether nothing is there, or something else than a directory."""
        return self.found is None or self.found.merged is None


def fail(code: int, why: str, path: bytes | None = None) -> OverlayError:
    """Return the error for an errno."""
    return OverlayError(why, code, path=path)


class Upper:
    """The upper layer of `merged`, to be changed; `root` is its root."""

    def __init__(self, root: Dir, prefix: bytes) -> None:
        self.root = root
        self.prefix = prefix
        self.origin, self.impure = prefix + b"origin", prefix + b"impure"
        self.opaque, self.redirect, self.metacopy = prefix + b"opaque", prefix + b"redirect", prefix + b"metacopy"
        self.merged: Merged | None = None
        self._links: dict[int, dict[int, int]] = {}
        self._whiteout: Device | None = None
        self._cold: set[tuple[int, bytes]] = set()  # names, by the identity of their directory's children; see `came_up`

    @staticmethod
    def copy_of(tree: Tree) -> Dir:
        """Return the root of a copy of `tree`, whose nodes may be altered; hard links stay links."""
        copies: dict[int, Node] = {}
        root = Dir(tree.root.meta, {}, tree.root.opaque)
        todo = [(tree.root, root)]
        while todo:
            source, target = todo.pop()
            for name, node in source.children.items():
                if isinstance(node, Dir):
                    made: Node = Dir(node.meta, {}, node.opaque)
                    assert isinstance(made, Dir)
                    todo.append((node, made))
                else:
                    made = copies.setdefault(id(node), dataclasses.replace(node))
                names_of(target)[name] = made
        return root

    # Changes in place

    def change(self, node: Node, **fields: object) -> None:
        """Set fields of the node's metadata."""
        object.__setattr__(node, "meta", dataclasses.replace(node.meta, **fields))  # type: ignore[arg-type]

    def set_xattr(self, node: Node, name: bytes, value: bytes) -> None:
        """Give the node an attribute."""
        self.change(node, xattrs={**node.meta.xattrs, name: value})

    def drop_xattr(self, node: Node, name: bytes) -> None:
        """Take an attribute from the node, if it has it."""
        if name in node.meta.xattrs:
            self.change(node, xattrs={key: value for key, value in node.meta.xattrs.items() if key != name})

    def set_content(self, node: File, content: Blob) -> None:
        """Give the file another content."""
        object.__setattr__(node, "content", content)

    def put(self, parent: Dir, name: bytes, node: Node, now_ns: int) -> None:
        """Put a node into an upper directory, whose time changes; what had the name is gone."""
        children = names_of(parent)
        self._cold.discard((id(children), name))
        children.pop(name, None)
        children[name] = node
        self.change(parent, mtime_ns=now_ns)

    def remove(self, parent: Dir, name: bytes, now_ns: int) -> None:
        """Take a name out of an upper directory, whose time changes."""
        children = names_of(parent)
        self._cold.discard((id(children), name))
        del children[name]
        self.change(parent, mtime_ns=now_ns)

    def whiteout(self, now_ns: int) -> Device:
        """Return the device 0:0 that hides a name: one node for all of them, as Linux makes hard links of one."""
        if self._whiteout is None:
            self._whiteout = Device(Meta(0, 0, 0, now_ns), "char", 0, 0)
        return self._whiteout

    # Copying up

    def links(self, found: Found) -> int:
        """Return how many names the layer of what was found has for it."""
        assert self.merged is not None
        layer = found.hit.layer
        if layer not in self._links:
            tree = self.merged.lowers[layer - 1].tree
            self._links[layer] = {key: len(paths) for key, paths in tree.links().items()}
        return self._links[layer].get(id(found.hit.node), 1)

    def copied_xattrs(self, xattrs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the attributes that a copy has: all but the mount's own; escaped ones are the user's."""
        escaped = self.prefix + b"overlay."
        return {name: value for name, value in xattrs.items() if not name.startswith(self.prefix) or name.startswith(escaped)}

    def parent(self, spot: Spot) -> Dir:
        """Return the upper part of the directory that the name is in, copied up with all above it."""
        here = self.root
        for name, directory in spot.above:
            here = self.directory(here, name, directory)
        return here

    def directory(self, parent: Dir, name: bytes, directory: MergedDir) -> Dir:
        """Return the upper part of a directory, copied up into `parent` where there is none yet."""
        if directory.upper is None:
            meta = directory.top[1].meta
            xattrs = {**self.copied_xattrs(meta.xattrs), self.origin: b""}
            made = Dir(dataclasses.replace(meta, xattrs=xattrs), {})
            self._add(parent, name, made)
            directory.upper = made
        return directory.upper

    def node(self, spot: Spot, *, data: bool = True, now_ns: int = 0) -> Node:
        """Return the node of the upper layer for a name that exists, copied up where it is not there yet.

        Without `data`, only the metadata of a regular file is copied where the mount has metacopy=on. Content that comes up
        later is written into the file, at the time `now_ns`.
        """
        found, merged = spot.found, self.merged
        assert found is not None
        assert merged is not None
        node = found.hit.node
        if found.merged is None and found.hit.layer != 0 and isinstance(node, File):
            merged.content(found)  # where there is none, nothing at all is copied up
        parent = self.parent(spot)
        if found.merged is not None:
            return self.directory(parent, spot.name, found.merged)
        if found.hit.layer == 0:
            if data and isinstance(node, File) and self.metacopy in node.meta.xattrs:
                content = merged.content(found)[0]
                if found.lower is not None and isinstance(found.lower.node, File):
                    size = found.lower.node.content.size  # as many bytes as the lower file has come up, whatever is here
                else:
                    size = node.content.size
                written = min(content.size, size)
                self.set_content(node, over(resized(content, size), node.content))
                self.drop_xattr(node, self.metacopy)
                if written:
                    self.change(node, mtime_ns=now_ns)
            return node
        xattrs = self.copied_xattrs(node.meta.xattrs)
        if self.links(found) == 1:
            xattrs[self.origin] = b""
        if not isinstance(node, File):
            made: Node = dataclasses.replace(node)
        elif merged.how.metacopy and not data:
            made = File(node.meta, ZeroBlob(node.content.size))
            xattrs[self.metacopy] = b""
        else:
            made = File(node.meta, resized(merged.content(found)[0], node.content.size))  # its size is what `stat` says
        self.change(made, xattrs=xattrs)
        self._add(parent, spot.name, made)
        return made

    def _add(self, parent: Dir, name: bytes, node: Node) -> None:
        """Add a copy; the times of its directory stay."""
        names_of(parent)[name] = node
        self.set_impure(parent)

    def set_impure(self, directory: Dir) -> None:
        """Mark an upper directory: something in it was copied up."""
        self.set_xattr(directory, self.impure, b"y")

    def looked_up(self, parent: MergedDir, directory: MergedDir) -> None:
        """Mark a directory of the upper layer that merges with lower ones as a copy of them, as looking it up does."""
        upper = directory.upper
        if upper is not None and directory.lowers and self.origin not in upper.meta.xattrs:
            self.set_xattr(upper, self.origin, b"")
            assert parent.upper is not None
            self.set_impure(parent.upper)

    def listed(self, directory: MergedDir) -> None:
        """Take the mark `impure` from a directory of this layer alone if nothing in it has a lower part any more."""
        upper = directory.upper
        assert upper is not None
        assert self.merged is not None
        if self.impure not in upper.meta.xattrs:
            return
        for name, node in upper.children.items():
            try:
                found = self.merged.find(directory, name)
            except OverlayError:
                continue
            if found is not None and self.came_up(Spot((), directory, name, found), node):
                return
        self.drop_xattr(upper, self.impure)

    def linked(self, parent: Dir, name: bytes, node: Node) -> None:
        """Note that a name was made by a link."""
        if self.prefix.startswith(b"user.") and not isinstance(node, File):
            self._cold.add((id(parent.children), name))

    def is_cold(self, parent: Dir, name: bytes) -> bool:
        """Whether a name was made by a link to what cannot be marked; see `came_up`."""
        return (id(parent.children), name) in self._cold

    def came_up(self, spot: Spot, node: Node) -> bool:
        """Whether what has a name in the upper layer is a copy of something lower, which makes its directory impure.

        With `userxattr` only files and directories can be marked as copies; Linux remembers it of others by their names, and
        names that links make are not among them.
        """
        if isinstance(node, Dir):
            return spot.found is not None and spot.found.merged is not None and bool(spot.found.merged.lowers)
        parent, found = spot.parent.upper, spot.found
        if found is not None and found.lower is not None and self.metacopy in node.meta.xattrs:
            return self.links(found._replace(hit=found.lower)) == 1  # the copy of one of several names is no copy
        return self.origin in node.meta.xattrs and not (parent is not None and self.is_cold(parent, spot.name))

    # What is said of names

    def has_whiteout(self, spot: Spot) -> bool:
        """Whether the upper layer itself hides the name."""
        upper = spot.parent.upper
        node = None if upper is None else upper.children.get(spot.name)
        assert self.merged is not None
        return node is not None and self.merged.marks.is_whiteout(node)

    def made_whiteout(self, directory: Dir, now_ns: int) -> Device:
        """Return a whiteout of its own, as a rename leaves it in a directory."""
        gid = directory.meta.gid if directory.meta.mode & stat.S_ISGID else 0
        mode, lists = acl.inherited(directory.meta.xattrs, 0, is_dir=False)
        return Device(Meta(mode, 0, gid, now_ns, lists), "char", 0, 0)

    def is_below(self, spot: Spot) -> bool:
        """Whether a name that exists has to be hidden when it goes: a lower part of its directory has it."""
        assert spot.found is not None
        assert self.merged is not None
        if spot.found.hit.layer != 0:
            return True
        for _, part in spot.parent.lowers:
            node = part.children.get(spot.name)
            if node is not None:
                return not self.merged.marks.is_whiteout(node)
        return False

    def require_empty(self, directory: MergedDir, *, plain: bool, path: bytes | None = None) -> None:
        """Raise ENOTEMPTY unless all names of a directory are whiteouts; a `plain` upper one may not have any."""
        assert self.merged is not None
        first: dict[bytes, Node] = {}
        for _, part in directory.parts:
            for name, node in part.children.items():
                first.setdefault(name, node)
        for node in first.values():
            hides = isinstance(node, Device) and self.merged.marks.is_whiteout(node)
            if plain or not hides:
                raise fail(errno.ENOTEMPTY, "the directory is not empty", path)


def names_of(directory: Dir) -> dict[bytes, Node]:
    """Return what an upper directory holds, to be changed."""
    children = directory.children
    assert isinstance(children, dict)
    return children
