"""Shell patterns as regular expressions over bytes."""

from __future__ import annotations

import functools
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

_CLASS: Final = re.compile(rb"\[:([a-z]+):\]")


def glob_component(text: bytes, *, crosses: bool = False) -> bytes:
    """Return the regular expression of a glob, or of one component of it.

    No wild card matches a slash, unless `crosses`: then all of them do.
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
    """Return (regular expression, position behind it) of the `[...]` whose inside starts at `at`.

    A range that ends before it begins has nothing in it, and so has a set of nothing else.
    """
    start = at + (text[at : at + 1] in (b"!", b"^"))
    members: set[int] = set()
    end = start
    while end < len(text) and (text[end : end + 1] != b"]" or end == start):  # a `]` that comes first stands for itself
        named = _CLASS.match(text, end)
        if named is not None and named[1] in POSIX_CLASSES:
            members |= _class_members(named[1])
            end = named.end()
            continue
        first, end = _member(text, end)
        last = first
        if text[end : end + 1] == b"-" and text[end + 1 : end + 2] not in (b"", b"]"):
            last, end = _member(text, end + 1)
        members.update(range(first, last + 1))
    if end >= len(text):
        return re.escape(b"["), at
    if start > at:
        members = set(range(256)) - members
    return (guard + b"[" + _runs(members) + b"]" if members else b"(?!)"), end + 1


def _member(text: bytes, at: int) -> tuple[int, int]:
    """Return (byte, position behind it) of one byte in a set; a backslash takes the next as it stands."""
    if text[at : at + 1] == b"\\" and at + 1 < len(text):
        at += 1
    return text[at], at + 1


@functools.cache
def _class_members(name: bytes) -> frozenset[int]:
    matches = re.compile(b"[" + POSIX_CLASSES[name] + b"]").match
    return frozenset(byte for byte in range(256) if matches(bytes([byte])))


def _runs(members: set[int]) -> bytes:
    """Return the inside of a regular expression's set, of runs of bytes in hexadecimal: none of them has a meaning there."""
    out = []
    for byte in sorted(members):
        if byte - 1 not in members:
            last = byte
            while last + 1 in members:
                last += 1
            out.append(b"\\x%02x-\\x%02x" % (byte, last))
    return b"".join(out)
