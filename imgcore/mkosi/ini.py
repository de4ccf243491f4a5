"""The lines of a configuration file: sections, settings that may repeat, values of several lines.

    [Content]
    Packages=bash       # a comment runs to the end of the line, wherever it starts
             coreutils

`read_ini` gives (section, name, value, line) one by one; a line that is indented more than the file itself belongs to
the value before it, joined by a newline. Where a section ends an entry without a name and a value is given, since
conditions end with their section. Values are not interpreted here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator
from typing import NamedTuple

from imgcore.errors import ConfigError

__all__ = ["Entry", "read_ini"]


class Entry(NamedTuple):
    """One setting as it stands in a file; name and value are empty where a section ends."""

    section: str
    name: str
    value: str
    line: int


class _Open:
    """The setting whose value may go on in the next line."""

    __slots__ = ("line", "name", "value")

    def __init__(self, name: str, value: str, line: int) -> None:
        self.name, self.value, self.line = name, value, line


def read_ini(text: str, only: Collection[str] = ()) -> Iterator[Entry]:
    """Yield the entries of a file, those of other sections than `only` left out where that is not empty.

    Raises ConfigError, with the line, for one that is neither a section nor a setting, and for a setting outside of a section.
    """
    section, open_setting = "", None
    number = 0
    for number, raw in enumerate(textwrap.dedent(text).splitlines(), 1):
        line = raw.partition("#")[0]
        if not line.strip():
            continue
        if open_setting is not None and line[0].isspace():
            open_setting.value += "\n" + line.strip()
            continue
        if open_setting is not None:
            yield Entry(section, open_setting.name, open_setting.value, open_setting.line)
            open_setting = None
        line = line.strip()
        if line[0] == "[":
            if section:
                yield Entry(section, "", "", number)
            section = _section(line, number)
            continue
        if not section:
            raise ConfigError(
                "a setting before any section", line=number, found=f"`{line}`", hint="begin with a line such as [Content]"
            )
        if only and section not in only:
            continue
        name, equals, value = line.partition("=")
        if not equals or not name:
            raise ConfigError("neither a section nor a setting", line=number, found=f"`{line}`", allowed="NAME=VALUE")
        open_setting = _Open(name.strip(), value.strip(), number)
    if open_setting is not None:
        yield Entry(section, open_setting.name, open_setting.value, open_setting.line)
    if section:
        yield Entry(section, "", "", number)


def _section(line: str, number: int) -> str:
    name = line[1:-1].strip()
    if line[-1] != "]" or not name:
        raise ConfigError("not the name of a section", line=number, found=f"`{line}`", allowed="[NAME]")
    return name
