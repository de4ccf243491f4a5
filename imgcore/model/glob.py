"""Shell patterns as regular expressions over bytes."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["POSIX_CLASSES", "glob_component"]

POSIX_CLASSES: Final = {
    b"alnum": rb"a-zA-Z0-9",
    b"alpha": rb"a-zA-Z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"\x21-\x7e",
    b"lower": rb"a-z",
    b"print": rb"\x20-\x7e",
    b"punct": rb"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    b"space": rb" \t\n\r\v\f",
    b"upper": rb"A-Z",
    b"xdigit": rb"0-9A-Fa-f",
}
"""What `[:name:]` in a set stands for, as the inside of a regular expression's set."""

_IN_SET = re.compile(rb"\[:([a-z]+):\]|\\(.)|(.)", re.DOTALL)


def glob_component(text: bytes, *, crosses: bool = False) -> bytes:
    """Return the regular expression of one component of a glob, that is, of one without slashes.

    No wild card matches a slash, unless `crosses`: then `text` is a whole glob, and all of them do.
    """
    out, at = [], 0
    byte = b"." if crosses else b"[^/]"
    while at < len(text):
        char = text[at : at + 1]
        at += 1
        if char == b"*":
            out.append(byte + b"*")
        elif char == b"?":
            out.append(byte)
        elif char == b"\\" and at < len(text):
            out.append(re.escape(text[at : at + 1]))
            at += 1
        elif char == b"[":
            expression, at = _set(text, at, b"" if crosses else b"(?!/)")
            out.append(expression)
        else:
            out.append(re.escape(char))
    return b"".join(out)


def _set(text: bytes, at: int, guard: bytes) -> tuple[bytes, int]:
    """Return (regular expression, position behind it) of the `[...]` whose inside starts at `at`."""
    start = at + (text[at : at + 1] in (b"!", b"^"))
    inside, end = b"", start
    while end < len(text) and (text[end : end + 1] != b"]" or end == start):  # a `]` that comes first stands for itself
        found = _IN_SET.match(text, end)
        assert found is not None
        name, escaped, plain = found.groups()
        if name is not None and name not in POSIX_CLASSES:
            name, plain, found = None, b"[", None
        if name is not None:
            inside += POSIX_CLASSES[name]
        else:
            inside += b"-" if plain == b"-" else b"\\x%02x" % ord(plain or escaped)
        end = end + 1 if found is None else found.end()
    if end >= len(text):
        return re.escape(b"["), at
    if not _is_a_set(inside):
        return b"(?!)", end + 1
    return guard + b"[" + (b"^" if start > at else b"") + inside + b"]", end + 1


def _is_a_set(inside: bytes) -> bool:
    """Return whether a regular expression can have this set; `z-a` is none, and matches nothing in a shell."""
    try:
        re.compile(b"[" + inside + b"]")
    except re.error:
        return False
    return True
