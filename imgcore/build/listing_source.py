"""A source that is a text: a manifest, pseudo-file definitions or a gensquashfs pack file."""

from __future__ import annotations

import os
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import context
from imgcore.events import Control
from imgcore.limits import Limits
from imgcore.model import Tree

__all__ = ["LISTINGS", "is_manifest", "read_listing"]

LISTINGS: Final = ("manifest", "pseudo", "packfile")
"""The kinds of source that are texts; a manifest alone can be told by its first bytes."""


def is_manifest(blob: Blob) -> bool:
    """Return whether a blob begins as a manifest that imgcore wrote does."""
    return blob.read_at(0, 9) == b'{"path":"'


def read_listing(
    kind: str, name: str, blob: Blob, *, contents: Tree | None, trusted: bool, limits: Limits, control: Control
) -> Tree:
    """Return the tree that a text describes; files that it names count from its own directory, `name`'s.

    Unless it is `trusted`, it may name none: what is taken for an image must not be a way to read the host's files.
    Raises what the readers of `imgcore.listings` raise.
    """
    from imgcore.build.host_files import HostFiles
    from imgcore.listings import apply_pseudo, read_manifest, read_pack_file, read_pseudo_file  # late: few sources are texts

    base = os.fsencode(os.path.dirname(name)) if name != "-" else b""
    with context(image=name):
        if kind == "manifest":
            files = HostFiles(base, control) if contents is None and trusted else None
            return read_manifest(blob, contents=contents, files=files, limits=limits, control=control)
        files = HostFiles(base, control)
        if kind == "pseudo":
            return apply_pseudo(None, read_pseudo_file(blob, limits), files=files, limits=limits)
        return read_pack_file(blob, files, limits=limits)
