"""What mksquashfs's exclude options mean, as rules for the tree that the image will hold.

Plain names are paths of the host where they begin with `/`, `./` or `../`, else paths in each of the sources. With
`-wildcards` they are shell patterns, with `-regex` POSIX regular expressions, each for one component of a path that
begins at the image's root; `... ` before one lets it begin anywhere. A wild card matches no leading dot, but an extended
pattern such as `!(x)` does; what is below an excluded directory is excluded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from imgcore.cli.shims.arguments import ShimError
from imgcore.model import Node, glob_component

__all__ = ["PathSet", "Patterns", "read_exclude_file"]

_EXTENDED = re.compile(rb"([?*+@!])\(")


class PathSet:
    """Paths of the tree, each of them with all that is below, and nodes, with all their names."""

    def __init__(self, paths: Sequence[bytes], nodes: Sequence[Node]) -> None:
        self._paths = frozenset(paths)
        self._nodes = {id(node): node for node in nodes}

    def match(self, path: bytes, node: Node) -> bool:
        """Return whether the entry is one of them."""
        return path in self._paths or id(node) in self._nodes


class Patterns:
    """Patterns for components; raises ShimError for one that is none."""

    def __init__(self, texts: Sequence[str], *, regular: bool) -> None:
        self._anchored: list[list[re.Pattern[bytes]]] = []
        self._anywhere: list[list[re.Pattern[bytes]]] = []
        self._search = regular
        for text in texts:
            raw = os.fsencode(text)
            anywhere = raw.startswith(b"... ")
            if anywhere:
                raw = raw[4:]
            if raw.startswith((b"/", b"./", b"../")):
                raise ShimError(f"`{text}`: /, ./ and ../ cannot begin an exclude with -wildcards or -regex")
            try:
                parts = [re.compile(part if regular else _shell(part), re.DOTALL) for part in raw.split(b"/") if part]
            except re.error as error:
                raise ShimError(f"`{text}` is not a pattern: {error}") from None
            (self._anywhere if anywhere else self._anchored).append(parts)

    def match(self, path: bytes, node: Node) -> bool:
        """Return whether a pattern stands for the entry."""
        names = path[1:].split(b"/")
        return any(len(parts) == len(names) and self._fits(parts, names) for parts in self._anchored) or any(
            len(parts) <= len(names) and self._fits(parts, names[-len(parts) :]) for parts in self._anywhere
        )

    def _fits(self, parts: Sequence[re.Pattern[bytes]], names: Sequence[bytes]) -> bool:
        if self._search:
            return all(part.search(name) for part, name in zip(parts, names, strict=True))
        return all(part.fullmatch(name) for part, name in zip(parts, names, strict=True))


def _shell(text: bytes) -> bytes:
    """Return the regular expression of a shell pattern, extended ones (`!(a|b)`) among them."""
    dot = b"(?!\\.)" if text[:1] in (b"*", b"?", b"[") and not _EXTENDED.match(text) else b""
    return dot + _extended(text)


def _extended(text: bytes) -> bytes:
    found = _EXTENDED.search(text)
    if found is None:
        return glob_component(text)
    end, depth = found.end(), 1
    while end < len(text) and depth:
        depth += (text[end : end + 1] == b"(") - (text[end : end + 1] == b")")
        end += 1
    if depth:
        return glob_component(text)
    inside = b"|".join(_extended(part) for part in _alternatives(text[found.end() : end - 1]))
    before, rest = glob_component(text[: found.start()]), _extended(text[end:])
    if found[1] == b"!":
        return before + b"(?!(?:" + inside + b")" + rest + b"\\Z)[^/]*" + rest
    return before + b"(?:" + inside + b")" + {b"?": b"?", b"*": b"*", b"+": b"+", b"@": b""}[found[1]] + rest


def _alternatives(text: bytes) -> list[bytes]:
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == 0x28) - (char == 0x29)
        if char == 0x7C and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def read_exclude_file(text: str) -> list[str]:
    """Return the excludes of an `-ef` file: one a line; empty lines and those that begin with `#` are left out."""
    found = []
    for line in text.split("\n"):
        stripped = line.strip(" \t\r")
        if stripped and not stripped.startswith("#"):
            found.append(stripped[1:] if stripped.startswith("\\#") else stripped)
    return found
