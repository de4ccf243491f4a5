"""The numbers of a volume: which kind it is of, where its tables and clusters lie, and how to choose them.

The kind is a matter of the number of clusters alone (up to 4084, 65524, or more), whatever else the boot sector says.
"""

from __future__ import annotations

from typing import Final

from imgcore.formats.fat.layout import ENTRY, MAX_12, MAX_16
from imgcore.values import value_class

__all__ = ["BITS", "MAX_ROOT", "Geometry", "choose", "fitting", "kind_of"]

_MARGIN: Final = 16
_MOST_CLUSTER: Final = 32768
BITS: Final = {12: 12, 16: 16, 32: 32}
"""Bits of an entry of the table of each kind, four of 32 unused."""
MAX_ROOT: Final = 65520
"""Names in the root of FAT12 and FAT16: the most that fill sectors of any size."""


@value_class
class Geometry:
    """A volume: sizes in bytes and sectors; clusters are counted from 2."""

    kind: int
    sector: int
    cluster_sectors: int
    reserved: int
    fats: int
    root_entries: int
    fat_sectors: int
    sectors: int

    @property
    def cluster(self) -> int:
        """Bytes of a cluster."""
        return self.sector * self.cluster_sectors

    @property
    def fat_at(self) -> int:
        """Where the first table begins."""
        return self.reserved * self.sector

    @property
    def root_at(self) -> int:
        """Where the root's entries begin, of FAT12 and FAT16."""
        return (self.reserved + self.fats * self.fat_sectors) * self.sector

    @property
    def root_sectors(self) -> int:
        """Sectors of the root, of FAT12 and FAT16."""
        return -(-self.root_entries * ENTRY // self.sector)

    @property
    def data_at(self) -> int:
        """Where cluster 2 begins."""
        return self.root_at + self.root_sectors * self.sector

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return max(self.sectors - self.data_at // self.sector, 0) // self.cluster_sectors

    def entry_at(self, cluster: int) -> int:
        """Return where a cluster's entry begins in the first table."""
        return self.fat_at + cluster * BITS[self.kind] // 8

    def at(self, cluster: int) -> int:
        """Return where a cluster begins."""
        return self.data_at + (cluster - 2) * self.cluster


def kind_of(clusters: int) -> int:
    """Return the kind of a volume: 12, 16 or 32."""
    return 12 if clusters <= MAX_12 else 16 if clusters <= MAX_16 else 32


def fitting(kind: int, sectors: int, sector: int, cluster_sectors: int, root_entries: int) -> Geometry | None:
    """Return the volume of so many sectors with clusters of that size, None where its number is not one of that kind."""
    reserved = 32 if kind == 32 else 1
    entries = 0 if kind == 32 else root_entries
    root = -(-entries * ENTRY // sector)
    if sectors >> 32 or entries > MAX_ROOT:
        return None
    fat = 1
    while True:
        rest = sectors - reserved - 2 * fat - root
        if rest < cluster_sectors:
            return None
        clusters = rest // cluster_sectors
        needed = -(-(clusters + 2) * BITS[kind] // (8 * sector))
        if needed <= fat:
            break
        fat = needed
    low, high = {12: (1, MAX_12), 16: (MAX_12 + 1, MAX_16), 32: (MAX_16 + 1, 1 << 28)}[kind]
    low += _MARGIN if kind != 12 else 0
    if not low <= clusters <= high - _MARGIN:
        return None  # near the limits readers disagree about the kind
    return Geometry(kind, sector, cluster_sectors, reserved, 2, entries, fat, sectors)


def choose(size: int, kind: int | None, sector: int, cluster: int | None, root_entries: int) -> Geometry:
    """Return the volume of `size` bytes: of the kind asked for, or the first that fits with clusters of at most 4 KiB.

    Raises ValueError where there is none.
    """
    kinds = (kind,) if kind is not None else (12, 16, 32) if size < 512 << 20 else (32, 16)
    for limit in (4096, _MOST_CLUSTER):
        for one in kinds:
            counts = [1 << power for power in range(7) if sector << power <= max(limit, sector)]
            if one == 32:
                counts.reverse()  # its table is large: as few clusters as it may have
            for count in counts:
                if cluster is None or count * sector == cluster:
                    found = fitting(one, size // sector, sector, count, root_entries)
                    if found is not None:
                        return found
    what = f"FAT{kind}" if kind is not None else "FAT"
    least = " (FAT32 needs 33 MiB at least)" if kind == 32 else ""
    raise ValueError(f"no {what} of {size} bytes is possible{least}")
