"""What an extension is called that is not in a host: after its file.

`hello.raw`, `hello.sysext.raw` and `hello/` are `hello`.
"""

from __future__ import annotations

import os

from imgcore import formats
from imgcore.sysext.kinds import KindName
from imgcore.sysext.version import NEWEST, SystemdVersion

__all__ = ["extension_name"]


def extension_name(path: str, kind: KindName = "sysext", systemd: SystemdVersion = NEWEST) -> bytes:
    """Return the name of the extension that is stored at a path."""
    text = os.path.basename(os.path.abspath(path))
    suffix = "" if os.path.isdir(path) else ".raw"
    if suffix and not text.endswith(suffix):
        known = formats.by_suffix(text)
        suffix = "" if known is None else known.suffix_of(text) or ""
    name = os.fsencode(text[: len(text) - len(suffix)] if suffix and text.lower().endswith(suffix) else text)
    if systemd.class_suffixes:
        name = name.removesuffix(b"." + kind.encode())
    return name
