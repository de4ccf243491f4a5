"""Writes a tree as an ISO 9660 image: places first, then bytes from the first to the last.

Sizes of all directories are known before anything has a place (`plan`), so that the image is written in one pass: system
area, volume descriptors, boot catalog, directories and path tables of each world, contents, appended partitions, the copy
of the GPT. Only a media digest is written afterwards, into its field. Nothing depends on a clock, on chance, or on the order
in which the source lists names.
"""

from __future__ import annotations

import array
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from imgcore.blob import HostFile, Sink, ZeroBlob, read_all
from imgcore.engine import Engine
from imgcore.engine.protocol import HostRun, Job
from imgcore.errors import NotRepresentable, PathError
from imgcore.events import Control, Warned
from imgcore.formats.base import Options as AnyOptions
from imgcore.formats.base import Report
from imgcore.formats.iso9660 import boot as booting
from imgcore.formats.iso9660.boot import Boot
from imgcore.formats.iso9660.descriptors import descriptors
from imgcore.formats.iso9660.digest import APPLICATION_USE, MediaDigest
from imgcore.formats.iso9660.hybrid import Span, image_end, system_area
from imgcore.formats.iso9660.layout import BLOCK, FIRST_DESCRIPTOR
from imgcore.formats.iso9660.names import NamingRules, enhanced_names, identifiers, joliet_names
from imgcore.formats.iso9660.options import Options
from imgcore.formats.iso9660.output import Output
from imgcore.formats.iso9660.plan import World, blocks, by_bytes, by_stem
from imgcore.formats.iso9660.small_files import MOST, read_small_files
from imgcore.formats.iso9660.sources import AnyContent, Content, NodeSource, RowContent, RowSource, Source
from imgcore.formats.iso9660.susp import device_numbers, er, times_of
from imgcore.formats.iso9660.tree_files import file_at, in_order_of_places, with_file
from imgcore.model import Device, Dir, File, Meta, Table, Tree, checked, join, normalize

__all__ = ["write_image"]

_JOLIET: Final = {"yes": 64, "long": 103}
_BOOT_IMAGE: Final = 1 << 40
_MOST_BOOT: Final = 64 << 20
_SECOND: Final = 1_000_000_000
_KINDS: Final = {1: "Pipe", 2: "Device", 4: "Dir", 6: "Device", 8: "File", 10: "Symlink", 12: "Socket"}
_RUN: Final = 32  # small files in a row that are worth the engine's threads


def write_image(tree: Tree, sink: Sink, options: AnyOptions, control: Control, engine: Engine) -> Report:
    """Write `tree` to `sink`, which is empty.

    Raises NotRepresentable before anything is written; PathError for a boot image that is not in the tree; SourceError,
    OutputError, Cancelled.
    """
    assert isinstance(options, Options)
    tree, losses = checked(tree, options.capabilities, allow=options.allow_loss, format_name="iso9660")
    for loss in losses:
        control.emit(Warned(f"lost: {loss.message}", loss.path))
    image = _Image(tree, options, control, engine)
    image.place()
    digest = None
    if options.digest != "none":
        digest = MediaDigest(options.digest, image.blocks)
    output = Output(sink, control, digest)
    image.write(output)
    output.flush()
    if digest is not None:
        sink.patch(APPLICATION_USE, digest.finish())
    kinds = image.kinds
    stored = sum(content.size for content in image.order)
    return Report(
        format="iso9660",
        codec="none",
        engine=engine.name,
        size=sink.position,
        files=kinds["File"],
        dirs=kinds["Dir"],
        symlinks=kinds["Symlink"],
        others=kinds["Device"] + kinds["Pipe"] + kinds["Socket"],
        hard_links=image.hard_links,
        bytes_in=stored + image.shared,
        bytes_stored=stored,
        duplicate_blocks=0,
        duplicate_tails=0,
        duplicate_bytes=image.shared,
        hole_bytes=0,
        fragments=0,
        losses=tuple(losses),
    )


class _Found(NamedTuple):
    """A boot image with its content, None where it is an appended partition."""

    image: booting.BootImage
    content: Content | None


