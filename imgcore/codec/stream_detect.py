"""Which compressed stream some bytes begin; apart from undoing it, since every file that is opened is asked."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["HEAD_SIZE", "detect_stream"]

HEAD_SIZE: Final = 16
"""Bytes that `detect_stream` wants to see."""

_MAGICS: Final = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4-legacy"),
)


def detect_stream(head: bytes) -> str | None:
    """Return the kind of the compressed stream that begins with `head`, of `HEAD_SIZE` bytes or all; None for another."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    if len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18":
        return "zstd"  # a frame to be skipped, with which pzstd and `zstd --adapt` begin
    return "lzma" if _is_lzma(head) else None


def _is_lzma(head: bytes) -> bool:
    """Return whether this is a .lzma file as lzma and xz write it; the format has no magic."""
    if len(head) < 13 or head[0] != 0x5D:
        return False
    dictionary, size = struct.unpack_from("<IQ", head, 1)
    lowest = dictionary & -dictionary
    return dictionary >= 4096 and dictionary in (lowest, 3 * lowest) and (size == (1 << 64) - 1 or size < 1 << 40)
