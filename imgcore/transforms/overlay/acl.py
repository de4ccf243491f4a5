"""POSIX access control lists as Linux keeps them in `system.posix_acl_*`, as far as changes of modes touch them.

A value is a header of four bytes and entries of eight: tag, permissions, id (Linux, `posix_acl_xattr.h`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

__all__ = ["ACCESS", "DEFAULT", "after_chmod", "inherited"]

ACCESS: Final = b"system.posix_acl_access"
DEFAULT: Final = b"system.posix_acl_default"

_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20
_ENTRY: Final = struct.Struct("<HHI")
_VERSION: Final = struct.pack("<I", 2)
_SHIFT: Final = {_OWNER: 6, _OTHER: 0}


def _entries(value: bytes) -> list[tuple[int, int, int]] | None:
    """Return (tag, permissions, id) of each entry; None for what is no list."""
    if value[:4] != _VERSION or len(value) % _ENTRY.size != 4 or len(value) == 4:
        return None
    return list(_ENTRY.iter_unpack(value[4:]))


def _value(entries: list[tuple[int, int, int]]) -> bytes:
    return _VERSION + b"".join(_ENTRY.pack(*entry) for entry in entries)


def _shifts(entries: list[tuple[int, int, int]]) -> dict[int, int]:
    """Return, by the tags that stand for bits of the mode, how far left those bits are: the mask's, or the group's."""
    has_mask = any(tag == _MASK for tag, _, _ in entries)
    return {**_SHIFT, (_MASK if has_mask else _GROUP): 3}


def inherited(parent: Mapping[bytes, bytes], mode: int, *, is_dir: bool) -> tuple[int, dict[bytes, bytes]]:
    """Return the mode and the lists of something created in a directory that has the attributes `parent`."""
    default = parent.get(DEFAULT)
    entries = None if default is None else _entries(default)
    if default is None or entries is None:
        return mode, {}
    shifts = _shifts(entries)
    made = []
    for tag, permissions, identity in entries:
        if tag in shifts:
            permissions &= (mode >> shifts[tag]) & 7
            mode = mode & ~(7 << shifts[tag]) | permissions << shifts[tag]
        made.append((tag, permissions, identity))
    lists = {ACCESS: _value(made)} if any(tag not in (_OWNER, _GROUP, _OTHER) for tag, _, _ in made) else {}
    if is_dir:
        lists[DEFAULT] = default
    return mode, lists


def after_chmod(xattrs: Mapping[bytes, bytes], mode: int) -> Mapping[bytes, bytes]:
    """Return a node's attributes after its mode became `mode`."""
    entries = _entries(xattrs.get(ACCESS, b""))
    if entries is None:
        return xattrs
    shifts = _shifts(entries)
    made = [(tag, (mode >> shifts[tag]) & 7 if tag in shifts else was, identity) for tag, was, identity in entries]
    return {**xattrs, ACCESS: _value(made)}
