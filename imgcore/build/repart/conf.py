"""systemd's configuration syntax, as much as definitions of partitions use: `[Section]`, `Key=Value`, one a line.

Lines that begin with `#` or `;` are comments, a backslash at a line's end continues it. Drop-ins (`NAME.conf.d/*.conf`) are
read after their file, in order of names, as if their lines stood at its end. Where systemd warns of what it does not know
and goes on, this is an error: an image that lacks something is worse than none.

Source: systemd, src/shared/conf-parser.c: config_parse, parse_line.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Iterator

from imgcore.errors import ConfigError, SourceUnreadable
from imgcore.values import value_class

__all__ = ["Assignment", "DefinitionError", "definition_files", "drop_in_files", "read_assignments"]

_MOST = 1 << 20


class DefinitionError(ConfigError):
    """A definition that cannot be followed; `structure` names file and line."""


@value_class
class Assignment:
    """A line `key=value`; `where` is FILE:LINE."""

    key: str
    value: str
    where: str


def definition_files(directories: Collection[str | os.PathLike[str]]) -> list[str]:
    """Return the paths of the `*.conf` files, in order of their names; the first directory that has a name wins.

    Raises SourceUnreadable.
    """
    found: dict[str, str] = {}
    for directory in directories:
        try:
            names = os.listdir(directory)
        except OSError as error:
            raise SourceUnreadable(f"cannot read definitions: {error.strerror}", path=os.fspath(directory)) from None
        for name in names:
            if name.endswith(".conf") and not name.startswith("."):
                found.setdefault(name, os.path.join(directory, name))
    return [found[name] for name in sorted(found) if not _is_masked(found[name])]


def _is_masked(path: str) -> bool:
    return os.path.realpath(path) == "/dev/null" or (os.path.isfile(path) and os.path.getsize(path) == 0)


def drop_in_files(path: str) -> list[str]:
    """Return the drop-ins of a definition, in order. Raises SourceUnreadable."""
    return definition_files([path + ".d"]) if os.path.isdir(path + ".d") else []


def read_assignments(paths: Iterable[str], section: str, known: Collection[str]) -> list[Assignment]:
    """Return the lines of several files. Raises SourceUnreadable, DefinitionError."""
    return [line for path in paths for line in _assignments(path, section, known)]


def _assignments(path: str, section: str, known: Collection[str]) -> Iterator[Assignment]:
    current = None
    for number, line in _lines(path):
        where = f"{path}:{number}"
        if line.startswith("["):
            if not line.endswith("]"):
                raise DefinitionError(f"a section without `]`: `{line}`", structure=where)
            current = line[1:-1]
            if current != section and not current.startswith("X-"):
                raise DefinitionError(f"section [{current}]", structure=where, allowed=f"[{section}]")
            continue
        key, separator, value = line.partition("=")
        key = key.strip()
        if not separator or not key:
            raise DefinitionError(f"neither a section nor KEY=VALUE: `{line}`", structure=where)
        if current is None:
            raise DefinitionError(f"`{key}` stands outside of any section", structure=where)
        if current.startswith("X-") or key.startswith("X-"):  # systemd.syntax(7): somebody else's
            continue
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise DefinitionError(f"no key is called `{key}`", structure=where, hint=f"perhaps {near[0]}" if near else None)
        yield Assignment(key, value.strip(), where)


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield (number, text) of each line that says something; continued lines are one, by the number of the first."""
    try:
        with open(path, encoding="utf-8-sig") as file:  # a byte order mark is passed over
            text = file.read(_MOST + 1)
    except OSError as error:
        raise SourceUnreadable(f"cannot read definition: {error.strerror}", path=path) from None
    except UnicodeDecodeError:
        raise DefinitionError("a definition that is not UTF-8", structure=path) from None
    if len(text) > _MOST or "\0" in text:
        raise DefinitionError("a definition that is too long, or has zero bytes", structure=path)
    held, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(" \t\r")
        if stripped.startswith(("#", ";")):
            continue
        if not held:
            first = number
        if stripped.endswith("\\"):
            held += (line.rstrip(" \t\r") if held else stripped)[:-1] + " "
            continue
        whole, held = (held + (line if held else stripped)).strip(), ""
        if whole:
            yield first, whole
    if held.strip():
        yield first, held.strip()
