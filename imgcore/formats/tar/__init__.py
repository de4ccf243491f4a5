"""tar: the archive of Unix, in the dialects of v7, POSIX (ustar and PAX), GNU and star; written as PAX."""

from __future__ import annotations

from imgcore.formats.base import Format, Magic
from imgcore.formats.tar.check import check_blob
from imgcore.formats.tar.options import CAPABILITIES, SUFFIX_SETTINGS, Options
from imgcore.formats.tar.reader import TarImage, looks_like_tar, open_image
from imgcore.formats.tar.writer import write_image

__all__ = ["CAPABILITIES", "FORMAT", "Options", "TarImage", "open_image", "write_image"]

FORMAT = Format(
    name="tar",
    title="tar, plain or compressed: v7, ustar, PAX, GNU and star are read, PAX is written",
    suffixes=tuple(SUFFIX_SETTINGS),
    magics=(Magic(257, b"ustar"),),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=open_image,
    write=write_image,
    check_blob=check_blob,
    limitations=(
        "sockets cannot be stored",
        "owners and groups are numbers: names are neither read nor written",
        "an absolute name, or one with `..`, is refused",
        "archives of several volumes are not read",
    ),
    recognise=looks_like_tar,
    suffix_settings=SUFFIX_SETTINGS,
)
