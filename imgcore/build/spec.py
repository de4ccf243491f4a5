"""The way a command line names a source: `[/PLACE=][KIND:]PATH[#PART]{@SUBPATH[#PART]}`.

A string that names an existing file as it stands is that file, whatever characters it holds; a backslash makes one of
`# @ : = \\` an ordinary character; `-` is standard input. Parsing asks the host whether files exist and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

from imgcore.values import value_class

__all__ = ["KINDS", "Part", "SourceSpec", "parse_source"]

KINDS: Final = ("dir", "tar", "cpio", "manifest", "pseudo", "packfile", "squashfs", "iso9660", "erofs", "gpt", "fat")
"""The words that may stand before a colon; what is not among them is a part of the path."""

_PLACE = re.compile(r"(/(?:\\.|[^=\\])*)=", re.DOTALL)
_KIND = re.compile(r"([a-z0-9]+):")


@value_class
class Part:
    """One step into a source: a path, and the partition of what it leads to."""

    path: str
    partition: str | None = None


@value_class
class SourceSpec:
    """A source, parsed.

    Attributes:
        text: as it was written.
        place: where its tree goes, "" for the root.
        kind: what it has to be, None to find out.
        path: the file or directory of the host; `-` is standard input where `is_stdin`.
        partition: of what is at `path`, if it is a disk.
        parts: how to go down from there.
        is_stdin: whether it is read from standard input.
    """

    text: str
    path: str
    place: str = ""
    kind: str | None = None
    partition: str | None = None
    parts: tuple[Part, ...] = ()
    is_stdin: bool = False


def parse_source(text: str, *, exists: Callable[[str], bool] = os.path.lexists) -> SourceSpec:
    """Return the source that `text` names; `exists` says whether a path of the host does. Raises ValueError."""
    if not text:
        raise ValueError("an empty source")
    if exists(text):
        return SourceSpec(text, text)
    rest, place, kind = text, "", None
    if match := _PLACE.match(rest):
        place, rest = _plain(match[1]), rest[match.end() :]
    if (match := _KIND.match(rest)) and match[1] in KINDS:
        kind, rest = match[1], rest[match.end() :]
    if rest != text and rest and exists(rest):
        return SourceSpec(text, rest, place, kind)
    first, *more = _split(rest, "@")
    path, partition = _with_partition(first)
    if not path:
        raise ValueError(f"`{text}` names no file")
    parts = tuple(Part(*_with_partition(part)) for part in more)
    return SourceSpec(text, path, place, kind, partition, parts, is_stdin=path == "-" and first.startswith("-"))


def _split(text: str, at: str) -> list[str]:
    """Return the pieces of `text` between unescaped characters `at`, escapes kept."""
    pieces, current, escaped = [], "", False
    for char in text:
        if char == at and not escaped:
            pieces.append(current)
            current = ""
            continue
        current += char
        escaped = char == "\\" and not escaped
    return [*pieces, current]


def _with_partition(text: str) -> tuple[str, str | None]:
    path, *partition = _split(text, "#")
    return _plain(path), _plain("#".join(partition)) if partition else None


def _plain(text: str) -> str:
    """Return `text` without the backslashes that escape something."""
    return re.sub(r"\\([#@:=\\])", r"\1", text)
