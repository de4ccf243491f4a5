"""Shell patterns of one path component as regular expressions over bytes, in which no wild card matches a slash."""

from __future__ import annotations

import re

__all__ = ["glob_component"]


def glob_component(text: bytes) -> bytes:
    """Return the regular expression of one component of a glob, that is, of one without slashes."""
    out, at = [], 0
    while at < len(text):
        char = text[at : at + 1]
        at += 1
        if char == b"*":
            out.append(b"[^/]*")
        elif char == b"?":
            out.append(b"[^/]")
        elif char == b"\\" and at < len(text):
            out.append(re.escape(text[at : at + 1]))
            at += 1
        elif char == b"[":
            expression, at = _set(text, at)
            out.append(expression)
        else:
            out.append(re.escape(char))
    return b"".join(out)


def _set(text: bytes, at: int) -> tuple[bytes, int]:
    """Return (regular expression, position behind it) of the `[...]` whose inside starts at `at`."""
    start = at + (text[at : at + 1] in (b"!", b"^"))
    end = text.find(b"]", start + 1)  # a `]` that comes first stands for itself
    if end < 0:
        return re.escape(b"["), at
    inside = b"".join(b"-" if byte == 0x2D else b"\\x%02x" % byte for byte in text[start:end])
    if not _is_a_set(inside):
        return b"(?!)", end + 1
    return b"(?!/)[" + (b"^" if start > at else b"") + inside + b"]", end + 1


def _is_a_set(inside: bytes) -> bool:
    """Return whether a regular expression can have this set; `z-a` is none, and matches nothing in a shell."""
    try:
        re.compile(b"[" + inside + b"]")
    except re.error:
        return False
    return True
