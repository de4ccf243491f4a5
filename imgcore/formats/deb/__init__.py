"""deb: packages of Debian and its like; they are only read."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.formats.base import Format, Magic, deferred, not_written
from imgcore.formats.deb.options import CAPABILITIES, SUFFIXES, Options

if TYPE_CHECKING:
    from imgcore.formats.deb.package import Package, Script
    from imgcore.formats.deb.reader import DebImage, open_image

__all__ = ["CAPABILITIES", "FORMAT", "DebImage", "Options", "Package", "Script", "open_image"]

FORMAT = Format(
    name="deb",
    title="Debian packages, which are read: their files, control fields and scripts",
    suffixes=SUFFIXES,
    magics=(Magic(0, b"!<arch>\ndebian-binary"),),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=deferred("imgcore.formats.deb.reader:open_image"),
    write=not_written("deb"),
    check_blob=deferred("imgcore.formats.deb.check:check_blob"),
    limitations=(
        "packages are not written",
        "maintainer scripts and triggers are listed, and never run",
        "owners are the numbers in data.tar",
        "signatures are not verified; MD5 sums of files are, by `check`",
    ),
    writable=False,
)

_LATE = {"DebImage": "reader", "Package": "package", "Script": "package", "open_image": "reader"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.formats.deb` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.formats.deb.{_LATE[name]}"), name)
