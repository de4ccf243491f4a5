"""What a configuration may ask of the machine that reads it, as one value: nothing below the command line looks by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from imgcore.errors import ConfigError
from imgcore.mkosi.names import DISTRIBUTIONS, architecture_of_machine
from imgcore.values import field, value_class

__all__ = ["Host", "Place", "Value"]

Value: TypeAlias = "str | int | bool | list[Value] | dict[str, Value] | None"
"""A setting's value, as JSON shows it."""

_QUIRKS: Final = {"azurelinux": "azure"}
_VARIABLE: Final = re.compile(r"\$(\w+|\{[^}]*\})", re.ASCII)


def _no_program(path: Path) -> str:
    raise ConfigError(
        "a program whose output would be the value",
        path=str(path),
        hint="programs of a configuration run with --allow-scripts only",
    )


@value_class
class Host:
    """The machine and the call.

    Attributes:
        directory: where the configuration is; absolute, without symbolic links.
        environment: the environment variables.
        machine: what `uname -m` says.
        os_release: the assignments of its os-release.
        home: the home directory of a user, "" for the caller; None where there is none.
        term: what TERM is for scripts.
        seed: the seed of images that set none.
        builtin: the directory of what `Include=mkosi-vm` and the like stand for; None where they are not there.
        systemd: systemd's version, for `[Match] SystemdVersion=`; None where it is not known.
        run: gives what a program prints, for `mkosi.version` and the like that are executable.
    """

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    machine: str = "x86_64"
    os_release: Mapping[str, str] = field(default_factory=dict)
    home: Callable[[str], str | None] = lambda user: None
    term: str = "dumb"
    seed: str | None = None
    builtin: Path | None = None
    systemd: str | None = None
    run: Callable[[Path], str] = _no_program

    def architecture(self) -> str:
        """Return mkosi's name of the machine's architecture. Raises ValueError."""
        return architecture_of_machine(self.machine)

    def distribution(self) -> tuple[str | None, str | None]:
        """Return (the distribution, its release) that runs here, None for what mkosi has no name for."""
        if not self.os_release:
            return None, None
        words = [self.os_release.get("ID", "linux"), *self.os_release.get("ID_LIKE", "").split()]
        # Of `rhel-ubi` the name of mkosi's own symbol counts here, which no os-release has.
        known = [found for word in words if (found := _QUIRKS.get(word, word)) in DISTRIBUTIONS and found != "rhel-ubi"]
        release = self.os_release.get("VERSION_ID")
        if known and DISTRIBUTIONS[known[0]].packages == "deb":
            release = self.os_release.get("VERSION_CODENAME") or release
        return (known[0] if known else None), release


@value_class
class Place:
    """Where a value comes from, and what its relative paths are relative to.

    Attributes:
        host: see `Host`.
        cwd: the directory.
        file: the configuration file, or another name of the source; None for the command line.
        line: in that file, 0 where it has none.
    """

    host: Host
    cwd: Path
    file: Path | None = None
    line: int = 0

    def fail(self, message: str, *, hint: str | None = None, allowed: object = None) -> ConfigError:
        """Return the error to raise about a value that stands here."""
        path = None if self.file is None else str(self.file)
        return ConfigError(message, path=path, line=self.line or None, hint=hint, allowed=allowed)

    def expand(self, text: str) -> str:
        """Return `text` with $NAME and ${NAME} replaced by variables that there are."""

        def of(match: re.Match[str]) -> str:
            name = match[1][1:-1] if match[1].startswith("{") else match[1]
            return self.host.environment.get(name, match[0])

        return _VARIABLE.sub(of, text)

    def path(self, text: str, *, home: bool = True) -> Path:
        """Return the path that `text` names, absolute; with `home`, `~` stands for a home directory."""
        if home and text.startswith("~"):
            user, slash, rest = text[1:].partition("/")
            found = self.host.home(user)
            if found is None:
                raise self.fail(f"no home directory of `{user or 'the caller'}` is known")
            text = found + slash + rest
        return self.cwd / text
