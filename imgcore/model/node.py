"""Nodes: what a name in a tree stands for.

A node's type is its class, not bits of a mode. Nodes are immutable and compare by identity: two names of one node are a
hard link. Metadata is a value. `Dir.children` is a mapping that a reader may fill when it is first looked at; its order
is the source's own, so whoever needs an order sorts (`Tree.walk` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from imgcore.blob import EMPTY, Blob
from imgcore.values import field, value_class

__all__ = [
    "NO_XATTRS",
    "Device",
    "Dir",
    "File",
    "Meta",
    "Node",
    "Pipe",
    "Socket",
    "Symlink",
    "TypeName",
    "Whiteout",
    "type_name",
]

NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})

TypeName: TypeAlias = Literal["dir", "file", "symlink", "char", "block", "fifo", "socket", "whiteout"]


@value_class
class Meta:
    """Metadata of one node.

    Attributes:
        mode: the twelve permission bits, 0 to 0o7777.
        uid: owner.
        gid: group.
        mtime_ns: nanoseconds since 1970-01-01 UTC; may be negative.
        xattrs: full name (`user.comment`) to value.
    """

    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS)


@value_class(eq=False)
class File:
    """A regular file."""

    meta: Meta = field(default_factory=Meta)
    content: Blob = EMPTY


@value_class(eq=False)
class Dir:
    """A directory; `opaque` says that it hides what lower layers have under its name."""

    meta: Meta = field(default_factory=lambda: Meta(mode=0o755))
    children: Mapping[bytes, Node] = field(default_factory=dict)
    opaque: bool = False


@value_class(eq=False)
class Symlink:
    """A symbolic link; `target` is any bytes."""

    meta: Meta
    target: bytes


@value_class(eq=False)
class Device:
    """A character or block device."""

    meta: Meta
    kind: Literal["char", "block"]
    major: int
    minor: int


@value_class(eq=False)
class Pipe:
    """A fifo."""

    meta: Meta


@value_class(eq=False)
class Socket:
    """A socket."""

    meta: Meta


@value_class(eq=False)
class Whiteout:
    """A name that a layer removes; made by layer differences only, never by a reader."""

    meta: Meta = field(default_factory=lambda: Meta(mode=0))


Node: TypeAlias = File | Dir | Symlink | Device | Pipe | Socket | Whiteout

_TYPE_NAMES: dict[type, TypeName] = {
    File: "file",
    Dir: "dir",
    Symlink: "symlink",
    Pipe: "fifo",
    Socket: "socket",
    Whiteout: "whiteout",
}


def type_name(node: Node) -> TypeName:
    """Return the word that manifests use for the node's type."""
    if isinstance(node, Device):
        return node.kind
    return _TYPE_NAMES[type(node)]
