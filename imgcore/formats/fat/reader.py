"""Reads FAT volumes: the table once, directories when they are looked at, contents when they are read.

Modes are what Linux shows of a mounted volume (0755, without writing where it is read-only), owners are root. What is
damaged but leaves no doubt (long names without their short one, copies of the table that differ) is passed over and reported
by `check`; everything else raises Corrupt with the place.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator, Mapping
from typing import Final

from imgcore.blob import Blob, Segment
from imgcore.errors import Corrupt, context, show
from imgcore.events import Control
from imgcore.formats.base import Finding, LayoutItem
from imgcore.formats.common import BlobImage
from imgcore.formats.fat.boot_sector import read_boot_sector
from imgcore.formats.fat.entries import Entry, entries_of, unpack_time
from imgcore.formats.fat.layout import (
    ATTR_READ_ONLY,
    ENTRY,
    BootSector,
    Extension32,
    FsInfo,
)
from imgcore.formats.fat.table import decode_table, ends
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Node, Tree, join

__all__ = ["FatImage", "open_image"]

_STEP: Final = 2_000_000_000
_MOST_DIRECTORY: Final = 65536 * ENTRY


def open_image(blob: Blob, limits: Limits | None = None) -> FatImage:
    """Return the volume in `blob`. Raises NotThisFormat, Corrupt."""
    return FatImage(blob, limits or Limits.default())


class FatImage(BlobImage):
    """An open volume; see `formats.base.Image`."""

    def __init__(self, blob: Blob, limits: Limits) -> None:
        self.blob, self.limits = blob, limits
        self.boot, self.extension, self.geometry = read_boot_sector(blob)
        if self.geometry.data_at > blob.size:
            raise Corrupt(
                "the volume is cut: it ends before its first cluster",
                offset=blob.size,
                structure="BootSector",
                found=f"{blob.size} bytes",
                allowed=f"{self.geometry.sectors * self.geometry.sector} bytes",
            )
        self._table: array[int] | None = None
        self._lock = threading.RLock()
        self._entries = 0
        self._dirs: dict[int, bytes] = {}
        self._listed: set[int] = set()
        self._left_to_list = self.geometry.root_sectors * self.geometry.sector + self.geometry.clusters * self.geometry.cluster
        self._root: Dir | None = None

    def table(self) -> array[int]:
        """Return the first allocation table's entries. Raises Corrupt, LimitExceeded."""
        with self._lock:
            if self._table is None:
                size = self.geometry.fat_sectors * self.geometry.sector
                self.limits.require("max_metadata", 4 * (self.geometry.clusters + 2))
                data = self.blob.read_at(self.geometry.fat_at, size)
                if len(data) < size:
                    raise Corrupt("the allocation table is cut", offset=self.geometry.fat_at, found=len(data), allowed=size)
                self._table = decode_table(self.geometry, data)
            return self._table

    def chain(self, first: int, most: int) -> list[int]:
        """Return the clusters from `first` on, no more than `most`. Raises Corrupt for a chain that leads nowhere."""
        table = self.table()
        out: list[int] = []
        cluster = first
        while len(out) < most:
            if not 2 <= cluster < len(table):
                raise Corrupt(
                    "a cluster that is not there",
                    offset=self.geometry.entry_at(out[-1]) if out else None,
                    structure="FAT" if out else "DirEntry",
                    found=cluster,
                    allowed=f"2 to {len(table) - 1}",
                )
            out.append(cluster)
            cluster = table[cluster]
            if ends(self.geometry.kind, cluster):
                break
        return out

    def listing(self, cluster: int) -> bytes:
        """Return the bytes of a directory; cluster 0 is the root. Raises Corrupt."""
        geometry = self.geometry
        if cluster == 0 and geometry.kind != 32:
            return self._bytes(geometry.root_at, geometry.root_entries * ENTRY)
        if cluster == 0:
            assert isinstance(self.extension, Extension32)
            cluster = self.extension.root_cluster
        most = _MOST_DIRECTORY // geometry.cluster + 1
        chain = self.chain(cluster, most + 1)
        if len(chain) > most or len(set(chain)) < len(chain):
            raise Corrupt(
                "a directory without an end", offset=geometry.entry_at(cluster), structure="FAT", found=f"cluster {cluster}"
            )
        return b"".join(self._bytes(geometry.at(one), geometry.cluster) for one in chain)

    def _bytes(self, at: int, size: int) -> bytes:
        data = self.blob.read_at(at, size)
        if len(data) < size:
            raise Corrupt("behind the end of the volume", offset=at, found=f"{len(data)} bytes", allowed=f"{size}")
        return data

    @property
    def tree(self) -> Tree:
        """The tree in the volume; the root's time is the first of 1980, since FAT has none."""
        with self._lock:
            if self._root is None:
                self._root = Dir(Meta(0o755, 0, 0, unpack_time(0, 0) * 1_000_000_000), _Children(self, 0, b"/"))
            return Tree(self._root, self.limits, time_step_ns=_STEP)

    def names(self, cluster: int, path: bytes) -> dict[bytes, Entry]:
        """Return the names of a directory. Raises Corrupt, LimitExceeded."""
        found: dict[bytes, Entry] = {}
        with context(path=path):
            data = self.listing(cluster)
            if cluster not in self._listed:
                self._listed.add(cluster)
                self._left_to_list -= len(data)
            if self._left_to_list < 0:  # else few clusters could be listed again and again
                raise Corrupt("directories that share clusters", structure="FAT", found=f"cluster {cluster}")
            for entry in entries_of(data):
                if entry.is_label:
                    continue
                if b"/" in entry.name or b"\0" in entry.name or entry.name in (b"", b".", b".."):
                    raise Corrupt("impossible name", structure="DirEntry", field="name", found=show(entry.name))
                found.setdefault(entry.name, entry)
                self._entries += 1
                self.limits.require("max_entries", self._entries)
        return found

    def node(self, entry: Entry, path: bytes) -> Node:
        """Return the node of an entry. Raises Corrupt, LimitExceeded."""
        record = entry.record
        mode = 0o555 if record.attributes & ATTR_READ_ONLY else 0o755
        meta = Meta(mode, 0, 0, unpack_time(record.date, record.time) * 1_000_000_000)
        if entry.is_dir:
            if not entry.cluster:
                raise Corrupt("a directory without a cluster", structure="DirEntry", field="cluster_low")
            first = self._dirs.setdefault(entry.cluster, path)
            if first != path:
                raise Corrupt("directory with two names, or inside itself", path=path, found=f"also at `{show(first)}`")
            return Dir(meta, _Children(self, entry.cluster, path))
        self.limits.require("max_file_size", record.size)
        if record.size > self.geometry.clusters * self.geometry.cluster:
            raise Corrupt("a file larger than the volume", structure="DirEntry", field="size", found=record.size)
        return File(meta, _Content(self, entry.cluster, record.size, path))

    def fs_info(self) -> tuple[int, FsInfo] | None:
        """Return where FAT32's hint about free clusters is and what it says, None where there is none."""
        extension, geometry = self.extension, self.geometry
        if not isinstance(extension, Extension32) or not 0 < extension.info_sector < geometry.reserved:
            return None
        at = extension.info_sector * geometry.sector
        info = FsInfo.unpack_unchecked(self._bytes(at, FsInfo.SIZE))
        return None if any(True for _ in info.violations()) else (at, info)

    def label(self) -> bytes:
        """Return the label of the root directory, that of the boot sector where there is none."""
        for entry in entries_of(self.listing(0)):
            if entry.is_label:
                return entry.record.name.rstrip(b" ")
        return self.boot_label()

    def boot_label(self) -> bytes:
        """Return the label that the boot sector has, empty where it has none."""
        label = self.extension.label
        return b"" if self.extension.signature != 0x29 or label.startswith(b"NO NAME") else label.rstrip(b" \0")

    def info(self) -> dict[str, object]:
        """Return the volume's parameters as plain values."""
        geometry, table = self.geometry, self.table()
        serial = f"{self.extension.serial:08X}"
        return {
            "type": f"FAT{geometry.kind}",
            "label": self.label().decode("cp437"),
            "serial": f"{serial[:4]}-{serial[4:]}",
            "bytes": geometry.sectors * geometry.sector,
            "sector": geometry.sector,
            "cluster": geometry.cluster,
            "clusters": geometry.clusters,
            "free": sum(1 for value in table[2:] if not value) * geometry.cluster,
        }

    def layout(self) -> Iterator[LayoutItem]:
        """Yield what the bytes outside of files are."""
        geometry = self.geometry
        for record, at in ((self.boot, 0), (self.extension, BootSector.SIZE)):
            for place in record.LAYOUT:
                value = getattr(record, place.name)
                shown = value.hex() if isinstance(value, bytes) else str(value)
                yield LayoutItem(at + place.offset, place.width, f"{type(record).__name__}.{place.name}", shown)
        for number in range(geometry.fats):
            size = geometry.fat_sectors * geometry.sector
            yield LayoutItem(geometry.fat_at + number * size, size, f"allocation table {number + 1}", "")
        if geometry.kind != 32:
            yield LayoutItem(geometry.root_at, geometry.root_sectors * geometry.sector, "root directory", "")
        yield LayoutItem(geometry.data_at, geometry.clusters * geometry.cluster, "clusters", str(geometry.clusters))

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the rules."""
        from imgcore.formats.fat.check import check_blob

        return check_blob(self.blob, self.limits, control or Control())


class _Content:
    """A file's bytes, in clusters that are looked up when they are first read."""

    __slots__ = ("_first", "_image", "_path", "_runs", "_size")

    def __init__(self, image: FatImage, first: int, size: int, path: bytes) -> None:
        self._image, self._first, self._size, self._path = image, first, size, path
        self._runs: list[tuple[int, int, int]] | None = None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._size

    def runs(self) -> list[tuple[int, int, int]]:
        """Return (byte of the file, byte of the volume, bytes) of clusters that follow one another. Raises Corrupt."""
        if self._runs is None:
            geometry = self._image.geometry
            count = -(-self._size // geometry.cluster)
            with context(path=self._path):
                chain = self._image.chain(self._first, count) if count else []
                if len(chain) < count:
                    at = geometry.entry_at(chain[-1])
                    raise Corrupt(
                        "a file whose clusters end too early", offset=at, structure="FAT", found=len(chain), allowed=count
                    )
            found: list[tuple[int, int, int]] = []
            for number, cluster in enumerate(chain):
                at = geometry.at(cluster)
                if found and found[-1][1] + found[-1][2] == at:
                    found[-1] = (*found[-1][:2], found[-1][2] + geometry.cluster)
                else:
                    found.append((number * geometry.cluster, at, geometry.cluster))
            self._runs = found
        return self._runs

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file. Raises Corrupt."""
        end, out = min(at + size, self._size), []
        if at < 0 or at >= end:
            return b""
        for start, place, length in self.runs():
            first, last = max(at, start), min(end, start + length)
            if first < last:
                out.append(self._image._bytes(place + first - start, last - first))
        return b"".join(out)

    def segments(self) -> Iterator[Segment]:
        """Yield one segment of data."""
        if self._size:
            yield Segment(0, self._size, False)


class _Children(Mapping[bytes, Node]):
    """The children of a directory, read when they are first looked at."""

    __slots__ = ("_cluster", "_image", "_names", "_nodes", "_path")

    def __init__(self, image: FatImage, cluster: int, path: bytes) -> None:
        self._image, self._cluster, self._path = image, cluster, path
        self._names: dict[bytes, Entry] | None = None
        self._nodes: dict[bytes, Node] = {}

    def _load(self) -> dict[bytes, Entry]:
        with self._image._lock:
            if self._names is None:
                self._names = self._image.names(self._cluster, self._path)
            return self._names

    def __getitem__(self, name: bytes) -> Node:
        node = self._nodes.get(name)
        if node is None:
            entry = self._load()[name]
            path = join(self._path, name)
            with self._image._lock, context(path=path):
                node = self._nodes.get(name)
                if node is None:
                    node = self._nodes[name] = self._image.node(entry, path)
        return node

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())