class _Image:
    """One image: what is in it, and where."""

    def __init__(self, tree: Tree, options: Options, control: Control, engine: Engine) -> None:
        self._options, self._control, self._engine = options, control, engine
        self._boot = options.boot or Boot()
        self.kinds: Counter[str] = Counter()
        self.hard_links = self.shared = 0
        self._replaced: dict[int, bytes] = {}
        self._catalog: AnyContent | None = None
        self._images: list[_Found] = []
        self.order: list[AnyContent] = []
        self._rows: RowSource | None = None
        table = None if self._needs_nodes() else tree.columns()
        if table is not None and not table.links:
            self._plan_rows(table)
            return
        root = tree.root
        if self._boot.images and self._boot.catalog is not None:
            root = with_file(root, normalize(self._boot.catalog), File(Meta(0o444, 0, 0, root.meta.mtime_ns), ZeroBlob(BLOCK)))
        self._time = 0
        contents, links = self._gather(root)
        self._images = [self._find(root, contents, one) for one in booting.in_order(self._boot.images)]
        self.order = in_order_of_places(contents.values())
        if self._boot.images and self._boot.catalog is not None:
            self._catalog = contents[id(file_at(root, self._boot.catalog))]
        self._make_worlds(NodeSource(root, contents, links, serials=options.rock_ridge == "1.12"))

    def _needs_nodes(self) -> bool:
        """Whether single nodes are asked for: boot images by their paths, hints, equal contents, names of one node."""
        options = self._options
        return bool(self._boot.images or options.hints or options.dedup or options.rock_ridge == "1.12")

    def _plan_rows(self, table: Table) -> None:
        """Plan a tree of columns."""
        for row, (major, minor) in table.devices.items():
            self._require_device(major, minor, table.shape.path(row))
        self._rows = source = RowSource(table)
        for kind, count in Counter(table.types()).items():
            self.kinds[_KINDS[kind]] += count
        latest = max(table.mtimes)
        self._time = self._options.time if self._options.time is not None else max(latest // _SECOND, 0)
        self._images = []
        self.order = list(source.contents)
        self._make_worlds(source)

    @staticmethod
    def _require_device(major: int, minor: int, path: bytes) -> None:
        if device_numbers(major, minor) is None:
            message = f"iso9660 cannot hold the device {major}:{minor}: Linux would read another one"
            raise NotRepresentable(message, path=path)

    def _make_worlds(self, source: Source) -> None:
        options = self._options
        er_entry = None if options.rock_ridge == "no" else er(serials=options.rock_ridge == "1.12")
        rules = NamingRules(options.level, options.relaxed)
        self._worlds = {"primary": World(source, lambda names: identifiers(names, rules), by_stem, er_entry)}
        if options.level == 4:
            self._worlds["enhanced"] = World(source, enhanced_names, by_bytes, None)
        if options.joliet != "no":
            most = _JOLIET[options.joliet]
            self._worlds["joliet"] = World(source, lambda names: joliet_names(names, most), by_bytes, None)

    def _gather(self, root: Dir) -> tuple[dict[int, Content], dict[int, int]]:
        """Return the contents of all files by the node's id, and the names of each node that has several."""
        hints = self._options.hints
        contents: dict[int, Content] = {}
        names: Counter[int] = Counter()
        counts = self.kinds
        latest = root.meta.mtime_ns
        count_links = self._options.rock_ridge == "1.12"
        counts["Dir"] += 1
        todo: list[tuple[bytes, Dir]] = [(b"/", root)]
        while todo:
            path, directory = todo.pop()
            self._control.check()
            below = []
            for name in sorted(directory.children):
                node = directory.children[name]
                latest = max(latest, node.meta.mtime_ns)
                key = id(node)
                if isinstance(node, Dir):
                    below.append((join(path, name), node))
                elif isinstance(node, File):
                    wish = hints(join(path, name), node) if hints is not None else None
                    known = contents.get(key)
                    if known is None:
                        contents[key] = Content(node, path, name, wish.priority if wish is not None else 0)
                    else:
                        self.hard_links += 1
                        counts["File"] -= 1
                        if wish is not None:
                            known.priority = max(known.priority, wish.priority)
                elif isinstance(node, Device):
                    self._require_device(node.major, node.minor, join(path, name))
                counts[type(node).__name__] += 1
                if count_links and not isinstance(node, Dir):
                    names[key] += 1
            todo += reversed(below)
        self._time = self._options.time if self._options.time is not None else max(times_of(Meta(mtime_ns=latest)), 0)
        if self._options.dedup:
            self._share(contents)
        return contents, {key: count for key, count in names.items() if count > 1}

    def _share(self, contents: dict[int, Content]) -> None:
        """Give files of equal bytes one content; only those of one size are read."""
        by_size: dict[int, list[int]] = {}
        for key, content in contents.items():
            by_size.setdefault(content.size, []).append(key)
        for size, keys in by_size.items():
            if len(keys) < 2 or not size:
                continue
            known: dict[bytes, Content] = {}
            for key in keys:
                digest = hashlib.sha256()
                blob = contents[key].blob
                for at in range(0, size, 1 << 20):
                    self._control.check()
                    digest.update(blob.read_at(at, min(1 << 20, size - at)))
                first = known.setdefault(digest.digest(), contents[key])
                if first is not contents[key]:
                    self.shared += size
                    first.priority = max(first.priority, contents[key].priority)
                    contents[key] = first

    def _find(self, root: Dir, contents: Mapping[int, Content], image: booting.BootImage) -> _Found:
        if isinstance(image.source, int):
            return _Found(image, None)
        node = file_at(root, image.source)
        if not isinstance(node, File):
            raise PathError("a boot image has to be a regular file", path=image.source)
        content = contents[id(node)]
        content.priority = max(content.priority, _BOOT_IMAGE)
        if node.content.size > _MOST_BOOT and (image.info_table or image.grub2_info):
            raise NotRepresentable(f"a boot image of {node.content.size} bytes is to be changed", path=image.source)
        return _Found(image, content)

    # Places

    def place(self) -> None:
        """Give everything its place."""
        boot = self._boot
        first_set = 1 + bool(self._images) + len(self._worlds)  # the terminator among them
        at = FIRST_DESCRIPTOR + first_set
        if boot.partition_offset:
            at = FIRST_DESCRIPTOR + boot.partition_offset + len(self._worlds) + 1
        self._catalog_block = 0
        if self._images and self._catalog is None:
            self._catalog_block = at
            at += 1
        self._sets: list[dict[str, _Placed]] = []
        for base in (0, boot.partition_offset) if boot.partition_offset else (0,):
            placed = {}
            for name, world in self._worlds.items():
                start = at
                tables = world.place(at)
                at = tables + 2 * world.table_blocks
                placed[name] = _Placed(base, start, tables)
            self._sets.append(placed)
        at = self._place_contents(at)
        self.iso_end = at
        self._spans: dict[int, Span] = {}
        for number, one in sorted(boot.appended.items()):
            at += -at % (boot.align // BLOCK)
            self._spans[number] = Span(at, at + blocks(one.content.size))
            at = self._spans[number].end
        self._data_end = at
        step = self._options.pad // BLOCK
        end = image_end(self._options.boot, at)
        self.blocks = end + -end % step
        if self._images and self._catalog is not None:
            self._catalog_block = self._catalog.block
        for found in self._images:
            self._patch(found)

    def _place_contents(self, at: int) -> int:
        step = self._options.align // BLOCK
        hints = self._options.hints
        for content in self.order:
            wish = hints(content.path, content.file) if hints is not None and isinstance(content, Content) else None
            align = max(step, wish.align // BLOCK if wish is not None else 1)
            at += -at % align
            content.block = at
            at += blocks(content.size)
        return at

    def _patch(self, found: _Found) -> None:
        """Make a boot image know its place."""
        image, content = found
        if content is None or not (image.info_table or image.grub2_info):
            return
        data = self._replaced.get(id(content))
        if data is None:
            data = read_all(content.blob)
        try:
            if image.grub2_info:
                data = booting.grub2_info(data, content.block)
            if image.info_table:
                data = booting.info_table(data, content.block)
        except ValueError as error:
            raise NotRepresentable(str(error), path=content.path) from None
        self._replaced[id(content)] = data

    # Bytes

    def write(self, output: Output) -> None:
        """Write everything."""
        boot, options = self._boot, self._options
        heads = []
        for placed in self._sets:
            self._settle(placed)
            base = next(iter(placed.values())).base
            size = self.blocks if not base else self.iso_end - base
            catalog = self._catalog_block if self._images and not base else None
            heads.append(descriptors(options, self._worlds, placed, size, self._time, catalog))
        area, tail = self._system_area(heads[0])
        output.write(area)
        for number, head in enumerate(heads):
            output.pad_to((FIRST_DESCRIPTOR + number * boot.partition_offset) * BLOCK)
            output.write(head)
        if self._images and self._catalog is None:
            output.pad_to(self._catalog_block * BLOCK)
            output.write(self._boot_catalog())
        for placed in self._sets:
            self._settle(placed)
            for name, world in self._worlds.items():
                output.pad_to(placed[name].start * BLOCK)
                for data in world.encode(placed[name].base):
                    output.write(data)
                for data in world.path_tables(placed[name].base):
                    output.write(data)
        self._write_contents(output)
        for number, span in self._spans.items():
            output.pad_to(span.first * BLOCK)
            output.copy(b"", boot.appended[number].content)
        output.pad_to(self.blocks * BLOCK - len(tail))
        output.write(tail)

    def _write_contents(self, output: Output) -> None:
        """Write the contents, runs of small files of the host by the engine."""
        at = 0
        order = [content for content in self.order if content.size]
        while at < len(order):
            end = at
            while end < len(order) and self._is_small(order[end]):
                end += 1
            if end - at >= _RUN:
                run = order[at:end]
                read = read_small_files(self._jobs(run), self._engine, self._control)
                output.files(run, read)
                at = end
                continue
            for content in order[at : end + 1]:
                output.pad_to(content.block * BLOCK)
                if content is self._catalog:
                    output.write(self._boot_catalog())
                elif id(content) in self._replaced:
                    output.write(self._replaced[id(content)])
                else:
                    output.copy(content.path, content.blob)
            at = end + 1

    def _jobs(self, run: Sequence[AnyContent]) -> Iterator[Job | HostRun]:
        """Yield what the engine is to read."""
        if self._rows is not None:
            rows = array.array("I", [content.row for content in run if isinstance(content, RowContent)])
            yield HostRun(self._rows.table.host_files(), rows)
            return
        for content in run:
            blob = content.blob
            assert isinstance(blob, HostFile)
            yield Job(content.path, blob, holes=False)

    def _is_small(self, content: AnyContent) -> bool:
        if self._rows is not None:
            return self._rows.table.host is not None and content.size <= MOST
        blob = content.blob
        return type(blob) is HostFile and blob.size <= MOST and id(content) not in self._replaced

    def _settle(self, placed: Mapping[str, _Placed]) -> None:
        """Put the directories where a set has them."""
        for name, world in self._worlds.items():
            world.place(placed[name].start)

    def _boot_catalog(self) -> bytes:
        entries = []
        for image, content in self._images:
            if content is None:
                assert isinstance(image.source, int)
                span = self._spans[image.source]
                size, block = self._boot.appended[image.source].content.size, span.first
            else:
                size, block = content.size, content.block
            entries.append((image, block, booting.sectors_of(image, size)))
        return booting.boot_catalog(entries)

    def _system_area(self, head: bytes) -> tuple[bytes, bytes]:
        places = array.array("Q")
        for content in self.order:
            places.extend((content.block, content.size))
        if self._options.boot is None:
            return bytes(FIRST_DESCRIPTOR * BLOCK), b""
        seed = head + b"".join(self._worlds["primary"].path_tables()) + places.tobytes()
        files = [one for one in self._images if one.content is not None]
        efi = next((one.content for one in files if one.image.platform == booting.UEFI), None)
        span = None
        if efi is not None:
            span = Span(efi.block, efi.block + blocks(efi.size))
        bios = next((one.content for one in files if one.image.platform == booting.BIOS), files[0].content if files else None)
        return system_area(
            self._boot,
            blocks=self.blocks,
            iso_end=self.iso_end,
            spans=self._spans,
            efi=span,
            loader_block=bios.block if bios is not None else 0,
            seed=seed,
        )


class _Placed(NamedTuple):
    """Where a world lies in a set: blocks count from `base`, directories begin at `start`, path tables at `tables`."""

    base: int
    start: int
    tables: int
