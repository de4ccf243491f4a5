"""A manifest back into a tree: the JSON lines of `imgcore manifest`, edited or not, and contents from somewhere.

A manifest says everything of a tree but its contents (`imgcore.model.manifest`). These come from a tree in which the
files are at the same paths (`contents`), or from files of the host. The key `content` of a file says where it really is:
its path in `contents`, or a path of the host that counts from the manifest's own directory.

Lines may be in any order. `path` and `type` are needed, everything else has a default: mode 0755 for a directory, 0777
for a link, else 0644; uid, gid and mtime_ns 0. A directory that a path needs has to be in the manifest; the root need not.
A file's `size` and `sha256`, where they are given, have to be those of its content.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Final, NamedTuple

from imgcore.blob import EMPTY, Blob
from imgcore.digest import sha256
from imgcore.errors import Corrupt, PathError, context, show
from imgcore.events import Control
from imgcore.limits import Limits
from imgcore.listings.files import Files
from imgcore.listings.text import lines_of, octal_mode
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree, TreeBuilder, Whiteout

__all__ = ["read_manifest"]

_BYTES: Final = ("path", "target", "link", "content")  # each may come as KEY_b64 too
_PLAIN: Final = ("type", "mode", "uid", "gid", "mtime_ns", "size", "sha256", "major", "minor", "xattrs", "opaque")
_KEYS: Final = frozenset([*_PLAIN, *_BYTES, *(f"{key}_b64" for key in _BYTES)])
_TYPES: Final = ("dir", "file", "symlink", "char", "block", "fifo", "socket", "whiteout")
_OWN_KEYS: Final = {
    "size": ("file",),
    "sha256": ("file",),
    "content": ("file",),
    "target": ("symlink",),
    "major": ("char", "block"),
    "minor": ("char", "block"),
    "opaque": ("dir",),
}
_MODES: Final = {"dir": 0o755, "symlink": 0o777, "whiteout": 0}


class _Record(NamedTuple):
    """One line, checked."""

    line: int
    path: bytes
    type: str
    meta: Meta
    values: dict[str, object]
    link: bytes | None


def read_manifest(
    text: Blob,
    *,
    contents: Tree | None = None,
    files: Files | None = None,
    limits: Limits | None = None,
    control: Control | None = None,
) -> Tree:
    """Return the tree that a manifest describes.

    Raises Corrupt, with the line, for what is no manifest, PathError for a path that is named twice, whose directory is
    missing or whose content is not there, LimitExceeded.
    """
    limits, control = limits or Limits.default(), control or Control()
    reader = _Reader(contents, files, limits, control)
    records = []
    for line in lines_of(text, limits):
        control.check()
        if line.data.strip():
            with context(line=line.number):
                records.append(_parse(line.number, line.data))
            limits.require("max_entries", len(records))
    return reader.build(records)


class _Reader:
    def __init__(self, contents: Tree | None, files: Files | None, limits: Limits, control: Control) -> None:
        self._contents, self._files, self._control = contents, files, control
        self._builder = TreeBuilder(limits=limits)
        self._limits = limits
        self._digests: dict[int, tuple[Blob, str]] = {}

    def build(self, records: list[_Record]) -> Tree:
        """Return the tree of all records: directories first, names of hard links last."""
        order: list[Callable[[_Record], bool]] = [
            lambda record: record.type == "dir",
            lambda record: record.type != "dir" and record.link is None,
            lambda record: record.link is not None,
        ]
        found: dict[bytes, _Record] = {}
        for record in records:
            if record.path in found:
                raise PathError(f"named twice, first in line {found[record.path].line}", line=record.line, path=record.path)
            found[record.path] = record
        for chosen in order:
            for record in sorted(filter(chosen, records), key=lambda record: record.path):
                self._control.check()
                with context(line=record.line, path=record.path):
                    self._add(record, found)
        return self._builder.tree()

    def _add(self, record: _Record, found: dict[bytes, _Record]) -> None:
        if record.path == b"/":
            if record.type != "dir":
                raise Corrupt("the root is not a directory", found=record.type)
            self._builder.set_root(Dir(record.meta, {}, bool(record.values.get("opaque", False))))
            return
        self._builder.add(record.path, self._node(record) if record.link is None else self._linked(record, found))

    def _linked(self, record: _Record, found: dict[bytes, _Record]) -> Node:
        assert record.link is not None
        first = found.get(record.link)
        if first is None or first.link is not None or first.type == "dir":
            raise PathError("`link` names no path that it could be a hard link to")
        if first.type != record.type or first.meta != record.meta:
            raise Corrupt(f"a hard link that differs from its first name in line {first.line}")
        node = self._builder.get(record.link)
        assert node is not None
        for key, value in record.values.items():  # what is said again has to be the same; `size` may be said here only
            if key in _OWN_KEYS and value != first.values.get(key, first.path if key == "content" else value):
                raise Corrupt(f"a hard link that differs from its first name in line {first.line}", field=key)
        if isinstance(node, File):
            self._require_content(node, record.values)
        return node

    def _node(self, record: _Record) -> Node:
        kind, meta, values = record.type, record.meta, record.values
        if kind == "dir":
            return Dir(meta, {}, bool(values.get("opaque", False)))
        if kind == "file":
            return self._file(record)
        if kind == "symlink":
            target = values.get("target")
            if not isinstance(target, bytes):
                raise Corrupt("a symbolic link without a target", field="target")
            return Symlink(meta, target)
        if kind in ("char", "block"):
            numbers = [values.get(key) for key in ("major", "minor")]
            if not all(isinstance(number, int) for number in numbers):
                raise Corrupt("a device without its numbers", field="major")
            return Device(meta, kind, *numbers)  # type: ignore[arg-type]
        if kind == "fifo":
            return Pipe(meta)
        return Socket(meta) if kind == "socket" else Whiteout(meta)

    def _file(self, record: _Record) -> File:
        values = record.values
        where, size = values.get("content"), values.get("size")
        if where is None and (size == 0 or (self._contents is None and size is None)):
            node: Node = File(record.meta, EMPTY)
        elif self._contents is not None:
            node = self._contents.lookup(where if isinstance(where, bytes) else record.path)
        elif self._files is not None and isinstance(where, bytes):
            node = self._files.node(where, follow=True)
        else:
            if isinstance(where, bytes):
                raise PathError("a manifest that is not to name files of the host", hint="write manifest:PATH to let it")
            raise PathError("no content for a file", hint="--contents SRC gives it, by path, or a key `content` for each file")
        if not isinstance(node, File):
            raise PathError("its content is not a file")
        self._limits.require("max_file_size", node.content.size)
        self._require_content(node, values)
        return File(record.meta, node.content)

    def _require_content(self, node: File, values: dict[str, object]) -> None:
        """Raise Corrupt for content of another size or digest than is stated."""
        size, wanted = values.get("size"), values.get("sha256")
        if size is not None and size != node.content.size:
            raise Corrupt("its content has another size", field="size", found=node.content.size, allowed=size)
        if wanted is not None and self._digest(node.content) != wanted:
            raise Corrupt("its content is another", field="sha256", found=self._digest(node.content), allowed=wanted)

    def _digest(self, blob: Blob) -> str:
        if id(blob) not in self._digests:
            self._digests[id(blob)] = (blob, sha256(blob, self._control))
        return self._digests[id(blob)][1]


def _parse(number: int, line: bytes) -> _Record:
    """Return a line's record. Raises Corrupt."""
    try:
        values = json.loads(line, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"not a line of a manifest: {error}" if isinstance(error, ValueError) else "too deep") from None
    if not isinstance(values, dict):
        raise Corrupt("not a line of a manifest: a JSON object is needed")
    for key in values:
        if key not in _KEYS:
            raise Corrupt(f"unknown key `{key}`", allowed=" ".join(sorted(_KEYS)))
    for key in _BYTES:
        exact = values.pop(f"{key}_b64", None)
        if exact is not None:
            values[key] = _base64(f"{key}_b64", exact)
        elif key in values:
            if not isinstance(values[key], str):
                raise Corrupt("not text", field=key)
            try:
                values[key] = values[key].encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                raise Corrupt("text with lone surrogates", field=key, hint=f"`{key}_b64` holds any bytes") from None
    kind = values.get("type")
    if kind not in _TYPES:
        raise Corrupt("unknown type", field="type", found=kind, allowed=" ".join(_TYPES))
    for key, kinds in _OWN_KEYS.items():
        if key in values and kind not in kinds:
            raise Corrupt(f"a {kind} has no `{key}`", field=key)
    raw = values.get("path")
    if not isinstance(raw, bytes) or not _is_clean(raw):
        raise Corrupt("not a clean absolute path", field="path", found=f"`{show(raw)}`" if isinstance(raw, bytes) else None)
    link = values.get("link")
    if link is not None and (kind == "dir" or not _is_clean(link)):
        raise Corrupt("a hard link that cannot be", field="link", found=f"a {kind} linked to `{show(link)}`")
    _check(values)
    return _Record(number, raw, kind, _meta(kind, values), values, link)


