"""Changes of one tree of an image: which bytes of its directories, path tables and descriptor become others.

A `TreeEditor` is for one world (Rock Ridge, Joliet, ISO 9660:1999 or plain) of one set of descriptors. Records that are not
concerned keep their bytes: identifiers, times, system use and all. A directory stays where it is while its records fit into
its blocks; one that grows is moved to new blocks, and what leads to it (its parent's record, its own `.`, the `..` of the
directories in it, the path tables, the descriptor) is changed in place.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from imgcore.errors import Corrupt, NotRepresentable, PathError, Unsupported
from imgcore.formats.iso9660 import susp
from imgcore.formats.iso9660.dates import short_date
from imgcore.formats.iso9660.edit_records import EditedDirectory, EditedRecord
from imgcore.formats.iso9660.layout import (
    BLOCK,
    DIRECTORY,
    MORE_EXTENTS,
    MOST_IN_SECTION,
    DirRecord,
    VolumeDescriptor,
    both16,
    both32,
    low32,
)
from imgcore.formats.iso9660.names import NamingRules, candidates, enhanced_names, joliet_names, plain_name
from imgcore.formats.iso9660.path_table import PathTable
from imgcore.formats.iso9660.plan import by_bytes, by_stem
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.formats.iso9660.records import read_records
from imgcore.formats.iso9660.sessions import Descriptor
from imgcore.formats.iso9660.susp_reader import entries, parse
from imgcore.model import Dir, Node, join, split
from imgcore.wire import chain

__all__ = ["TreeEditor"]

_HEAD: Final = chain(DirRecord)
_LONGEST: Final = 254
_JOLIET_MOST: Final = 103
_LEVEL_1: Final = 12


class TreeEditor:
    """Edits one tree. `allocate` gives new blocks of the image, counted from the image's start."""

    def __init__(self, image: IsoImage, descriptor: Descriptor, allocate: Callable[[int], int]) -> None:
        assert isinstance(descriptor.record, VolumeDescriptor)
        self.image, self.descriptor, self.record = image, descriptor, descriptor.record
        self._allocate = allocate
        self._base = image.base
        self._rock = descriptor.kind == 1 and image.world == "rock ridge"
        self._kind = "joliet" if descriptor.is_joliet else "enhanced" if descriptor.is_enhanced else "primary"
        self._order = by_stem if self._kind == "primary" else by_bytes
        root = image._root_item(self.record)
        self._dirs: dict[bytes, EditedDirectory] = {}
        self._removed: list[int] = []
        self._spill: list[tuple[int, bytearray]] = []
        self._serials = False
        self._root = self._load(b"/", None, *root.sections[0])
        if self._rock:
            first = self._root.records[0].parts[0]
            use = bytes(first[DirRecord.SIZE + 1 :])
            for signature, data, _ in entries(use, 0, image._read_base):
                self._serials = self._serials or (signature == b"PX" and len(data) >= 40)
        self._level_1 = self._kind == "primary" and self._has_short_names()

    def _has_short_names(self) -> bool:
        """Whether all names of the root have 8.3 characters: then new ones get such too."""
        names = [one.identifier.partition(b";")[0] for one in self._root.records[2:]]
        return bool(names) and all(len(name) <= _LEVEL_1 for name in names)

    # Reading

    def _load(self, path: bytes, parent: EditedDirectory | None, block: int, size: int) -> EditedDirectory:
        known = self._dirs.get(path)
        if known is not None:
            return known
        made = EditedDirectory(path, parent, block, size, is_new=False)
        image = self.image
        for item in read_records(image._read_base, block, size):
            raw = self._raw(item.at, len(item.sections))
            name = item.identifier
            if item.identifier not in (b"\0", b"\1"):
                rock = parse(item.use[image.skip :], item.at, image._read_base) if self._rock else None
                if rock is not None and (rock.child is not None or rock.parent is not None):
                    raise Unsupported("directories that were relocated cannot be kept when the tree changes", path=path)
                name = self._shown(item.identifier, rock.name if rock is not None else None)
            made.records.append(EditedRecord(item.identifier, name, item.is_dir, raw))
        if len(made.records) < 2 or made.records[0].identifier != b"\0" or made.records[1].identifier != b"\1":
            raise Corrupt("a directory that does not begin with `.` and `..`", path=path, structure="DirRecord")
        self._dirs[path] = made
        return made

    def _raw(self, at: int, sections: int) -> list[bytearray]:
        """Return the bytes of the records from an offset of the tree on: a file's sections may cross into the next block."""
        out: list[bytearray] = []
        image = self.image
        # `at` is that of the first section's record when a file has one; of several it is that of the first, too.
        while len(out) < sections:
            length = image._read_base(at, 1)[0]
            if not length:
                at += -at % BLOCK
                continue
            out.append(bytearray(image._read_base(at, length)))
            at += length
        return out

    def _shown(self, identifier: bytes, name: bytes | None) -> bytes:
        if name is not None:
            return name
        if self._kind == "joliet":
            text = identifier.decode("utf-16-be", "replace")
            return (text[:-2] if text.endswith(";1") else text).encode("utf-8", "replace")
        return identifier if self._kind == "enhanced" else plain_name(identifier)

    def directory(self, path: bytes) -> EditedDirectory:
        """Return the directory at a path. Raises PathError."""
        here = self._root
        for name in split(path):
            record = here.find(name)
            if record is None or not record.is_dir:
                raise PathError("no such directory in the image", path=path)
            here = self._load(join(here.path, name), here, record.block, record.size)
        return here

    # Changes

    def add(self, path: bytes, node: Node, block: int, size: int) -> bytes:
        """Put a node at a path; of a file the content is at a block, counted from the image's start. Raises PathError.

        Returns the name that it has in this tree.
        """
        parts = split(path)
        if not parts:
            raise PathError("a directory is in the way", path=path)
        above = b"/" + b"/".join(parts[:-1])
        parent = self._ensure(above, node)
        old = parent.find(parts[-1])
        if old is not None and old.is_dir:
            raise PathError("a directory is in the way", path=path)
        if old is not None:
            parent.records.remove(old)
        identifier = old.identifier if old is not None else self._identifier(parent, parts[-1], is_dir=False)
        self._insert(parent, identifier, parts[-1], node, block - self._base, size)
        return parts[-1] if self._rock else self._shown(identifier, None)

    def _ensure(self, path: bytes, like: Node, *, itself: bool = False) -> EditedDirectory:
        """Return a directory, made with all above it where it is missing; `itself`: it is what `like` is."""
        here = self._root
        parts = split(path)
        for number, name in enumerate(parts, 1):
            record = here.find(name)
            if record is None:
                here = self._make(here, name, like, like.meta.mode if itself and number == len(parts) else 0o755)
                continue
            if not record.is_dir:
                raise PathError("not a directory", path=path)
            here = self._load(join(here.path, name), here, record.block, record.size)
        return here

    def mkdir(self, path: bytes, like: Node) -> None:
        """Make a directory with the metadata of a node; those above it have its owner and time, and mode 0755."""
        self._ensure(path, like, itself=True)

    def _make(self, parent: EditedDirectory, name: bytes, like: Node, mode: int) -> EditedDirectory:
        meta = dataclasses.replace(like.meta, mode=mode, xattrs={})
        node = Dir(meta, {})
        made = EditedDirectory(join(parent.path, name), parent, 0, 0, is_new=True)
        for identifier, record_node in ((b"\0", node), (b"\1", node)):
            use = b"".join(self._own_entries(record_node)) if self._rock else b""
            made.records.append(
                EditedRecord(identifier, identifier, True, [self._bytes(identifier, use, 0, 0, meta.mtime_ns, DIRECTORY)])
            )
        self._dirs[made.path] = made
        self._insert(parent, self._identifier(parent, name, is_dir=True), name, node, 0, 0)
        return made

    def remove(self, path: bytes) -> None:
        """Remove a name, of a directory with all that is in it. Raises PathError."""
        parts = split(path)
        if not parts:
            raise PathError("the root stays", path=path)
        parent = self.directory(b"/" + b"/".join(parts[:-1]))
        record = parent.find(parts[-1])
        if record is None:
            raise PathError("no such path in the image", path=path)
        parent.records.remove(record)
        parent.changed = True
        if record.is_dir:
            parent.new_links -= 1
            whole = path.rstrip(b"/")
            known = self._dirs.get(whole)
            if known is None or not known.is_new:
                self._removed.append(record.block)
            for below in [one for one in self._dirs if one == whole or one.startswith(whole + b"/")]:
                del self._dirs[below]

    def _identifier(self, parent: EditedDirectory, name: bytes, *, is_dir: bool) -> bytes:
        """Return an identifier for a new name that no other name of the directory has."""
        taken = {one.identifier for one in parent.records}
        tried: Iterable[bytes]
        if self._kind == "joliet":
            tried = [joliet_names([name], _JOLIET_MOST)[name]]
        elif self._kind == "enhanced":
            tried = [enhanced_names({name: is_dir})[name]]
        else:
            tried = candidates(name, NamingRules(1 if self._level_1 else 3), is_dir=is_dir)
        for identifier in tried:
            if identifier not in taken:
                return identifier
        raise NotRepresentable("another file has the same name in this tree", path=join(parent.path, name))

    def _own_entries(self, node: Node, name: bytes | None = None, serial: int = 0) -> list[bytes]:
        meta = node.meta
        nlink = 2 if isinstance(node, Dir) else 1
        px = susp.px(susp.mode_of(node), nlink, meta.uid, meta.gid)
        if self._serials:
            px = susp.with_serial(px, serial & 0xFFFFFFFF)
        out = [px, susp.tf(susp.times_of(meta))]
        if name is not None:
            out += susp.name_entries(name)
            target = getattr(node, "target", None)
            if isinstance(target, bytes):
                out += susp.link_entries(target)
        return out

    def _insert(self, parent: EditedDirectory, identifier: bytes, name: bytes, node: Node, block: int, size: int) -> None:
        use = b""
        if self._rock:
            use = self._fitting(identifier, self._own_entries(node, name, block | 1 << 31))
        is_dir = isinstance(node, Dir)
        parts = []
        left = size
        while True:
            whole = left > 0xFFFFFFFF or (size > 0xFFFFFFFF and left > MOST_IN_SECTION)
            now = MOST_IN_SECTION if whole else left
            flags = (DIRECTORY if is_dir else 0) | (MORE_EXTENTS if whole else 0)
            parts.append(self._bytes(identifier, use, block if now or is_dir else 0, now, node.meta.mtime_ns, flags))
            left, block = left - now, block + now // BLOCK
            if not whole:
                break
        record = EditedRecord(identifier, name, is_dir, parts)
        key = self._order(identifier, is_dir)
        place = len(parent.records)
        for number, one in enumerate(parent.records[2:], 2):
            if self._order(one.identifier, one.is_dir) > key:  # type: ignore[operator]
                place = number
                break
        parent.records.insert(place, record)
        parent.changed = True
        parent.new_links += is_dir

    def _fitting(self, identifier: bytes, parts: list[bytes]) -> bytes:
        """Return system use that fits behind an identifier; what does not is continued in new blocks."""
        room = _LONGEST - DirRecord.SIZE - len(identifier) - (~len(identifier) & 1)
        use = b"".join(parts)
        if len(use) <= room:
            return use
        kept = b""
        rest = list(parts)
        while rest and len(kept) + len(rest[0]) <= room - susp.CE_SIZE:
            kept += rest.pop(0)
        return kept + self._continued(rest)

    def _continued(self, parts: list[bytes]) -> bytes:
        """Put entries into continuation areas; return the entry that leads to the first."""
        area = b""
        rest = list(parts)
        while rest and len(area) + len(rest[0]) <= BLOCK - susp.CE_SIZE:
            area += rest.pop(0)
        if rest:
            area += self._continued(rest)
        if not self._spill or len(self._spill[-1][1]) + len(area) > BLOCK:
            self._spill.append((self._allocate(1), bytearray()))
        block, data = self._spill[-1]
        at = len(data)
        data += area
        return susp.ce(block - self._base, at, len(area))

    @staticmethod
    def _bytes(identifier: bytes, use: bytes, block: int, size: int, mtime_ns: int, flags: int) -> bytearray:
        tail = identifier + b"\0" * (~len(identifier) & 1) + use
        tail += b"\0" * (~len(tail) & 1)
        date = short_date(mtime_ns // 1_000_000_000)
        head = _HEAD.pack(
            DirRecord.SIZE + len(tail), 0, both32(block), both32(size), date, flags, 0, 0, both16(1), len(identifier)
        )
        return bytearray(head + tail)

    # Result

    def patches(self) -> Iterator[tuple[int, bytes]]:
        """Yield (byte of the image, bytes) of what changes, but for the descriptor; `record` then is as it is to be."""
        self._count_links()
        moved = self._settle()
        children = self._children_of(moved)
        yield from children
        for one in self._dirs.values():
            if one.changed:
                yield (one.block + self._base) * BLOCK, one.encode()
        for block, data in self._spill:
            yield block * BLOCK, bytes(data.ljust(BLOCK, b"\0"))
        if moved or self._removed or any(one.is_new for one in self._dirs.values()):
            yield from self._tables(moved)

    def _count_links(self) -> None:
        """Count the directories that came and went, in the two records that Linux takes a directory's links from."""
        for one in list(self._dirs.values()) if self._rock else ():
            if not one.new_links:
                continue
            one.records[0].add_links(one.new_links, 0 if one.parent is one else self.image.skip)
            one.changed = True
            if one.parent is not one and (record := one.parent.find(split(one.path)[-1])) is not None:
                record.add_links(one.new_links, self.image.skip)
                one.parent.changed = True

    def _settle(self) -> list[EditedDirectory]:
        """Give directories that grew new places; return them, and write their places where they are named."""
        moved = []
        for one in list(self._dirs.values()):
            needed = one.needed() if one.changed else 0
            if one.is_new or needed > one.size:
                one.size = needed
                one.block = self._allocate(needed // BLOCK) - self._base
                one.changed = True
                moved.append(one)
        for one in moved:
            one.records[0].set_place(one.block, one.size)
            if one.parent is one:
                one.records[1].set_place(one.block, one.size)
                root = bytearray(self.record.root)
                struct.pack_into("<QQ", root, 2, both32(one.block), both32(one.size))
                self.record.root = bytes(root)
                continue
            record = one.parent.find(split(one.path)[-1])
            assert record is not None
            record.set_place(one.block, one.size)
            one.parent.changed = True
        for one in self._dirs.values():
            if one.parent is not one and (one.is_new or one.parent in moved):
                one.records[1].set_place(one.parent.block, one.parent.size)
                one.changed = True
        return moved

    def _children_of(self, moved: list[EditedDirectory]) -> list[tuple[int, bytes]]:
        """Return the changes of `..` in directories that were not looked at, but whose parent moved."""
        out = []
        for one in moved:
            for record in one.records[2:]:
                path = join(one.path, record.name)
                if not record.is_dir or path in self._dirs:
                    continue
                at = record.block * BLOCK
                first = self.image._read_base(at, 1)[0]
                second = bytes(self.image._read_base(at + first, 34))
                if second[33:34] != b"\1":
                    raise Corrupt("a directory that does not begin with `.` and `..`", path=path, structure="DirRecord")
                place = struct.pack("<QQ", both32(one.block), both32(one.size))
                out.append((at + first + 2 + self._base * BLOCK, place))
        return out

    def _tables(self, moved: list[EditedDirectory]) -> Iterator[tuple[int, bytes]]:
        """Yield the path tables as they become, and write their places into the descriptor."""
        record = self.record
        old_size = low32(record.path_table_size)
        table = PathTable.decode(self.image._read_base(record.path_table_l * BLOCK, old_size))
        before = dict(zip(("l", "m"), table.encode(), strict=True))
        for block in self._removed:
            table.remove(block)
        for one in moved:
            if one.is_new:
                parent = one.parent.old_block if not one.parent.is_new else one.parent.block
                record_of = one.parent.find(split(one.path)[-1])
                assert record_of is not None
                table.add(record_of.identifier, one.block, parent)
        for one in moved:
            if not one.is_new:
                table.move(one.old_block, one.block)
        little, big = table.encode()
        blocks = -(-len(little) // BLOCK)
        places = {
            "path_table_l": (record.path_table_l, little),
            "optional_l": (record.optional_l, little),
            "path_table_m": (int.from_bytes(record.path_table_m, "big"), big),
            "optional_m": (int.from_bytes(record.optional_m, "big"), big),
        }
        for name, (place, data) in places.items():
            if not place:
                continue
            if name != "path_table_l" and bytes(self.image._read_base(place * BLOCK, old_size)) != before[name[-1]]:
                continue  # something else is there: Linux and firmware read none of these, and others may use the place
            if blocks > -(-old_size // BLOCK):
                place = self._allocate(blocks) - self._base
                setattr(record, name, place if name.endswith("_l") else place.to_bytes(4, "big"))
            yield (place + self._base) * BLOCK, data.ljust(blocks * BLOCK, b"\0")
        record.path_table_size = both32(len(little))
