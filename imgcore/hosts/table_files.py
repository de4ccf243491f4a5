"""Unpacking a tree of columns whose contents lie in one image: the C core makes the files, all else is done as ever.

Directories are made in walk order, and their descriptors are given to the core with the rows that lie in each. What the
core cannot do is reported by the row; a content that cannot be read is read once more here, so that the error is the one
that says what is wrong with the image, and where.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING

from imgcore.blob import held_file, read_chunks
from imgcore.engine.stored import FileColumns, UnpackFailed, UnpackState
from imgcore.errors import Corrupt, ImgcoreError, TargetExists, context
from imgcore.events import Advanced
from imgcore.hosts.attributes import may_be_refused, unset_message, xattr_error
from imgcore.hosts.beneath import Place, output_error
from imgcore.hosts.unpacking import Unpacking, UnpackReport, open_files
from imgcore.model import Node, Table

if TYPE_CHECKING:
    from imgcore.engine.native_unpack import NativeUnpack

__all__ = ["unpack_table"]

_MOST_LEFT = 16384  # files that wait for a thread
_LOOK_EVERY = 16  # directories


def unpack_table(work: Unpacking, table: Table, unpacker: type[NativeUnpack], is_ours: bool) -> UnpackReport:
    """Make everything; see `Unpacking.run`."""
    return _TableRun(work, table, unpacker).run(is_ours)


class _TableRun:
    def __init__(self, work: Unpacking, table: Table, unpacker: type[NativeUnpack]) -> None:
        self.work = work
        self.table = table
        self.unpacker = unpacker
        self.files = frozenset(table.file_rows())
        modes = table.modes
        self.others = [row for row in range(1, len(modes)) if row not in self.files and modes[row] & 0o170000 != stat.S_IFDIR]
        self.nodes: dict[int, Node] = {}
        self.places: dict[int, Place] = {}
        self.told = 0
        self.most_dirs = open_files()

    def run(self, is_ours: bool) -> UnpackReport:
        work, stored = self.work, self.table.stored
        assert stored is not None
        with held_file(stored.blob) as held:
            assert held is not None
            core = self.unpacker(
                stored,
                *held,
                self._columns(),
                jobs=work.jobs,
                keep_owner=work.attributes.keep_owner,
                replace=work.force,
            )
            try:
                self._make_names(core)
                while self._look(core, left=0):
                    work.control.check()
            except UnpackFailed as failure:
                raise self._error(failure) from None
            finally:
                core.close()
        return work.finish(is_ours)

    def _columns(self) -> FileColumns:
        table, attributes = self.table, self.work.attributes
        wanted = bytearray(len(table))
        for row in self.files:
            wanted[row] = 1
        mask = attributes.mode_mask
        return FileColumns(
            table.shape.names,
            bytes(wanted),
            [mode & mask for mode in table.modes],
            table.uids,
            table.gids,
            table.mtimes,
            table.sizes,
            self._xattrs(),
            may_be_refused,
        )

    def _xattrs(self) -> dict[int, Mapping[bytes, bytes]]:
        """Return the extended attributes that are to be set, by row; equal ones are one."""
        found: dict[int, Mapping[bytes, bytes]] = {}
        same: dict[tuple[tuple[bytes, bytes], ...], Mapping[bytes, bytes]] = {}
        for row, xattrs in self.table.xattrs.items():
            if row in self.files and xattrs:
                items = tuple(self.work.attributes.settable(xattrs, self._shown(row)))
                if items:
                    found[row] = same.setdefault(items, dict(items))
        return found

    def _shown(self, row: int) -> bytes:
        return self.work.chain.root.path + self.table.shape.path(row)

    def _make_names(self, core: NativeUnpack) -> None:
        """Make directories, and all in them that is no file; hand the files over."""
        work, table = self.work, self.table
        shape, chain = table.shape, work.chain
        starts, names, parents = shape.starts, shape.names, shape.parents
        for index, row in enumerate(shape.dirs):
            work.control.check()
            if row:
                chain.go_to(self.places[parents[row]])
                place = work.make_directory(names[row], table.meta(row))
            else:
                place = chain.current
                work.directories.append((place, table.meta(0)))
                work.counts["dirs"] += 1
            self.places[row] = place
            first, end = starts[index], starts[index + 1]
            if first < end:
                core.add(os.dup(place.fd), first, end)
            at = bisect_left(self.others, first)
            while at < len(self.others) and self.others[at] < end:
                self._make_other(self.others[at], place)
                at += 1
            if index % _LOOK_EVERY == 0:
                while self._look(core, _MOST_LEFT, self.most_dirs):
                    work.control.check()

    def _make_other(self, row: int, place: Place) -> None:
        """Make a link, a device or the like."""
        table, work = self.table, self.work
        first = table.links.get(row, row)
        name = table.shape.names[row]
        if first in self.files:
            above = self.places[table.shape.parents[first]]
            work.links.append((place, name, (above, table.shape.names[first])))
            return
        node = self.nodes.get(first)
        if node is None:
            node = self.nodes[first] = table.node(first)
        work.make_leaf(table.shape.path(row), name, node, None)

    def _look(self, core: NativeUnpack, left: int, dirs: int = 0) -> bool:
        """See how far the core is; wait for a moment if more files or directories than these are not done, and say so."""
        state = core.wait(left, dirs)
        work = self.work
        for row, name, errno in core.take_unset():
            work.attributes.warn(unset_message(name, os.strerror(errno)), self._shown(row))
        if state.files > self.told:
            self._tell(state)
        return state.left > left or state.dirs > dirs

    def _tell(self, state: UnpackState) -> None:
        work = self.work
        self.told = work.counts["files"] = state.files
        work.counts["bytes"] = state.bytes
        work.tell_unset()
        path = self.table.shape.path(state.last)
        work.control.emit(Advanced(state.files, state.bytes, state.written, path))

    def _error(self, failure: UnpackFailed) -> ImgcoreError:
        """Return the error that a failure of the core is."""
        row, shown = failure.row, self._shown(failure.row)
        system = OSError(failure.errno, os.strerror(failure.errno))
        if failure.what == "exists":
            return TargetExists("exists already", path=shown, hint="--force replaces files that exist")
        if failure.what == "content":
            return self._content_error(row)
        if failure.what == "xattr":
            return xattr_error(system, shown, failure.xattr)
        return output_error(system, shown, "set owner, mode or time" if failure.what == "attributes" else failure.what)

    def _content_error(self, row: int) -> ImgcoreError:
        """Read what the core could not, for the error that this raises."""
        path = self.table.shape.path(row)
        try:
            with context(path=path):
                for _ in read_chunks(self.table.blob(row)):
                    self.work.control.check()
        except ImgcoreError as error:
            return error
        return Corrupt("content is not what the image says of it", path=path)
