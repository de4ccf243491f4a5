"""SELinux labels from a file_contexts file, chosen as libselinux chooses them (selabel_file(5)).

    /usr/bin(/.*)?          system_u:object_r:bin_t:s0
    /usr/bin/ping    --     system_u:object_r:ping_exec_t:s0
    /proc(/.*)?             <<none>>

A line is a regular expression that has to match the whole path, perhaps a type, and a context. Of all that match, the
last one wins, but one without special characters beats those that have some. `<<none>>` leaves the label alone.
Substitutions (`file_contexts.subs_dist`) replace the beginning of a path before it is looked up.

Expressions are sorted by the literal directory that they begin with, so that a path is tried against few of them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from imgcore.errors import Corrupt, context
from imgcore.model import POSIX_CLASSES, Node, Tree, type_name

__all__ = ["FileContexts", "label"]

_TYPES: Final = {"--": "file", "-d": "dir", "-l": "symlink", "-c": "char", "-b": "block", "-p": "fifo", "-s": "socket"}
_SPECIAL: Final = frozenset(".^$?*+|[({")
NAME: Final = b"security.selinux"


class _Spec(NamedTuple):
    rank: tuple[bool, int]  # whether it is literal, and its place in the files
    expression: re.Pattern[bytes] | bytes
    kind: str | None
    label: bytes | None


def _literal_directory(text: str) -> tuple[str, bool]:
    """Return (the literal directory that an expression begins with, whether all of it is literal)."""
    if _has_alternatives(text):
        first = re.match(r"/[^/.^$?*+|\[({]*/", text)  # all that libselinux looks at
        return first[0] if first else "", False
    plain, at = "", 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text) and not text[at + 1].isalnum():
            plain, at = plain + text[at + 1], at + 2
            continue
        if char in _SPECIAL or char == "\\":
            if char in "?*{" and plain:
                plain = plain[:-1]  # what may be missing is not a beginning
            return plain[: plain.rfind("/") + 1], False
        plain, at = plain + char, at + 1
    return plain, True


def _has_alternatives(text: str) -> bool:
    """Return whether a `|` stands outside of all groups."""
    depth, at = 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            at = max(text.find("]", at + 2), at)
        else:
            depth += (text[at] == "(") - (text[at] == ")")
            if text[at] == "|" and depth == 0:
                return True
        at += 1
    return False


def _compiled(text: bytes, alternatives: bool) -> re.Pattern[bytes]:
    """Return a PCRE expression as Python's.

    libselinux puts it between `^` and `$` as it stands: of alternatives outside of all groups the first is bound to the
    beginning only, the last to the end only, and so are they here.
    """
    out, at = [], 0
    while at < len(text):
        if text[at] == 0x5B:
            inside, at = _set(text, at + 1)
            out.append(inside)
            continue
        size = 2 if text[at] == 0x5C else 1
        out.append(text[at : at + size])
        at += size
    whole = b"".join(out)
    return re.compile(b"^" + whole + b"$" if alternatives else rb"\A" + whole + b"$", re.DOTALL)


def _set(text: bytes, at: int) -> tuple[bytes, int]:
    """Return (a set that Python reads as PCRE reads the one whose inside starts at `at`, the position behind it)."""
    out, start = [b"["], at
    if text[at : at + 1] == b"^":
        out, at, start = [b"[^"], at + 1, at + 1
    while at < len(text):
        char = text[at : at + 1]
        if char == b"]" and at > start:
            return b"".join([*out, b"]"]), at + 1
        named = re.compile(rb"\[:([a-z]+):\]").match(text, at)
        if named is not None and named[1] in POSIX_CLASSES:
            out.append(POSIX_CLASSES[named[1]])
            at = named.end()
        elif char == b"\\":
            out.append(text[at : at + 2])
            at += 2
        else:
            out.append(b"\\" + char if char in b"[]&|~" else char)  # Python keeps doubled ones for operators of sets
            at += 1
    return b"".join(out), at  # not closed: Python says so


class FileContexts:
    """What a file_contexts file, and those that add to it, say."""

    def __init__(self) -> None:
        self._by_directory: dict[bytes, list[_Spec]] = {}
        self._literal: dict[bytes, list[_Spec]] = {}
        self._subs: list[tuple[bytes, bytes]] = []
        self._local_subs: list[tuple[bytes, bytes]] = []
        self._count = 0

    @classmethod
    def parse(cls, *texts: str) -> FileContexts:
        """Return what several texts say, the later ones after the earlier. Raises Corrupt, with the line."""
        made = cls()
        for text in texts:
            made.add(text)
        return made

    def add(self, text: str) -> None:
        """Add the lines of another file. Raises Corrupt, with the line."""
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split()
            if words and not words[0].startswith("#"):
                with context(line=number):
                    self._add(words)

    def _add(self, words: Sequence[str]) -> None:
        kind = None
        if len(words) == 3:
            kind = _TYPES.get(words[1])
            if kind is None:
                raise Corrupt("unknown type", found=f"`{words[1]}`", allowed=" ".join(_TYPES))
        elif len(words) != 2:
            raise Corrupt("an expression, perhaps a type, and a context are needed", found=f"{len(words)} words")
        stated = words[-1]
        if stated != "<<none>>" and (stated.count(":") < 2 or not stated.isascii()):
            raise Corrupt("not a context", found=f"`{stated}`", allowed="user:role:type[:level], or <<none>>")
        label = None if stated == "<<none>>" else stated.encode() + b"\0"  # the kernel's labels end in a NUL
        directory, literal = _literal_directory(words[0])
        self._count += 1
        if literal:
            path = directory.encode("utf-8", "surrogateescape")
            self._literal.setdefault(path, []).append(_Spec((True, self._count), path, kind, label))
            return
        try:
            expression = _compiled(words[0].encode("utf-8", "surrogateescape"), _has_alternatives(words[0]))
        except re.error as error:
            raise Corrupt(f"not a regular expression: {error}", found=f"`{words[0]}`") from None
        where = directory.encode("utf-8", "surrogateescape")
        self._by_directory.setdefault(where, []).append(_Spec((False, self._count), expression, kind, label))

    def add_substitutions(self, text: str, *, local: bool = False) -> None:
        """Add lines of a `.subs_dist` file, or of a `.subs` one if `local`: a path, and what stands for it.

        The local ones are applied first, the others to what they give. Raises Corrupt, with the line.
        """
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split("#", 1)[0].split()
            if not words:
                continue
            if len(words) != 2:
                raise Corrupt("two paths are needed", line=number)
            (self._local_subs if local else self._subs).append((words[0].encode(), words[1].encode()))

    def lookup(self, path: bytes, kind: str) -> bytes | None:
        """Return the label of a path of the given type (as `type_name` says it), None when none is stated."""
        path = _substituted(_substituted(path, self._local_subs), self._subs)
        candidates = [spec for spec in self._literal.get(path, ()) if spec.kind in (None, kind)]
        if candidates:
            return max(candidates, key=lambda spec: spec.rank).label
        best: _Spec | None = None
        for directory in _directories(path):
            for spec in reversed(self._by_directory.get(directory, ())):
                if best is not None and spec.rank < best.rank:
                    break
                if spec.kind in (None, kind) and isinstance(spec.expression, re.Pattern) and spec.expression.search(path):
                    best = spec
                    break
        return None if best is None else best.label


def _substituted(path: bytes, subs: Sequence[tuple[bytes, bytes]]) -> bytes:
    for old, new in subs:
        if path == old or path.startswith(old + b"/"):
            return new.rstrip(b"/") + path[len(old) :] or b"/"
    return path


def _directories(path: bytes) -> list[bytes]:
    """Return the beginnings of a path that end in a slash, and the empty one."""
    found = [b""]
    at = path.find(b"/")
    while at >= 0:
        found.append(path[: at + 1])
        at = path.find(b"/", at + 1)
    return found


def label(tree: Tree, contexts: FileContexts, *, prefix: bytes = b"") -> Tree:
    """Return `tree` with the `security.selinux` that `contexts` state; what they say nothing of keeps its own.

    A file of several names gets the label of the first one in path order. `prefix` is the path that the tree will be at.
    """
    first: dict[int, tuple[bytes, Node]] = {}
    for path, node in tree.sorted_entries():
        first.setdefault(id(node), (path, node))

    def change(path: bytes, node: Node) -> Node:
        path = first[id(node)][0] if id(node) in first else path
        found = contexts.lookup((prefix + path).rstrip(b"/") or b"/", type_name(node))
        if found is None:
            return node
        return dataclasses.replace(node, meta=dataclasses.replace(node.meta, xattrs={**node.meta.xattrs, NAME: found}))

    return tree.map(change)
