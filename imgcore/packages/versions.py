"""Versions of RPM packages: how two of them compare, and whether two ranges have one in common.

`rpmvercmp` goes from segment to segment: digits are a number, letters are text, a number is newer than text, all else only
parts them. `~` sorts before anything, the end too; `^` after the end, and before anything else.
"""

from __future__ import annotations

import functools
from typing import Final, TypeVar

from imgcore.formats.rpm.package import Dependency
from imgcore.values import value_class

__all__ = ["Evr", "overlap", "rpmvercmp"]

T = TypeVar("T", int, str)
_DIGITS: Final = frozenset("0123456789")
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SEGMENTS: Final = _DIGITS | _LETTERS
_KEPT: Final = _SEGMENTS | frozenset("~^")


def _skipped(text: str, at: int) -> int:
    """Return where the next segment or mark begins."""
    while at < len(text) and text[at] not in _KEPT:
        at += 1
    return at


def _run(text: str, at: int, of: frozenset[str]) -> int:
    """Return where the run of such characters ends."""
    while at < len(text) and text[at] in of:
        at += 1
    return at


def _order(one: T, two: T) -> int:
    """Return -1, 0 or 1, for numbers or for texts."""
    return int(one > two) - int(one < two)


def rpmvercmp(one: str, two: str) -> int:
    """Return -1, 0 or 1: whether `one` is older than `two`, as new, or newer."""
    if one == two:
        return 0
    at, to = 0, 0
    while at < len(one) or to < len(two):
        at, to = _skipped(one, at), _skipped(two, to)
        first, second = one[at : at + 1], two[to : to + 1]
        if first == "~" or second == "~":
            if first != second:
                return -1 if first == "~" else 1
            at, to = at + 1, to + 1
            continue
        if first == "^" or second == "^":
            if not first or not second:
                return -1 if not first else 1
            if first != second:
                return -1 if first == "^" else 1
            at, to = at + 1, to + 1
            continue
        if not first or not second:
            break
        of = _DIGITS if first in _DIGITS else _LETTERS
        end, until = _run(one, at, of), _run(two, to, of)
        if until == to:
            return 1 if of is _DIGITS else -1
        left, right = one[at:end], two[to:until]
        if of is _DIGITS:
            left, right = left.lstrip("0"), right.lstrip("0")
            if len(left) != len(right):
                return _order(len(left), len(right))
        if left != right:
            return _order(left, right)
        at, to = end, until
    return _order(at < len(one), to < len(two))


@functools.total_ordering
@value_class(eq=False)
class Evr:
    """Epoch, version and release of a package; ordered as rpm orders them, and equal where rpm finds no difference."""

    epoch: int
    version: str
    release: str = ""

    @classmethod
    def parse(cls, text: str) -> Evr:
        """Return what `[EPOCH:]VERSION[-RELEASE]` says; an epoch that is no number is part of the version."""
        head, colon, rest = text.partition(":")
        epoch = 0
        if colon and (not head or (head.isascii() and head.isdigit())):
            epoch, text = int(head or 0), rest
        version, dash, release = text.rpartition("-")
        return cls(epoch, version, release) if dash else cls(epoch, text)

    def compare(self, other: Evr) -> int:
        """Return -1, 0 or 1. A release that one of them does not say is no difference."""
        found = _order(self.epoch, other.epoch) or rpmvercmp(self.version, other.version)
        if found or not self.release or not other.release:
            return found
        return rpmvercmp(self.release, other.release)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Evr) and self.compare(other) == 0

    def __lt__(self, other: Evr) -> bool:
        return self.compare(other) < 0

    __hash__ = None  # type: ignore[assignment]  # equal values may be written in many ways

    def __str__(self) -> str:
        return f"{f'{self.epoch}:' if self.epoch else ''}{self.version}{f'-{self.release}' if self.release else ''}"


def overlap(one: Dependency, two: Dependency) -> bool:
    """Return whether two ranges of one name have a version in common; without a version a range is everything."""
    if one.name != two.name:
        return False
    if not one.operator or not two.operator or not one.version or not two.version:
        return True
    order = Evr.parse(one.version).compare(Evr.parse(two.version))
    if order == 0:
        return any(sign in one.operator and sign in two.operator for sign in "<=>")
    if order < 0:
        return ">" in one.operator or "<" in two.operator
    return "<" in one.operator or ">" in two.operator
