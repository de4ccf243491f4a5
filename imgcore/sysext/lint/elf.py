"""As much of ELF as a linter needs: the machine, the libraries that a file needs, its own name as a library.

Every number is checked against the file and against bounds of our own; what is odd is no ELF file to us.
"""

from __future__ import annotations

import struct
from typing import Final

from imgcore.blob import Blob
from imgcore.values import value_class

__all__ = ["MACHINES", "Elf", "read_elf"]

MACHINES: Final = {
    3: "x86",
    40: "arm",
    62: "x86-64",
    183: "arm64",
    243: "riscv64",
    22: "s390x",
    21: "ppc64-le",
    258: "loongarch64",
}
_MOST_HEADERS: Final = 512
_MOST_BYTES: Final = 1 << 20
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _SONAME = 1, 5, 14


@value_class
class Elf:
    """What was read; `machine` is systemd's name of it, "" for one that is not known here."""

    machine: str
    needed: tuple[bytes, ...]
    soname: bytes


def read_elf(blob: Blob) -> Elf | None:
    """Return what is in an ELF file, None for anything else."""
    head = blob.read_at(0, 64)
    if len(head) < 52 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if wide and len(head) < 64:
        return None
    machine = MACHINES.get(struct.unpack_from(order + "H", head, 18)[0], "")
    at, size, count = (
        (struct.unpack_from(order + "Q", head, 32)[0], *struct.unpack_from(order + "HH", head, 54))
        if wide
        else (struct.unpack_from(order + "I", head, 28)[0], *struct.unpack_from(order + "HH", head, 42))
    )
    layout = struct.Struct(order + ("IIQQQQQQ" if wide else "IIIIIIII"))
    if count > _MOST_HEADERS or size < layout.size:
        return Elf(machine, (), b"")
    raw = blob.read_at(at, size * count)
    segments = [layout.unpack_from(raw, number * size) for number in range(len(raw) // size)]
    place, length = (2, 5) if wide else (1, 4)
    loads = [(one[3 if wide else 2], one[place], one[length]) for one in segments if one[0] == _LOAD]
    dynamic = next(((one[place], one[length]) for one in segments if one[0] == _DYNAMIC), None)
    if dynamic is None:
        return Elf(machine, (), b"")
    return _dynamic(blob, order + ("qQ" if wide else "iI"), dynamic, loads, machine)


def _dynamic(blob: Blob, form: str, place: tuple[int, int], loads: list[tuple[int, int, int]], machine: str) -> Elf:
    entry = struct.Struct(form)
    raw = blob.read_at(place[0], min(place[1], _MOST_BYTES))
    found = [entry.unpack_from(raw, number * entry.size) for number in range(len(raw) // entry.size)]
    address = next((value for tag, value in found if tag == _STRTAB), None)
    strings = b""
    for begin, offset, size in loads:
        if address is not None and begin <= address < begin + size:
            strings = blob.read_at(offset + address - begin, min(size - (address - begin), _MOST_BYTES))

    def text(at: int) -> bytes:
        return strings[at : strings.index(b"\0", at)] if 0 <= at < len(strings) and b"\0" in strings[at:] else b""

    needed = tuple(name for tag, value in found if tag == _NEEDED and (name := text(value)))
    return Elf(machine, needed, next((text(value) for tag, value in found if tag == _SONAME), b""))
