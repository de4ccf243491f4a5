"""All partitions of a disk, by whatever table it has: what `disk.img#esp` means.

A GPT counts before an MBR. A partition is found by its number, by its label, or by its role: what its type stands for.
"""

from __future__ import annotations

import uuid
from typing import Final

from imgcore.blob import Blob, SliceBlob
from imgcore.disk.gpt import read_gpt
from imgcore.disk.layout import PROTECTIVE
from imgcore.disk.mbr import read_mbr
from imgcore.disk.types import type_of
from imgcore.errors import Corrupt, PathError
from imgcore.values import value_class

__all__ = ["BASIC_DATA", "ESP", "Partition", "find_partition", "partitions"]

ESP: Final = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BASIC_DATA: Final = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
_ROLES: Final = {
    BASIC_DATA: "data",
    uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"): "linux",
    uuid.UUID("21686148-6449-6e6f-744e-656564454649"): "bios-boot",
}
_MBR_ROLES: Final = {0xEF: "esp", 0x83: "linux", 0x0B: "data", 0x0C: "data", 0x07: "data"}


@value_class
class Partition:
    """A partition of either kind of table; `offset` and `size` are bytes."""

    number: int
    offset: int
    size: int
    role: str
    kind: str
    name: str = ""
    guid: str | None = None
    attributes: int = 0


def partitions(blob: Blob) -> list[Partition]:
    """Return the partitions of a disk, [] without a table. Raises Corrupt for a GPT that cannot be right."""
    for sector in (512, 4096, 1024, 2048):
        gpt = read_gpt(blob, sector=sector)
        if gpt is not None:
            return [
                Partition(
                    one.number,
                    one.first * sector,
                    (one.last - one.first + 1) * sector,
                    _role(one.kind),
                    str(one.kind),
                    one.name,
                    str(one.guid),
                    one.attributes,
                )
                for one in gpt.partitions
            ]
    return [
        Partition(number, one.start * 512, one.sectors * 512, _MBR_ROLES.get(one.kind, ""), f"0x{one.kind:02x}")
        for number, one in (read_mbr(blob) or {}).items()
        if one.kind not in (0, PROTECTIVE) and one.sectors > 1
    ]


def _role(kind: uuid.UUID) -> str:
    known = type_of(kind)
    return _ROLES.get(kind) or (known.role if known is not None else "")


def _fits(one: Partition, name: str) -> bool:
    known = type_of(uuid.UUID(one.kind)) if one.guid is not None else None
    return name in (one.role, one.name) or (known is not None and known.name == name)


def find_partition(blob: Blob, name: str) -> Blob:
    """Return the bytes of the partition with this number, role, type's name or label.

    Raises PathError when there is none or when several fit, Corrupt for one outside of the disk.
    """
    known = partitions(blob)
    found = [one for one in known if name == str(one.number)] or [one for one in known if _fits(one, name)]
    if len(found) != 1:
        listed = ", ".join(f"{one.number}{f' ({one.role or one.name})' if one.role or one.name else ''}" for one in known)
        raise PathError(
            f"{'several partitions are' if found else 'no partition is'} called `{name}`",
            hint=f"partitions: {listed}" if known else "there is no partition table",
        )
    one = found[0]
    if one.offset + one.size > blob.size:
        raise Corrupt(
            f"partition {one.number} is not within the disk",
            offset=one.offset,
            found=f"{one.size} bytes",
            allowed=f"at most {max(blob.size - one.offset, 0)}",
        )
    return SliceBlob(blob, one.offset, one.size)
