"""Writes a tree as a FAT volume in one pass: boot sector, tables, directories, files, each in clusters one behind the other.

The volume is as large as asked for, or as the content needs. Nothing depends on a clock; the serial comes from the names.
"""

from __future__ import annotations

import hashlib
from typing import Final

from imgcore.blob import Sink
from imgcore.engine import Engine
from imgcore.errors import MergeConflict, NotRepresentable, show
from imgcore.events import Advanced, Control, Warned
from imgcore.formats.base import Options as AnyOptions
from imgcore.formats.base import Report
from imgcore.formats.fat.entries import dot_entries, entry_bytes, label_entry
from imgcore.formats.fat.geometry import Geometry, choose
from imgcore.formats.fat.layout import ENTRY, BootSector, Extension, Extension32, FsInfo
from imgcore.formats.fat.names import Named, folded, named, problem
from imgcore.formats.fat.options import CAPABILITIES, MAX_TIME, MIN_TIME, Options
from imgcore.formats.fat.table import encode_table
from imgcore.model import Dir, File, Loss, Node, Tree, checked, join

__all__ = ["boot_sectors", "write_image"]

_READ: Final = 1 << 20
_ROOM: Final = 256 << 10
_STEP: Final = 512 << 10
_MOST_ENTRIES: Final = 65536


def write_image(tree: Tree, sink: Sink, options: AnyOptions, control: Control, engine: Engine) -> Report:
    """Write `tree` to `sink`, which is empty.

    Raises NotRepresentable, MergeConflict (names that differ in case only) before anything is written; SourceError,
    OutputError, Cancelled.
    """
    assert isinstance(options, Options)
    tree, losses = checked(tree, CAPABILITIES, allow=options.allow_loss, format_name="fat")
    for loss in losses:
        control.emit(Warned(f"lost: {loss.message}", loss.path))
    volume = _Volume(tree, options, control)
    volume.write(sink)
    return Report(
        format="fat",
        codec="none",
        engine=engine.name,
        size=sink.position,
        files=len(volume.files),
        dirs=len(volume.dirs),
        symlinks=0,
        others=0,
        hard_links=0,
        bytes_in=sum(file.content.size for _, file in volume.files),
        bytes_stored=sum(file.content.size for _, file in volume.files),
        duplicate_blocks=0,
        duplicate_tails=0,
        duplicate_bytes=0,
        hole_bytes=0,
        fragments=0,
        losses=tuple(losses),
    )


