"""Files that say in which order contents are written, and what single ones ask for, read as `Hints`.

Three kinds: sort files of mksquashfs (`read_sort_file`), sort files of gensquashfs (`read_sort_rules`), and a recorded
order of access (`read_access_order`). Each gives an `Order`, which a writer asks for the hints of a path; afterwards
`unused` says which lines named no file of the tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from imgcore.errors import Corrupt, PathError, show
from imgcore.model import File, FileHints, glob_component, normalize

__all__ = ["Line", "Order", "read_access_order", "read_sort_file", "read_sort_rules"]

_SORT_RANGE: Final = (-32768, 32767)
_BLANKS: Final = b" \t\r\v\f"
_NUMBER: Final = re.compile(rb"-?[0-9]+")
_GLOBS: Final = (b"glob", b"glob_no_path")
_RULE_FLAGS: Final = (b"align", b"dont_fragment", b"dont_compress", b"dont_deduplicate", b"nosparse")
_BLOCK: Final = 4096
_SHOWN: Final = 80  # bytes of a line that an error repeats


class Line(NamedTuple):
    """A line of such a file: its number, counted from 1, and the path or pattern that it names."""

    number: int
    names: bytes


class _Entry:
    """What a line says of a path, or of all paths (without their leading slash) that `matches` finds something in."""

    __slots__ = ("hints", "line", "matches", "used")

    def __init__(self, line: Line, hints: FileHints, matches: Callable[[bytes], object] | None = None) -> None:
        self.line = line
        self.hints = hints
        self.matches = matches
        self.used = False


class Order:
    """The hints of a whole file; call it as a `Hints`. Belongs to one thread."""

    def __init__(self, paths: dict[bytes, _Entry], patterns: list[_Entry], rest: list[_Entry], *, below: bool) -> None:
        self._paths = paths
        self._patterns = patterns
        self._entries = sorted([*paths.values(), *patterns, *rest], key=lambda entry: entry.line.number)
        self._below = below

    def __call__(self, path: bytes, node: File) -> FileHints | None:
        """Return what the file says of `path`, None for nothing."""
        found = self._paths.get(path)
        for pattern in self._patterns:
            if found is not None and found.line.number < pattern.line.number:
                break
            assert pattern.matches is not None
            if pattern.matches(path[1:]):
                found = pattern
                break
        if found is not None:
            found.used = True
        if self._below:
            above = path
            while above != b"/":
                above = above[: above.rfind(b"/")] or b"/"
                entry = self._paths.get(above)
                if entry is not None:
                    entry.used = True
                    found = found or entry
        return None if found is None else found.hints

    def unused(self) -> list[Line]:
        """Return the lines that no path asked for so far was named by."""
        return [entry.line for entry in self._entries if not entry.used]


def _lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with something in them, and their numbers, without blanks at both ends."""
    for number, line in enumerate(text.split(b"\n"), 1):
        stripped = line.strip(_BLANKS)
        if stripped and not stripped.startswith(b"#"):
            yield number, stripped


def _refuse(name: str, number: int, message: str, found: bytes | None = None, allowed: str | None = None) -> Corrupt:
    return Corrupt(message, line=number, structure=name, found=None if found is None else show(found[:_SHOWN]), allowed=allowed)


def _path(name: str, number: int, raw: bytes, source: bytes = b"") -> bytes:
    """Return a path of the tree. Raises Corrupt for one with `..` in it, or with a NUL."""
    source = source.rstrip(b"/")
    if source and (raw == source or raw.startswith(source + b"/")):
        raw = raw[len(source) :]
    if b"\0" in raw:
        raise _refuse(name, number, "NUL in a path", raw)
    try:
        return normalize(raw)
    except PathError:
        raise _refuse(name, number, "`..` in a path of the tree", raw) from None


def read_sort_file(text: bytes, name: str = "sort file", *, source: bytes = b"") -> Order:
    """Read a sort file of mksquashfs: `path priority` on each line, the highest priority first in the image.

    A backslash takes the next character as it stands, `#` begins a comment at a line's start. The path of a directory is
    about all below it, but for what has a line of its own; of two lines for one path the later counts. Paths are those
    of the tree; absolute ones may begin with `source`, the directory that the tree comes from. Raises Corrupt, which names
    the line, for one without a priority from -32768 to 32767 at its end, or with something behind it.
    """
    paths: dict[bytes, _Entry] = {}
    replaced: list[_Entry] = []
    low, high = _SORT_RANGE
    for number, line in _lines(text):
        raw, rest = _escaped_word(line)
        words = rest.split()
        if not words or not _NUMBER.fullmatch(words[0]):
            raise _refuse(name, number, "no priority behind the path", line, f"PATH PRIORITY, {low} to {high}")
        if len(words) > 1:
            raise _refuse(
                name, number, "something behind the priority", words[1], "PATH PRIORITY; a blank in PATH needs a backslash"
            )
        priority = _integer(name, number, words[0])
        if not low <= priority <= high:
            raise _refuse(name, number, "priority out of range", words[0], f"{low} to {high}")
        path = _path(name, number, raw, source)
        if path in paths:
            replaced.append(paths[path])
            replaced[-1].used = True  # it names something as much as the one that counts
        paths[path] = _Entry(Line(number, raw), FileHints(priority=priority))
    return Order(paths, [], replaced, below=True)


