"""A tree as pseudo-file definitions with data, which mksquashfs and `pseudo:` sources read back: `unsquashfs -pf`."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from imgcore.blob import read_chunks
from imgcore.errors import Unsupported, context
from imgcore.events import Control
from imgcore.model import Device, Dir, File, Node, Pipe, Socket, Symlink, Tree

__all__ = ["pseudo_text"]

_PLAIN = frozenset(range(0x21, 0x7F)) | frozenset(range(0x80, 0x100)) - frozenset(b'"\\')


def pseudo_text(tree: Tree, control: Control | None = None) -> Iterator[bytes]:
    """Yield the definitions of everything in `tree`, then the contents of its files.

    Times are whole seconds. Raises Unsupported for a link target with a newline, which the format cannot hold.
    """
    control = control or Control()
    names: dict[int, bytes] = {}
    files: list[File] = []
    position = 0
    for path, node in tree.walk():
        control.check()
        name = _escaped(path[1:] or b"/")
        if not isinstance(node, Dir) and id(node) in names:
            yield name + b" L " + names[id(node)] + b"\n"
            continue
        names[id(node)] = name
        with context(path=path):
            rest = _rest(node, position)
        meta = node.meta
        yield name + rest[:3] + b"%d %o %d %d" % (meta.mtime_ns // 10**9, meta.mode, meta.uid, meta.gid) + rest[3:] + b"\n"
        for key, value in sorted(meta.xattrs.items()):
            yield name + b" x " + key + b"=" + _value(value) + b"\n"
        if isinstance(node, File):
            files.append(node)
            position += node.content.size
    yield b"#\n# START OF DATA - DO NOT MODIFY\n#\n"
    for file in files:
        for chunk in read_chunks(file.content):
            control.check()
            yield chunk


def _rest(node: Node, position: int) -> bytes:
    """Return ` LETTER ` and what follows owner and group."""
    if isinstance(node, Dir):
        return b" D "
    if isinstance(node, File):
        sparse = any(segment.hole for segment in node.content.segments())
        return b" R  %d %d %d" % (node.content.size, position, sparse)
    if isinstance(node, Symlink):
        if b"\n" in node.target:
            raise Unsupported("a link target with a newline in a pseudo file")
        return b" S  " + node.target
    if isinstance(node, Device):
        return b" %c  %d %d" % (b"B"[0] if node.kind == "block" else b"C"[0], node.major, node.minor)
    if isinstance(node, Pipe | Socket):
        return b" I  " + (b"f" if isinstance(node, Pipe) else b"s")
    raise Unsupported("a whiteout in a pseudo file")


def _escaped(name: bytes) -> bytes:
    return b"".join(bytes([byte]) if byte in _PLAIN else b"\\" + bytes([byte]) for byte in name)


def _value(value: bytes) -> bytes:
    """Return an attribute's value as text that reads back as itself."""
    if value and all(0x20 <= byte < 0x7F for byte in value) and value[:2].lower() not in (b"0s", b"0x", b"0t"):
        return value
    return b"0s" + base64.b64encode(value)
