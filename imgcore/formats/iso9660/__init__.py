"""ISO 9660: the file system of optical media and of installers, with Rock Ridge, Joliet and El Torito; written and read."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.formats.base import Format, Magic, deferred
from imgcore.formats.iso9660.options import CAPABILITIES, Options

if TYPE_CHECKING:
    from imgcore.formats.iso9660.reader import IsoImage, open_image
    from imgcore.formats.iso9660.writer import write_image

__all__ = ["CAPABILITIES", "FORMAT", "IsoImage", "Options", "open_image", "write_image"]

FORMAT = Format(
    name="iso9660",
    title="ISO 9660 with Rock Ridge, Joliet and El Torito",
    suffixes=(".iso",),
    magics=(Magic(32769, b"CD001"),),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=deferred("imgcore.formats.iso9660.reader:open_image"),
    write=deferred("imgcore.formats.iso9660.writer:write_image"),
    check_blob=deferred("imgcore.formats.iso9660.check:check_blob"),
    limitations=(
        "no extended attributes",
        "times are whole seconds from 1900 to 2155",
        "hard links with `-O rock-ridge=1.12` only",
        "names have at most 253 bytes: Linux shows longer ones cut",
        "at most 65535 directories",
    ),
)

_LATE = {"IsoImage": "reader", "open_image": "reader", "write_image": "writer"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.formats.iso9660` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.formats.iso9660.{_LATE[name]}"), name)
