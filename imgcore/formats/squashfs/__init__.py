"""squashfs 4.0: the compressed read-only file system of Linux; written and read."""

from __future__ import annotations

from imgcore.formats.base import Format, Magic
from imgcore.formats.squashfs.check import check_blob
from imgcore.formats.squashfs.options import CAPABILITIES, COMPRESSIONS, Options
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
    open=open_image,
    write=write_image,
    check_blob=check_blob,
    limitations=(
        "times are whole seconds from 1970 to 2106",
        "extended attributes outside of user, trusted and security (POSIX ACLs among them) cannot be stored",
        "lzma images are read only: Linux does not mount them",
        "lzo needs the extra `imgcore[lzo]`",
    ),
)
