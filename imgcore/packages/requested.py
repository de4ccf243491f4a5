"""What a request may mean besides a name and a capability, as dnf and zypper take it: versions, architectures, patterns.

`strace-6.5`, `strace-6.5-1`, `strace-0:6.5-1.x86_64` and `strace.x86_64` name one package each; with `*`, `?` or `[…]`, in any
of these forms, every package is meant that matches.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from imgcore.packages.model import Candidate

__all__ = ["is_pattern", "meant"]


def is_pattern(said: str) -> bool:
    """Return whether a request stands for all packages that match."""
    return any(char in said for char in "*?[")


def meant(said: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the packages that a request may mean by name, version, release and architecture."""
    matches = re.compile(fnmatch.translate(said)).match if is_pattern(said) else said.__eq__
    return [one for one in candidates if any(matches(form) for form in _forms(one))]


def _forms(one: Candidate) -> Iterable[str]:
    package = one.package
    yield package.name
    yield f"{package.name}.{package.arch}"
    for version in (package.version, f"{package.epoch or 0}:{package.version}"):
        yield f"{package.name}-{version}"
        yield f"{package.name}-{version}-{package.release}"
        yield f"{package.name}-{version}-{package.release}.{package.arch}"
