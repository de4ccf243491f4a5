"""squashfs 4.0: the compressed read-only file system of Linux; written and read."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.formats.base import Format, Magic, deferred
from imgcore.formats.squashfs.options import CAPABILITIES, COMPRESSIONS, Options

if TYPE_CHECKING:
    from imgcore.formats.squashfs.reader import SquashfsImage, open_image
    from imgcore.formats.squashfs.writer import write_image

__all__ = ["CAPABILITIES", "COMPRESSIONS", "FORMAT", "Options", "SquashfsImage", "open_image", "write_image"]

FORMAT = Format(
    name="squashfs",
    title="squashfs 4.0, the compressed read-only file system of Linux",
    suffixes=(".raw", ".sqfs", ".squashfs", ".sfs", ".snap"),
    magics=(Magic(0, b"hsqs"),),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=deferred("imgcore.formats.squashfs.reader:open_image"),
    write=deferred("imgcore.formats.squashfs.writer:write_image"),
    check_blob=deferred("imgcore.formats.squashfs.check:check_blob"),
    limitations=(
        "times are whole seconds from 1970 to 2106",
        "extended attributes outside of user, trusted and security (POSIX ACLs among them) cannot be stored",
        "lzma images are read only: Linux does not mount them",
        "lzo needs the extra `imgcore[lzo]`",
    ),
)

_LATE = {"SquashfsImage": "reader", "open_image": "reader", "write_image": "writer"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.formats.squashfs` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.formats.squashfs.{_LATE[name]}"), name)
