"""gensquashfs pack files: a list of what an image holds, each with its owner and mode.

    dir /dev 0755 0 0
    nod /dev/console 0600 0 0 c 5 1
    file /sbin/init 0755 0 0 ../init/sbin/init
    glob /usr/lib * * * -type f -name "*.so*" ./lib

A file without a location is read from its own path below the base directory. Directories on the way are made. All times
are one time, but for what a `glob -keeptime` finds.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt, PathError, Unsupported, context, show
from imgcore.limits import Limits
from imgcore.listings.files import Files
from imgcore.listings.text import lines_of, number, octal_mode, split_words
from imgcore.model import (
    Device,
    Dir,
    File,
    Meta,
    Node,
    Pipe,
    Socket,
    Symlink,
    Tree,
    TreeBuilder,
    glob_component,
    normalize,
    type_name,
)

__all__ = ["read_pack_file"]

_TYPES: Final = {"b": "block", "c": "char", "d": "dir", "p": "fifo", "f": "file", "l": "symlink", "s": "socket"}
_LEAST: Final = {b"file": 5, b"dir": 5, b"nod": 8, b"slink": 6, b"link": 6, b"pipe": 5, b"sock": 5, b"glob": 6}


def read_pack_file(
    text: Blob, files: Files, *, missing: Meta | None = None, time_ns: int = 0, limits: Limits | None = None
) -> Tree:
    """Return the tree that a pack file describes.

    `missing` is the metadata of the root and of directories that are made on the way (0755, root's). `files` finds what
    is named on the host. Raises Corrupt and PathError, with the line, and SourceUnreadable.
    """
    limits = limits or Limits.default()
    meta = missing or Meta(0o755, 0, 0, time_ns)
    reader = _Reader(files, TreeBuilder(missing=meta, limits=limits), time_ns)
    reader.builder.set_meta(b"/", meta)
    links: list[tuple[int, list[bytes]]] = []
    for line in lines_of(text, limits):
        with context(line=line.number):
            words = split_words(line.data)
            if not words:
                continue
            least = _LEAST.get(words[0])
            if least is None:
                raise Corrupt("unknown entry", found=f"`{show(words[0])}`", allowed=" ".join(key.decode() for key in _LEAST))
            if len(words) < least or (words[0] != b"glob" and len(words) > least + (words[0] == b"file")):
                raise Corrupt(f"`{words[0].decode()}` has another number of words", found=len(words), allowed=least)
            if words[0] == b"link":
                links.append((line.number, words))
                continue
            reader.read(words)
    for count, words in links:
        with context(line=count):
            target = reader.builder.get(normalize(words[5]))
            if target is None or isinstance(target, Dir):
                raise PathError("no such path for a hard link", path=normalize(words[1]), found=f"`{show(words[5])}`")
            reader.builder.add(normalize(words[1]), target)
    return reader.builder.tree()


@dataclass(slots=True)
class _Glob:
    """The options of a `glob` entry."""

    types: set[str] = field(default_factory=set)
    names: list[re.Pattern[bytes]] = field(default_factory=list)
    paths: list[re.Pattern[bytes]] = field(default_factory=list)
    one_file_system: bool = False
    keep_time: bool = False
    recursive: bool = True

    def accepts(self, path: bytes, node: Node) -> bool:
        """Return whether an entry is to be added."""
        name = path[path.rfind(b"/") + 1 :]
        return (
            (not self.types or type_name(node) in self.types)
            and all(pattern.fullmatch(name) for pattern in self.names)
            and all(pattern.fullmatch(path[1:]) for pattern in self.paths)
        )


def _shell(pattern: bytes) -> re.Pattern[bytes]:
    """Return a shell pattern compiled; wild cards do not match a slash."""
    return re.compile(b"/".join(glob_component(part) for part in pattern.split(b"/")), re.DOTALL)


class _Reader:
    def __init__(self, files: Files, builder: TreeBuilder, time: int) -> None:
        self.files, self.builder, self.time = files, builder, time

    def read(self, words: list[bytes]) -> None:
        """Add what one line names."""
        kind, path = words[0], normalize(words[1])
        with context(path=path):
            if kind == b"glob":
                self._glob(path, words)
                return
            meta = Meta(octal_mode(words[2]), number(words[3], "a user"), number(words[4], "a group"), self.time)
            if kind == b"dir" and isinstance(self.builder.get(path), Dir):
                self.builder.set_meta(path, meta)  # made on the way before, or the root
                return
            self.builder.add(path, self._node(kind, path, meta, words[5:]))

    def _node(self, kind: bytes, path: bytes, meta: Meta, rest: list[bytes]) -> Node:
        if kind == b"dir":
            return Dir(meta, {})
        if kind == b"file":
            node = self.files.node(rest[0] if rest else path[1:], follow=True)
            if not isinstance(node, File):
                raise PathError("its content is not a file")
            return File(meta, node.content)
        if kind == b"slink":
            return Symlink(meta, rest[0])
        if kind == b"nod":
            if rest[0] not in (b"b", b"c"):
                raise Corrupt("neither b nor c", found=f"`{show(rest[0])}`")
            numbers = [number(word, "a device", (1 << 32) - 1) for word in rest[1:]]
            return Device(meta, "block" if rest[0] == b"b" else "char", *numbers)
        return Pipe(meta) if kind == b"pipe" else Socket(meta)

    def _glob(self, path: bytes, words: list[bytes]) -> None:
        options, location = _options(words[5:])
        given = [None if word == b"*" else word for word in words[2:5]]
        mode = None if given[0] is None else octal_mode(given[0])
        uid, gid = (
            None if word is None else number(word, what) for word, what in zip(given[1:], ("a user", "a group"), strict=True)
        )
        found = self.files.directory(location, one_file_system=options.one_file_system)
        made: dict[int, Node] = {}
        for below, node in found.walk():
            if below == b"/" or (not options.recursive and below.count(b"/") > 1):
                continue
            place = (b"" if path == b"/" else path) + below
            cut = place.rfind(b"/")
            if not options.accepts(place, node) or not isinstance(self.builder.get(place[:cut] or b"/"), Dir | None):
                continue
            if below.count(b"/") > 1 and self.builder.get(place[:cut]) is None:
                continue  # a directory that was not chosen is not entered
            if isinstance(node, Dir) and isinstance(self.builder.get(place), Dir):
                continue
            meta = dataclasses.replace(
                node.meta,
                mode=node.meta.mode if mode is None or isinstance(node, Symlink) else mode,
                uid=node.meta.uid if uid is None else uid,
                gid=node.meta.gid if gid is None else gid,
                mtime_ns=node.meta.mtime_ns if options.keep_time else self.time,
            )
            if isinstance(node, Dir):
                self.builder.add(place, Dir(meta, {}))
                continue
            new = made.get(id(node)) or dataclasses.replace(node, meta=meta)
            made[id(node)] = new
            self.builder.add(place, new)


def _options(words: list[bytes]) -> tuple[_Glob, bytes]:
    """Return (the options, the location)."""
    glob, at = _Glob(), 0
    while at < len(words) - 1 and words[at].startswith(b"-"):
        word = words[at]
        at += 1
        if word == b"--":
            break
        if word in (b"-xdev", b"-mount"):
            glob.one_file_system = True
        elif word == b"-keeptime":
            glob.keep_time = True
        elif word == b"-nonrecursive":
            glob.recursive = False
        elif word in (b"-type", b"-name", b"-path"):
            value = words[at]
            at += 1
            if word == b"-type":
                kind = _TYPES.get(value.decode("latin-1"))
                if kind is None:
                    raise Corrupt("unknown type", found=f"`{show(value)}`", allowed=" ".join(_TYPES))
                glob.types.add(kind)
            else:
                (glob.names if word == b"-name" else glob.paths).append(_shell(value))
        else:
            raise Unsupported(f"unknown option `{show(word)}`")
    if at != len(words) - 1:
        raise Corrupt("one location is needed", found=len(words) - at)
    return glob, words[at]
