"""The order of systemd's version strings: names of extensions, versions in `.v/` directories, labels of partitions.

A string is read from left to right in segments. Characters that are no letter, digit or one of `~ . ^ -` are skipped
(so `_` and whatever is not ASCII does not count). At each step:

1. `~` is lower than anything, even than the end of the string: a pre-release.
2. If a string is at its end, the longer one is higher.
3. `-`, then `^`, then `.` are each lower than what is not that character.
4. Digits are higher than letters, and compare as a number; letters compare bytewise, a prefix is lower.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable

__all__ = ["compare_versions", "sorted_names", "ties", "version_key"]

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGITS = frozenset(b"0123456789")
_VALID = _LETTERS | _DIGITS | frozenset(b"~.^-")
_END = -1


def compare_versions(one: bytes, two: bytes) -> int:
    """Return -1, 0 or 1: `one` is lower than, as high as, or higher than `two`."""
    at, to = 0, 0
    while True:
        at, to = _skip(one, at), _skip(two, to)
        if (sign := _separator(one, at, two, to, 0x7E)) is not None:  # ~
            if sign:
                return sign
            at, to = at + 1, to + 1
        if at >= len(one) or to >= len(two):
            return (at < len(one)) - (to < len(two))
        for char in b"-^.":
            if (sign := _separator(one, at, two, to, char)) is not None:
                if sign:
                    return sign
                at, to = at + 1, to + 1
        digits = _char(one, at) in _DIGITS or _char(two, to) in _DIGITS
        kind = _DIGITS if digits else _LETTERS
        end, stop = _span(one, at, kind), _span(two, to, kind)
        sign = _numbers(one[at:end], two[to:stop]) if digits else _sign(one[at:end], two[to:stop])
        if sign:
            return sign
        at, to = end, stop


def _skip(text: bytes, at: int) -> int:
    while at < len(text) and text[at] not in _VALID:
        at += 1
    return at


def _char(text: bytes, at: int) -> int:
    return text[at] if at < len(text) else _END


def _span(text: bytes, at: int, kind: frozenset[int]) -> int:
    while at < len(text) and text[at] in kind:
        at += 1
    return at


def _separator(one: bytes, at: int, two: bytes, to: int, char: int) -> int | None:
    """Return who is lower for having `char` here; 0 where both have it, None where neither has."""
    mine, other = _char(one, at) == char, _char(two, to) == char
    return other - mine if mine or other else None


def _sign(one: bytes, two: bytes) -> int:
    return (one > two) - (one < two)


def _numbers(one: bytes, two: bytes) -> int:
    """Compare two runs of digits as numbers; an empty one is lower than any number, even than 0."""
    if not one or not two:
        return bool(one) - bool(two)
    one, two = one.lstrip(b"0"), two.lstrip(b"0")
    return (len(one) > len(two)) - (len(one) < len(two)) or _sign(one, two)


version_key = functools.cmp_to_key(compare_versions)
"""A key for `sorted` and `max`."""


def sorted_names(names: Iterable[bytes]) -> list[bytes]:
    """Return names lowest first; those that systemd holds for equal, and so orders by chance, are in bytewise order."""
    return sorted(sorted(names), key=version_key)


def ties(names: Iterable[bytes]) -> tuple[tuple[bytes, ...], ...]:
    """Return the names that systemd holds for equal, such as `1` and `01`, in groups of two and more."""
    groups = itertools.groupby(sorted_names(names), key=version_key)
    return tuple(found for _, group in groups if len(found := tuple(group)) > 1)
