"""Paths inside a tree: bytes, absolute, `/` for the root, no `.`, `..` or empty component."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from imgcore.errors import PathError

if TYPE_CHECKING:
    from pathlib import PurePath

__all__ = ["PathLike", "join", "normalize", "split"]

PathLike: TypeAlias = "bytes | str | PurePath"


def normalize(path: PathLike) -> bytes:
    """Return `path` as an absolute tree path; a relative one counts from the root.

    `.` and doubled slashes vanish; `..` is refused with PathError, since it means something else behind a symlink.
    """
    raw = path if isinstance(path, bytes) else os.fsencode(path)
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise PathError("`..` in a path inside an image", path=raw)
    return b"/" + b"/".join(parts)


def split(path: PathLike) -> list[bytes]:
    """Return the components of a tree path; none for the root."""
    clean = normalize(path)
    return clean[1:].split(b"/") if clean != b"/" else []


def join(parent: bytes, name: bytes) -> bytes:
    """Return the path of `name` in the directory `parent`."""
    return parent + name if parent == b"/" else parent + b"/" + name
