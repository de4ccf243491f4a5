"""Rules for permissions, octal or symbolic: `0644`, `u=rwX,go-w`, `g=u`; what chmod takes, without a umask."""

from __future__ import annotations

import re
from typing import Final

from imgcore.values import value_class

__all__ = ["ModeRule"]

_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[+=-](?:[rwxXst]*|[ugo]))+)")
_STEP: Final = re.compile(r"([+=-])([ugo]|[rwxXst]*)")
_SHIFTS: Final = {"u": 6, "g": 3, "o": 0}
_SPECIAL: Final = {"u": 0o4000, "g": 0o2000, "o": 0}


@value_class
class ModeRule:
    """How permissions change; `octal` sets them all, `steps` are (who, operator, what) one after the other."""

    text: str
    octal: int | None = None
    steps: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> ModeRule:
        """Return the rule that a text says. Raises ValueError."""
        if re.fullmatch(r"[0-7]{1,5}", text):
            if int(text, 8) > 0o7777:
                raise ValueError(f"mode `{text}` has more than twelve bits")
            return cls(text, int(text, 8))
        steps = []
        for clause in text.split(","):
            match = _CLAUSE.fullmatch(clause)
            if match is None:
                raise ValueError(f"`{text}` is no mode: write octal digits, or clauses such as u=rwX,go-w")
            who = "".join(dict.fromkeys(match[1].replace("a", "ugo"))) or "ugo"
            # What names nobody is for all, and may then touch the sticky bit; so may what names others.
            steps += [(who, step[1], step[2]) for step in _STEP.finditer(match[2])]
        return cls(text, None, tuple(steps))

    def apply(self, mode: int, is_dir: bool) -> int:
        """Return the twelve bits that `mode` becomes."""
        if self.octal is not None:
            return self.octal
        for who, operator, what in self.steps:
            given = _bits(who, what, mode, is_dir)
            if operator == "+":
                mode |= given
            elif operator == "-":
                mode &= ~given
            else:
                mode = mode & ~_reach(who, is_dir) | given
        return mode


def _reach(who: str, is_dir: bool) -> int:
    """Return the bits that `=` sets anew: a directory keeps setuid and setgid unless they are named, as with GNU chmod."""
    bits = sum(7 << _SHIFTS[one] for one in who)
    if not is_dir:
        bits |= sum(_SPECIAL[one] for one in who)
    return bits | (0o1000 if "o" in who else 0)


def _bits(who: str, what: str, mode: int, is_dir: bool) -> int:
    if what in _SHIFTS and what:
        copied = mode >> _SHIFTS[what] & 7
        return sum(copied << _SHIFTS[one] for one in who)
    each = (4 if "r" in what else 0) | (2 if "w" in what else 0) | (1 if "x" in what else 0)
    if "X" in what and (is_dir or mode & 0o111):
        each |= 1
    bits = sum(each << _SHIFTS[one] for one in who)
    if "s" in what:
        bits |= sum(_SPECIAL[one] for one in who)
    return bits | (0o1000 if "t" in what and "o" in who else 0)
