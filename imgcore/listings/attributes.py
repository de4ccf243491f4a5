"""Dumps of extended attributes, as `getfattr --dump` writes them, put on a tree.

# file: usr/bin/ping
security.capability=0sAQAAAgAgAAAAAAAAAAAAAAAAAAA=
user.comment="a text\\012with octal escapes"
"""

from __future__ import annotations

import dataclasses

from imgcore.blob import Blob
from imgcore.errors import Corrupt, context
from imgcore.limits import Limits
from imgcore.listings.text import lines_of, unescaped, xattr_value
from imgcore.model import Node, Tree, normalize

__all__ = ["apply_xattr_dump", "read_xattr_dump"]

_FILE = b"# file: "


def read_xattr_dump(text: Blob, limits: Limits | None = None) -> dict[bytes, tuple[int, dict[bytes, bytes]]]:
    """Return path to (line, attributes) of a dump. Raises Corrupt, with the line."""
    found: dict[bytes, tuple[int, dict[bytes, bytes]]] = {}
    current: dict[bytes, bytes] | None = None
    for line in lines_of(text, limits or Limits.default()):
        with context(line=line.number):
            if line.data.startswith(_FILE):
                path = normalize(unescaped(line.data[len(_FILE) :]))
                current = found.setdefault(path, (line.number, {}))[1]
            elif line.data.strip() and not line.data.startswith(b"#"):
                name, equals, value = line.data.partition(b"=")
                if current is None or not name:
                    raise Corrupt("an attribute before any `# file: PATH`" if current is None else "no name")
                current[unescaped(name)] = _value(value) if equals else b""
    return found


def _value(text: bytes) -> bytes:
    if text.startswith(b'"'):
        if len(text) < 2 or not text.endswith(b'"'):
            raise Corrupt("a quote that is not closed")
        return unescaped(text[1:-1])
    return xattr_value(text)


def apply_xattr_dump(tree: Tree, text: Blob, limits: Limits | None = None) -> Tree:
    """Return `tree` with the attributes of a dump added. Raises PathError, with the line, for a path it does not have."""
    dump = read_xattr_dump(text, limits)
    nodes: dict[int, tuple[Node, dict[bytes, bytes]]] = {}
    for path, (line, xattrs) in dump.items():
        with context(line=line, path=path):
            node = tree.lookup(path)
        nodes.setdefault(id(node), (node, {}))[1].update(xattrs)

    def change(path: bytes, node: Node) -> Node:
        more = nodes.get(id(node))
        if more is None:
            return node
        return dataclasses.replace(node, meta=dataclasses.replace(node.meta, xattrs={**node.meta.xattrs, **more[1]}))

    return tree.map(change)
