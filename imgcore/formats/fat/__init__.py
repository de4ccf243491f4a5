"""FAT12, FAT16 and FAT32 with long names: what an EFI system partition is; written, read, and edited in place."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.formats.base import Format, deferred
from imgcore.formats.fat.options import CAPABILITIES, Options

if TYPE_CHECKING:
    from imgcore.formats.fat.edit import FatEditor
    from imgcore.formats.fat.reader import FatImage, open_image
    from imgcore.formats.fat.writer import write_image

__all__ = ["CAPABILITIES", "FORMAT", "FatEditor", "FatImage", "Options", "open_image", "write_image"]

FORMAT = Format(
    name="fat",
    title="FAT12, FAT16 and FAT32 with long names, for EFI system partitions",
    suffixes=(".fat", ".vfat", ".esp"),
    magics=(),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=deferred("imgcore.formats.fat.reader:open_image"),
    write=deferred("imgcore.formats.fat.writer:write_image"),
    check_blob=deferred("imgcore.formats.fat.check:check_blob"),
    limitations=(
        "no owners, modes, links, devices or extended attributes: everything is root's with mode 0755",
        "times are even seconds from 1980 to 2107, in UTC; the root has none",
        'names that differ in case only are one; `"*/:<>?\\|`, control characters, a dot or a blank at the end are impossible',
        "files are below 4 GiB",
    ),
    recognise=deferred("imgcore.formats.fat.boot_sector:recognise"),
)

_LATE = {"FatEditor": "edit", "FatImage": "reader", "open_image": "reader", "write_image": "writer"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.formats.fat` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.formats.fat.{_LATE[name]}"), name)
