"""What an extension is stored as, and reading it: a directory, or a raw image that holds a file system.

Where systemd asks a library what file system a file holds, we look for the same marks. Of a disk the root file system
counts, with the usr file system in its place. What systemd would mount and we have no reader for (ext4, EROFS) is
`TroubleKind.UNSUPPORTED`: no decision can be made for us. What it would not mount either is a decision: it blocks all
extensions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from imgcore import formats
from imgcore.blob import Blob
from imgcore.errors import Corrupt, ImgcoreError, NotThisFormat, SourceError, Unsupported
from imgcore.limits import Limits
from imgcore.model import Dir, Meta, Tree
from imgcore.sysext.partitions import DiskPart, disk_parts

__all__ = ["ImageType", "OpenedImage", "Trouble", "TroubleKind", "file_system_of", "open_raw"]

ImageType: TypeAlias = Literal["directory", "raw", "block", "mstack"]


class TroubleKind(enum.Enum):
    """Why there is no tree of an image."""

    BAD = "bad"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Trouble:
    """An image that could not be opened: who is to blame, what was found, what is wanted."""

    kind: TroubleKind
    found: str
    wanted: str


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """What is in an image, or why nothing is; `file_system` is its name where it was recognised."""

    file_system: str | None
    tree: Tree | None = None
    trouble: Trouble | None = None
    parts: Mapping[str, DiskPart] | None = None


_MAGICS: Final[tuple[tuple[str, int, bytes], ...]] = (
    ("squashfs", 0, b"hsqs"),
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("ext4", 1080, b"\x53\xef"),
    ("xfs", 0, b"XFSB"),
    ("btrfs", 0x10040, b"_BHRfS_M"),
    ("LUKS", 0, b"LUKS\xba\xbe"),
    ("GPT", 512, b"EFI PART"),
    ("GPT", 4096, b"EFI PART"),
    ("iso9660", 32769, b"CD001"),
    ("vfat", 54, b"FAT1"),
    ("vfat", 82, b"FAT32"),
    ("MBR", 510, b"\x55\xaa"),
)
_ALLOWED: Final = "squashfs, EROFS, ext4, btrfs, xfs or vfat, or a GPT with a root or usr partition"
_NOT_MOUNTED: Final = ("iso9660",)  # recognised, but systemd mounts no extension of it


def file_system_of(blob: Blob) -> str | None:
    """Return the file system, or partition table, that the bytes have the mark of; None for none."""
    for name, at, magic in _MAGICS:
        if blob.read_at(at, len(magic)) == magic:
            return name
    return None


def open_raw(blob: Blob, limits: Limits, stack: contextlib.ExitStack, architecture: str = "x86-64") -> OpenedImage:
    """Return what is in a raw image; `stack` closes it. Raises LimitExceeded and Cancelled only.

    Of a disk, partitions of `architecture` come first.
    """
    name: str | None = None
    try:
        name = file_system_of(blob)
        if name is None:
            return _bad(None, _describe(blob))
        if name == "GPT":
            return _open_disk(blob, architecture, limits, stack)
        if name in _NOT_MOUNTED:
            return _bad(name, name)
        if name != "squashfs":
            return OpenedImage(name, trouble=Trouble(TroubleKind.UNSUPPORTED, name, "squashfs, which can be read here"))
        image = stack.enter_context(formats.by_name(name).open(blob, limits))
        _ = image.tree.root.children
        return OpenedImage(name, image.tree)
    except Unsupported as error:
        return OpenedImage(name, trouble=Trouble(TroubleKind.UNSUPPORTED, str(error), "an image that can be read here"))
    except (Corrupt, NotThisFormat, SourceError) as error:
        return _bad(name, str(error))


def _open_disk(blob: Blob, architecture: str, limits: Limits, stack: contextlib.ExitStack) -> OpenedImage:
    """Return the root file system of a disk, with the usr file system in place of its /usr."""
    parts = disk_parts(blob, architecture)
    if "root" not in parts and "usr" not in parts:
        return _bad("GPT", "a GPT without a root or usr partition that may be used")
    opened: dict[str, OpenedImage] = {}
    for role in ("root", "usr"):
        if role not in parts:
            continue
        if file_system_of(parts[role].blob) in ("GPT", "MBR", None):
            return _bad("GPT", f"a {role} partition with no file system in it")
        opened[role] = open_raw(parts[role].blob, limits, stack, architecture)
        if opened[role].tree is None:
            return opened[role]
    root, usr = opened.get("root"), opened.get("usr")
    system = (root or usr or opened["root"]).file_system
    tree = root.tree if root is not None else None
    if usr is not None and usr.tree is not None:
        base = Dir(Meta(0o755), {}) if tree is None else tree.root
        children = {**base.children, b"usr": usr.tree.root}
        tree = Tree(dataclasses.replace(base, children=children), limits)
    return OpenedImage(system, tree, None, parts)


def _bad(name: str | None, found: str) -> OpenedImage:
    return OpenedImage(name, trouble=Trouble(TroubleKind.BAD, found, _ALLOWED))


def _describe(blob: Blob) -> str:
    """Return what bytes without a file system are, for people."""
    if blob.size == 0:
        return "an empty file"
    with contextlib.suppress(ImgcoreError):
        found = formats.detect(blob)
        if found is not None:
            return f"a {found.name} archive"
    head = blob.read_at(0, 6)
    for magic, name in ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2")):
        if head.startswith(magic):
            return f"a file compressed with {name}"
    return "no file system"
