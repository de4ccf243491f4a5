"""rpm: packages of Fedora, SUSE and their like, of the formats 3, 4 and 6; they are only read."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.formats.base import Format, Magic, deferred, not_written
from imgcore.formats.rpm.options import CAPABILITIES, SUFFIXES, Options

if TYPE_CHECKING:
    from imgcore.formats.rpm.package import Dependency, Package, PackageFile, Scriptlet
    from imgcore.formats.rpm.reader import RpmImage, open_image

__all__ = [
    "CAPABILITIES",
    "FORMAT",
    "Dependency",
    "Options",
    "Package",
    "PackageFile",
    "RpmImage",
    "Scriptlet",
    "open_image",
]

FORMAT = Format(
    name="rpm",
    title="RPM packages of the formats 3, 4 and 6, which are read: their files, owners, capabilities and dependencies",
    suffixes=SUFFIXES,
    magics=(Magic(0, b"\xed\xab\xee\xdb"),),
    default_options=Options(),
    capabilities=CAPABILITIES,
    open=deferred("imgcore.formats.rpm.reader:open_image"),
    write=not_written("rpm"),
    check_blob=deferred("imgcore.formats.rpm.check:check_blob"),
    limitations=(
        "packages are not written",
        "scriptlets and triggers are listed, and never run",
        "files that are only claimed (%ghost) are not in the tree",
        "owners are names: without accounts that know them they become root, with a warning",
        "signatures of packages (OpenPGP, IMA, fs-verity) are not verified; digests are",
        "payloads with aligned contents (rpm 6.2) are not read, nor delta packages",
    ),
    writable=False,
)

_LATE = {
    "Dependency": "package",
    "Package": "package",
    "PackageFile": "package",
    "RpmImage": "reader",
    "Scriptlet": "package",
    "open_image": "reader",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.formats.rpm` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.formats.rpm.{_LATE[name]}"), name)
