"""Every format that imgcore knows. To add one, make its folder and add its FORMAT here."""

from __future__ import annotations

import os
from typing import Final

from imgcore.blob import Blob
from imgcore.formats.base import FileHints, Finding, Format, Hints, Image, LayoutItem, Magic, Options, Report
from imgcore.formats.cpio import FORMAT as CPIO
from imgcore.formats.deb import FORMAT as DEB
from imgcore.formats.fat import FORMAT as FAT
from imgcore.formats.iso9660 import FORMAT as ISO9660
from imgcore.formats.rpm import FORMAT as RPM
from imgcore.formats.squashfs import FORMAT as SQUASHFS
from imgcore.formats.tar import FORMAT as TAR

__all__ = [
    "FORMATS",
    "FileHints",
    "Finding",
    "Format",
    "Hints",
    "Image",
    "LayoutItem",
    "Magic",
    "Options",
    "Report",
    "by_name",
    "by_suffix",
    "detect",
]

FORMATS: Final[tuple[Format, ...]] = (SQUASHFS, ISO9660, FAT, TAR, CPIO, RPM, DEB)


def by_name(name: str) -> Format:
    """Return the format called `name`; raises ValueError."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise ValueError(f"`{name}` is no format; known: {', '.join(known.name for known in FORMATS)}")


def by_suffix(path: str | bytes | os.PathLike[str]) -> Format | None:
    """Return the format that a file name stands for, None when it says nothing."""
    name = os.fsdecode(path)
    return next((known for known in FORMATS if known.suffix_of(name) is not None), None)


def detect(blob: Blob) -> Format | None:
    """Return the format of an image by its magic, None when no format knows it."""
    for known in FORMATS:
        if any(blob.read_at(magic.at, len(magic.value)) == magic.value for magic in known.magics):
            return known
    return next((known for known in FORMATS if known.recognise is not None and known.recognise(blob)), None)
