"""Writes a tree as a squashfs image.

The order of the image is the order of work: content first, streamed through the engine; then the tables that say where
everything is; the superblock, which comes first, is patched last.

1. Number the nodes: the root is 1, the children of one directory are numbered one after another, so that a listing
   needs few headers. A node of several names has one number.
2. Send the contents of regular files, in walk order, through the engine; `data.Placer` puts them in the image.
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
from dataclasses import dataclass, field
from typing import Final

from imgcore.blob import Sink
from imgcore.engine import Engine
from imgcore.engine.protocol import Job, Spec
from imgcore.errors import NotRepresentable
from imgcore.events import Advanced, Control, Warned
from imgcore.formats.base import Options as AnyOptions
from imgcore.formats.base import Report
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.data import Placer
from imgcore.formats.squashfs.dirs import ListedEntry, Listing, write_listing
from imgcore.formats.squashfs.inodes import InodeEncoder, basic_type
from imgcore.formats.squashfs.layout import SUPERBLOCK_SIZE, Superblock
from imgcore.formats.squashfs.metadata import MetadataWriter, write_table
from imgcore.formats.squashfs.options import CAPABILITIES, Options, codec_for, compressor_options
from imgcore.formats.squashfs.xattrs import XattrWriter
from imgcore.model import Dir, File, Node, Symlink, Tree, checked, join

__all__ = ["write_image"]

_PROGRESS_BYTES: Final = 1 << 20


@dataclass(slots=True, eq=False)
class _Item:
    """What the writer knows of one node."""

    node: Node
    path: bytes
    number: int
    nlink: int = 1
    xattr: int = layout.NO_XATTR
    position: int = -1  # in the inode stream


@dataclass(slots=True, eq=False)
class _Plan:
    """The nodes in walk order, and the directories with their parents, children and height."""

    items: list[_Item] = field(default_factory=list)
    by_node: dict[int, _Item] = field(default_factory=dict)
    names: int = 1


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
        self.inodes = MetadataWriter(engine, self.codec, options.jobs)
        self.listings = MetadataWriter(engine, self.codec, options.jobs)
        self.xattrs = XattrWriter(engine, self.codec, options.jobs)
        self.encoder = InodeEncoder()
        self.placer = Placer(sink)

    def run(self) -> Report:
        settings = compressor_options(self.options)
        self.sink.append(bytes(SUPERBLOCK_SIZE))
        if settings:
            self.sink.append(struct.pack("<H", layout.METADATA_RAW | len(settings)) + settings)
        plan = self._number()
        self._write_contents(plan)
        self._encode_leaves(plan)
        root = self._encode_directories(plan)
        super_block = self._write_tables(plan, root, bool(settings))
        self.sink.append(bytes(-self.sink.position % self.options.pad))
        self.sink.patch(0, super_block.pack())
        return self._report(plan)

    def _number(self) -> _Plan:
        """Number every node, children of one directory one after another."""
        plan = _Plan()
        root = _Item(self.tree.root, b"/", 1)
        plan.items.append(root)
        plan.by_node[id(root.node)] = root
        number = 1
        for path, node in self.tree.walk():
            if not isinstance(node, Dir):
                continue
            self.control.check()
            for name in sorted(node.children):
                child = node.children[name]
                plan.names += 1
                known = plan.by_node.get(id(child))
                if known is not None:
                    if isinstance(child, Dir):
                        raise NotRepresentable("a directory with two names", path=join(path, name))
                    known.nlink += 1
                    continue
                number += 1
                plan.by_node[id(child)] = _Item(child, join(path, name), number)
        plan.items = [root]
        seen = {id(self.tree.root)}
        for _, node in self.tree.walk():
            if id(node) not in seen:
                seen.add(id(node))
                plan.items.append(plan.by_node[id(node)])
        for item in plan.items:
            item.xattr = self.xattrs.add(item.node.meta.xattrs)
        return plan

    def _write_contents(self, plan: _Plan) -> None:
        options, totals = self.options, self.placer.totals
        spec = Spec(
            options.block_size,
            self.data_codec,
            tails=options.fragments,
            dedup=options.dedup,
            jobs=options.jobs,
            memory=options.memory,
        )
        files = [item for item in plan.items if isinstance(item.node, File)]
        jobs = (Job(item.path, item.node.content) for item in files if isinstance(item.node, File))
        told = 0
        for piece in self.engine.pack(jobs, spec, self.control):
            self.placer.feed(piece)
            if totals.bytes_in + totals.files - told >= _PROGRESS_BYTES or totals.files == len(files):
                told = totals.bytes_in + totals.files
                path = files[min(totals.files, len(files) - 1)].path
                self.control.emit(Advanced(totals.files, totals.bytes_in, totals.bytes_stored, path))
        assert len(self.placer.files) == len(files)

    def _encode_leaves(self, plan: _Plan) -> None:
        """Encode the inodes of everything but directories, in walk order."""
        contents = iter(self.placer.files)
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

    def _encode_directories(self, plan: _Plan) -> _Item:
        """Encode directories, the deepest levels first; return the root's item."""
        parents: dict[int, int] = {id(self.tree.root): len(plan.items) + 1}
        for levels in self._levels(plan, parents):
            self.control.check()
            written: list[tuple[_Item, Listing]] = []
            for item in levels:
                assert isinstance(item.node, Dir)
                entries = self._entries(plan, item.node)
                written.append((item, write_listing(self.listings, entries, item.path)))
            for item, listing in written:
                assert isinstance(item.node, Dir)
                place = self.listings.place(listing.position)
                index = listing.encode_index(self.listings)
                parent = parents[id(item.node)]
                raw = self.encoder.directory(item.node, item.number, parent, place, listing.size, index, item.xattr)
                item.position = self.inodes.append(raw)
        return plan.items[0]

    def _entries(self, plan: _Plan, node: Dir) -> Iterator[ListedEntry]:
        for name in sorted(node.children):
            child = plan.by_node[id(node.children[name])]
            start, offset = self.inodes.place(child.position)
            yield ListedEntry(name, start, offset, child.number, basic_type(child.node))

    def _levels(self, plan: _Plan, parents: dict[int, int]) -> list[list[_Item]]:
        """Return the directories grouped by height, in walk order; fills `parents` with inode numbers."""
        dirs = [item for item in plan.items if isinstance(item.node, Dir)]
        height: dict[int, int] = {}
        for item in reversed(dirs):  # walk order has a directory before those below it
            assert isinstance(item.node, Dir)
            tallest = -1
            for child in item.node.children.values():
                if isinstance(child, Dir):
                    parents[id(child)] = item.number
                    tallest = max(tallest, height[id(child)])
            height[id(item.node)] = tallest + 1
        levels: list[list[_Item]] = [[] for _ in range(height[id(self.tree.root)] + 1)]
        for item in dirs:
            levels[height[id(item.node)]].append(item)
        return levels

    def _write_tables(self, plan: _Plan, root: _Item, has_settings: bool) -> Superblock:
        sink, options = self.sink, self.options
        inode_start, inode_bytes = sink.position, self.inodes.finish()
        self.inodes.write_to(sink)
        dir_start, dir_bytes = sink.position, self.listings.finish()
        self.listings.write_to(sink)
        if max(inode_bytes, dir_bytes) >= 1 << 32:
            raise NotRepresentable("squashfs cannot hold a tree whose compressed inodes or listings take 4 GiB")
        entries = b"".join(entry.pack() for entry in self.placer.fragments)
        fragment_start = self._table(entries)  # a position even without fragments: unsquashfs 4.5 refuses -1
        lookup_start = layout.NO_TABLE
        if options.export:
            by_number = sorted(plan.items, key=lambda item: item.number)
            references = [self.inodes.reference(item.position) for item in by_number]
            lookup_start = self._table(struct.pack(f"<{len(references)}Q", *references))
        id_start = self._table(struct.pack(f"<{len(self.encoder.ids)}I", *self.encoder.ids))
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
            root_inode=self.inodes.reference(root.position),
            bytes_used=sink.position,
            id_table_start=id_start,
            xattr_id_table_start=xattr_start,
            inode_table_start=inode_start,
            directory_table_start=dir_start,
            fragment_table_start=fragment_start,
            lookup_table_start=lookup_start,
        )

    def _table(self, data: bytes) -> int:
        return write_table(self.sink, self.engine, self.codec, self.options.jobs, data)[1]

    def _flags(self, has_settings: bool, xattr_start: int) -> int:
        options = self.options
        flags = 0
        if options.compression == "none":
            flags |= layout.FLAG_INODES_RAW | layout.FLAG_DATA_RAW | layout.FLAG_FRAGMENTS_RAW
            flags |= layout.FLAG_XATTRS_RAW | layout.FLAG_IDS_RAW
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

    def _report(self, plan: _Plan) -> Report:
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
