"""cpio: what a Linux initrd is; newc, crc and odc are read, also chained and compressed, newc is written."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.formats.base import Format, Magic, deferred
from imgcore.formats.cpio.magic import CRC, NEWC, ODC
from imgcore.formats.cpio.options import CAPABILITIES, SUFFIX_SETTINGS, Options

if TYPE_CHECKING:
    from imgcore.formats.cpio.reader import CpioImage, open_image
    from imgcore.formats.cpio.writer import write_image

__all__ = ["CAPABILITIES", "FORMAT", "CpioImage", "Options", "open_image", "write_image"]

FORMAT = Format(
    name="cpio",
    title="cpio, plain or compressed: newc, crc, odc and initrds are read, newc is written",
    suffixes=tuple(SUFFIX_SETTINGS),
    magics=(Magic(0, NEWC), Magic(0, CRC), Magic(0, ODC)),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=deferred("imgcore.formats.cpio.reader:open_image"),
    write=deferred("imgcore.formats.cpio.writer:write_image"),
    check_blob=deferred("imgcore.formats.cpio.check:check_blob"),
    limitations=(
        "no extended attributes",
        "times are whole seconds from 1970 to 2106, files are below 4 GiB",
        "the binary kind of cpio is not read",
        "an absolute name, or one with `..`, is refused",
    ),
    suffix_settings=SUFFIX_SETTINGS,
)

_LATE = {"CpioImage": "reader", "open_image": "reader", "write_image": "writer"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.formats.cpio` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.formats.cpio.{_LATE[name]}"), name)
