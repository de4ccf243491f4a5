"""How tar lies on disk: the header of 512 bytes in its POSIX and GNU forms, and numbers and PAX records as text.

A member is a header, then its content, filled up to 512 bytes with zeros. A block of zeros ends the archive; writers put
two and fill up to 10240 bytes. What does not fit a header stands before it, as a member of its own: PAX records (types
`x` and `g`) or GNU's long names (`L` and `K`).
"""

from __future__ import annotations

from typing import Annotated, Final

from imgcore.errors import Corrupt
from imgcore.wire import Record, raw, record

__all__ = [
    "BLOCK",
    "END",
    "GNU_MAGIC",
    "MAGIC",
    "RECORD",
    "RECORDS",
    "TYPE_NAMES",
    "ZERO_BLOCK",
    "GnuSparse",
    "GnuSparseMore",
    "Header",
    "StarHeader",
    "checksum_fits",
    "is_octal",
    "octal",
    "parse_number",
    "parse_pax_time",
    "pax_record",
    "pax_records",
    "pax_time",
    "sealed",
    "text_of",
]

BLOCK: Final = 512
RECORD: Final = 10240
ZERO_BLOCK: Final = bytes(BLOCK)
END: Final = bytes(2 * BLOCK)
MAGIC: Final = b"ustar\0"
GNU_MAGIC: Final = b"ustar "

TYPE_NAMES: Final = {
    b"\0": "file (v7)",
    b"0": "file",
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"5": "directory",
    b"6": "fifo",
    b"7": "contiguous file",
    b"D": "directory with names (GNU)",
    b"K": "long link target (GNU)",
    b"L": "long name (GNU)",
    b"S": "sparse file (GNU)",
    b"V": "volume name (GNU)",
    b"X": "PAX records (Solaris)",
    b"g": "PAX records for all",
    b"x": "PAX records",
}

_SUM_AT: Final = 148
_BLANK: Final = b" " * 8


@record("<", spec="POSIX.1-1988, ustar")
class Header(Record):
    """The header of a member; v7 has zeros from `magic` on, GNU other things instead of `prefix`."""

    name: Annotated[bytes, raw(100)]
    mode: Annotated[bytes, raw(8)]
    uid: Annotated[bytes, raw(8)]
    gid: Annotated[bytes, raw(8)]
    size: Annotated[bytes, raw(12)]
    mtime: Annotated[bytes, raw(12)]
    chksum: Annotated[bytes, raw(8)]
    typeflag: Annotated[bytes, raw(1)]
    linkname: Annotated[bytes, raw(100)]
    magic: Annotated[bytes, raw(6)]
    version: Annotated[bytes, raw(2)]
    uname: Annotated[bytes, raw(32)]
    gname: Annotated[bytes, raw(32)]
    devmajor: Annotated[bytes, raw(8)]
    devminor: Annotated[bytes, raw(8)]
    prefix: Annotated[bytes, raw(155)]
    padding: Annotated[bytes, raw(12)]


@record("<", spec="GNU tar, sparse header of type S")
class GnuSparse(Record):
    """What GNU tar has from `prefix` on in the header of a sparse file: four runs, and the size with holes."""

    before: Annotated[bytes, raw(345)]
    atime: Annotated[bytes, raw(12)]
    ctime: Annotated[bytes, raw(12)]
    offset: Annotated[bytes, raw(12)]
    longnames: Annotated[bytes, raw(4)]
    unused: Annotated[bytes, raw(1)]
    runs: Annotated[bytes, raw(96)]
    isextended: Annotated[bytes, raw(1)]
    realsize: Annotated[bytes, raw(12)]
    padding: Annotated[bytes, raw(17)]


@record("<", spec="GNU tar, continued sparse header")
class GnuSparseMore(Record):
    """More runs of a sparse file, in a block of their own behind the header."""

    runs: Annotated[bytes, raw(504)]
    isextended: Annotated[bytes, raw(1)]
    padding: Annotated[bytes, raw(7)]


@record("<", spec="star")
class StarHeader(Record):
    """What star has from `prefix` on: a shorter prefix, and times behind it."""

    before: Annotated[bytes, raw(345)]
    prefix: Annotated[bytes, raw(131)]
    atime: Annotated[bytes, raw(12)]
    ctime: Annotated[bytes, raw(12)]
    padding: Annotated[bytes, raw(8)]
    xmagic: Annotated[bytes, raw(4)]


