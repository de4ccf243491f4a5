"""Mutability: what takes the writes to a merged hierarchy.

    mode              no directory yet    a directory                     the directory is the hierarchy itself
    no                read-only           read-only                       read-only
    auto              read-only           takes the writes                host takes the writes, and is on top
    yes               made                takes the writes                as auto
    import            read-only           read, above the extensions      refused
    ephemeral         writes are lost     writes are lost, it is ignored  as before
    ephemeral-import  writes are lost     read, writes are lost           refused

The directory is /var/lib/extensions.mutable/NAME, where NAME is the hierarchy's path with dots for slashes.
"""

from __future__ import annotations

import configparser
import contextlib
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from imgcore.errors import PathError
from imgcore.model import Dir, File, Tree, join
from imgcore.sysext.chase import Place, chase, directory_at
from imgcore.sysext.kinds import Kind

__all__ = [
    "MODES",
    "Configuration",
    "MutableMode",
    "Writes",
    "mutable_directory",
    "parse_mode",
    "read_configuration",
    "writes_of",
]

MutableMode: TypeAlias = Literal["no", "auto", "yes", "import", "ephemeral", "ephemeral-import"]
Upper: TypeAlias = Literal["none", "directory", "host", "ephemeral"]

MODES: Final = ("no", "auto", "yes", "import", "ephemeral", "ephemeral-import")
_BASE: Final = b"/var/lib/extensions.mutable"
_TRUE: Final = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE: Final = frozenset({"0", "no", "n", "false", "f", "off"})
_CONFIGURATION: Final = (b"/etc", b"/run", b"/usr/local/lib", b"/usr/lib")


def parse_mode(text: str) -> MutableMode:
    """Return the mode that `text` names; words for true and false are yes and no. Raises ValueError."""
    if text in MODES:
        return cast(MutableMode, text)
    if text.lower() in _TRUE:
        return "yes"
    if text.lower() in _FALSE:
        return "no"
    raise ValueError(f"`{text}` is no mutable mode; known: {', '.join(MODES)}")


def mutable_directory(hierarchy: bytes) -> bytes:
    """Return the path of the directory that goes with a hierarchy."""
    return join(_BASE, hierarchy.strip(b"/").replace(b"/", b"."))


@dataclass(frozen=True, slots=True)
class Writes:
    """What happens to writes in one hierarchy.

    Attributes:
        upper: what takes them; `none` is read-only.
        path: of the directory that takes them, or is read, in the root.
        created: it is not there yet, and systemd makes it.
        imported: a directory that lies above the extensions, and is only read.
        trouble: why systemd gives up; empty where it does not.
    """

    upper: Upper = "none"
    path: bytes | None = None
    created: bool = False
    imported: Place | None = None
    directory: Dir | None = None
    trouble: str = ""


def writes_of(tree: Tree, hierarchy: bytes, host: Place | None, mode: MutableMode, *, follows: bool = True) -> Writes:
    """Return what happens to writes; `host` is where the hierarchy is on the host, None where it is missing.

    `follows`: a directory that is missing is made where a link leads.
    """
    if mode == "no":
        return Writes()
    if mode == "ephemeral":
        return Writes("ephemeral")
    path = mutable_directory(hierarchy)
    upper: Upper = "ephemeral" if mode == "ephemeral-import" else "none"
    try:
        found = chase(tree, path)
    except PathError as error:
        return Writes(path=path, trouble=f"{path.decode()}: {error.message}")
    if found is None:
        if mode == "yes" and not follows and chase(tree, path, follow_last=False) is not None:
            return Writes(path=path, trouble=f"{path.decode()} is a link that leads nowhere")
        if mode == "yes":
            return Writes("directory", path, created=True)
        return Writes(upper)
    if not isinstance(found.node, Dir):
        return Writes(path=path, trouble=f"{path.decode()} is no directory")
    itself = host is not None and found.path == host.path
    if mode in ("import", "ephemeral-import"):
        if itself:
            return Writes(path=path, trouble=f"{path.decode()} is the hierarchy itself, which cannot be a layer twice")
        return Writes(upper, path, imported=found)
    if itself:
        return Writes("host", found.path, directory=found.node)
    wanted = 0o755 if host is None else host.node.meta.mode & 0o777
    if found.node.meta.mode & 0o777 != wanted:
        mode_text = f"{found.node.meta.mode & 0o777:04o}"
        return Writes(path=path, trouble=f"{path.decode()} has mode {mode_text}, and the hierarchy {wanted:04o}")
    return Writes("directory", found.path, directory=found.node)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What sysext.conf or confext.conf says; None where it says nothing."""

    mutable: MutableMode | None = None
    image_policy: str | None = None
    path: bytes | None = None


def read_configuration(tree: Tree, kind: Kind) -> Configuration:
    """Return what the configuration files in the root say: the first main file, then drop-ins by name; the last word wins."""
    name = kind.name.encode() + b".conf"
    files = []
    for base in _CONFIGURATION:
        found = _file(tree, base + b"/systemd/" + name)
        if found is not None:
            files.append(found)
            break
    drop_ins: dict[bytes, tuple[bytes, File]] = {}
    for base in _CONFIGURATION:
        place = directory_at(tree, base + b"/systemd/" + name + b".d")
        if place is None or not isinstance(place.node, Dir):
            continue
        for entry in place.node.children:
            one = _file(tree, join(place.path, entry))
            if entry.endswith(b".conf") and one is not None:
                drop_ins.setdefault(entry, one)
    files += [drop_ins[entry] for entry in sorted(drop_ins)]
    out = Configuration()
    for path, node in files:
        values = _assignments(node.content.read_at(0, min(node.content.size, 1 << 20)), kind.section)
        mutable, policy = out.mutable, out.image_policy
        with contextlib.suppress(ValueError):  # systemd warns, and goes on
            mutable = parse_mode(values["Mutable"]) if values.get("Mutable") else mutable
        policy = values.get("ImagePolicy") or policy
        out = Configuration(mutable, policy, path if values else out.path)
    return out


def _file(tree: Tree, path: bytes) -> tuple[bytes, File] | None:
    try:
        found = chase(tree, path)
    except PathError:
        return None
    return (found.path, found.node) if found is not None and isinstance(found.node, File) else None


def _assignments(data: bytes, section: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), strict=False, empty_lines_in_values=False, interpolation=None
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(data.decode("utf-8", "replace"))
    except configparser.Error:
        return {}
    return dict(parser.items(section)) if parser.has_section(section) else {}
