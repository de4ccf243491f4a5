"""A disk image as an extension: which of its partitions systemd takes, and what each is to an image policy.

By type: the root and the usr partition of the machine's architecture, else of another one; where there is neither, the one
partition of type linux-generic. One that is marked no-auto is passed over, and so is a type that extensions have no use for.
A hash tree or a signature counts for the file system that it belongs to.

Sources: systemd, src/shared/dissect-image.c: dissect_image; asked by `tests/oracle/test_sysext_matrix.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imgcore.blob import Blob, SliceBlob
from imgcore.disk.gpt import GptPartition, read_gpt
from imgcore.disk.mbr import protective_start
from imgcore.disk.types import type_of

__all__ = ["DiskPart", "disk_parts"]

_NO_AUTO: Final = 1 << 63
_READ_ONLY: Final = 1 << 60
_GROW: Final = 1 << 59
_GENERIC: Final = "linux-generic"
_SECTORS: Final = (512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class DiskPart:
    """A partition that is taken: its bytes, and its flags as a policy knows them."""

    blob: Blob
    read_only: bool
    grow: bool


def disk_parts(blob: Blob, architecture: str) -> dict[str, DiskPart]:
    """Return the partitions that systemd takes, by designator; none where there is no root or usr file system.

    Raises Corrupt for a table of which neither copy can be right.
    """
    if protective_start(blob) is None:
        return {}
    for sector in _SECTORS:
        gpt = read_gpt(blob, sector=sector)
        if gpt is not None:
            break
    else:
        return {}
    found: dict[str, tuple[int, DiskPart]] = {}
    generic: list[DiskPart] = []
    for entry in gpt.partitions:
        kind = type_of(entry.kind)
        part = _part(blob, entry, sector)
        if kind is None or part is None or entry.attributes & _NO_AUTO:
            continue
        if kind.name == _GENERIC:
            generic.append(part)
            continue
        rank = 1 if kind.architecture in (architecture, "") else 0
        if kind.role not in found or found[kind.role][0] < rank:
            found[kind.role] = (rank, part)
    parts = {role: part for role, (_, part) in found.items()}
    if "root" not in parts and "usr" not in parts:
        if len(generic) != 1:
            return {}
        parts["root"] = generic[0]
    return parts


def _part(blob: Blob, entry: GptPartition, sector: int) -> DiskPart | None:
    start, size = entry.first * sector, (entry.last - entry.first + 1) * sector
    if start + size > blob.size:
        return None
    flags = entry.attributes
    return DiskPart(SliceBlob(blob, start, size), bool(flags & _READ_ONLY), bool(flags & _GROW))
