"""`check` of one tree of an image: every directory record, its system use, the order, the path tables."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from imgcore.errors import Corrupt, LimitExceeded, Unsupported
from imgcore.events import Control
from imgcore.formats.base import Finding
from imgcore.formats.iso9660.content import ZisofsBlob
from imgcore.formats.iso9660.dates import parse_short
from imgcore.formats.iso9660.layout import BLOCK, DirRecord, VolumeDescriptor, low32
from imgcore.formats.iso9660.plan import by_bytes, by_stem
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.formats.iso9660.records import Item, bad_name, read_records
from imgcore.formats.iso9660.sessions import Descriptor
from imgcore.formats.iso9660.susp_reader import Rock, parse
from imgcore.model import File, join

__all__ = ["TreeCheck"]

_LONGEST_NAME: Final = 253
_MOST_SECTIONS: Final = 100
_HALVES: Final = struct.Struct("<I4s")


class TreeCheck:
    """The tree that one descriptor leads to. After `findings`, `spans` has (first block, block behind, path) of everything."""

    def __init__(self, image: IsoImage, descriptor: Descriptor, control: Control) -> None:
        assert isinstance(descriptor.record, VolumeDescriptor)
        self._image, self._record, self._control = image, descriptor.record, control
        self._rock = descriptor.kind == 1 and bool(image.rock_version)
        self._plain_order = descriptor.kind == 2
        self._joliet = descriptor.is_joliet
        self.spans: list[tuple[int, int, bytes]] = []
        self._places: list[tuple[int, bytes, int]] = []  # of directories: block, identifier, the parent's block
        self._count = 0

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong with the tree."""
        root = self._image._root_item(self._record)
        block = root.sections[0][0]
        todo: list[tuple[Item, bytes, int]] = [(root, b"/", block)]
        seen: set[int] = set()
        at = 0
        self._places.append((block, b"\0", block))
        while at < len(todo):
            item, path, parent = todo[at]
            at += 1
            block = item.sections[0][0]
            if block in seen:
                yield Finding("loop", "error", "a directory that is at another place too", path=path, offset=item.at)
                continue
            seen.add(block)
            self.spans.append((block, block + -(-item.sections[0][1] // BLOCK), path))
            try:
                for found in self._directory(item, path, parent):
                    if isinstance(found, Finding):
                        yield found
                    else:
                        todo.append(found)
            except Corrupt as error:
                yield Finding(
                    "corrupt", "error", error.message, path=path, offset=error.offset, structure=error.structure,
                    field=error.field, found=None if error.found is None else str(error.found),
                )  # fmt: skip
        yield from self._path_tables()

    def _directory(self, item: Item, path: bytes, parent: int) -> Iterator[Finding | tuple[Item, bytes, int]]:
        image = self._image
        block, size = item.sections[0]
        if size % BLOCK:
            yield Finding("dir-size", "warning", "a directory that does not fill its blocks", path=path, offset=item.at)
        if block * BLOCK + size > image.blob.size:
            raise Corrupt("a directory behind the end of the image", offset=item.at)
        last: object = None
        names: set[bytes] = set()
        number = -1
        for one in read_records(image._read_base, block, size):
            number += 1
            self._count += 1
            if self._count % 4096 == 0:
                self._control.check()
            if self._count > image.limits.max_entries:
                raise LimitExceeded("limit max_entries exceeded", structure="limits", field="max_entries", found=self._count)
            yield from self._record_rules(one, path)
            if one.identifier in (b"\0", b"\1"):
                wanted = block if one.identifier == b"\0" else parent
                if one.sections[0][0] != wanted:
                    yield Finding("dots", "warning", "`.` or `..` leads elsewhere", path=path, offset=one.at)
                continue
            key = (by_bytes if self._plain_order else by_stem)(one.identifier, one.is_dir)
            if last is not None and key < last:  # type: ignore[operator]
                yield Finding("order", "warning", "records are not in order", path=path, offset=one.at)
            last = key
            rock = Rock()
            if self._rock:
                rock = parse(one.use[image.skip :], one.at, image._read_base)
                # A relocated directory is looked at where it lies, as the path tables have it, not where Linux shows it.
            name = rock.name if rock.name is not None else self._plain(one)
            here = join(path, name)
            yield from self._name_rules(name, here, one.at, names)
            if (fault := self._node_fault(one, rock, here)) is not None:
                yield fault
            if one.is_dir and rock.child is None:
                self._places.append((one.sections[0][0], one.identifier, block))
                yield one, here, block
            elif rock.child is None:
                yield from self._file(one, here)

    def _node_fault(self, one: Item, rock: Rock, path: bytes) -> Finding | None:
        """Return why what a record leads to cannot be had, as a reader says it; None where it can."""
        try:
            if self._rock:
                node = self._image.node(one, rock, path)
                if isinstance(node, File) and isinstance(node.content, ZisofsBlob):
                    node.content.verify(self._control.check)
        except (Corrupt, Unsupported) as error:
            kind = "corrupt" if isinstance(error, Corrupt) else "unsupported"
            return Finding(
                kind, "error", error.message, path=path, offset=one.at if error.offset is None else error.offset,
                structure=error.structure, field=error.field, found=None if error.found is None else str(error.found),
            )  # fmt: skip
        return None

    def _plain(self, one: Item) -> bytes:
        return one.identifier.decode("utf-16-be", "replace").encode("utf-8", "replace") if self._joliet else one.identifier

    def _name_rules(self, name: bytes, path: bytes, at: int, names: set[bytes]) -> Iterator[Finding]:
        if self._rock and bad_name(name):
            yield Finding("name", "error", "impossible name", path=path, offset=at)
        if name in names:
            yield Finding("twice", "warning", "a name that is there twice: Linux finds the first", path=path, offset=at)
        names.add(name)
        if len(name) > _LONGEST_NAME and self._rock:
            yield Finding("long-name", "error", f"Linux shows a name of {len(name)} bytes cut", path=path, offset=at)

    def _file(self, one: Item, path: bytes) -> Iterator[Finding]:
        if len(one.sections) > _MOST_SECTIONS:
            yield Finding("sections", "error", "more sections than Linux reads", path=path, offset=one.at)
        end = None
        for block, size in one.sections:
            if end is not None and block != end:
                yield Finding("extents", "warning", "extents that do not follow one another", path=path, offset=one.at)
            end = block + -(-size // BLOCK)
            if size:
                self.spans.append((block, end, path))
                if block * BLOCK + size > self._image.blob.size:
                    yield Finding("cut", "error", "content behind the end of the image", path=path, offset=one.at)

    def _record_rules(self, one: Item, path: bytes) -> Iterator[Finding]:
        data = self._image.read(one.at, DirRecord.SIZE)
        for offset, name in ((2, "extent"), (10, "size")):
            first, second = _HALVES.unpack_from(data, offset)
            if first != int.from_bytes(second, "big"):
                yield Finding(
                    "halves", "warning", f"the two byte orders of {name} disagree", path=path, offset=one.at + offset,
                    structure="DirRecord", field=name,
                )  # fmt: skip
        if one.date.strip(b"\0") and parse_short(one.date) is None:
            yield Finding("date", "warning", "no date", path=path, offset=one.at + 18, structure="DirRecord", field="date")
        if self._rock:
            use = one.use if one.use[:2] == b"SP" else one.use[self._image.skip :]
            count, at = 0, 0
            while at + 4 <= len(use) and use[at + 2] >= 4:
                count += use[at : at + 2] == b"CE"
                at += use[at + 2]
            if count > 1:
                yield Finding("continuations", "error", "two CE entries in one area: GRUB refuses it", path=path, offset=one.at)

    def _path_tables(self) -> Iterator[Finding]:
        """Compare both path tables with the tree."""
        record, image = self._record, self._image
        size = low32(record.path_table_size)
        for order, block in (("<", record.path_table_l), (">", int.from_bytes(record.path_table_m, "big"))):
            name = "little-endian" if order == "<" else "big-endian"
            if block * BLOCK + size > image.blob.size or size > image.limits.max_metadata:
                yield Finding("path-table", "error", f"the {name} path table is behind the end", offset=block * BLOCK)
                continue
            data = image.blob.read_at((block + image.base) * BLOCK, size)
            found = []
            blocks = []
            at = 0
            while at + 8 <= len(data) and data[at]:
                length = data[at]
                extent, parent = struct.unpack_from(f"{order}IH", data, at + 2)
                blocks.append(extent)
                found.append((extent, data[at + 8 : at + 8 + length], blocks[parent - 1] if 0 < parent <= len(blocks) else -1))
                at += 8 + length + (length & 1)
            if sorted(found) != sorted(self._places):
                message = f"the {name} path table has other directories than the tree"
                yield Finding(
                    "path-table",
                    "warning",
                    message,
                    offset=block * BLOCK,
                    found=str(len(found)),
                    allowed=str(len(self._places)),
                )
