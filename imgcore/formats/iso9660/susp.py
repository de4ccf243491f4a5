"""System use entries (SUSP) and Rock Ridge, as bytes: what a directory record says beyond ISO 9660.

An entry is a signature of two letters, its length, the version 1 and a payload; all numbers stand in both byte orders.
What does not fit behind a record's name is continued elsewhere, where a `CE` entry points. The rules we keep are those of
the strictest reader each: one CE in an area, the last entry of it; an area inside of one block; fewer than 32 of them.
"""

from __future__ import annotations

import stat
import struct
from functools import lru_cache
from typing import Final

from imgcore.formats.iso9660.dates import short_date
from imgcore.formats.iso9660.layout import both32
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink

__all__ = [
    "CE_SIZE",
    "MODES",
    "RRIP_1_12",
    "RRIP_1991A",
    "SP",
    "ce",
    "device_numbers",
    "er",
    "link_entries",
    "name_entries",
    "pn",
    "px",
    "tf",
]

CE_SIZE: Final = 28
SP: Final = b"SP\x07\x01\xbe\xef\0"
_LONGEST: Final = 255
_CE: Final = struct.Struct("<2sBBQQQ")
_PX: Final = struct.Struct("<2sBBQQQQ")
_ROOT, _PARENT, _SELF, _CONTINUES = 8, 4, 2, 1

MODES: Final[dict[type, int]] = {
    Dir: stat.S_IFDIR,
    File: stat.S_IFREG,
    Symlink: stat.S_IFLNK,
    Pipe: stat.S_IFIFO,
    Socket: stat.S_IFSOCK,
}


def ce(block: int, offset: int, size: int) -> bytes:
    """Return the entry that says where an area goes on."""
    return _CE.pack(b"CE", CE_SIZE, 1, both32(block), both32(offset), both32(size))


def _er(name: bytes, about: bytes, source: bytes) -> bytes:
    body = name + about + source
    return b"ER" + bytes((8 + len(body), 1, len(name), len(about), len(source), 1)) + body


RRIP_1991A: Final = _er(
    b"RRIP_1991A",
    b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
    b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR "
    b"CONTACT INFORMATION.",
)
RRIP_1_12: Final = _er(
    b"IEEE_P1282",
    b"THE IEEE P1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
    b"PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT, PISCATAWAY, NJ, USA FOR THE P1282 SPECIFICATION.",
)


def er(*, serials: bool) -> bytes:
    """Return the entry that names the version of Rock Ridge: 1.12 where there are serial numbers, else 1.10."""
    return RRIP_1_12 if serials else RRIP_1991A


@lru_cache(maxsize=1024)
def px(mode: int, nlink: int, uid: int, gid: int) -> bytes:
    """Return the entry of type, permissions, links and owner, in the form of 1.10."""
    return _PX.pack(b"PX", 36, 1, both32(mode), both32(nlink), both32(uid), both32(gid))


def with_serial(entry: bytes, serial: int) -> bytes:
    """Return a PX entry in the form of 1.12."""
    return entry[:2] + b"\x2c" + entry[3:] + both32(serial).to_bytes(8, "little")


@lru_cache(maxsize=4096)
def tf(seconds: int) -> bytes:
    """Return the entry of times: of change of content, of access, of change of attributes."""
    return b"TF\x1a\x01\x0e" + short_date(seconds) * 3


def device_numbers(major: int, minor: int) -> tuple[int, int] | None:
    """Return (high, low) as Linux reads them, None where it would read another device."""
    if major == 0 and minor > 0xFF:
        return None
    return major, minor


def pn(high: int, low: int) -> bytes:
    """Return the entry of a device's numbers."""
    return b"PN\x14\x01" + both32(high).to_bytes(8, "little") + both32(low).to_bytes(8, "little")


def name_entries(name: bytes) -> list[bytes]:
    """Return the entries that hold a name."""
    out = []
    for at in range(0, len(name), 250):
        part = name[at : at + 250]
        out.append(b"NM" + bytes((5 + len(part), 1, 1 if at + 250 < len(name) else 0)) + part)
    return out


def link_entries(target: bytes) -> list[bytes]:
    """Return the entries that hold a symbolic link's target, exactly: `a//b` and `a/` too."""
    components: list[tuple[int, bytes]] = []
    rest = target
    if rest.startswith(b"/"):
        components.append((_ROOT, b""))
        rest = rest[1:]
    if rest or not components:
        for part in rest.split(b"/"):
            components.append((_SELF, b"") if part == b"." else (_PARENT, b"") if part == b".." else (0, part))
    entries: list[bytes] = []
    body = b""
    room = _LONGEST - 5
    for flags, text in components:
        while True:
            free = room - len(body) - 2
            if len(text) <= free:
                body += bytes((flags, len(text))) + text
                break
            if text and free > 0:  # a part of it still goes in here
                body += bytes((flags | _CONTINUES, free)) + text[:free]
                text = text[free:]
            entries.append(b"SL" + bytes((5 + len(body), 1, 1)) + body)
            body = b""
    entries.append(b"SL" + bytes((5 + len(body), 1, 0)) + body)
    return entries


def mode_of(node: Node) -> int:
    """Return type and permissions as in `st_mode`."""
    if isinstance(node, Device):
        return (stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK) | node.meta.mode
    return MODES[type(node)] | node.meta.mode


def times_of(meta: Meta) -> int:
    """Return the time of a node in whole seconds."""
    return meta.mtime_ns // 1_000_000_000
