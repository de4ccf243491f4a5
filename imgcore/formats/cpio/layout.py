"""How cpio lies on disk: headers of text, hexadecimal in newc and crc, octal in odc.

A member is a header, its name with a NUL, its content; in newc and crc each of them is filled up to 4 bytes. A member
called `TRAILER!!!` ends an archive. Other archives, compressed ones too, may follow behind zeros.
"""

from __future__ import annotations

import struct
from binascii import unhexlify
from typing import Annotated, Final, NamedTuple

from imgcore.errors import Corrupt
from imgcore.formats.cpio.magic import NEWC, ODC
from imgcore.wire import Record, raw, record

__all__ = [
    "RECORDS",
    "TRAILER",
    "NewcHeader",
    "Numbers",
    "OdcHeader",
    "byte_sum",
    "newc_header",
    "numbers_of",
]

TRAILER: Final = b"TRAILER!!!"


@record("<", spec="SVR4 cpio, newc and crc")
class NewcHeader(Record):
    """The header of newc (070701) and crc (070702): hexadecimal text."""

    c_magic: Annotated[bytes, raw(6)]
    c_ino: Annotated[bytes, raw(8)]
    c_mode: Annotated[bytes, raw(8)]
    c_uid: Annotated[bytes, raw(8)]
    c_gid: Annotated[bytes, raw(8)]
    c_nlink: Annotated[bytes, raw(8)]
    c_mtime: Annotated[bytes, raw(8)]
    c_filesize: Annotated[bytes, raw(8)]
    c_devmajor: Annotated[bytes, raw(8)]
    c_devminor: Annotated[bytes, raw(8)]
    c_rdevmajor: Annotated[bytes, raw(8)]
    c_rdevminor: Annotated[bytes, raw(8)]
    c_namesize: Annotated[bytes, raw(8)]
    c_check: Annotated[bytes, raw(8)]


@record("<", spec="POSIX.1-1988 cpio, odc")
class OdcHeader(Record):
    """The header of odc (070707): octal text."""

    c_magic: Annotated[bytes, raw(6)]
    c_dev: Annotated[bytes, raw(6)]
    c_ino: Annotated[bytes, raw(6)]
    c_mode: Annotated[bytes, raw(6)]
    c_uid: Annotated[bytes, raw(6)]
    c_gid: Annotated[bytes, raw(6)]
    c_nlink: Annotated[bytes, raw(6)]
    c_rdev: Annotated[bytes, raw(6)]
    c_mtime: Annotated[bytes, raw(11)]
    c_namesize: Annotated[bytes, raw(6)]
    c_filesize: Annotated[bytes, raw(11)]


RECORDS: Final = (NewcHeader, OdcHeader)

_NEWC_NUMBERS: Final = struct.Struct(">13I")  # once their digits are bytes
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_OCTAL: Final = frozenset(b"01234567")


class Numbers(NamedTuple):
    """The numbers of a header of any kind, in the order of newc."""

    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    filesize: int
    devmajor: int
    devminor: int
    rdevmajor: int
    rdevminor: int
    namesize: int
    check: int


def numbers_of(block: bytes, offset: int) -> Numbers:
    """Return the numbers of the header that `block` is; it was looked at for a magic. Raises Corrupt with the field."""
    if block[:6] == ODC:
        head = OdcHeader.unpack_from(block, base=offset)
        if not _OCTAL.issuperset(block):
            raise _no_number(OdcHeader, block, offset, _OCTAL)
        dev, rdev = int(head.c_dev, 8), int(head.c_rdev, 8)
        return Numbers(
            ino=int(head.c_ino, 8),
            mode=int(head.c_mode, 8),
            uid=int(head.c_uid, 8),
            gid=int(head.c_gid, 8),
            nlink=int(head.c_nlink, 8),
            mtime=int(head.c_mtime, 8),
            filesize=int(head.c_filesize, 8),
            devmajor=0,
            devminor=dev,
            rdevmajor=rdev >> 8,
            rdevminor=rdev & 0xFF,
            namesize=int(head.c_namesize, 8),
            check=0,
        )
    if len(block) < NewcHeader.SIZE:
        NewcHeader.unpack_from(block, base=offset)
    try:
        return Numbers(*_NEWC_NUMBERS.unpack(unhexlify(block[6 : NewcHeader.SIZE])))
    except ValueError:
        raise _no_number(NewcHeader, block, offset, _HEX) from None


def _no_number(kind: type[Record], block: bytes, offset: int, digits: frozenset[int]) -> Corrupt:
    place = next(item for item in kind.LAYOUT if not digits.issuperset(block[item.offset : item.offset + item.width]))
    found = repr(block[place.offset : place.offset + place.width])[2:-1]
    return Corrupt(
        "number of a header is none", offset=offset + place.offset, structure=kind.__name__, field=place.name, found=found
    )


def newc_header(numbers: Numbers) -> bytes:
    """Return the header of newc with these numbers."""
    return NEWC + b"".join(b"%08X" % number for number in numbers)


_LOW: Final = int.from_bytes(b"\0\xff" * (1 << 15), "big")
_LOWER: Final = int.from_bytes(b"\0\0\xff\xff" * (1 << 14), "big")


def byte_sum(data: bytes) -> int:
    """Return the sum of all bytes, by arithmetic on 64 KiB at a time: digits of base 256 become digits of base 2**32."""
    total = 0
    for at in range(0, len(data), 1 << 16):
        value = int.from_bytes(data[at : at + (1 << 16)], "big")
        value = (value & _LOW) + (value >> 8 & _LOW)
        value = (value & _LOWER) + (value >> 16 & _LOWER)
        total += value % ((1 << 32) - 1)
    return total
