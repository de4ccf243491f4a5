"""Parsers of settings that are paths, trees, or what a small file says."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from imgcore.mkosi.host import Place, Value
from imgcore.mkosi.ini import read_ini
from imgcore.mkosi.values import Item, Parse, listed, mapped, pair, size_of

__all__ = [
    "certificate",
    "credential_files",
    "drive",
    "key",
    "one_path",
    "path_item",
    "path_of",
    "read_text",
    "require_secret",
    "said_by",
    "tree_item",
    "uki_profile",
]


def path_of(
    said: str,
    at: Place,
    *,
    required: bool = True,
    resolve: bool = True,
    variables: bool = True,
    must_be_directory: bool = False,
    secret: bool = False,
) -> Path:
    """Return the path that a text names. Raises ConfigError for one that is required and not there."""
    if variables:
        said = at.expand(said)
    whole = at.path(said)
    if required and not whole.exists():
        raise at.fail(f"`{said}` does not exist")
    if required and must_be_directory and not whole.is_dir():
        raise at.fail(f"`{said}` is not a directory")
    found = whole.resolve() if resolve else Path(said)
    if secret:
        require_secret(found if resolve else whole, at)
    return found


def require_secret(path: Path, at: Place) -> None:
    """Raise ConfigError for a file that holds a secret and may be read, or changed, by everybody."""
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o007:
        raise at.fail(f"`{path}` holds a secret, and everybody may read or change it", hint="chmod o= makes it the owner's")


def path_item(*, required: bool = True, constants: Sequence[str] = (), outside: Sequence[str] = ()) -> Item:
    """Return the parser of a path; `constants` stand for themselves, and it may not be below any of `outside`."""

    def item(said: str, at: Place) -> Value:
        if said in constants:
            return said
        found = path_of(said, at, required=required)
        for place in outside:
            if Path(at.expand(said)).is_relative_to(place):
                raise at.fail(f"`{said}` is below {place}")
        return str(found)

    return item


def one_path(*, required: bool = True, secret: bool = False, constants: Sequence[str] = ()) -> Parse:
    """Return the parser of a setting that is one path."""

    def parse(said: str | None, old: Value, at: Place) -> Value:
        if not said or said in constants:
            return said or None
        return str(path_of(said, at, required=required, secret=secret))

    return parse


def key(said: str | None, old: Value, at: Place) -> Value:
    """A private key: a file, or what another source of keys calls it."""
    if not said:
        return None
    return str(path_of(said, at, secret=True)) if (at.cwd / said).exists() else str(Path(said))


def certificate(said: str | None, old: Value, at: Place) -> Value:
    """A certificate: a file, or what another source calls it."""
    if not said:
        return None
    return str(path_of(said, at)) if (at.cwd / said).exists() else str(Path(said))


def tree_item(*, required: bool = False, directory: bool = False, absolute: bool = True) -> Item:
    """Return the parser of SOURCE or SOURCE:TARGET."""

    def item(said: str, at: Place) -> Value:
        source, colon, target = said.partition(":")
        found = path_of(source, at, required=required, must_be_directory=directory)
        place: str | None = None
        if colon:
            place = str(Path(at.expand(target)))
            if absolute and not place.startswith("/"):
                raise at.fail(f"`{target}` is not an absolute path", hint="SOURCE:/TARGET")
        return {"Source": str(found), "Target": place}

    return item


def read_text(path: Path, at: Place) -> str:
    """Return the text of a file. Raises ConfigError."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise at.fail(f"`{path}` is not UTF-8") from None


def said_by(path: Path, at: Place) -> str:
    """Return what a file says, or what it prints where it is a program. Raises ConfigError."""
    if os.access(path, os.X_OK):
        return at.host.run(path)
    found = read_text(path, at)
    if found.startswith("#!/"):
        raise at.fail(f"`{path}` begins as a program does, and is not executable", hint="chmod +x")
    return found


def credential_files(said: str, at: Place) -> Mapping[str, str]:
    """Return what the files of a directory, or one file, say, by their names."""
    place = at.cwd / said
    if place.is_dir():
        files = [one for one in sorted(place.iterdir()) if not one.is_dir()]
    elif place.exists():
        files = [place]
    else:
        raise at.fail(f"`{said}` does not exist")
    return {one.name: at.host.run(one) if os.access(one, os.X_OK) else read_text(one, at) for one in files}


def drive(said: str, at: Place) -> Value:
    """Return ID:SIZE[:DIRECTORY[:OPTIONS]] as mkosi shows it."""
    parts = [*said.split(":", 3), "", "", ""]
    name, how_large, directory, options = parts[:4]
    if not name or not how_large or "/" in name or name in (".", ".."):
        raise at.fail(f"`{said}` is no drive", allowed="ID:SIZE[:DIRECTORY[:OPTIONS]]")
    where = str(path_of(directory, at)) if directory else None
    return {"Id": name, "Size": size_of(how_large), "Directory": where, "Options": options or None, "FileId": name}


def uki_profile(said: str, at: Place) -> Value:
    """Return what a file with a section [UKIProfile] says."""
    path = path_of(said, at)
    inside = Place(at.host, at.cwd, path)
    parsers = {"Profile": mapped("", pair), "Cmdline": listed(" ")}
    found: dict[str, Value] = {}
    for entry in read_ini(read_text(path, inside), ("UKIProfile",)):
        if entry.name:
            if entry.name not in parsers:
                raise inside.fail(f"unknown setting {entry.name}=", allowed=", ".join(parsers))
            found[entry.name] = parsers[entry.name](entry.value, found.get(entry.name), inside)
    return {name: found[name] if name in found else parse(None, None, inside) for name, parse in parsers.items()}
