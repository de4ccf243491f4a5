"""What a single node says to overlayfs: whiteouts, opaque directories, redirects, and which attributes are seen.

A whiteout is a character device 0:0 or, in a directory that allows it, an empty regular file with the attribute
`whiteout`. All attributes of a mount begin with its own prefix, `trusted.overlay.` or `user.overlay.`; the other one is
ordinary. An attribute that a layer is to show as `PREFIX X` is stored there as `PREFIX overlay.X`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree, Whiteout
from imgcore.values import value_class

__all__ = ["Layer", "Markers"]

_ESCAPED = b"overlay."


@value_class(eq=False)
class Layer:
    """A tree with a name for reports; `part_of` is the tree that it is a part of, whose columns may say more of it."""

    name: str
    tree: Tree
    part_of: Tree | None = None


class Markers:
    """Reads the marks of one mount, whose attributes begin with `prefix`."""

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self._opaque = prefix + b"opaque"
        self._redirect = prefix + b"redirect"
        self._metacopy = prefix + b"metacopy"
        self._whiteout = prefix + b"whiteout"
        self._origin = prefix + b"origin"
        self._shown: dict[int, tuple[Node, Node]] = {}

    def is_whiteout(self, node: Node) -> bool:
        """Whether a node hides its name in lower layers: a device 0:0, or an empty file that is marked."""
        kind = type(node)
        if kind is Device:
            assert isinstance(node, Device)
            return node.kind == "char" and not node.major and not node.minor
        return kind is Whiteout or self.is_marked_file(node)

    def is_marked_file(self, node: Node) -> bool:
        """Whether a node is a whiteout by its attribute."""
        return isinstance(node, File) and self._whiteout in node.meta.xattrs and not node.content.size

    def opaque(self, node: Dir) -> bytes:
        """Return b"y" or b"x" for a directory that is marked so, else b""."""
        if node.opaque:
            return b"y"
        found = node.meta.xattrs.get(self._opaque, b"")
        return found if found in (b"y", b"x") else b""

    def redirect(self, node: Node) -> bytes | None:
        """Return what a node's redirect says, None where it has none."""
        return node.meta.xattrs.get(self._redirect)

    def metacopy(self, node: Node) -> bytes | None:
        """Return the mark of a regular file whose content is in a lower layer, None where it has none."""
        return node.meta.xattrs.get(self._metacopy) if isinstance(node, File) else None

    def has_origin(self, node: Dir) -> bool:
        """Whether a directory was copied up, which makes its listing a merged one."""
        return self._origin in node.meta.xattrs

    def says_nothing(self, node: Node) -> bool:
        """Whether a node has no attributes at all and is no whiteout: what most are."""
        return not node.meta.xattrs and not (isinstance(node, Device) or type(node) is Whiteout)

    def visible(self, xattrs: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Return the attributes as they are seen through the mount: its own hidden, escaped ones one level less so."""
        if not any(name.startswith(self.prefix) for name in xattrs):
            return xattrs
        seen = {}
        for name, value in xattrs.items():
            if not name.startswith(self.prefix):
                seen[name] = value
            elif name.startswith(_ESCAPED, len(self.prefix)):
                seen[self.prefix + name[len(self.prefix) + len(_ESCAPED) :]] = value
        return seen

    def hidden(self, xattrs: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Return attributes as a layer has to have them so that `visible` gives these."""
        if not any(name.startswith(self.prefix) for name in xattrs):
            return xattrs
        size = len(self.prefix)
        return {
            (self.prefix + _ESCAPED + name[size:] if name.startswith(self.prefix) else name): value
            for name, value in xattrs.items()
        }

    def shown_meta(self, meta: Meta) -> Meta:
        """Return metadata with the attributes that are seen."""
        seen = self.visible(meta.xattrs)
        return meta if seen is meta.xattrs else dataclasses.replace(meta, xattrs=seen)

    def shown(self, node: Node) -> Node:
        """Return a node that is no directory as it is seen; the same one for the same, so that hard links stay links."""
        if not node.meta.xattrs:
            return node
        known = self._shown.get(id(node))
        if known is not None:
            return known[1]
        meta = self.shown_meta(node.meta)
        assert isinstance(node, (File, Symlink, Device, Pipe, Socket))
        seen: Node = node if meta is node.meta else dataclasses.replace(node, meta=meta)
        self._shown[id(node)] = (node, seen)
        return seen
