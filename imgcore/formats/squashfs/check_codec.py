"""What Linux asks of compressed blocks beyond what other readers do.

Its decompressors work in buffers that are sized at mount time: an xz dictionary or a zstd window larger than a block
(or than 8 KiB, for small blocks) is an I/O error, though unsquashfs reads it well. xz has no other check than CRC32 or
none and no other filters than LZMA2 and BCJ; zstd has one frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

from imgcore.formats.squashfs.layout import METADATA_SIZE

__all__ = ["inspector"]

_XZ_MAGIC: Final = b"\xfd7zXZ\0"
_XZ_CHECKS: Final = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}
_LZMA2: Final = 0x21
_BCJ: Final = frozenset((4, 5, 7, 8, 9, 10, 11))  # 6 (IA-64) is not built into today's kernels
_ZSTD_MAGIC: Final = 0xFD2FB528

Inspector = Callable[[bytes], Iterator[tuple[str, str]]]


def inspector(compression: str, block_size: int, xz_dictionary: int | None) -> Inspector:
    """Return a function that yields (rule, what is wrong) for one compressed block."""
    most = max(block_size, METADATA_SIZE)
    if compression == "xz":
        return lambda data: _inspect_xz(data, xz_dictionary or most)
    if compression == "zstd":
        return lambda data: _inspect_zstd(data, most)
    return lambda data: iter(())


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return (value, position after it) of a variable-length number of the xz format."""
    value = shift = 0
    while at < len(data) and shift < 63:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7
    return value, at


def _inspect_xz(data: bytes, most: int) -> Iterator[tuple[str, str]]:
    if len(data) < 14 or not data.startswith(_XZ_MAGIC):
        return  # the decoder says what is wrong
    check = data[7] & 0x0F
    if check not in (0, 1):
        yield "xz-check", f"integrity check {_XZ_CHECKS.get(check, check)}, Linux knows CRC32 and none"
    flags = data[13]
    at = 14
    for bit in (0x40, 0x80):
        if flags & bit:
            _, at = _number(data, at)
    for _ in range((flags & 3) + 1):
        kind, at = _number(data, at)
        size, at = _number(data, at)
        if kind == _LZMA2 and at < len(data):
            bits = data[at] & 0x3F
            dictionary = 0xFFFFFFFF if bits >= 40 else (2 | bits & 1) << (bits // 2 + 11)
            if dictionary > most:
                yield "xz-dictionary", f"dictionary of {dictionary} bytes, Linux has {most}"
        elif kind != _LZMA2 and kind not in _BCJ:
            yield "xz-filter", f"filter {kind:#x}, which Linux does not know"
        at += size


def _inspect_zstd(data: bytes, most: int) -> Iterator[tuple[str, str]]:
    if len(data) < 6 or struct.unpack_from("<I", data)[0] != _ZSTD_MAGIC:
        return
    descriptor = data[4]
    at = 5
    window = 0
    single = bool(descriptor & 0x20)
    if not single:
        exponent, mantissa = data[at] >> 3, data[at] & 7
        base = 1 << (10 + exponent)
        window = base + base // 8 * mantissa
        at += 1
    at += (0, 1, 2, 4)[descriptor & 3]
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    if single:
        window = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
    at += width
    if window > most:
        yield "zstd-window", f"window of {window} bytes, Linux has {most}"
    while at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
        if header & 1:
            at += 4 if descriptor & 4 else 0
            if at < len(data):
                yield "zstd-frames", f"{len(data) - at} bytes after the frame, Linux reads one frame"
            return
