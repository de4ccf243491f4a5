"""Changes of a FAT volume in place: files added, replaced and removed, and everything else left where it is.

A `FatEditor` reads what it needs, plans in memory, and gives the result as patches, (byte of the volume, new bytes), so that
whoever calls decides how they are written: into a copy, or in place with a journal. Clusters that are not concerned keep
their places and their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from imgcore.blob import Blob, BytesBlob, SliceBlob
from imgcore.errors import Corrupt, MergeConflict, NotRepresentable, PathError, Unsupported, show
from imgcore.formats.fat.check_tree import damage
from imgcore.formats.fat.entries import Entry, dot_entries, entries_of, entry_bytes
from imgcore.formats.fat.layout import ATTR_DIR, ENTRY, Extension32
from imgcore.formats.fat.names import folded, named, problem, short_text
from imgcore.formats.fat.options import MAX_TIME, MIN_TIME
from imgcore.formats.fat.reader import FatImage
from imgcore.formats.fat.table import END, encode_entries
from imgcore.limits import Limits
from imgcore.model import PathLike, split

__all__ = ["FatEditor", "Patch"]

_MOST_DIRECTORY: Final = 65536 * ENTRY


class Patch(NamedTuple):
    """Bytes that are to be at a place of the volume."""

    at: int
    content: Blob


class FatEditor:
    """A volume that is to be changed. `now` is the time of what is added, in seconds since 1970.

    A volume that is cut, or in which files share clusters or lead nowhere, is not changed: what belongs to one would be taken
    from another.
    Making an editor raises NotThisFormat, Unsupported, and Corrupt for these. Every method raises PathError for a path that
    does not fit, MergeConflict for a name that is taken, NotRepresentable where there is no room or the name is impossible;
    the plan is then as it was before the call.

    Contents are read when the patches are written; one that is itself a part of the volume may lie where a patch goes.
    """

    def __init__(self, blob: Blob, *, now: int = MIN_TIME, limits: Limits | None = None) -> None:
        self.image = FatImage(blob, limits or Limits.default())
        extension = self.image.extension
        if isinstance(extension, Extension32) and extension.flags & 0x80:
            raise Unsupported("a volume with only one of its tables in use", structure="Extension32", field="flags")
        wanted = self.image.geometry.sectors * self.image.geometry.sector
        if wanted > blob.size:  # what is written behind its end would be somebody else's
            raise Corrupt("a volume that is cut is not changed", found=f"{blob.size} bytes", allowed=f"{wanted} bytes")
        found = damage(self.image)
        if found is not None:
            raise Corrupt(
                f"a damaged volume is not changed: {found.message}",
                path=found.path,
                offset=found.offset,
                hint="`imgcore check` lists what is wrong with it",
            )
        self._geometry = self.image.geometry
        self._table = self.image.table()[:]
        self._listings: dict[int, bytearray] = {}
        self._changed: set[int] = set()
        self._contents: dict[int, tuple[Blob, list[int]]] = {}
        self._now = now
        self._lowest = 2  # no cluster below is free

    # Changes

    def add(self, path: PathLike, content: Blob, *, replace: bool = True, mtime: int | None = None) -> None:
        """Put a file at a path, making the directories above it; one that is there is replaced, or is a MergeConflict.

        `mtime` is in seconds since 1970, `now` where it is None; FAT has even seconds from 1980 to 2107.
        """
        parts = split(path)
        if not parts:
            raise PathError("not a file", path=b"/")
        if content.size > 0xFFFFFFFF:
            raise NotRepresentable("fat holds files below 4 GiB", path=b"/" + b"/".join(parts))
        for part in parts:
            why = problem(part)
            if why is not None:
                raise NotRepresentable(f"fat cannot hold {why}", path=b"/" + b"/".join(parts))
        saved = self._save()
        try:
            directory = 0
            for part in parts[:-1]:
                directory = self._enter(directory, part)
            old = self._find(directory, parts[-1])
            if old is not None:
                if old.is_dir:
                    raise PathError("a directory is in the way", path=b"/" + b"/".join(parts))
                if not replace:
                    raise MergeConflict(f"`{show(b'/' + b'/'.join(parts))}` is there already")
                self._drop(directory, old)
            clusters = self._allocate(-(-content.size // self._geometry.cluster))
            first = clusters[0] if clusters else 0
            self._insert(directory, parts[-1], first, content.size, is_dir=False, mtime=mtime)
            if clusters:
                self._contents[clusters[0]] = content, clusters
        except BaseException:
            self._restore(saved)
            raise

    def mkdir(self, path: PathLike) -> None:
        """Make a directory, and those above it; one that is there is fine."""
        saved = self._save()
        try:
            directory = 0
            for part in split(path):
                directory = self._enter(directory, part)
        except BaseException:
            self._restore(saved)
            raise

    def remove(self, path: PathLike) -> None:
        """Remove a file, or a directory with all that is in it."""
        parts = split(path)
        if not parts:
            raise PathError("the root stays", path=b"/")
        directory = 0
        for part in parts[:-1]:
            entry = self._find(directory, part)
            if entry is None or not entry.is_dir:
                raise PathError("no such path", path=b"/" + b"/".join(parts))
            directory = entry.cluster
        entry = self._find(directory, parts[-1])
        if entry is None:
            raise PathError("no such path", path=b"/" + b"/".join(parts))
        saved = self._save()
        try:
            self._remove(directory, entry)
        except BaseException:
            self._restore(saved)
            raise

    def patches(self) -> Iterator[Patch]:
        """Yield what has to be written, contents before what leads to them."""
        geometry = self._geometry
        for content, clusters in self._contents.values():
            done = 0
            for first, count in _runs(clusters):
                size = min(count * geometry.cluster, content.size - done)
                yield Patch(geometry.at(first), SliceBlob(content, done, size))
                missing = -size % geometry.cluster
                if missing:
                    yield Patch(geometry.at(first) + size, BytesBlob(bytes(missing)))
                done += size
        for cluster in sorted(self._changed):
            data = bytes(self._listings[cluster])
            if cluster == 0 and geometry.kind != 32:
                yield Patch(geometry.root_at, BytesBlob(data))
                continue
            for number, one in enumerate(self._chain(cluster)):
                part = data[number * geometry.cluster : (number + 1) * geometry.cluster]
                yield Patch(geometry.at(one), BytesBlob(part))
        if self._table != self.image.table():
            yield from self._table_patches()

    def _table_patches(self) -> Iterator[Patch]:
        """Yield the sectors of the tables that changed, in every copy, and the hint about free clusters."""
        geometry = self._geometry
        old = encode_entries(geometry, self.image.table())
        new = encode_entries(geometry, self._table)
        size = len(new)
        for at in range(0, size, geometry.sector):
            if old[at : at + geometry.sector] != new[at : at + geometry.sector]:
                for copy in range(geometry.fats):
                    place = geometry.fat_at + copy * size + at
                    if geometry.kind == 32:  # four bits of each entry are not ours
                        raw = self.image._bytes(place, geometry.sector)
                        part = bytes(
                            new_byte & 0x0F | raw_byte & 0xF0 if number % 4 == 3 else new_byte
                            for number, (new_byte, raw_byte) in enumerate(zip(new[at : at + geometry.sector], raw, strict=True))
                        )
                    else:
                        part = new[at : at + geometry.sector]
                    yield Patch(place, BytesBlob(part))
        hint = self.image.fs_info()
        if hint is not None:
            place, info = hint
            info.free = self._table[2:].count(0)
            info.next_free = self._table.index(0, 2) if info.free else 0xFFFFFFFF
            yield Patch(place, BytesBlob(info.pack()))

    # Parts

    def _save(self) -> tuple[object, ...]:
        return (
            self._table[:],
            {key: bytearray(value) for key, value in self._listings.items()},
            set(self._changed),
            dict(self._contents),
            self._lowest,
        )

    def _restore(self, saved: tuple[object, ...]) -> None:
        self._table, self._listings, self._changed, self._contents, self._lowest = saved  # type: ignore[assignment]

    def _chain(self, cluster: int) -> list[int]:
        """Return the clusters of a directory, in the plan's table."""
        if cluster == 0:
            assert isinstance(self.image.extension, Extension32)
            cluster = self.image.extension.root_cluster
        out = [cluster]
        while 2 <= self._table[out[-1]] < len(self._table) and len(out) < len(self._table):
            out.append(self._table[out[-1]])
        return out

    def _listing(self, cluster: int) -> bytearray:
        if cluster not in self._listings:
            self._listings[cluster] = bytearray(self.image.listing(cluster))
        return self._listings[cluster]

    def _find(self, directory: int, name: bytes) -> Entry | None:
        wanted = folded(name)
        return next((entry for entry in self._entries(directory) if folded(entry.name) == wanted), None)

    def _entries(self, directory: int) -> list[Entry]:
        return [entry for entry in entries_of(bytes(self._listing(directory))) if not entry.is_label]

    def _enter(self, directory: int, name: bytes) -> int:
        """Return the cluster of a directory, which is made where it is missing."""
        entry = self._find(directory, name)
        if entry is not None:
            if not entry.is_dir:
                raise PathError("not a directory", path=name)
            return entry.cluster
        why = problem(name)
        if why is not None:
            raise NotRepresentable(f"fat cannot hold {why}", path=name)
        (cluster,) = self._allocate(1)
        dots = dot_entries(cluster, directory, _within(self._now))
        self._listings[cluster] = bytearray(dots.ljust(self._geometry.cluster, b"\0"))
        self._changed.add(cluster)
        self._insert(directory, name, cluster, 0, is_dir=True)
        return cluster

    def _allocate(self, count: int) -> list[int]:
        """Take clusters: such that follow one another where there are any, else the first free ones."""
        if not count:
            return []
        found: list[int] = []
        run: list[int] = []
        for cluster in range(self._lowest, len(self._table)):
            if self._table[cluster]:
                run = []
                continue
            if not found:
                self._lowest = cluster
            run.append(cluster)
            if len(found) < count:
                found.append(cluster)
            if len(run) == count:
                found = run
                break
        if len(found) < count:
            raise NotRepresentable(
                f"no room in the volume: {count * self._geometry.cluster} bytes are needed,"
                f" {len(found) * self._geometry.cluster} are free"
            )
        for number, cluster in enumerate(found):
            self._table[cluster] = found[number + 1] if number + 1 < count else END[self._geometry.kind]
        return found

    def _insert(self, directory: int, name: bytes, cluster: int, size: int, *, is_dir: bool, mtime: int | None = None) -> None:
        """Write the entries of a name into free slots, in a larger directory if need be."""
        listing = self._listing(directory)
        taken = {bytes(entry.record.name): entry.name for entry in self._entries(directory)}
        for short, other in taken.items():
            if folded(short_text(short, 0)) == folded(name):  # whoever looks for the new name might find the old file
                raise MergeConflict(f"`{show(name)}` is the short name of `{show(other)}`")
        form = named([name], taken)[name]
        seconds = _within(self._now if mtime is None else mtime)
        data = entry_bytes(name, form, cluster, size, seconds, is_dir=is_dir)
        wanted, run, at = len(data) // ENTRY, 0, 0
        ended = False
        while True:
            while at < len(listing):
                ended = ended or listing[at] == 0
                run = run + 1 if ended or listing[at] == 0xE5 else 0
                at += ENTRY
                if run == wanted:
                    begin = at - wanted * ENTRY
                    listing[begin:at] = data
                    if ended and at < len(listing):
                        listing[at] = 0  # what is behind the end need not be zeros
                    self._changed.add(directory)
                    return
            if directory == 0 and self._geometry.kind != 32:
                raise NotRepresentable(f"no room in the root directory for {wanted} more entries")
            if len(listing) + self._geometry.cluster > _MOST_DIRECTORY:
                raise NotRepresentable("no room in the directory")
            last = self._chain(directory)[-1]
            (more,) = self._allocate(1)
            self._table[last] = more
            listing += bytes(self._geometry.cluster)

    def _drop(self, directory: int, entry: Entry) -> None:
        """Take the entries of a name and its clusters away."""
        listing = self._listing(directory)
        for at in range(entry.at, entry.end, ENTRY):
            listing[at] = 0xE5
        self._changed.add(directory)
        self._contents.pop(entry.cluster, None)
        if entry.cluster:
            cluster = entry.cluster
            for _ in range(len(self._table)):
                if not 2 <= cluster < len(self._table):
                    break
                following = self._table[cluster]
                self._table[cluster] = 0
                self._lowest = min(self._lowest, cluster)
                cluster = following

    def _remove(self, directory: int, entry: Entry) -> None:
        """Remove a name, of a directory all that is in it first."""
        todo = [(directory, entry, False)]
        seen: set[int] = set()
        while todo:
            above, one, is_emptied = todo.pop()
            if one.record.attributes & ATTR_DIR and not is_emptied:
                if one.cluster in seen or not one.cluster:
                    raise PathError("a directory inside itself", path=one.name)
                seen.add(one.cluster)
                todo.append((above, one, True))
                todo += [(one.cluster, below, False) for below in self._entries(one.cluster)]
                continue
            self._drop(above, one)
            if is_emptied:
                self._listings.pop(one.cluster, None)
                self._changed.discard(one.cluster)


def _within(seconds: int) -> int:
    """Return the nearest time that FAT has."""
    return min(max(seconds, MIN_TIME), MAX_TIME)


def _runs(clusters: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first cluster, how many) of clusters that follow one another."""
    first, count = clusters[0], 1
    for cluster in clusters[1:]:
        if cluster == first + count:
            count += 1
        else:
            yield first, count
            first, count = cluster, 1
    yield first, count
