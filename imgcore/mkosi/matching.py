"""How conditions of `[Match]` and `[TriggerMatch]` compare: settings with their values, and what is asked of the machine."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from imgcore.mkosi.host import Place, Value
from imgcore.mkosi.names import ARCHITECTURES
from imgcore.mkosi.setting import Match
from imgcore.mkosi.values import Item, choice, feature_of
from imgcore.mkosi.versions import compare

__all__ = [
    "MACHINE",
    "has_feature",
    "has_target",
    "has_variable",
    "is_in",
    "is_one_of",
    "is_text",
    "is_version",
    "like",
]

_SIGNS: Final = {"==": (0,), "!=": (-1, 1), "<=": (-1, 0), ">=": (0, 1), ">": (1,), "<": (-1,)}


def is_text(wanted: str, value: Value, at: Place) -> bool:
    """Whether both are the same."""
    return wanted == value


def like(wanted: str, value: Value, at: Place) -> bool:
    """Whether the value is what a shell glob stands for."""
    return isinstance(value, str) and fnmatch.fnmatchcase(value, wanted)


def is_version(wanted: str, value: Value, at: Place) -> bool:
    """Whether the version is as asked: `>=1.2`, `!=3`, `1` for the very same."""
    for sign, allowed in _SIGNS.items():
        if wanted.startswith(sign):
            return compare(str(value), wanted[len(sign) :]) in allowed
    return compare(str(value), wanted) == 0


def is_one_of(words: Iterable[str], what: str) -> Match:
    """Return the comparison with one of the words; any other is an error."""
    item = choice(words, what)
    return lambda wanted, value, at: item(wanted, at) == value


def is_in(item: Item | None = None) -> Match:
    """Return the comparison of a list: whether it has what is asked for, or is empty where nothing is."""

    def match(wanted: str, value: Value, at: Place) -> bool:
        found = value if isinstance(value, list) else []
        if not wanted:
            return not found
        return (item(wanted, at) if item is not None else wanted) in found

    return match


def has_feature(wanted: str, value: Value, at: Place) -> bool:
    """Whether the feature is enabled, disabled or auto, as asked."""
    return value == feature_of(wanted, at)


def has_variable(wanted: str, value: Value, at: Place) -> bool:
    """Whether NAME is set, or NAME=VALUE is what it is set to."""
    found = value if isinstance(value, dict) else {}
    name, equals, text = wanted.partition("=")
    return found.get(name) == text if equals else name in found


def has_target(wanted: str, value: Value, at: Place) -> bool:
    """Whether one of the trees goes where it is asked for."""
    place = str(Path(wanted.lstrip("/")))
    trees = value if isinstance(value, list) else []
    return any(isinstance(one, dict) and one["Target"] is not None and one["Target"] == place for one in trees)


def _path_exists(wanted: str, value: Value, at: Place) -> bool:
    return bool(wanted) and (at.cwd / wanted).exists()


def _systemd(wanted: str, value: Value, at: Place) -> bool:
    if not wanted:
        return False
    if at.host.systemd is None:
        raise at.fail(
            "SystemdVersion= asks for the version of systemd, which is not known here", hint="--systemd-version names it"
        )
    return is_version(wanted, at.host.systemd, at)


def _machine(wanted: str, value: Value, at: Place) -> bool:
    return choice(ARCHITECTURES, "architecture")(wanted, at) == at.host.architecture()


MACHINE: Final[Mapping[str, Match]] = {"PathExists": _path_exists, "SystemdVersion": _systemd, "HostArchitecture": _machine}
"""Conditions that no setting has: what is asked of the machine."""
