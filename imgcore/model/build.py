"""Trees made by a program: `tree({"/etc/hostname": "box\\n", "/bin/sh": symlink("bash")})`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from imgcore.blob import Blob, BytesBlob
from imgcore.errors import PathError
from imgcore.model.node import Device, Dir, File, Meta, Node, Symlink
from imgcore.model.path import PathLike, split
from imgcore.model.tree import Tree

__all__ = ["Content", "block_device", "char_device", "directory", "file", "symlink", "tree"]

Content: TypeAlias = "Node | bytes | str | Blob"


def _meta(mode: int, uid: int, gid: int, mtime_ns: int, xattrs: Mapping[bytes, bytes] | None) -> Meta:
    return Meta(mode, uid, gid, mtime_ns, dict(xattrs or {}))


def file(
    content: bytes | str | Blob = b"",
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime_ns: int = 0,
    xattrs: Mapping[bytes, bytes] | None = None,
) -> File:
    """Return a regular file; text is stored as UTF-8."""
    if isinstance(content, str):
        content = content.encode()
    blob = BytesBlob(content) if isinstance(content, bytes) else content
    return File(_meta(mode, uid, gid, mtime_ns, xattrs), blob)


def directory(
    children: Mapping[bytes, Node] | None = None,
    *,
    mode: int = 0o755,
    uid: int = 0,
    gid: int = 0,
    mtime_ns: int = 0,
    xattrs: Mapping[bytes, bytes] | None = None,
) -> Dir:
    """Return a directory."""
    return Dir(_meta(mode, uid, gid, mtime_ns, xattrs), dict(children or {}))


def symlink(target: bytes | str, *, uid: int = 0, gid: int = 0, mtime_ns: int = 0) -> Symlink:
    """Return a symbolic link."""
    return Symlink(Meta(0o777, uid, gid, mtime_ns), target.encode() if isinstance(target, str) else target)


def char_device(major: int, minor: int, *, mode: int = 0o600, uid: int = 0, gid: int = 0, mtime_ns: int = 0) -> Device:
    """Return a character device."""
    return Device(Meta(mode, uid, gid, mtime_ns), "char", major, minor)


def block_device(major: int, minor: int, *, mode: int = 0o600, uid: int = 0, gid: int = 0, mtime_ns: int = 0) -> Device:
    """Return a block device."""
    return Device(Meta(mode, uid, gid, mtime_ns), "block", major, minor)


def tree(entries: Mapping[str, Content] | Mapping[bytes, Content]) -> Tree:
    """Return the tree of `entries`: path to node, or to the bytes, text or blob of a regular file.

    Directories on the way are made, 0755 and owned by root; a path that ends in `/` is an empty directory; one node
    under two paths is a hard link. Raises PathError for a path below something that is not a directory.
    """
    root: dict[bytes, Node] = {}
    metas: dict[tuple[bytes, ...], Meta] = {}
    levels: dict[tuple[bytes, ...], dict[bytes, Node]] = {(): root}

    def level(parts: tuple[bytes, ...], path: PathLike) -> dict[bytes, Node]:
        for depth in range(1, len(parts) + 1):
            here, name = parts[:depth], parts[depth - 1]
            if here not in levels:
                if name in levels[here[:-1]]:
                    raise PathError("below something that is not a directory", path=str(path))
                levels[here] = {}
                levels[here[:-1]][name] = Dir(children=levels[here])
        return levels[parts]

    for path, what in entries.items():
        parts = tuple(split(path))
        is_dir = isinstance(what, Dir) or path[-1:] in ("/", b"/")
        if is_dir:
            children = level(parts, path)
            if isinstance(what, Dir):
                metas[parts] = what.meta
                children.update(what.children)
                made = Dir(what.meta, children, what.opaque)
                if parts:
                    levels[parts[:-1]][parts[-1]] = made
            continue
        node: Node = file(what) if isinstance(what, (bytes, str, Blob)) else what
        if not isinstance(node, Node):
            raise TypeError(f"`{path!r}` is a {type(what).__name__}, where a node, bytes, text or a blob is needed")
        parent = level(parts[:-1], path)
        if not parts or parts[-1] in parent:
            raise PathError("named twice", path=str(path))
        parent[parts[-1]] = node
    return Tree(Dir(metas.get((), Meta(mode=0o755)), root))
