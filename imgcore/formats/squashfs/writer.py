"""Writes a tree as a squashfs image.

The order of the image is the order of work: content first, streamed through the engine; then the tables that say where
everything is; the superblock, which comes first, is patched last.

1. Number the nodes (`plan`).
2. Send the contents of regular files, in the order that `layout_order` gives, through the engine; `data.Placer` puts them
   in the image.
3. Encode the inodes and listings (`encode`); their metadata blocks are compressed on all processors at once.
4. Fragment, export, id and xattr tables, padding, superblock.
"""

from __future__ import annotations

import dataclasses
import struct
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from imgcore.blob import Blob, Sink
from imgcore.codec import Codec
from imgcore.engine import Engine
from imgcore.engine.protocol import Spec
from imgcore.errors import FormatError, LimitExceeded, NotRepresentable, SourceError
from imgcore.events import Advanced, Control, Warned
from imgcore.formats.base import Options as AnyOptions
from imgcore.formats.base import Report
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.codecs import codec_for, compressor_options
from imgcore.formats.squashfs.data import Placer, pieces_of
from imgcore.formats.squashfs.encode import TreeEncoder
from imgcore.formats.squashfs.layout import SUPERBLOCK_SIZE, Superblock
from imgcore.formats.squashfs.metadata import MetadataWriter, little_endian, write_table
from imgcore.formats.squashfs.options import CAPABILITIES, PARTS, Options
from imgcore.formats.squashfs.order import layout_order
from imgcore.formats.squashfs.plan import plan_table
from imgcore.formats.squashfs.xattrs import XattrWriter
from imgcore.limits import Limits
from imgcore.model import Table, Tree, checked
from imgcore.store.base import StoreUse

if TYPE_CHECKING:
    from imgcore.formats.squashfs.base_image import BaseBlocks

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
        self.sink, self.options, self.control, self.engine = sink, options, control, engine
        self.table = Table.of(tree)
        self.plan = plan_table(self.table, hardlinks=options.hardlinks)
        self.data_codec = codec_for(options)
        self.codec = codec_for(options, metadata=True)
        self.inodes = MetadataWriter(engine, self._codec_of("inodes"), options.jobs)
        self.listings = MetadataWriter(engine, self._codec_of("inodes"), options.jobs)
        self.xattrs = XattrWriter(engine, self._codec_of("xattrs"), options.jobs)
        self.order = layout_order(self.plan, options)
        self.placer = Placer(sink, self._align_of, options.resync)
        self.use: StoreUse | None = None

    def _codec_of(self, part: str) -> Codec | None:
        """Return the codec of the metadata in one of `options.PARTS`."""
        return None if part in self.options.uncompressed else self.codec

    def _align_of(self, job: int) -> int:
        return max(self.options.align, self.order.align_of(job))

    def run(self) -> Report:
        settings = compressor_options(self.options)
        self.sink.append(bytes(SUPERBLOCK_SIZE))
        if settings:
            self.sink.append(struct.pack("<H", layout.METADATA_RAW | len(settings)) + settings)
        known = self.table.xattrs
        self.plan.xattrs.update(
            (row, self.xattrs.add(known[row])) for row in (self.plan.order if known else ()) if row in known
        )
        self._write_contents()
        encoder = TreeEncoder(self.plan, self.engine, self.inodes, self.listings, self.control)
        encoder.encode_leaves(self.placer.files, self.order.places)
        encoder.encode_directories()
        super_block = self._write_tables(bool(settings), encoder.ids)
        for size in pieces_of(-self.sink.position % self.options.pad):
            self.sink.append(bytes(size))
        self.sink.patch(0, super_block.pack())
        return self._report()

    def _write_contents(self) -> None:
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
        known = None if options.base is None else self._known(options.base)
        spec = spec.with_store(options.store, known)
        self.use = spec.store
        rows = self.order.rows
        told = 0
        for piece in self.engine.pack(self.order.jobs(self.plan, options.holes), spec, self.control):
            self.placer.feed(piece)
            if totals.bytes_in + totals.files - told >= _PROGRESS_BYTES or totals.files == len(rows):
                told = totals.bytes_in + totals.files
                path = self.table.shape.path(rows[min(totals.files, len(rows) - 1)])
                self.control.emit(Advanced(totals.files, totals.bytes_in, totals.bytes_stored, path))
        assert len(self.placer.files) == len(rows)
        if known is not None and known.changed:
            self.control.emit(Warned("base: it changed meanwhile; blocks of it were compressed anew"))

    def _known(self, base: Blob) -> BaseBlocks | None:
        """Return the blocks of the older image; tell of one that is of no use."""
        from imgcore.formats.squashfs.base_image import read_base
        from imgcore.formats.squashfs.reader import open_image

        try:
            found = read_base(open_image(base, Limits.default()), self.options, self.control)
        except (FormatError, LimitExceeded, SourceError) as error:
            found = str(error)
        if isinstance(found, str):
            self.control.emit(Warned(f"base not used: {found}"))
            return None
        return found

    def _write_tables(self, has_settings: bool, ids: Sequence[int]) -> Superblock:
        sink, options, plan = self.sink, self.options, self.plan
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
            by_number: Sequence[int] = plan.positions
            if plan.links:
                by_number = [plan.positions[row] for row in range(len(self.table)) if row not in plan.links]
            lookup_start = self._table("inodes", little_endian(self.inodes.references(by_number)))
        id_start = self._table("ids", little_endian(array("I", ids)))
        xattr_start = self.xattrs.write(sink)
        newest = max(self.table.mtimes) // 1_000_000_000
        return Superblock(
            s_magic=layout.MAGIC,
            inodes=len(plan.order),
            mkfs_time=newest if options.time is None else options.time,
            block_size=options.block_size,
            fragments=len(self.placer.fragments),
            compression=layout.COMPRESSION_IDS["gzip" if options.compression == "none" else options.compression],
            block_log=options.block_size.bit_length() - 1,
            flags=self._flags(has_settings, xattr_start),
            no_ids=len(ids),
            s_major=4,
            s_minor=0,
            root_inode=self.inodes.reference(plan.positions[0]),
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

    def _report(self) -> Report:
        totals, nodes = self.placer.totals, len(self.plan.order)
        types = self.plan.types
        dirs = len(self.table.shape.dirs)
        symlinks = sum(types[row] == layout.SYMLINK for row in self.table.targets if row not in self.plan.links)
        return Report(
            format="squashfs",
            codec="none" if self.data_codec is None else self.data_codec.fingerprint,
            engine=self.engine.name,
            size=self.sink.position,
            files=totals.files,
            dirs=dirs,
            symlinks=symlinks,
            others=nodes - totals.files - dirs - symlinks,
            hard_links=len(self.table) - nodes,
            bytes_in=totals.bytes_in,
            bytes_stored=totals.bytes_stored,
            duplicate_blocks=totals.duplicate_blocks,
            duplicate_tails=totals.duplicate_tails,
            duplicate_bytes=totals.duplicate_bytes,
            hole_bytes=totals.hole_bytes,
            fragments=len(self.placer.fragments),
            recalled=0 if self.use is None else self.use.hits,
        )
