"""Unpacking a tree of columns whose contents lie in one image: the C core does nearly all of it (native/unpack.h).

What it leaves is made here, as ever: further names of files, devices, fifos and sockets, links with extended attributes. Its
errors come by the row; a content that cannot be read is read once more here, so that the error is the one that says what
is wrong with the image, and where.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from imgcore.blob import held_file, read_chunks
from imgcore.engine.stored import MadeKind, TreeColumns, UnpackFailed, UnpackState
from imgcore.errors import Corrupt, ImgcoreError, TargetExists, context
from imgcore.events import Advanced
from imgcore.hosts.attributes import may_be_refused, unset_message, xattr_error
from imgcore.hosts.beneath import Place, not_a_directory, output_error, replaced
from imgcore.hosts.unpacking import Unpacking, UnpackReport, open_files
from imgcore.model import Node, Table

if TYPE_CHECKING:
    from imgcore.engine.native_unpack import NativeUnpack

__all__ = ["unpack_table"]

_WHAT: Final = {
    "make": "make",
    "write": "write",
    "attributes": "set owner, mode or time",
    "make_dir": "make directory",
    "open_dir": "open directory",
}


def unpack_table(work: Unpacking, table: Table, unpacker: type[NativeUnpack], is_ours: bool) -> UnpackReport:
    """Make everything; see `Unpacking.run`."""
    return _TableRun(work, table).run(unpacker, is_ours)


class _TableRun:
    def __init__(self, work: Unpacking, table: Table) -> None:
        self.work = work
        self.table = table
        self.kinds = self._kinds()
        self.nodes: dict[int, Node] = {}
        self.places: dict[int, Place] = {0: work.chain.root}
        self.numbers = {row: number for number, row in enumerate(table.shape.dirs)}
        self.told = 0  # files
        self.links = 0  # symbolic ones that were told

    def _kinds(self) -> bytearray:
        """Return what the core is to make of each row."""
        table = self.table
        of = {stat.S_IFREG: MadeKind.FILE, stat.S_IFLNK: MadeKind.LINK, stat.S_IFDIR: MadeKind.DIR}
        kinds = bytearray([of.get(mode & 0o170000, MadeKind.CALLER) for mode in table.modes])
        for row, first in table.links.items():
            kinds[row] = MadeKind.CALLER
            if kinds[first] == MadeKind.LINK:
                kinds[first] = MadeKind.CALLER
        for row in (*table.xattrs, *(row for row, target in table.targets.items() if b"\0" in target)):
            if kinds[row] == MadeKind.LINK:
                kinds[row] = MadeKind.CALLER
        return kinds

    def run(self, unpacker: type[NativeUnpack], is_ours: bool) -> UnpackReport:
        work, stored = self.work, self.table.stored
        assert stored is not None
        with held_file(stored.blob) as held:
            assert held is not None
            core = unpacker(
                stored,
                *held,
                work.chain.root.fd,
                self._columns(),
                jobs=work.jobs,
                most_dirs=open_files(),
                keep_owner=work.attributes.keep_owner,
                replace=work.force,
            )
            try:
                self._run(core, is_ours)
            except UnpackFailed as failure:
                raise self._error(failure) from None
            finally:
                work.left_something = bool(self.told) or core.dirs_made
                core.close()
        return work.report()

    def _run(self, core: NativeUnpack, is_ours: bool) -> None:
        work = self.work
        while not self._tell(core, core.walk()):
            work.control.check()
        work.counts["dirs"] = len(self.table.shape.dirs)
        for row, kind in enumerate(self.kinds):
            if kind == MadeKind.CALLER:
                work.control.check()
                self._make(row, core)
        work.make_links()
        while not self._tell(core, core.finish(root=is_ours)):
            work.control.check()
        work.tell_unset()

    def _columns(self) -> TreeColumns:
        table, mask = self.table, self.work.attributes.mode_mask
        shape = table.shape
        return TreeColumns(
            shape.names,
            shape.dirs,
            shape.starts,
            shape.parents,
            bytes(self.kinds),
            {row: target for row, target in table.targets.items() if self.kinds[row] == MadeKind.LINK},
            [mode & mask for mode in table.modes],
            table.uids,
            table.gids,
            table.mtimes,
            table.sizes,
            self._xattrs(),
            may_be_refused,
        )

    def _xattrs(self) -> dict[int, Mapping[bytes, bytes]]:
        """Return the extended attributes that the core is to set, by row; equal ones are one."""
        found: dict[int, Mapping[bytes, bytes]] = {}
        same: dict[tuple[tuple[bytes, bytes], ...], Mapping[bytes, bytes]] = {}
        for row, xattrs in self.table.xattrs.items():
            if self.kinds[row] != MadeKind.CALLER:
                items = tuple(self.work.attributes.settable(xattrs, self._shown(row)))
                if items:
                    found[row] = same.setdefault(items, dict(items))
        return found

    def _shown(self, row: int) -> bytes:
        return self.work.chain.root.path + (self.table.shape.path(row) if row else b"")

    def _place(self, row: int, core: NativeUnpack) -> Place:
        """Return the place of a directory that the core made."""
        above, names, parents = [], self.table.shape.names, self.table.shape.parents
        while row not in self.places:
            above.append(row)
            row = parents[row]
        place = self.places[row]
        for below in reversed(above):
            name = names[below]
            place = Place(place, name, place.path + b"/" + name, -1, core.identity(self.numbers[below]))
            self.places[below] = place
        return place

    def _make(self, row: int, core: NativeUnpack) -> None:
        """Make what the core leaves to us."""
        table, work = self.table, self.work
        names, parents = table.shape.names, table.shape.parents
        first = table.links.get(row, row)
        place = self._place(parents[row], core)
        if self.kinds[first] == MadeKind.FILE:
            work.links.append((place, names[row], (self._place(parents[first], core), names[first])))
            return
        node = self.nodes.get(first)
        if node is None:
            node = self.nodes[first] = table.node(first)
        work.chain.go_to(place)
        work.make_leaf(table.shape.path(row), names[row], node, False)

    def _tell(self, core: NativeUnpack, state: UnpackState) -> bool:
        """Give the caller what the core found and did; return whether it is done."""
        work = self.work
        for row, name, errno in core.take_unset():
            work.attributes.warn(unset_message(name, os.strerror(errno)), self._shown(row))
        work.tell_unset()
        work.counts["symlinks"] += state.links - self.links
        self.links = state.links
        if state.files > self.told:
            self.told = work.counts["files"] = state.files
            work.counts["bytes"] = state.bytes
            work.control.emit(Advanced(state.files, state.bytes, state.written, self.table.shape.path(state.last)))
        return state.done

    def _error(self, failure: UnpackFailed) -> ImgcoreError:
        """Return the error that a failure of the core is."""
        shown = self._shown(failure.row)
        system = OSError(failure.errno, os.strerror(failure.errno))
        if failure.what in _WHAT:
            return output_error(system, shown, _WHAT[failure.what])
        if failure.what == "exists":
            return TargetExists("exists already", path=shown, hint="--force replaces files that exist")
        if failure.what == "xattr":
            return xattr_error(system, shown, failure.xattr)
        if failure.what == "content":
            return self._content_error(failure.row)
        return not_a_directory(shown) if failure.what == "not_dir" else replaced(shown)

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