def seconds_of(node: Node) -> int:
    """Return a node's time within what FAT can hold."""
    return min(max(node.meta.mtime_ns // 1_000_000_000, MIN_TIME), MAX_TIME)


class _Directory:
    """A directory with the forms of its names; `cluster` is 0 for the root of FAT12 and FAT16."""

    __slots__ = ("cluster", "forms", "node", "parent", "path", "size")

    def __init__(self, node: Dir, path: bytes, parent: _Directory | None, label: bool, losses: list[Loss]) -> None:
        self.node, self.path, self.parent = node, path, parent
        self.cluster = 0
        seen: dict[str, bytes] = {}
        possible: list[bytes] = []
        for name in sorted(node.children):
            why = problem(name)
            if why is not None:
                losses.append(Loss("tree", join(path, name), why))
                continue
            possible.append(name)
            other = seen.setdefault(folded(name), name)
            if other != name:
                raise MergeConflict(f"fat takes two names for one: `{show(other)}` and `{show(name)}`", path=join(path, name))
        self.forms: dict[bytes, Named] = named(possible)
        count = sum(
            1 + (-(-len(name.decode().encode("utf-16-le")) // 26) if form.is_long else 0) for name, form in self.forms.items()
        )
        count += 2 if parent is not None else int(label)
        if count > _MOST_ENTRIES:
            raise NotRepresentable(f"a directory of {count} entries, fat has at most {_MOST_ENTRIES}", path=path)
        self.size = count * ENTRY


class _Volume:
    """A volume: places first, then bytes."""

    def __init__(self, tree: Tree, options: Options, control: Control) -> None:
        self._options, self._control = options, control
        losses: list[Loss] = []
        self.dirs = [_Directory(tree.root, b"/", None, bool(options.label), losses)]
        self.files: list[tuple[bytes, File]] = []
        self._clusters: dict[bytes, int] = {}
        identity = hashlib.sha256(options.label.encode())
        for directory in self.dirs:  # grows meanwhile
            control.check()
            for name in sorted(directory.node.children):
                node, path = directory.node.children[name], join(directory.path, name)
                if isinstance(node, Dir):
                    self.dirs.append(_Directory(node, path, directory, False, losses))
                    identity.update(path + b"/\0")
                else:
                    assert isinstance(node, File)
                    self.files.append((path, node))
                    identity.update(path + b"\0%d %d " % (node.content.size, seconds_of(node)))
        if losses:
            more = f" and {len(losses) - 1} more" if len(losses) > 1 else ""
            raise NotRepresentable(f"fat cannot hold {losses[0].message}{more}", path=losses[0].path, losses=losses)
        self.serial = options.serial if options.serial is not None else int.from_bytes(identity.digest()[:4], "little")
        self.geometry = self._choose()
        self._place()

    def _needed(self, cluster: int, kind: int) -> int:
        """Return the clusters that everything takes."""
        count = sum(-(-one.size // cluster) or 1 for one in self.dirs[(0 if kind == 32 else 1) :])
        return count + sum(-(-file.content.size // cluster) for _, file in self.files)

    def _choose(self) -> Geometry:
        options = self._options
        root = max(options.root_entries, -(-self.dirs[0].size // options.sector) * options.sector // ENTRY)
        size = options.size
        if size is not None:
            try:
                geometry = choose(size, options.type, options.sector, options.cluster, root)
            except ValueError as error:
                raise NotRepresentable(str(error)) from None
            needed = self._needed(geometry.cluster, geometry.kind)
            if needed > geometry.clusters:
                raise NotRepresentable(
                    f"the content needs {needed * geometry.cluster} bytes, a volume of {size} has"
                    f" {geometry.clusters * geometry.cluster}",
                    hint="-O size=… makes a larger one",
                )
            return geometry
        total = sum(-(-file.content.size // 4096) * 4096 for _, file in self.files)
        total += sum(-(-one.size // 4096) * 4096 + 4096 for one in self.dirs)
        size = -(-(total + total // 10 + _ROOM) // _STEP) * _STEP
        for _ in range(4096):
            try:
                geometry = choose(size, options.type, options.sector, options.cluster, root)
            except ValueError:
                size += _STEP
                continue
            if self._needed(geometry.cluster, geometry.kind) <= geometry.clusters:
                return geometry
            size += max(_STEP, size // 16 // _STEP * _STEP)
        raise NotRepresentable("no FAT volume of a possible size holds this")

    def _place(self) -> None:
        """Give directories and files their clusters, one behind the other."""
        geometry = self.geometry
        following = 2
        self._runs: list[tuple[int, int]] = []
        for number, directory in enumerate(self.dirs):
            if number == 0 and geometry.kind != 32:
                continue
            count = -(-directory.size // geometry.cluster) or 1
            directory.cluster = following
            self._runs.append((following, count))
            following += count
        for path, file in self.files:
            count = -(-file.content.size // geometry.cluster)
            if count:
                self._clusters[path] = following
                self._runs.append((following, count))
                following += count
        self._used = following - 2

    def _listing(self, directory: _Directory) -> bytes:
        out = []
        if directory.parent is not None:
            above = 0 if directory.parent.parent is None else directory.parent.cluster
            out.append(dot_entries(directory.cluster, above, seconds_of(directory.node)))
        elif self._options.label:
            out.append(label_entry(self._options.label.upper().encode(), seconds_of(directory.node)))
        below = self._below
        for name in sorted(directory.forms):
            node, path = directory.node.children[name], join(directory.path, name)
            is_dir = isinstance(node, Dir)
            cluster = below[path] if is_dir else self._clusters.get(path, 0)
            size = node.content.size if isinstance(node, File) else 0
            read_only = isinstance(node, File) and not node.meta.mode & 0o222
            out.append(
                entry_bytes(name, directory.forms[name], cluster, size, seconds_of(node), is_dir=is_dir, read_only=read_only)
            )
        return b"".join(out)

    def write(self, sink: Sink) -> None:
        """Write everything."""
        geometry, options = self.geometry, self._options
        self._below = {one.path: one.cluster for one in self.dirs}
        free = geometry.clusters - self._used
        sink.append(boot_sectors(geometry, self.serial, options.label.upper(), options.hidden, free, self._used + 2))
        table = encode_table(geometry, self._runs)
        for _ in range(geometry.fats):
            sink.append(table)
        if geometry.kind != 32:
            root = self._listing(self.dirs[0])
            sink.append(root.ljust(geometry.root_sectors * geometry.sector, b"\0"))
        for directory in self.dirs[(0 if geometry.kind == 32 else 1) :]:
            data = self._listing(directory)
            sink.append(data.ljust((-(-len(data) // geometry.cluster) or 1) * geometry.cluster, b"\0"))
        content = told = 0
        for number, (path, file) in enumerate(self.files):
            size = file.content.size
            for at in range(0, size, _READ):
                self._control.check()
                sink.append(file.content.read_at(at, min(_READ, size - at)))
            sink.append(bytes(-size % geometry.cluster))
            content += size
            if content - told > 16 * _READ:
                told = content
                self._control.emit(Advanced(number + 1, content, sink.position, path))
        missing = geometry.sectors * geometry.sector - sink.position
        while missing:
            sink.append(bytes(min(missing, _READ)))
            missing -= min(missing, _READ)


def boot_sectors(geometry: Geometry, serial: int, label: str, hidden: int, free: int, next_free: int) -> bytes:
    """Return the reserved sectors of a volume."""
    sector, is_32 = geometry.sector, geometry.kind == 32
    small = geometry.sectors < 0x10000 and not is_32
    shown = (label or "NO NAME").encode("ascii", "replace").ljust(11)
    head = BootSector(
        b"\xeb\x58\x90" if is_32 else b"\xeb\x3c\x90",
        b"IMGCORE ",
        sector,
        geometry.cluster_sectors,
        geometry.reserved,
        geometry.fats,
        geometry.root_entries,
        geometry.sectors if small else 0,
        0xF8,
        0 if is_32 else geometry.fat_sectors,
        63,
        255,
        hidden,
        0 if small else geometry.sectors,
    ).pack()
    kind = f"FAT{geometry.kind}".encode().ljust(8)
    if is_32:
        head += Extension32(geometry.fat_sectors, 0, 0, 2, 1, 6, bytes(12), 0x80, 0, 0x29, serial, shown, kind).pack()
    else:
        head += Extension(0x80, 0, 0x29, serial, shown, kind).pack()
    boot = (head.ljust(510, b"\0") + b"\x55\xaa").ljust(sector, b"\0")
    if not is_32:
        return boot.ljust(geometry.reserved * sector, b"\0")
    info = FsInfo(0x41615252, bytes(480), 0x61417272, free, next_free, bytes(12), 0xAA550000).pack().ljust(sector, b"\0")
    front = (boot + info).ljust(6 * sector, b"\0")
    return (front + boot + info).ljust(geometry.reserved * sector, b"\0")
