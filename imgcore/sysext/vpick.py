"""`NAME.v/`: of several versions of one image, in one directory, the best is taken.

An entry is called `NAME_VERSION[_ARCHITECTURE][+LEFT[-DONE]]SUFFIX`: the tries that are left of a boot count come last, the
architecture before them. The best is the one that has tries left (or counts none), then of the highest version, then with
an architecture rather than without, then with more tries left, then with fewer done, then of the highest file name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from imgcore.sysext.architecture import ARCHITECTURES
from imgcore.sysext.order import version_key
from imgcore.sysext.version import SystemdVersion

__all__ = ["Candidate", "parse_candidate", "pick"]

_TRIES = re.compile(rb"(.*)\+([0-9]+)(?:-([0-9]+))?", re.DOTALL)
_VERSION = re.compile(rb"[A-Za-z0-9.,_+-]+")
_VERSION_WITH_TILDE = re.compile(rb"[A-Za-z0-9.~^-]+")
_MOST_TRIES: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry of a `.v/` directory; `left` and `done` are None where it counts no tries."""

    file_name: bytes
    version: bytes
    architecture: str | None
    left: int | None
    done: int | None


def parse_candidate(
    file_name: bytes, name: bytes, suffix: bytes, *, systemd: SystemdVersion, architecture: str
) -> Candidate | None:
    """Return what a file name says, None where it is none of `name`'s, or not for `architecture`."""
    head = name + b"_"
    if not file_name.startswith(head) or not file_name.endswith(suffix) or len(file_name) <= len(head) + len(suffix):
        return None
    rest = file_name[len(head) : len(file_name) - len(suffix)]
    left: int | None = None
    done: int | None = None
    if match := _TRIES.fullmatch(rest):
        left, done = int(match[2]), int(match[3] or b"0")
        if left > _MOST_TRIES or done > _MOST_TRIES:
            left = done = None
        else:
            rest = match[1]
    found: str | None = None
    if b"_" in rest:
        rest, _, word = rest.rpartition(b"_")
        if (text := word.decode("latin-1")) in ARCHITECTURES:
            found = text
    allowed = _VERSION_WITH_TILDE if systemd.versions_with_tilde else _VERSION
    if not allowed.fullmatch(rest) or (found is not None and found != architecture):
        return None
    return Candidate(file_name, rest, found, left, done)


def pick(candidates: Iterable[Candidate]) -> Candidate | None:
    """Return the best of them, None where there is none."""
    return max(candidates, key=_rank, default=None)


def _rank(one: Candidate) -> tuple[object, ...]:
    return (
        one.left != 0,
        version_key(one.version),
        one.architecture is not None,
        one.left is None,
        one.left or 0,
        -(one.done or 0),
        version_key(one.file_name),
    )
