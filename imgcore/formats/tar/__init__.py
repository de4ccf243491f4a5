"""tar: the archive of Unix, in the dialects of v7, POSIX (ustar and PAX), GNU and star; written as PAX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.formats.base import Format, Magic, deferred
from imgcore.formats.tar.options import CAPABILITIES, SUFFIX_SETTINGS, Options

if TYPE_CHECKING:
    from imgcore.formats.tar.reader import TarImage, open_image
    from imgcore.formats.tar.writer import write_image

__all__ = ["CAPABILITIES", "FORMAT", "Options", "TarImage", "open_image", "write_image"]

FORMAT = Format(
    name="tar",
    title="tar, plain or compressed: v7, ustar, PAX, GNU and star are read, PAX is written",
    suffixes=tuple(SUFFIX_SETTINGS),
    magics=(Magic(257, b"ustar"),),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=deferred("imgcore.formats.tar.reader:open_image"),
    write=deferred("imgcore.formats.tar.writer:write_image"),
    check_blob=deferred("imgcore.formats.tar.check:check_blob"),
    limitations=(
        "sockets cannot be stored",
        "owners and groups are numbers: names are neither read nor written",
        "an absolute name, or one with `..`, is refused",
        "archives of several volumes are not read",
    ),
    recognise=deferred("imgcore.formats.tar.reader:looks_like_tar"),
    suffix_settings=SUFFIX_SETTINGS,
)

_LATE = {"TarImage": "reader", "open_image": "reader", "write_image": "writer"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.formats.tar` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.formats.tar.{_LATE[name]}"), name)