RECORDS: Final = (Header, GnuSparse, GnuSparseMore, StarHeader)


def text_of(field: bytes) -> bytes:
    """Return the text of a field, which a NUL ends where it is shorter."""
    end = field.find(b"\0")
    return field if end < 0 else field[:end]


def parse_number(field: bytes) -> int:
    """Return the number in a field: octal text, or binary with the first bit set. Raises ValueError."""
    if field[-1:] == b"\0" and field[:-1].isdigit():
        return int(field[:-1], 8)  # nearly all of them
    if field[:1] >= b"\x80":
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if value >> (bits - 1) else value
    text = text_of(field).strip(b" ")
    if not text:
        return 0
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit():
        raise ValueError("neither octal nor binary")
    return int(text, 8)


def octal(value: int, width: int) -> bytes:
    """Return a number as octal text with a NUL behind it."""
    return b"%0*o\0" % (width - 1, value)


def is_octal(value: int, width: int) -> bool:
    """Return whether a number fits a field of octal text of `width` bytes."""
    return 0 <= value < 1 << 3 * (width - 1)


def checksum_fits(block: bytes) -> bool:
    """Return whether a header's checksum holds, as a sum of bytes or, as old writers had it, of signed ones."""
    try:
        wanted = parse_number(block[_SUM_AT : _SUM_AT + 8])
    except ValueError:
        return False
    field = sum(block[_SUM_AT : _SUM_AT + 8])
    total = sum(block) - field + 8 * 0x20
    if total == wanted:
        return True
    high = sum(byte >> 7 for byte in block[:_SUM_AT] + block[_SUM_AT + 8 :])
    return total - 256 * high == wanted


def sealed(header: Header) -> bytes:
    """Return the block of a header, with its checksum."""
    header.chksum = _BLANK
    block = header.pack()
    return block[:_SUM_AT] + b"%06o\0 " % sum(block) + block[_SUM_AT + 8 :]


def pax_record(key: bytes, value: bytes) -> bytes:
    """Return one PAX record; its length counts itself."""
    body = len(key) + len(value) + 3
    size = body + len(str(body))
    size = body + len(str(size))
    return b"%d %s=%s\n" % (size, key, value)


def pax_records(body: bytes, base: int) -> list[tuple[bytes, bytes]]:
    """Return the records of a PAX header in their order; `base` is where they begin. Raises Corrupt with the offset."""
    out: list[tuple[bytes, bytes]] = []
    at, total = 0, len(body)
    while at < total:
        space = body.find(b" ", at, at + 20)
        digits = body[at:space]
        end = at + int(digits) if space > at and digits.isdigit() else 0
        if not space + 3 <= end <= total or body[end - 1] != 0x0A:
            if not body[at:].strip(b"\0"):
                break  # zeros up to the size, as some writers have it
            raise Corrupt("PAX record is broken", offset=base + at, structure="PAX header", found=repr(body[at : at + 20]))
        equals = body.find(b"=", space + 1, end - 1)
        if equals <= space + 1:
            raise Corrupt("PAX record without a keyword", offset=base + at, structure="PAX header")
        out.append((body[space + 1 : equals], body[equals + 1 : end - 1]))
        at = end
    return out


def pax_time(time_ns: int) -> bytes:
    """Return a time as PAX has it: decimal seconds, a fraction only where there is one."""
    sign, whole = (b"-", -time_ns) if time_ns < 0 else (b"", time_ns)
    seconds, fraction = divmod(whole, 10**9)
    return sign + (b"%d.%09d" % (seconds, fraction)).rstrip(b"0").rstrip(b".") if fraction else sign + b"%d" % seconds


def parse_pax_time(text: bytes) -> int:
    """Return nanoseconds; digits beyond these are cut towards the past. Raises ValueError."""
    negative = text[:1] == b"-"
    whole, _, fraction = text[negative:].partition(b".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()) or len(whole) > 20:
        raise ValueError("not a time")
    value = int(whole) * 10**9 + int(fraction[:9].ljust(9, b"0"))
    if not negative:
        return value
    return -value - bool(fraction[9:].strip(b"0"))