def _integer(name: str, number: int, digits: bytes) -> int:
    if len(digits) > 20:
        raise _refuse(name, number, "number does not fit 64 bits", digits[:40])
    value = int(digits)
    if not -(1 << 63) <= value < 1 << 63:
        raise _refuse(name, number, "number does not fit 64 bits", digits)
    return value


def _escaped_word(line: bytes) -> tuple[bytes, bytes]:
    """Return (the first word of `line` without its backslashes, what follows)."""
    out, at = bytearray(), 0
    while at < len(line) and line[at] not in _BLANKS:
        if line[at] == 0x5C and at + 1 < len(line):
            at += 1
        out.append(line[at])
        at += 1
    return bytes(out), line[at:]


def read_access_order(text: bytes, name: str = "access order", *, source: bytes = b"") -> Order:
    """Read a recorded order of access: one path a line, that which was read first comes first in the image.

    A path that occurs again changes nothing; files that are not listed follow those that are. Lines are paths as they
    stand, without escapes or comments; `source` is as for `read_sort_file`. Raises Corrupt, which names the line.
    """
    paths: dict[bytes, _Entry] = {}
    lines = text.split(b"\n")
    for number, raw in enumerate(lines, 1):
        path = _path(name, number, raw.removesuffix(b"\r"), source)
        if path != b"/":
            paths.setdefault(path, _Entry(Line(number, raw), FileHints(priority=1 + len(lines) - number)))
    return Order(paths, [], [], below=False)


def read_sort_rules(text: bytes, name: str = "sort file", *, align: int = _BLOCK) -> Order:
    """Read a sort file of gensquashfs: `priority [flag,...] path` on each line, the lowest number first in the image.

    The flags, which may be left out: `glob` (the path is a shell pattern whose `*`, `?` and `[...]` match no slash),
    `glob_no_path` (they do), `align` (the content begins at a multiple of `align` bytes), `dont_fragment`, `dont_compress`,
    `dont_deduplicate`, `nosparse`. A path may stand in double quotes, in which a backslash takes a quote or a backslash as
    it stands. The first line that stands for a file counts. Raises Corrupt, which names the line.
    """
    paths: dict[bytes, _Entry] = {}
    patterns: list[_Entry] = []
    repeated: list[_Entry] = []
    for number, line in _lines(text):
        digits = _NUMBER.match(line)
        if digits is None:
            raise _refuse(name, number, "no priority at the line's start", line, "PRIORITY [FLAG,...] PATH")
        priority = _integer(name, number, digits[0])
        flags, raw = _rule(name, number, line[digits.end() :])
        hints = FileHints(
            priority=-priority,
            compress=b"dont_compress" not in flags,
            fragment=b"dont_fragment" not in flags,
            dedup=b"dont_deduplicate" not in flags,
            holes=b"nosparse" not in flags,
            align=align if b"align" in flags else 1,
        )
        if b"glob" in flags or b"glob_no_path" in flags:
            crosses = b"glob_no_path" in flags
            matches = re.compile(glob_component(raw.lstrip(b"/"), crosses=crosses), re.DOTALL).fullmatch
            patterns.append(_Entry(Line(number, raw), hints, matches))
        else:
            entry = _Entry(Line(number, raw), hints)
            if paths.setdefault(_path(name, number, raw), entry) is not entry:
                repeated.append(entry)
    return Order(paths, patterns, repeated, below=False)


def _rule(name: str, number: int, rest: bytes) -> tuple[set[bytes], bytes]:
    """Return (flags, path) of what follows a priority."""
    flags: set[bytes] = set()
    body = rest.lstrip(_BLANKS)
    if not body or body == rest:
        raise _refuse(name, number, "no path behind the priority", rest, "PRIORITY [FLAG,...] PATH")
    if body.startswith(b"["):
        inside, bracket, rest = body[1:].partition(b"]")
        if not bracket:
            raise _refuse(name, number, "flags without a closing bracket", body)
        for flag in inside.split(b","):
            word = flag.strip(_BLANKS)
            if word and word not in (*_GLOBS, *_RULE_FLAGS):
                known = ", ".join(one.decode() for one in (*_GLOBS, *_RULE_FLAGS))
                raise _refuse(name, number, "unknown flag", word, known)
            flags.add(word)
        body = rest.lstrip(_BLANKS)
        if not body or body == rest:
            raise _refuse(name, number, "no path behind the flags", rest, "PRIORITY [FLAG,...] PATH")
    return flags, _unquoted(name, number, body) if body.startswith(b'"') else body


def _unquoted(name: str, number: int, body: bytes) -> bytes:
    out, at = bytearray(), 1
    while at < len(body) and body[at] != 0x22:
        if body[at] == 0x5C:
            at += 1
            if body[at : at + 1] not in (b'"', b"\\"):
                raise _refuse(name, number, "unknown escape in a quoted path", body[at - 1 : at + 1], '\\" or \\\\')
        out.append(body[at])
        at += 1
    if at >= len(body):
        raise _refuse(name, number, "quote without an end", body)
    if body[at + 1 :]:
        raise _refuse(name, number, "something behind the quoted path", body[at + 1 :])
    return bytes(out)
