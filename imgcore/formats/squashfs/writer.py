"""Writes a tree as a squashfs image.

The order of the image is the order of work: content first, streamed through the engine; then the tables that say where
everything is; the superblock, which comes first, is patched last.

1. Number the nodes (`plan`).
2. Send the contents of regular files, in the order that `layout_order` gives, through the engine; `data.Placer` puts them
   in the image.
3. Encode the inodes of everything but directories; their position depends on nothing else, so their metadata blocks are
   compressed on all processors at once.
4. Encode the directories level by level, those without subdirectories first: a listing needs the positions of its
   children's inodes, and a directory's inode that of its listing. Each level's blocks are compressed together.
5. Fragment, export, id and xattr tables, padding, superblock.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import Final

from imgcore.blob import Sink
from imgcore.codec import Codec
from imgcore.engine import Engine
from imgcore.engine.protocol import Job, Spec
from imgcore.errors import NotRepresentable
from imgcore.events import Advanced, Control, Warned
from imgcore.formats.base import Options as AnyOptions
from imgcore.formats.base import Report
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.codecs import codec_for, compressor_options
from imgcore.formats.squashfs.data import FileData, Placer, pieces_of
from imgcore.formats.squashfs.dirs import ListedEntry, write_listing
from imgcore.formats.squashfs.inodes import InodeEncoder, basic_type
from imgcore.formats.squashfs.layout import SUPERBLOCK_SIZE, Superblock
from imgcore.formats.squashfs.metadata import MetadataWriter, write_table
from imgcore.formats.squashfs.options import CAPABILITIES, PARTS, Options
from imgcore.formats.squashfs.order import OrderedFile, layout_order
from imgcore.formats.squashfs.plan import Item, Plan, plan_tree
from imgcore.formats.squashfs.xattrs import XattrWriter
from imgcore.model import Dir, File, Symlink, Tree, checked

__all__ = ["write_image"]

_PROGRESS_BYTES: Final = 1 << 20


def write_image(tree: Tree, sink: Sink, options: AnyOptions, control: Control, engine: Engine) -> Report:
    """Write `tree` to `sink`, which is empty.

    Raises NotRepresentable before anything is written; SourceError, OutputError, Cancelled.
    """
    assert isinstance(options, Options)
    tree, losses = checked(tree, CAPABILITIES, allow=options.allow_loss, format_name="squashfs")
    for loss in losses:
        control.emit(Warned(f"lost: {loss.message}", loss.path))
    report = _Writer(tree, sink, options, control, engine).run()
    return dataclasses.replace(report, losses=tuple(losses))


class _Writer:
    def __init__(self, tree: Tree, sink: Sink, options: Options, control: Control, engine: Engine) -> None:
        self.tree, self.sink, self.options, self.control, self.engine = tree, sink, options, control, engine
        self.data_codec = codec_for(options)
        self.codec = codec_for(options, metadata=True)
        self.inodes = MetadataWriter(engine, self._codec_of("inodes"), options.jobs)
        self.listings = MetadataWriter(engine, self._codec_of("inodes"), options.jobs)
        self.xattrs = XattrWriter(engine, self._codec_of("xattrs"), options.jobs)
        self.encoder = InodeEncoder()
        self.placer = Placer(sink, self._align_of, options.resync)
        self.order: list[OrderedFile] = []

    def _codec_of(self, part: str) -> Codec | None:
        """Return the codec of the metadata in one of `options.PARTS`."""
        return None if part in self.options.uncompressed else self.codec

    def _align_of(self, job: int) -> int:
        return max(self.options.align, self.order[job].hints.align)

    def run(self) -> Report:
        settings = compressor_options(self.options)
        self.sink.append(bytes(SUPERBLOCK_SIZE))
        if settings:
            self.sink.append(struct.pack("<H", layout.METADATA_RAW | len(settings)) + settings)
        plan = plan_tree(self.tree, self.control, hardlinks=self.options.hardlinks)
        for item in plan.items:
            item.xattr = self.xattrs.add(item.node.meta.xattrs)
        self._write_contents(plan)
        self._encode_leaves(plan)
        self._encode_directories(plan)
        super_block = self._write_tables(plan, bool(settings))
        for size in pieces_of(-self.sink.position % self.options.pad):
            self.sink.append(bytes(size))
        self.sink.patch(0, super_block.pack())
        return self._report(plan)

    def _write_contents(self, plan: Plan) -> None:
        options, totals = self.options, self.placer.totals
        spec = Spec(
            options.block_size,
            self.data_codec,
            tails=options.fragments,
            dedup=options.dedup,
            early_store=options.early_store,
            jobs=options.jobs,
            memory=options.memory,
            raw_blocks="data" in options.uncompressed,
            raw_fragments="fragments" in options.uncompressed,
        )
        files = self.order = layout_order(plan, options)
        jobs = (
            Job(file.path, file.node.content, wish.compress, wish.fragment, wish.dedup, wish.holes and options.holes)
            for file in files
            for wish in (file.hints,)
        )
        told = 0
        for piece in self.engine.pack(jobs, spec, self.control):
            self.placer.feed(piece)
            if totals.bytes_in + totals.files - told >= _PROGRESS_BYTES or totals.files == len(files):
                told = totals.bytes_in + totals.files
                path = files[min(totals.files, len(files) - 1)].path
                self.control.emit(Advanced(totals.files, totals.bytes_in, totals.bytes_stored, path))
        assert len(self.placer.files) == len(files)

    def _encode_leaves(self, plan: Plan) -> None:
        """Encode the inodes of everything but directories, in walk order."""
        contents = iter(self._contents_in_walk_order())
        for item in plan.items:
            node = item.node
            if isinstance(node, Dir):
                continue
            if isinstance(node, File):
                data = next(contents)
                raw = self.encoder.file(node, item.number, data, item.nlink, item.xattr)
                data.words = data.words[:0]  # a million files' block lists are needed no longer
            else:
                raw = self.encoder.other(node, item.number, item.nlink, item.xattr)
            item.position = self.inodes.append(raw)

    def _contents_in_walk_order(self) -> list[FileData]:
        found = self.placer.files[:]
        for file, data in zip(self.order, self.placer.files, strict=True):
            found[file.number] = data
        return found

    def _encode_directories(self, plan: Plan) -> None:
        """Encode directories, the deepest levels first."""
        for level in plan.levels():
            self.control.check()
            written = [(item, write_listing(self.listings, self._entries(item), item.path)) for item in level]
            for item, listing in written:
                assert isinstance(item.node, Dir)
                place = self.listings.place(listing.position)
                index = listing.encode_index(self.listings)
                raw = self.encoder.directory(item.node, item.number, item.parent, place, listing.size, index, item.xattr)
                item.position = self.inodes.append(raw)

    def _entries(self, directory: Item) -> Iterator[ListedEntry]:
        for name, child in directory.children:
            start, offset = self.inodes.place(child.position)
            yield ListedEntry(name, start, offset, child.number, basic_type(child.node))

    def _write_tables(self, plan: Plan, has_settings: bool) -> Superblock:
        sink, options = self.sink, self.options
        inode_start, inode_bytes = sink.position, self.inodes.finish()
        self.inodes.write_to(sink)
        dir_start, dir_bytes = sink.position, self.listings.finish()
        self.listings.write_to(sink)
        if max(inode_bytes, dir_bytes) >= 1 << 32:
            raise NotRepresentable("squashfs cannot hold a tree whose compressed inodes or listings take 4 GiB")
        entries = b"".join(entry.pack() for entry in self.placer.fragments)
        fragment_start = self._table("fragments", entries)  # a position even without fragments: unsquashfs 4.5 refuses -1
        lookup_start = layout.NO_TABLE
        if options.export:
            by_number = sorted(plan.items, key=lambda item: item.number)
            references = [self.inodes.reference(item.position) for item in by_number]
            lookup_start = self._table("inodes", struct.pack(f"<{len(references)}Q", *references))
        id_start = self._table("ids", struct.pack(f"<{len(self.encoder.ids)}I", *self.encoder.ids))
        xattr_start = self.xattrs.write(sink)
        newest = max(item.node.meta.mtime_ns for item in plan.items) // 1_000_000_000
        return Superblock(
            s_magic=layout.MAGIC,
            inodes=len(plan.items),
            mkfs_time=newest if options.time is None else options.time,
            block_size=options.block_size,
            fragments=len(self.placer.fragments),
            compression=layout.COMPRESSION_IDS["gzip" if options.compression == "none" else options.compression],
            block_log=options.block_size.bit_length() - 1,
            flags=self._flags(has_settings, xattr_start),
            no_ids=len(self.encoder.ids),
            s_major=4,
            s_minor=0,
            root_inode=self.inodes.reference(plan.items[0].position),
            bytes_used=sink.position,
            id_table_start=id_start,
            xattr_id_table_start=xattr_start,
            inode_table_start=inode_start,
            directory_table_start=dir_start,
            fragment_table_start=fragment_start,
            lookup_table_start=lookup_start,
        )

    def _table(self, part: str, data: bytes) -> int:
        return write_table(self.sink, self.engine, self._codec_of(part), self.options.jobs, data)[1]

    def _flags(self, has_settings: bool, xattr_start: int) -> int:
        options = self.options
        flags = 0
        for part, flag in PARTS.items():
            if options.compression == "none" or part in options.uncompressed:
                flags |= flag
        if options.fragments == "none":
            flags |= layout.FLAG_NO_FRAGMENTS
        if options.fragments == "all":
            flags |= layout.FLAG_ALWAYS_FRAGMENTS
        if options.dedup:
            flags |= layout.FLAG_DUPLICATES
        if options.export:
            flags |= layout.FLAG_EXPORT
        if xattr_start == layout.NO_TABLE:
            flags |= layout.FLAG_NO_XATTRS
        if has_settings:
            flags |= layout.FLAG_COMPRESSOR_OPTIONS
        return flags

    def _report(self, plan: Plan) -> Report:
        totals = self.placer.totals
        nodes = [item.node for item in plan.items]
        dirs = sum(isinstance(node, Dir) for node in nodes)
        symlinks = sum(isinstance(node, Symlink) for node in nodes)
        return Report(
            format="squashfs",
            codec="none" if self.data_codec is None else self.data_codec.fingerprint,
            engine=self.engine.name,
            size=self.sink.position,
            files=totals.files,
            dirs=dirs,
            symlinks=symlinks,
            others=len(nodes) - totals.files - dirs - symlinks,
            hard_links=plan.names - len(nodes),
            bytes_in=totals.bytes_in,
            bytes_stored=totals.bytes_stored,
            duplicate_blocks=totals.duplicate_blocks,
            duplicate_tails=totals.duplicate_tails,
            duplicate_bytes=totals.duplicate_bytes,
            hole_bytes=totals.hole_bytes,
            fragments=len(self.placer.fragments),
        )
