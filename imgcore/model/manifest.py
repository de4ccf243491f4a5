"""The canonical manifest: one JSON object a line for each path, in bytewise order of the paths, the root first.

Keys come in a fixed order, without spaces, ASCII only, and only those that apply:
path type mode uid gid mtime_ns size sha256 target major minor link xattrs opaque path_b64 target_b64 link_b64.
`mode` is octal text of four digits; `link`, on later names of a hard-link group only, is the group's first path; xattr
values are base64. Bytes that are not UTF-8 are surrogate-escaped, and the `_b64` key then holds them exactly and wins.
Holes are not in it: they are not content.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from imgcore.digest import sha256
from imgcore.errors import context
from imgcore.events import Control
from imgcore.model.node import Device, Dir, File, Node, Symlink, type_name
from imgcore.model.tree import Tree

__all__ = ["digest", "entry_record", "manifest_lines", "manifest_records"]


def _text(raw: bytes) -> tuple[str, bool]:
    """Return (text, whether it is exact); bytes that are not UTF-8 are surrogate-escaped."""
    try:
        return raw.decode("utf-8"), True
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape"), False


def entry_record(path: bytes, node: Node, link: bytes | None = None, content: str | None = None) -> dict[str, object]:
    """Return one entry as an ordered mapping; `content` is the SHA-256 of a file, left out when not given."""
    record: dict[str, object] = {}
    exact: dict[str, bytes] = {}

    def put(key: str, raw: bytes) -> None:
        record[key], is_exact = _text(raw)
        if not is_exact:
            exact[key] = raw

    put("path", path)
    record["type"] = type_name(node)
    record["mode"] = f"{node.meta.mode:04o}"
    record["uid"] = node.meta.uid
    record["gid"] = node.meta.gid
    record["mtime_ns"] = node.meta.mtime_ns
    if isinstance(node, File):
        record["size"] = node.content.size
        if content is not None:
            record["sha256"] = content
    elif isinstance(node, Symlink):
        put("target", node.target)
    elif isinstance(node, Device):
        record["major"] = node.major
        record["minor"] = node.minor
    if link is not None:
        put("link", link)
    if node.meta.xattrs:
        record["xattrs"] = {
            _text(name)[0]: base64.b64encode(value).decode("ascii") for name, value in sorted(node.meta.xattrs.items())
        }
    if isinstance(node, Dir) and node.opaque:
        record["opaque"] = True
    for key, raw in exact.items():
        record[key + "_b64"] = base64.b64encode(raw).decode("ascii")
    return record


def manifest_records(tree: Tree, control: Control | None = None, *, contents: bool = True) -> Iterator[dict[str, object]]:
    """Yield one mapping for each path, in the manifest's order; without `contents` no file is read."""
    control = control or Control()
    first: dict[int, bytes] = {}
    digests: dict[int, str] = {}
    for path, node in tree.sorted_entries():
        control.check()
        link = None
        if not isinstance(node, Dir):
            leader = first.setdefault(id(node), path)
            link = None if leader is path else leader
        content = None
        if contents and isinstance(node, File):
            content = digests.get(id(node)) if link is not None else None
            if content is None:
                with context(path=path):
                    content = digests[id(node)] = sha256(node.content, control)
        yield entry_record(path, node, link, content)


def manifest_lines(tree: Tree, control: Control | None = None, *, contents: bool = True) -> Iterator[str]:
    """Yield the manifest's lines without their newlines."""
    for record in manifest_records(tree, control, contents=contents):
        yield json.dumps(record, ensure_ascii=True, separators=(",", ":"))


def digest(tree: Tree, control: Control | None = None) -> str:
    """Return the SHA-256 of the manifest in hex: equal for equal trees, whatever they are stored in."""
    import hashlib  # OpenSSL with it: late

    total = hashlib.sha256()
    for line in manifest_lines(tree, control):
        total.update(line.encode("ascii") + b"\n")
    return total.hexdigest()
