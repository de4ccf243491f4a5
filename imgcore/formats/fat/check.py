"""`check`: what is wrong with a FAT volume, by the specification, fsck.fat and what UEFI's reader (EDK2) insists on."""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.blob import Blob
from imgcore.errors import Corrupt, FormatError, NotThisFormat
from imgcore.events import Control
from imgcore.formats.base import Finding, Severity
from imgcore.formats.fat.layout import ATTR_LABEL, MAX_16
from imgcore.formats.fat.reader import Entry, FatImage, entries_of
from imgcore.formats.fat.table import BAD
from imgcore.limits import Limits
from imgcore.model import join

__all__ = ["check_blob"]


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no FAT at all, LimitExceeded, SourceError, Cancelled."""
    try:
        image = FatImage(blob, limits)
        image.table()
    except NotThisFormat:
        raise
    except FormatError as error:
        yield Finding("corrupt", "error", error.message, fatal=True, offset=error.offset, structure=error.structure)
        return
    geometry = image.geometry
    size = geometry.fat_sectors * geometry.sector
    if geometry.sectors * geometry.sector > blob.size:
        yield Finding(
            "cut", "error", "the volume is cut", found=f"{blob.size} bytes", allowed=f"{geometry.sectors * geometry.sector}"
        )
    if geometry.kind == 32 and geometry.clusters <= MAX_16:
        yield Finding(
            "clusters", "error", "a FAT32 of too few clusters, which UEFI does not open", found=str(geometry.clusters)
        )
    first = blob.read_at(geometry.fat_at, size)
    for number in range(1, geometry.fats):
        if blob.read_at(geometry.fat_at + number * size, size) != first:
            yield Finding("copies", "warning", f"copy {number + 1} of the table differs from the first", offset=geometry.fat_at)
    yield from _Walk(image, control).findings()


class _Walk:
    """Goes through all directories, and notes whose each cluster is."""

    def __init__(self, image: FatImage, control: Control) -> None:
        self._image, self._control = image, control
        self._owners: dict[int, bytes] = {}
        self._count = 0

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with names, chains and clusters."""
        image = self._image
        todo: list[tuple[int, bytes]] = [(0, b"/")]
        seen: set[int] = set()
        while todo:
            cluster, path = todo.pop()
            self._control.check()
            if cluster in seen:
                yield Finding("loop", "error", "a directory that is at another place too", path=path)
                continue
            seen.add(cluster)
            try:
                data = image.listing(cluster)
            except Corrupt as error:
                yield Finding("chain", "error", error.message, path=path)
                continue
            names: set[str] = set()
            for entry in entries_of(data):
                self._count += 1
                image.limits.require("max_entries", self._count)
                if entry.record.attributes & ATTR_LABEL:
                    continue
                here = join(path, entry.name)
                folded = entry.name.decode("utf-8", "replace").upper()
                if folded in names:
                    yield Finding("twice", "error", "a name that is there twice", path=here)
                names.add(folded)
                yield from self._chain(entry, here)
                if entry.is_dir and entry.cluster:
                    todo.append((entry.cluster, here))
        table = image.table()
        root = getattr(image.extension, "root_cluster", 0)
        bad = BAD[image.geometry.kind]
        lost = sum(1 for cluster in range(2, len(table)) if table[cluster] not in (0, bad) and cluster not in self._owners)
        if image.geometry.kind == 32:
            lost -= len(image.chain(root, len(table)))
        if lost > 0:
            yield Finding("lost", "warning", f"{lost} clusters belong to no file")

    def _chain(self, entry: Entry, path: bytes) -> Iterator[Finding]:
        image = self._image
        cluster_size = image.geometry.cluster
        count = -(-entry.record.size // cluster_size)
        if not entry.cluster:
            if entry.record.size or entry.is_dir:
                yield Finding("chain", "error", "no clusters", path=path)
            return
        try:
            chain = image.chain(entry.cluster, image.geometry.clusters + 1)
        except Corrupt as error:
            yield Finding("chain", "error", error.message, path=path, found=str(error.found))
            return
        if len(chain) > image.geometry.clusters:
            yield Finding("chain", "error", "clusters that go round", path=path)
            return
        if not entry.is_dir and len(chain) != count:
            severity: Severity = "error" if len(chain) < count else "warning"
            message = "fewer clusters than its size" if len(chain) < count else "more clusters than its size"
            yield Finding("chain", severity, message, path=path, found=str(len(chain)), allowed=str(count))
        for cluster in chain:
            other = self._owners.setdefault(cluster, path)
            if other != path:
                yield Finding("cross", "error", f"shares cluster {cluster} with {other.decode('utf-8', 'replace')}", path=path)
                return