def _is_clean(path: bytes) -> bool:
    """Return whether this is an absolute path as manifests write it."""
    parts = path[1:].split(b"/") if path != b"/" else []
    return path.startswith(b"/") and b"\0" not in path and not any(part in (b"", b".", b"..") for part in parts)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key comes twice")
    return values


def _base64(key: str, value: object) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise Corrupt("not base64", field=key)


def _integer(values: dict[str, object], key: str, low: int, high: int) -> int:
    value = values.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Corrupt("not a number that this can be", field=key, found=value, allowed=f"{low} to {high}")
    return value


def _check(values: dict[str, object]) -> None:
    """Raise Corrupt for a value of the wrong kind."""
    for key in ("size", "major", "minor"):
        if key in values:
            _integer(values, key, 0, (1 << 63) - 1 if key == "size" else (1 << 32) - 1)
    digest = values.get("sha256")
    if digest is not None and not (isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
        raise Corrupt("not a SHA-256 in hexadecimal", field="sha256")
    if not isinstance(values.get("opaque", False), bool):
        raise Corrupt("neither true nor false", field="opaque")


def _meta(kind: str, values: dict[str, object]) -> Meta:
    mode = values.get("mode")
    if mode is None:
        bits = _MODES.get(kind, 0o644)
    elif isinstance(mode, str) and mode.isascii():
        with context(structure="manifest"):
            bits = octal_mode(mode.encode())
    else:
        raise Corrupt("not octal text", field="mode", found=mode)
    stated = values.get("xattrs", {})
    if not isinstance(stated, dict):
        raise Corrupt("not an object", field="xattrs")
    xattrs = {}
    for name, value in stated.items():
        try:
            raw = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise Corrupt("a name with lone surrogates", field="xattrs") from None
        if not raw or b"\0" in raw:
            raise Corrupt("a name that none can have", field="xattrs")
        xattrs[raw] = _base64("xattrs", value)
    return Meta(
        bits,
        _integer(values, "uid", 0, (1 << 32) - 1),
        _integer(values, "gid", 0, (1 << 32) - 1),
        _integer(values, "mtime_ns", -(1 << 63), (1 << 63) - 1),
        xattrs,
    )
