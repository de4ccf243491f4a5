"""The definitions behind --make-ddi=: what systemd ships as /usr/lib/systemd/repart/definitions/NAME.repart.d, as facts."""

from __future__ import annotations

from typing import Final

from imgcore.build.repart.definition import Definition
from imgcore.disk.types import type_by_name

__all__ = ["BUILT_IN", "built_in"]

BUILT_IN: Final = {"sysext": ("/usr", "/opt"), "confext": ("/etc",), "portable": ("/",)}
"""What is copied, by the kind of image."""

_KEY: Final = "root"


def built_in(kind: str, architecture: str) -> list[Definition]:
    """Return the definitions of a signed image of this kind: file system, hash tree, signature."""
    where = f"/usr/lib/systemd/repart/definitions/{kind}.repart.d"
    data = Definition(f"{where}/10-root.conf", type_by_name("root", architecture), format="erofs", minimize="best")
    data.verity, data.match_key = "data", _KEY
    data.copy_files = [(path, path) for path in BUILT_IN[kind]]
    tree = Definition(f"{where}/20-root-verity.conf", type_by_name("root-verity", architecture), minimize="best")
    tree.verity, tree.match_key = "hash", _KEY
    signature = Definition(f"{where}/30-root-verity-sig.conf", type_by_name("root-verity-sig", architecture))
    signature.verity, signature.match_key = "signature", _KEY
    return [data, tree, signature]
