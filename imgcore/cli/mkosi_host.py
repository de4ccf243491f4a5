"""What `imgcore mkosi` asks the machine for a configuration: its environment, its os-release, who calls."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from pathlib import Path

import click

from imgcore.build.scripts import output_of
from imgcore.mkosi import Host
from imgcore.sysext.envfile import parse_env_file

__all__ = ["this_host"]


def this_host(
    directory: Path, *, seed: str | None = None, builtin: Path | None = None, systemd: str | None = None, scripts: bool = False
) -> Host:
    """Return the machine and the call, for a configuration in `directory`. Raises UsageError where that is none."""
    place = directory.resolve()
    if not place.is_dir():
        raise click.UsageError(f"`{directory}` is not a directory")
    environment = dict(os.environ)
    host = Host(
        place,
        environment,
        platform.machine(),
        _os_release(),
        home=_home,
        term=_term(),
        seed=seed,
        builtin=None if builtin is None else builtin.resolve(),
        systemd=systemd,
    )
    return dataclasses.replace(host, run=lambda path: output_of(path, place, environment)) if scripts else host


def _os_release() -> dict[str, str]:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, "rb") as stream:
                return parse_env_file(stream.read(1 << 20))
        except OSError:
            continue
    return {}


def _home(user: str) -> str | None:
    found = os.path.expanduser(f"~{user}")
    return None if found.startswith("~") else found


def _term() -> str:
    if not sys.stderr.isatty():
        return "dumb"
    term = os.environ.get("TERM", "unknown")
    return "vt220" if term == "unknown" else term
