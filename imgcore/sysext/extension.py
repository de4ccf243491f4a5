"""An extension with all that a decision needs: its name, what it is stored as, what is in it, its release file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from imgcore.limits import Limits
from imgcore.model import Dir, File, Tree
from imgcore.sysext.discovery import Candidate
from imgcore.sysext.image import ImageType, Trouble, TroubleKind, open_raw
from imgcore.sysext.kinds import Kind
from imgcore.sysext.partitions import DiskPart
from imgcore.sysext.release import OsRelease, Release, find_os_release, find_release, image_name
from imgcore.sysext.version import SystemdVersion

__all__ = ["Extension", "open_extension", "with_tree"]

_NO_OS_RELEASE: Final = OsRelease(b"/usr/lib/os-release")


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension, opened.

    Attributes:
        name: that it is known and sorted by.
        image_type: what it is stored as.
        path: where it was found.
        place: where that leads, in the root; None where it is not in the root.
        tree: what is in it; None where it could not be read.
        release: its release file.
        release_name: what that has to be called after.
        os_release: whether it brings an os-release, which no extension may.
        trouble: why there is no tree.
        file_system: of a raw image.
        mtime_ns: when the raw image was changed last; None for a directory, of which systemd tells the birth.
        parts: of a disk, the partitions that systemd takes, by designator.
        rivals: other entries of its name in the same directory.
    """

    name: bytes
    image_type: ImageType
    path: bytes
    place: bytes | None
    tree: Tree | None
    release: Release
    release_name: bytes
    os_release: OsRelease = _NO_OS_RELEASE
    trouble: Trouble | None = None
    file_system: str | None = None
    mtime_ns: int | None = None
    rivals: tuple[bytes, ...] = ()
    parts: Mapping[str, DiskPart] | None = None


def open_extension(
    found: Candidate, kind: Kind, systemd: SystemdVersion, limits: Limits, stack: contextlib.ExitStack
) -> Extension:
    """Return the extension that was found; `stack` closes its image. Raises LimitExceeded and Cancelled only."""
    node = found.node
    tree: Tree | None = None
    trouble: Trouble | None = None
    file_system: str | None = None
    mtime_ns: int | None = None
    parts: Mapping[str, DiskPart] | None = None
    if isinstance(node, Dir):
        tree = Tree(node, limits)
        if found.image_type == "mstack":
            tree, trouble = None, Trouble(TroubleKind.BAD, "a stack of layers (.mstack)", "a directory or an image")
    elif isinstance(node, File):
        opened = open_raw(node.content, limits, stack)
        tree, trouble, file_system, mtime_ns = opened.tree, opened.trouble, opened.file_system, node.meta.mtime_ns
        parts = opened.parts
    else:
        trouble = Trouble(TroubleKind.UNSUPPORTED, "a block device", "a directory or an image, which can be read here")
    asked = _release_name(found, systemd)
    release = Release(why="it could not be opened") if tree is None else find_release(tree, asked, kind, systemd)
    return Extension(
        found.name,
        found.image_type,
        found.path,
        found.place,
        tree,
        release,
        asked,
        _NO_OS_RELEASE if tree is None else find_os_release(tree),
        trouble,
        file_system,
        mtime_ns,
        found.rivals,
        parts,
    )


def with_tree(name: bytes, path: bytes, tree: Tree, image_type: ImageType, kind: Kind, systemd: SystemdVersion) -> Extension:
    """Return the extension `name` whose content is `tree`, stored outside of the host."""
    release = find_release(tree, name, kind, systemd)
    return Extension(name, image_type, path, None, tree, release, name, find_os_release(tree))


def _release_name(found: Candidate, systemd: SystemdVersion) -> bytes:
    if found.image_type == "directory" or not systemd.image_suffixes:
        return found.name
    return image_name(found.path.rpartition(b"/")[2], systemd)
