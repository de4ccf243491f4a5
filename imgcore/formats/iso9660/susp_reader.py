"""System use entries from bytes: Rock Ridge of both versions and zisofs; whatever else is there is passed over."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from imgcore.errors import Corrupt
from imgcore.formats.iso9660.dates import parse_long, parse_short
from imgcore.formats.iso9660.layout import BLOCK
from imgcore.formats.iso9660.records import Read

__all__ = ["Entry", "Rock", "Zisofs", "entries", "parse"]

_MOST_AREAS: Final = 32
_MOST_TARGET: Final = 4095
_BOTH: Final = struct.Struct("<I4x")


class Entry(NamedTuple):
    """One entry: its signature, its payload, and where it stands in the image (or None in a record's own area)."""

    signature: bytes
    data: bytes
    at: int


class Zisofs(NamedTuple):
    """What a ZF entry says: the method, bytes of the header, the exponent of the block size, bytes of the plain file."""

    method: bytes
    header: int
    log2: int
    size: int


class Rock:
    """What the entries of one record say; None is "nothing"."""

    __slots__ = (
        "child",
        "device",
        "fault",
        "gid",
        "mode",
        "mtime",
        "name",
        "nlink",
        "parent",
        "relocated",
        "serial",
        "target",
        "uid",
        "zisofs",
    )

    def __init__(self) -> None:
        self.mode: int | None = None
        self.nlink = 1
        self.uid = self.gid = 0
        self.serial: int | None = None
        self.mtime: int | None = None
        self.name: bytes | None = None
        self.target: bytes | None = None
        self.fault: Corrupt | None = None  # of a link that cannot be followed; its name can be seen all the same
        self.device: tuple[int, int] | None = None
        self.child: int | None = None
        self.parent: int | None = None
        self.relocated = False
        self.zisofs: Zisofs | None = None


def entries(use: bytes, at: int, read: Read) -> Iterator[Entry]:
    """Yield the entries of an area and of those that continue it. Raises Corrupt.

    Of several CE entries in one area the last one counts, as in Linux.
    """
    for _ in range(_MOST_AREAS):
        place, following = 0, None
        while place + 4 <= len(use):
            length = use[place + 2]
            signature = use[place : place + 2]
            if not length and not signature.strip(b"\0"):
                break
            if length < 4 or place + length > len(use):
                raise Corrupt(
                    f"system use entry {signature!r} of impossible length",
                    offset=at + place,
                    structure="system use",
                    field="length",
                    found=length,
                    allowed=f"4 to {len(use) - place}",
                )
            data = use[place + 4 : place + length]
            if signature == b"CE":
                if len(data) < 24:
                    raise Corrupt("CE entry cut short", offset=at + place, structure="system use")
                following = tuple(_BOTH.unpack_from(data, 8 * n)[0] for n in range(3))
            elif signature == b"ST":
                break
            else:
                yield Entry(signature, data, at + place)
            place += length
        if following is None:
            return
        block, offset, size = following
        if offset + size > BLOCK or not size:
            raise Corrupt(
                "a continuation area that is not inside of one block",
                offset=at,
                structure="system use",
                field="CE",
                found=f"{size} bytes at {offset}",
                allowed=f"at most {BLOCK}",
            )
        at = block * BLOCK + offset
        use = read(at, size)
    raise Corrupt(f"more than {_MOST_AREAS} continuation areas", offset=at, structure="system use", field="CE")


def parse(use: bytes, at: int, read: Read) -> Rock:
    """Return what the entries of a record say, up to the first that cannot be read: that is then the record's `fault`.

    A name is listed all the same, as Linux does.
    """
    rock = Rock()
    names: list[bytes] = []
    links = _Link()
    try:
        _take(rock, names, links, entries(use, at, read))
    except Corrupt as error:
        links.fault = error
    if names:
        rock.name = b"".join(names)
    rock.target, rock.fault = links.target, links.fault
    return rock


def _take(rock: Rock, names: list[bytes], links: _Link, found: Iterator[Entry]) -> None:
    for signature, data, place in found:
        if signature == b"PX" and len(data) >= 32:
            rock.mode, rock.nlink, rock.uid, rock.gid = (_BOTH.unpack_from(data, 8 * n)[0] for n in range(4))
            rock.serial = _BOTH.unpack_from(data, 32)[0] if len(data) >= 40 else None
        elif signature == b"TF" and data:
            rock.mtime = _modified(data)
        elif signature == b"NM" and data:
            if data[0] & 6:
                continue  # `.` or `..`, which no listing shows
            names.append(data[1:])
        elif signature == b"SL" and data:
            links.add(data, place)
        elif signature == b"PN" and len(data) >= 16:
            high, low = _BOTH.unpack_from(data, 0)[0], _BOTH.unpack_from(data, 8)[0]
            rock.device = (low >> 8, low & 0xFF) if not high and low > 0xFF else (high, low)
        elif signature == b"CL" and len(data) >= 8:
            rock.child = _BOTH.unpack_from(data, 0)[0]
        elif signature == b"PL" and len(data) >= 8:
            rock.parent = _BOTH.unpack_from(data, 0)[0]
        elif signature == b"RE":
            rock.relocated = True
        elif signature == b"ZF" and len(data) >= 12:
            rock.zisofs = Zisofs(data[:2], 4 * data[2], data[3], _BOTH.unpack_from(data, 4)[0])


def _modified(data: bytes) -> int | None:
    """Return the time of the last change that a TF entry says."""
    flags, at = data[0], 1
    size = 17 if flags & 0x80 else 7
    if flags & 1:
        at += size
    if not flags & 2 or at + size > len(data):
        return None
    field = data[at : at + size]
    return parse_long(field) if size == 17 else parse_short(field)


class _Link:
    """Puts the components of SL entries together as Linux does."""

    def __init__(self) -> None:
        self._text: bytes | None = None
        self._joins = True  # the next component needs no slash before it
        self.fault: Corrupt | None = None

    @property
    def target(self) -> bytes | None:
        return self._text

    def add(self, data: bytes, at: int) -> None:
        """Take one entry; none after a fault."""
        if self.fault is not None:
            return
        if self._text is None:
            self._text = b""
        place = 1
        while place + 2 <= len(data):
            flags, length = data[place], data[place + 1]
            if place + 2 + length > len(data):
                message = "a component beyond its SL entry"
                self.fault = Corrupt(message, offset=at, structure="system use", field="SL", found=length)
                return
            part = data[place + 2 : place + 2 + length]
            place += 2 + length
            if not self._joins:
                self._text += b"/"
            if flags & 8:
                self._text += b"/"
                self._joins = True
                continue
            self._text += b"." if flags & 2 else b".." if flags & 4 else part
            self._joins = bool(flags & 1)
            if len(self._text) > _MOST_TARGET:
                self.fault = Corrupt("a link of more than 4095 bytes", offset=at, structure="system use", field="SL")
                return
