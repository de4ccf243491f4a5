"""gensquashfs pack files: a list of what an image holds, each with its owner and mode.

    dir /dev 0755 0 0
    nod /dev/console 0600 0 0 c 5 1
    file /sbin/init 0755 0 0 ../init/sbin/init
    glob /usr/lib * * * -type f -name "*.so*" ./lib

A path with blanks stands in double quotes, in which a backslash takes a quote or a backslash. What is behind the group is
taken as it stands, blanks too: the location of a file, the target of a link. A file without a location is read from its
own path below the base directory. Directories on the way are made. All times are one time, but for what a `glob
-keeptime` finds.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final, NamedTuple

from imgcore.blob import Blob
from imgcore.errors import Corrupt, PathError, Unsupported, context, show
from imgcore.limits import Limits
from imgcore.listings.files import Files
from imgcore.listings.text import lines_of, number, octal_mode
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
from imgcore.values import field, value_class

__all__ = ["read_pack_file"]

_TYPES: Final = {"b": "block", "c": "char", "d": "dir", "p": "fifo", "f": "file", "l": "symlink", "s": "socket"}
_ENTRY: Final = re.compile(
    rb"""\s*(?P<kind>[a-z]+)\s+
    (?:"(?P<quoted>(?:\\["\\]|[^"])*)"|(?P<path>[^"\s]\S*))\s+
    (?P<mode>\S+)\s+(?P<user>\S+)\s+(?P<group>\S+)(?:\s+(?P<rest>.*))?""",
    re.DOTALL | re.VERBOSE,
)
_NEEDS: Final[dict[str, bool | None]] = {
    "file": None,
    "dir": False,
    "nod": True,
    "slink": True,
    "link": True,
    "pipe": False,
    "sock": False,
    "glob": True,
}
"""Whether something has to stand behind the group of an entry; None: it may."""


class _Entry(NamedTuple):
    kind: str
    path: bytes
    mode: bytes
    user: bytes
    group: bytes
    rest: bytes


def _parse(line: bytes) -> _Entry | None:
    """Return the entry of a line, None for an empty one or a comment. Raises Corrupt, PathError."""
    if not line.strip() or line.lstrip().startswith(b"#"):
        return None
    match = _ENTRY.fullmatch(line)
    if match is None:
        raise Corrupt("not an entry of a pack file", found=f"`{show(line[:80])}`", allowed="TYPE PATH MODE UID GID …")
    kind = match["kind"].decode()
    if kind not in _NEEDS:
        raise Corrupt("unknown entry", found=f"`{kind}`", allowed=" ".join(_NEEDS))
    rest = match["rest"] or b""
    if (needs := _NEEDS[kind]) is not None and needs != bool(rest.strip()):
        raise Corrupt(f"`{kind}` needs {'more' if needs else 'no more'} behind the group", found=f"`{show(line[:80])}`")
    quoted = match["quoted"]
    raw = match["path"] if quoted is None else re.sub(rb"\\([\"\\])", rb"\1", quoted)
    if b"\0" in raw:
        raise PathError("a NUL byte in a path", path=raw)
    return _Entry(kind, normalize(raw), match["mode"], match["user"], match["group"], rest)


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
    links: list[tuple[int, _Entry]] = []
    for line in lines_of(text, limits):
        with context(line=line.number):
            entry = _parse(line.data)
            if entry is None:
                continue
            if entry.kind == "link":
                links.append((line.number, entry))
                continue
            reader.read(entry)
    for count, entry in links:
        with context(line=count, path=entry.path):
            target = reader.builder.get(normalize(entry.rest))
            if target is None or isinstance(target, Dir):
                raise PathError("no such path for a hard link", found=f"`{show(entry.rest)}`")
            reader.builder.add(entry.path, target)
    return reader.builder.tree()


@value_class(frozen=False)
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
    return re.compile(glob_component(pattern), re.DOTALL)


class _Reader:
    def __init__(self, files: Files, builder: TreeBuilder, time: int) -> None:
        self.files, self.builder, self.time = files, builder, time

    def read(self, entry: _Entry) -> None:
        """Add what one line names."""
        path = entry.path
        with context(path=path):
            if entry.kind == "glob":
                self._glob(entry)
                return
            meta = Meta(octal_mode(entry.mode), number(entry.user, "a user"), number(entry.group, "a group"), self.time)
            if entry.kind == "dir" and isinstance(self.builder.get(path), Dir):
                self.builder.set_meta(path, meta)  # made on the way before, or the root
                return
            self.builder.add(path, self._node(entry.kind, path, meta, entry.rest))

    def _node(self, kind: str, path: bytes, meta: Meta, rest: bytes) -> Node:
        if kind == "dir":
            return Dir(meta, {})
        if kind == "file":
            node = self.files.node(rest or path[1:], follow=True)
            if not isinstance(node, File):
                raise PathError("its content is not a file")
            return File(meta, node.content)
        if kind == "slink":
            return Symlink(dataclasses.replace(meta, mode=0o777), rest)
        if kind == "nod":
            words = rest.split()
            if len(words) != 3 or words[0].lower() not in (b"b", b"c"):
                raise Corrupt("not a device", found=f"`{show(rest)}`", allowed="b or c, MAJOR and MINOR")
            major, minor = (number(word, "a device", (1 << 32) - 1) for word in words[1:])
            return Device(meta, "block" if words[0].lower() == b"b" else "char", major, minor)
        return Pipe(meta) if kind == "pipe" else Socket(meta)

    def _glob(self, entry: _Entry) -> None:
        path = entry.path
        options, location = _options(entry.rest)
        given = [None if word == b"*" else word for word in (entry.mode, entry.user, entry.group)]
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


_OPTION: Final = re.compile(rb"(-\S+)\s+")
_VALUE: Final = re.compile(rb"""(?:"((?:\\["\\]|[^"])*)"|'([^']*)'|([^"'\s]\S*))\s+""")


def _options(rest: bytes) -> tuple[_Glob, bytes]:
    """Return (the options, the location)."""
    glob, at = _Glob(), 0
    while found := _OPTION.match(rest, at):
        word, at = found[1], found.end()
        if word == b"--":
            break
        if word in (b"-xdev", b"-mount"):
            glob.one_file_system = True
        elif word == b"-keeptime":
            glob.keep_time = True
        elif word == b"-nonrecursive":
            glob.recursive = False
        elif word in (b"-type", b"-name", b"-path"):
            given = _VALUE.match(rest, at)
            if given is None:
                raise Corrupt(f"`{word.decode()}` needs a value and a location behind it")
            at = given.end()
            value = next(part for part in given.groups() if part is not None)
            if word == b"-type":
                kind = _TYPES.get(value.decode("latin-1"))
                if kind is None:
                    raise Corrupt("unknown type", found=f"`{show(value)}`", allowed=" ".join(_TYPES))
                glob.types.add(kind)
            else:
                (glob.names if word == b"-name" else glob.paths).append(_shell(value))
        else:
            raise Unsupported(f"unknown option `{show(word)}`")
    if not rest[at:].strip():
        raise Corrupt("a location is needed")
    return glob, rest[at:]
