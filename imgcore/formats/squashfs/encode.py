"""Encodes the tree of a plan: all inodes and listings, into their two streams of metadata.

First the inodes of everything but directories, whose position depends on nothing else; then the directories level by
level, those without subdirectories first: a listing needs the positions of its children's inodes, and a directory's inode
that of its listing.

The engine may do many rows at once (`RowEncoder`); what it leaves, and all of it in pure Python, is done by `inodes` and
`dirs`, which say what the bytes are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate

from imgcore.engine import Engine
from imgcore.engine.rows import ContentColumns, ListedRows, RowColumns, RowEncoder
from imgcore.events import Control
from imgcore.formats.squashfs.data import Placed
from imgcore.formats.squashfs.dirs import Listing, check_size, write_listing
from imgcore.formats.squashfs.inodes import InodeEncoder
from imgcore.formats.squashfs.layout import REG
from imgcore.formats.squashfs.metadata import MetadataWriter
from imgcore.formats.squashfs.plan import Plan

__all__ = ["TreeEncoder"]


class TreeEncoder:
    """Writes the tree of `plan`, whose extended attributes have their ids, to the streams of inodes and listings.

    `ids` are the users and groups in the order of the id table.
    """

    def __init__(self, plan: Plan, engine: Engine, inodes: MetadataWriter, listings: MetadataWriter, control: Control) -> None:
        self._plan = plan
        self._inodes, self._listings = inodes, listings
        self._control = control
        self._single = InodeEncoder(plan)
        self.ids: Sequence[int] = list(self._single.ids)
        self._rows = engine.row_encoder(self._columns())

    def _columns(self) -> RowColumns:
        plan, table = self._plan, self._plan.table
        return RowColumns(
            table.shape.names,
            table.shape.starts,
            table.shape.parents,
            table.modes,
            table.uids,
            table.gids,
            table.mtimes,
            table.sizes,
            plan.numbers,
            bytes(plan.types),
            plan.nlinks,
            plan.xattrs,
            self._single.ids,
            plan.positions,
        )

    def encode_leaves(self, files: Placed, places: Sequence[int] | None) -> None:
        """Encode all but directories, in walk order; the arguments are those of `InodeEncoder.leaves`."""
        positions = self._plan.positions
        if self._rows is not None:
            self._many_leaves(self._rows, files, places)
        else:
            for rows, raws in self._single.leaves(files, places):
                self._control.check()
                for row, position in zip(rows, self._inodes.append_all(raws), strict=True):
                    positions[row] = position
        for row, first in self._plan.links.items():
            positions[row] = positions[first]

    def _many_leaves(self, encoder: RowEncoder, files: Placed, places: Sequence[int] | None) -> None:
        plan, types, stream = self._plan, self._plan.types, self._inodes
        leaves = array("I", plan.leaves())
        numbers = None if places is None else self._numbers(leaves, places)
        columns = ContentColumns(files.starts, files.fragments, files.offsets, files.sparses, files.counts, files.words)
        encoder.set_contents(columns)
        at = number = 0
        while at < len(leaves):
            self._control.check()
            done, data = encoder.files(leaves, numbers, at, number, len(stream))
            stream.append(data)
            at, number = at + done, number + done
            while at < len(leaves) and (types[leaves[at]] != REG or not done):
                row = leaves[at]
                one = number if numbers is None else numbers[at]
                plan.positions[row] = stream.append(self._single.leaf(row, files, one))
                number += types[row] == REG
                at, done = at + 1, 1

    def _numbers(self, leaves: Iterable[int], places: Sequence[int]) -> array[int]:
        """Return which content each of `leaves` has; anything for what is no file."""
        types, place = self._plan.types, iter(places)
        return array("I", [next(place) if types[row] == REG else 0 for row in leaves])

    def encode_directories(self) -> None:
        """Encode the directories, the deepest levels first."""
        shape, subdirs = self._plan.table.shape, self._plan.subdirs()
        for level in self._plan.levels():
            self._control.check()
            rows = array("I", [shape.dirs[place] for place in level])
            counts = array("I", [subdirs[row] for row in rows])
            if self._rows is None:
                listings = [self._write_listing(place) for place in level]
                for row, count, listing in zip(rows, counts, listings, strict=True):
                    self._write_directory(row, count, listing)
            else:
                self._many_directories(self._rows, level, rows, counts)

    def _write_listing(self, place: int) -> Listing:
        shape, plan = self._plan.table.shape, self._plan
        begin, end = shape.starts[place], shape.starts[place + 1]
        return write_listing(
            self._listings,
            shape.names[begin:end],
            self._inodes.places(plan.positions[begin:end]),
            plan.numbers[begin:end],
            plan.types[begin:end],
            shape.path(shape.dirs[place]),
        )

    def _write_directory(self, row: int, subdirs: int, listing: Listing) -> None:
        at = self._listings.place(listing.position)
        raw = self._single.directory(row, subdirs, at, listing.size, listing.encode_index(self._listings))
        self._plan.positions[row] = self._inodes.append(raw)

    def _many_directories(self, encoder: RowEncoder, level: Sequence[int], rows: array[int], subdirs: array[int]) -> None:
        stream, begin = self._inodes, len(self._listings)
        data, sizes, headers = encoder.listings(array("I", level), begin, stream.block_starts())
        largest = max(sizes)
        check_size(largest, self._plan.table.shape.path(rows[sizes.index(largest)]))
        self._listings.append(data)
        begins = array("Q", accumulate(sizes, initial=begin))
        listed = ListedRows(rows, begins, sizes, headers, subdirs)
        blocks = self._listings.block_starts()
        at = 0
        while at < len(rows):
            done, data = encoder.directories(listed, at, blocks, len(stream))
            stream.append(data)
            at += done
            while at < len(rows) and headers[at]:
                self._write_directory(rows[at], subdirs[at], Listing(begins[at], sizes[at], list(headers[at])))
                at += 1
