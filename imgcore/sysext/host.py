"""What a decision needs to know of the host: its os-release, and whether it is an initrd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from imgcore.errors import Corrupt, PathError
from imgcore.model import File, Tree
from imgcore.sysext.chase import chase
from imgcore.sysext.kinds import Kind
from imgcore.sysext.release import read_assignments
from imgcore.sysext.version import SystemdVersion

__all__ = ["Host", "read_host"]

_PLACES: Final = (b"/etc/os-release", b"/usr/lib/os-release")


@dataclass(frozen=True, slots=True)
class Host:
    """The host, as far as extensions have to fit to it; an empty text is a key that is missing.

    Attributes:
        path: of the os-release, None where there is none.
        id, version_id, level: of the os-release; `level` is that of the class of extensions.
        id_like: its words.
        scope: `system` or `initrd`.
        architecture: systemd's name of it.
        trouble: why there is no ID, without which nothing is merged; empty where there is one.
    """

    path: bytes | None
    id: str
    id_like: tuple[str, ...]
    version_id: str
    level: str
    scope: str
    architecture: str
    trouble: str


def read_host(
    tree: Tree,
    kind: Kind,
    *,
    systemd: SystemdVersion,
    architecture: str,
    booted: bool = False,
    os_release: Mapping[str, str] | None = None,
) -> Host:
    """Return what there is to know of the root `tree`; `os_release` takes the place of its own."""
    path: bytes | None = None
    trouble = ""
    values: Mapping[str, str] = os_release or {}
    if os_release is None:
        path, values, trouble = _os_release(tree, systemd)
    if not trouble and not values.get("ID"):
        trouble = "the host's os-release has no ID"
    return Host(
        path,
        values.get("ID", ""),
        tuple(values.get("ID_LIKE", "").split()),
        values.get("VERSION_ID", ""),
        values.get(kind.level_key, ""),
        "initrd" if is_initrd(tree, systemd, booted) else "system",
        architecture,
        trouble,
    )


def is_initrd(tree: Tree, systemd: SystemdVersion, booted: bool) -> bool:
    """Return whether the root counts as an initrd."""
    if not systemd.initrd_of_root and not booted:
        return False
    try:
        return chase(tree, b"/etc/initrd-release") is not None
    except PathError:
        return False


def _os_release(tree: Tree, systemd: SystemdVersion) -> tuple[bytes | None, Mapping[str, str], str]:
    for asked in _PLACES:
        try:
            found = chase(tree, asked)
        except PathError as error:
            return None, {}, f"the host's {asked.decode()}: {error.message}"
        if found is None:
            continue
        if not isinstance(found.node, File):
            return found.path, {}, f"the host's {asked.decode()} is no regular file"
        try:
            return found.path, read_assignments(found.node.content, systemd), ""
        except Corrupt as error:
            return found.path, {}, f"the host's {asked.decode()} cannot be read: {error}"
    return None, {}, "the host has no os-release"
