"""How mkosi orders versions: as UAPI.10 says, but that `1^` comes before `1`.

mkosi 25.3 has `^` the other way round (its source says so itself), and a configuration that compares versions was tried
with it; that is why this is not the order of `imgcore.sysext`.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["compare"]

_SKIPPED: Final = re.compile(r"[^A-Za-z0-9~^.-]*")
_DIGITS: Final = re.compile(r"[0-9]*")
_LETTERS: Final = re.compile(r"[A-Za-z]*")


def compare(one: str, two: str) -> int:
    """Return -1, 0 or 1: whether version `one` comes before `two`."""
    at, to = 0, 0
    while True:
        at, to = _past(_SKIPPED, one, at), _past(_SKIPPED, two, to)
        if (found := _marked("~", one, at, two, to)) is not None:
            return found
        if one[at : at + 1] == "~":
            at, to = at + 1, to + 1
        if at == len(one) or to == len(two):
            return (at < len(one)) - (to < len(two))
        for mark in "-^.":
            if (found := _marked(mark, one, at, two, to)) is not None:
                return found
            if one[at : at + 1] == mark:
                at, to = at + 1, to + 1
        digits = _past(_DIGITS, one, at), _past(_DIGITS, two, to)
        if digits != (at, to):
            first, second = one[at : digits[0]].lstrip("0"), two[to : digits[1]].lstrip("0")
            if first != second:
                return -1 if (len(first), first) < (len(second), second) else 1
            at, to = digits
            continue
        ends = _past(_LETTERS, one, at), _past(_LETTERS, two, to)
        if one[at : ends[0]] != two[to : ends[1]]:
            return -1 if one[at : ends[0]] < two[to : ends[1]] else 1
        at, to = ends


def _past(expression: re.Pattern[str], text: str, at: int) -> int:
    found = expression.match(text, at)
    assert found is not None
    return found.end()


def _marked(mark: str, one: str, at: int, two: str, to: int) -> int | None:
    """Return which of the two comes first because it alone goes on with `mark`."""
    here, there = one[at : at + 1] == mark, two[to : to + 1] == mark
    return None if here == there else -1 if here else 1
