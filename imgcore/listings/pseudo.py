"""Pseudo-file definitions as mksquashfs 4.7 has them: names that are added to a tree, changed in it, or all that is in it.

    dev/console c 600 root root 5 1
    etc/motd R 1700000000 0644 0 0 12 0 0        (bytes, offset in the data at the end, sparse)
    usr/bin/ping x security.capability=0sAQAAAgAgAAAAAAAAAAAAAAAAAAA=

A definition is a name, a letter, and what the letter needs; capital letters have a time before the mode. A name with
blanks stands in double quotes or has backslashes. The contents of `R` files follow the line `# START OF DATA - DO NOT
MODIFY` and one more line. `f` and `F` files, which are what a command prints, are refused: imgcore runs no programs.

The order of definitions says nothing, but that a later `m` wins: directories are added first, hard links last, then
metadata is changed. Entries without a time get that of the tree's root, so that a result depends on its input alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

from imgcore.blob import Blob, HostFile, SliceBlob
from imgcore.errors import Corrupt, PathError, Unsupported, context, show
from imgcore.limits import Limits
from imgcore.listings.files import Files
from imgcore.listings.text import lines_of, number, octal_mode, split_words, time_ns, xattr_value
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree, TreeBuilder, normalize
from imgcore.values import value_class

__all__ = ["PseudoEntry", "apply_pseudo", "parse_pseudo", "read_pseudo_file"]

_MARK: Final = b"# START OF DATA - DO NOT MODIFY"
_KINDS: Final = b"dmbcfsixhlLDMBCFSIR"
_WORDS: Final = {"b": 2, "c": 2, "i": 1, "r": 3}  # words behind mode, uid and gid; `R` has length, offset, sparse


@value_class
class PseudoEntry:
    """One definition.

    Attributes:
        path: of the tree.
        kind: the letter.
        line: where it stands, for errors.
        mode, user, group: None for the kinds that have none; user and group are numbers or names.
        time_ns: None for kinds without a time.
        target: of a link, or `name=value` of an extended attribute.
        numbers: of a device; length and offset of `R`.
        data: the bytes that `R` files are parts of.
    """

    path: bytes
    kind: str
    line: int
    mode: int | None = None
    user: str | None = None
    group: str | None = None
    time_ns: int | None = None
    target: bytes = b""
    numbers: tuple[int, ...] = ()
    data: Blob | None = None


def parse_pseudo(text: bytes, line: int = 1, data: Blob | None = None) -> PseudoEntry | None:
    """Return the definition that a line is, None for an empty one or a comment. Raises Corrupt, PathError, Unsupported."""
    with context(line=line):
        if not text.strip() or text.lstrip().startswith(b"#"):
            return None
        words = split_words(text, 2, begins=True)
        if len(words) < 3 or len(words[1]) != 1 or words[1] not in _KINDS:
            raise Corrupt(
                "not a pseudo-file definition",
                found=f"`{show(text[:80])}`",
                allowed=f"NAME, one of {' '.join(_KINDS.decode())}, …",
            )
        path, kind, rest = normalize(words[0]), words[1].decode(), words[2]
        if b"\0" in path:
            raise PathError("a NUL byte in a path", path=path)
        with context(path=path):
            return _definition(path, kind, rest, line, data)


def _definition(path: bytes, kind: str, rest: bytes, line: int, data: Blob | None) -> PseudoEntry:
    if kind in "fF":
        raise Unsupported(
            "a file that is what a command prints: imgcore runs no programs",
            hint="run the command, and pack its output as a file",
        )
    if kind in "xhlL":
        if kind == "x" and b"=" not in rest:
            raise Corrupt("an extended attribute without `=`")
        return PseudoEntry(path, kind, line, target=_raw(rest) if kind == "x" else _one_word(rest))
    time, needed = None, 3
    if kind.isupper():
        first = split_words(rest, 1)
        if len(first) < 2:
            raise Corrupt("a time, mode, user and group are needed", found=f"`{show(rest)}`")
        time, rest = time_ns(first[0]), first[1]
    words = split_words(rest, needed)
    if len(words) < needed:
        raise Corrupt("mode, user and group are needed", found=f"`{show(rest)}`")
    mode, user, group = octal_mode(words[0]), words[1].decode("utf-8", "replace"), words[2].decode("utf-8", "replace")
    tail = words[3] if len(words) > needed else b""
    entry = PseudoEntry(path, kind, line, mode, user, group, time)
    lower = kind.lower()
    if lower == "s":
        if not tail:
            raise Corrupt("a symbolic link without a target")
        return dataclasses.replace(entry, target=_raw(tail))
    more = split_words(tail)
    if len(more) != _WORDS.get(lower, 0):
        raise Corrupt(f"{_WORDS.get(lower, 0)} words are needed behind the group", found=len(more))
    if lower == "i":
        if more[0] not in (b"s", b"f"):
            raise Corrupt("neither s (socket) nor f (fifo)", found=f"`{show(more[0])}`")
        return dataclasses.replace(entry, target=more[0])
    if lower == "r":
        length, offset = number(more[0], "a length", 1 << 62), number(more[1], "an offset", 1 << 62)
        if data is None or offset > data.size or length > data.size - offset:
            raise Corrupt(
                "its content is not in the data at the end",
                found=f"{length} bytes at {offset}",
                allowed=data.size if data else 0,
            )
        return dataclasses.replace(entry, numbers=(length, offset), data=data)
    return dataclasses.replace(entry, numbers=tuple(number(word, "a device", (1 << 32) - 1) for word in more))


def _raw(rest: bytes) -> bytes:
    """Return the rest of a line as it stands, but for the ends of lines that were joined."""
    return rest.replace(b"\\\n", b"")


def _one_word(rest: bytes) -> bytes:
    words = split_words(rest)
    if len(words) != 1:
        raise Corrupt("one path is needed", found=f"`{show(rest)}`")
    return words[0]


def read_pseudo_file(text: Blob, limits: Limits | None = None) -> list[PseudoEntry]:
    """Return the definitions of a file, which may end in data. Raises as `parse_pseudo`."""
    limits = limits or Limits.default()
    lines, data = [], None
    found = lines_of(text, limits, joined=True)
    for line in found:
        if line.data == _MARK:
            behind = next(found, None)
            at = line.end if behind is None else behind.end
            data = SliceBlob(text, min(at, text.size), max(text.size - at, 0))
            break
        lines.append(line)
        limits.require("max_entries", len(lines))
    entries = (parse_pseudo(line.data, line.number, data) for line in lines)
    return [entry for entry in entries if entry is not None]


def apply_pseudo(
    tree: Tree | None,
    entries: Sequence[PseudoEntry],
    *,
    files: Files | None = None,
    missing: Meta | None = None,
    conflict: Callable[[PathError], None] | None = None,
    limits: Limits | None = None,
) -> Tree:
    """Return `tree`, an empty one when None, with the definitions applied.

    `missing` is the metadata of directories that are made on the way. `files` finds what `l` and `h` name, and users.
    A name that is there already, or one that `m` does not find, is a PathError with the line; with `conflict`, that is
    called with it, and the definition is left out, as mksquashfs does. A missing directory is an error in any case.
    """
    return _Applier(tree, files, missing, conflict, limits).apply(entries)


class _Applier:
    def __init__(
        self,
        tree: Tree | None,
        files: Files | None,
        missing: Meta | None,
        conflict: Callable[[PathError], None] | None,
        limits: Limits | None,
    ) -> None:
        self.builder = TreeBuilder(tree, missing=missing, limits=limits)
        self.files, self.conflict = files, conflict
        self.time = tree.root.meta.mtime_ns if tree is not None else 0
        self.has_root = tree is not None
        self.tree = tree
        self.by_identity: dict[tuple[int, int], Node] | None = None

    def apply(self, entries: Sequence[PseudoEntry]) -> Tree:
        root = [entry for entry in entries if entry.path == b"/" and entry.kind in "dD"]
        rest = [entry for entry in entries if not (entry.path == b"/" and entry.kind in "dD")]
        for entry in root:
            with context(line=entry.line, path=entry.path):
                if self.has_root:
                    self._refuse(PathError("the root is there already; `m` changes it"), entry)
                    continue
                self.has_root = True
                self.builder.set_meta(b"/", self._meta(entry))
                self.time = self.builder.meta(b"/").mtime_ns
        stages = (
            sorted((entry for entry in rest if entry.kind in "dD"), key=lambda entry: entry.path),
            [entry for entry in rest if entry.kind in "bcsiBCSIR"],
            [entry for entry in rest if entry.kind in "hl"],
            [entry for entry in rest if entry.kind == "L"],
            [entry for entry in rest if entry.kind in "mMx"],
        )
        for stage in stages:
            for entry in stage:
                with context(line=entry.line, path=entry.path):
                    try:
                        self._apply(entry)
                    except PathError as error:
                        if entry.kind not in "mMx" and self.builder.get(entry.path) is None:
                            raise  # nothing is in the way: the entry cannot be made at all
                        self._refuse(error, entry)
        return self.builder.tree()

    def _refuse(self, error: PathError, entry: PseudoEntry) -> None:
        if self.conflict is None:
            raise error
        error.line = entry.line  # no `context` is passed on the way to the callback
        error.path = entry.path if error.path is None else error.path
        self.conflict(error)

    def _apply(self, entry: PseudoEntry) -> None:
        if entry.kind in "mM":
            old = self.builder.meta(entry.path)
            new = self._meta(entry)
            self.builder.set_meta(
                entry.path,
                dataclasses.replace(new, mtime_ns=old.mtime_ns if entry.kind == "m" else new.mtime_ns, xattrs=old.xattrs),
            )
        elif entry.kind == "x":
            name, _, value = entry.target.partition(b"=")
            old = self.builder.meta(entry.path)
            self.builder.set_meta(entry.path, dataclasses.replace(old, xattrs={**old.xattrs, name: xattr_value(value)}))
        else:
            self.builder.add(entry.path, self._node(entry))

    def _node(self, entry: PseudoEntry) -> Node:
        kind = entry.kind.lower() if entry.kind != "L" else "L"
        if kind == "L":
            found = self.builder.get(normalize(entry.target))
            if found is None or isinstance(found, Dir):
                raise PathError("no such path for a hard link", found=f"`{show(entry.target)}`")
            return found
        if kind in "hl":
            return self._host_node(entry)
        meta = self._meta(entry)
        if kind == "d":
            return Dir(meta, {})
        if kind == "s":
            return Symlink(meta, entry.target)
        if kind == "i":
            return Socket(meta) if entry.target == b"s" else Pipe(meta)
        if kind == "r":
            assert entry.data is not None
            return File(meta, SliceBlob(entry.data, entry.numbers[1], entry.numbers[0]))
        return Device(meta, "block" if kind == "b" else "char", *entry.numbers)

    def _host_node(self, entry: PseudoEntry) -> Node:
        """Return a file of the host, which is a hard link where the tree has that very file."""
        if self.files is None:
            raise Unsupported("a definition that names a file of the host, which is not to be looked at")
        node = self.files.node(entry.target, follow=entry.kind == "h")
        if not isinstance(node, File) or not isinstance(node.content, HostFile):
            return node
        if self.by_identity is None:
            self.by_identity = {}
            for _, known in self.tree.walk() if self.tree is not None else ():
                if isinstance(known, File) and isinstance(known.content, HostFile):
                    self.by_identity.setdefault(known.content.identity[:2], known)
        return self.by_identity.setdefault(node.content.identity[:2], node)

    def _meta(self, entry: PseudoEntry) -> Meta:
        assert entry.mode is not None and entry.user is not None and entry.group is not None
        uid = self._id(entry.user, "user", self.files.user if self.files is not None else None)
        gid = self._id(entry.group, "group", self.files.group if self.files is not None else None)
        return Meta(entry.mode, uid, gid, self.time if entry.time_ns is None else entry.time_ns)

    def _id(self, text: str, what: str, lookup: Callable[[str], int | None] | None) -> int:
        if text.isascii() and text.isdigit():
            return number(text.encode(), f"a {what}")
        found = 0 if text == "root" else lookup(text) if lookup is not None else None
        if found is None:
            raise Corrupt(f"no such {what}", found=f"`{text}`", hint="write its number")
        return found
