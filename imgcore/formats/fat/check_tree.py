"""Goes through all directories of a FAT volume, and notes whose each cluster is: what `check` says of names and chains.

Every cluster is looked at once, whatever the table and the directories say, so that the time is bounded by the volume.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator

from imgcore.errors import Corrupt, show
from imgcore.events import Control
from imgcore.formats.base import Finding, Severity
from imgcore.formats.fat.entries import Entry, entries_of
from imgcore.formats.fat.geometry import Geometry
from imgcore.formats.fat.layout import ENTRY, DirEntry, Extension32
from imgcore.formats.fat.names import folded, is_short
from imgcore.formats.fat.reader import FatImage
from imgcore.formats.fat.table import BAD, ends
from imgcore.model import join

__all__ = ["Walk", "damage"]


def damage(image: FatImage, control: Control | None = None) -> Finding | None:
    """Return the first error in names and chains, None for a volume that can be changed without losing what is in it."""
    return next((one for one in Walk(image, control or Control()).findings() if one.severity == "error"), None)


class Walk:
    """One walk; `findings` can be called once. Then `label` is the root's, empty without one, None for a root that is lost."""

    def __init__(self, image: FatImage, control: Control) -> None:
        self._image, self._control = image, control
        self._table = image.table()
        self._owners = array("I", bytes(4 * len(self._table)))
        self._paths: list[bytes] = [b""]
        self._starts: dict[int, bytes] = {}
        self._count = 0
        self.label: bytes | None = None

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with names, chains and clusters."""
        image = self._image
        root = image.extension.root_cluster if isinstance(image.extension, Extension32) else 0
        if root:
            _, problem = self._claim(root, b"/")
            if problem is not None:
                yield problem
                return
            self._starts[root] = b"/"
        todo: list[tuple[int, int, bytes]] = [(0, 0, b"/")]
        while todo:
            cluster, above, path = todo.pop()
            self._control.check()
            try:
                data = image.listing(cluster)
            except Corrupt as error:
                yield Finding("chain", "error", error.message, path=path, offset=error.offset)
                continue
            if path != b"/":
                yield from _dots(data, cluster, above, path)
            yield from self._directory(data, cluster, path, todo)
        yield from self._lost()

    def _directory(self, data: bytes, cluster: int, path: bytes, todo: list[tuple[int, int, bytes]]) -> Iterator[Finding]:
        names: set[str] = set()
        shorts: set[bytes] = set()
        labels = 0
        if path == b"/":
            self.label = b""
        orphans: list[int] = []
        for entry in entries_of(data, orphans):
            self._count += 1
            self._image.limits.require("max_entries", self._count)
            if self._count % 256 == 0:
                self._control.check()
            if entry.is_label:
                labels += 1
                if path != b"/" or labels > 1:
                    yield Finding("label", "warning", "a label that is not the root's only one", path=path)
                else:
                    self.label = entry.record.name.rstrip(b" ")
                continue
            here = join(path, entry.name)
            if b"/" in entry.name or b"\0" in entry.name or entry.name in (b".", b".."):
                yield Finding("name", "error", "impossible name", path=path, found=show(entry.name))
            if folded(entry.name) in names:
                yield Finding("twice", "error", "a name that is there twice", path=here)
            elif entry.record.name in shorts:
                yield Finding("twice", "warning", "a short name that is there twice", path=here, found=show(entry.record.name))
            names.add(folded(entry.name))
            shorts.add(entry.record.name)
            if not is_short(entry.record.name):
                yield Finding("name", "warning", "a short name that cannot be", path=here, found=show(entry.record.name))
            if not entry.is_dir:
                yield from self._file(entry, here)
            elif (yield from self._below(entry, here)):
                self._image.limits.require("max_path", len(here))
                self._image.limits.require("max_depth", here.count(b"/"))
                todo.append((entry.cluster, cluster, here))
        for at in orphans:
            message = "a long name that belongs to no entry"
            yield Finding("orphan", "warning", message, path=path, offset=_offset(self._image, cluster, at))

    def _file(self, entry: Entry, path: bytes) -> Iterator[Finding]:
        count, problem = self._claim(entry.cluster, path) if entry.cluster else (0, None)
        if problem is not None:
            yield problem
            return
        wanted = -(-entry.record.size // self._image.geometry.cluster)
        if count != wanted:
            severity: Severity = "error" if count < wanted else "warning"
            message = f"{'fewer' if count < wanted else 'more'} clusters than its size"
            yield Finding("chain", severity, message, path=path, found=str(count), allowed=str(wanted))

    def _below(self, entry: Entry, path: bytes) -> Generator[Finding, None, bool]:
        """Yield what is wrong with a directory's chain; return whether its names can be looked at."""
        first = self._starts.get(entry.cluster)
        if first is not None:
            yield Finding("loop", "error", "a directory that is at another place too", path=path, found=show(first))
            return False
        if not entry.cluster:
            yield Finding("chain", "error", "a directory without a cluster", path=path)
            return False
        _, problem = self._claim(entry.cluster, path)
        if problem is not None:
            yield problem
            return False
        self._starts[entry.cluster] = path
        if entry.record.size:
            message = "a directory with a size, which it has only by its clusters"
            yield Finding("size", "warning", message, path=path, found=str(entry.record.size), allowed="0")
        return True

    def _claim(self, first: int, path: bytes) -> tuple[int, Finding | None]:
        """Note whose the clusters from `first` on are; return how many there are, and what is wrong with them."""
        table, owners, kind = self._table, self._owners, self._image.geometry.kind
        self._paths.append(path)
        number, count = len(self._paths) - 1, 0
        cluster, before = first, 0
        while True:
            offset = self._image.geometry.entry_at(before) if before else None
            if not 2 <= cluster < len(table):
                message = "its clusters lead to one that is not there"
                allowed = f"2 to {len(table) - 1}"
                return count, Finding("chain", "error", message, path=path, offset=offset, found=str(cluster), allowed=allowed)
            if owners[cluster] == number:
                return count, Finding("chain", "error", "clusters that go round", path=path, offset=offset, found=str(cluster))
            if owners[cluster]:
                other = show(self._paths[owners[cluster]])
                message = f"shares cluster {cluster} with `{other}`"
                return count, Finding("cross", "error", message, path=path, offset=offset)
            owners[cluster] = number
            count += 1
            before, cluster = cluster, table[cluster]
            if ends(kind, cluster):
                return count, None

    def _lost(self) -> Iterator[Finding]:
        bad = BAD[self._image.geometry.kind]
        owners, table = self._owners, self._table
        lost = [cluster for cluster in range(2, len(table)) if not owners[cluster] and table[cluster] not in (0, bad)]
        if lost:
            offset = self._image.geometry.entry_at(lost[0])
            yield Finding("lost", "warning", f"{len(lost)} clusters belong to no file", offset=offset)


def _dots(data: bytes, cluster: int, above: int, path: bytes) -> Iterator[Finding]:
    """Compare the first two entries of a directory with what leads to them; `above` is 0 for the root."""
    for number, (name, wanted) in enumerate(((b".", cluster), (b"..", above))):
        record = DirEntry.unpack_unchecked(data, number * ENTRY)
        found = record.cluster_high << 16 | record.cluster_low
        if record.name != name.ljust(11) or not record.attributes & 0x10 or found != wanted:
            message = f"no `{name.decode()}` where it has to be, or one that leads elsewhere"
            yield Finding("dots", "warning", message, path=path, found=str(found), allowed=str(wanted))


def _offset(image: FatImage, cluster: int, at: int) -> int:
    """Return the byte of the volume that is byte `at` of a directory."""
    geometry: Geometry = image.geometry
    if not cluster and not isinstance(image.extension, Extension32):
        return geometry.root_at + at
    first = cluster or image.extension.root_cluster  # type: ignore[union-attr]
    return geometry.at(image.chain(first, at // geometry.cluster + 1)[-1]) + at % geometry.cluster
