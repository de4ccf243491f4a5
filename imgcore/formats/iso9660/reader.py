"""Reads ISO 9660 images: lazily, one directory at a time, in the world that Linux would show.

That is the primary tree with Rock Ridge where there is Rock Ridge, else Joliet, else the plain tree in lower case. Faults
that real images have and that leave no doubt (halves of numbers that disagree, dates that are none, an SP entry in every
directory) are passed over; `check` names them. Everything else raises Corrupt with the place.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from imgcore.blob import Blob
from imgcore.errors import Corrupt, Unsupported, context
from imgcore.events import Control
from imgcore.formats.base import Finding, LayoutItem
from imgcore.formats.common import BlobImage
from imgcore.formats.iso9660.content import ZisofsBlob, content_of
from imgcore.formats.iso9660.dates import parse_short
from imgcore.formats.iso9660.layout import (
    BLOCK,
    FIRST_DESCRIPTOR,
    DirRecord,
    VolumeDescriptor,
    low16,
    low32,
)
from imgcore.formats.iso9660.names import plain_name
from imgcore.formats.iso9660.records import Item, bad_name, read_records
from imgcore.formats.iso9660.sessions import Descriptor, last_session, read_descriptors
from imgcore.formats.iso9660.susp_reader import Rock, entries, parse
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree, join

__all__ = ["Descriptor", "IsoImage", "World", "last_session", "open_image", "read_descriptors"]

_SECOND: Final = 1_000_000_000
World: TypeAlias = Literal["rock ridge", "joliet", "plain"]


def open_image(blob: Blob, limits: Limits | None = None) -> IsoImage:
    """Return the image in `blob`. Raises NotThisFormat, Corrupt, Unsupported."""
    return IsoImage(blob, limits or Limits.default())


class IsoImage(BlobImage):
    """An open image; see `formats.base.Image`.

    `world` chooses what is shown, None is what Linux would. `base` is the block that positions are counted from; `session` the
    block at which a session begins, None for the last one, as a drive gives it to Linux.
    """

    def __init__(
        self, blob: Blob, limits: Limits, world: World | None = None, *, base: int = 0, session: int | None = None
    ) -> None:
        self.blob = blob
        self.limits = limits
        self.base = base
        self.session = session if session is not None else 0 if base else last_session(blob)
        self.descriptors = read_descriptors(blob, FIRST_DESCRIPTOR + base + self.session)
        primary = next(one.record for one in self.descriptors if one.kind == 1)
        assert isinstance(primary, VolumeDescriptor)
        self.primary = primary
        if low16(primary.block_size) != BLOCK:
            raise Unsupported(
                "blocks of another size than 2048 bytes", structure="VolumeDescriptor", field="block_size",
                found=low16(primary.block_size), allowed=BLOCK,
            )  # fmt: skip
        joliet = next((one.record for one in self.descriptors if one.is_joliet), None)
        self.joliet = joliet if isinstance(joliet, VolumeDescriptor) else None
        self._lock = threading.RLock()
        self._entries = self._metadata = 0
        self._dirs: dict[int, bytes] = {}
        self._linked: dict[int, Node] = {}
        self._root: Dir | None = None
        self.skip = 0
        self.rock_version = ""
        root = self._root_item(primary)
        first = self._rock_ridge(root)
        if world is None:
            world = "rock ridge" if first else "joliet" if self.joliet is not None else "plain"
            if world == "rock ridge" and self.joliet is not None and self._is_bare(root):
                # Linux takes Joliet then; where that is bare too, Rock Ridge has at least the root's metadata.
                world = "rock ridge" if self._is_bare(self._root_item(self.joliet)) else "joliet"
        if (world == "joliet" and self.joliet is None) or (world == "rock ridge" and not first):
            raise Unsupported(f"the image has no {world} tree")
        self.world: World = world
        self._root_of_world = self._root_item(self.joliet if world == "joliet" and self.joliet is not None else primary)

    def read(self, at: int, size: int) -> bytes:
        """Return exactly these bytes of the image. Raises Corrupt."""
        data = self.blob.read_at(at, size)
        if len(data) < size:
            raise Corrupt("behind the end of the image", offset=at, found=f"{len(data)} bytes", allowed=f"{size} bytes")
        return data

    def _read_base(self, at: int, size: int) -> bytes:
        return self.read(at + self.base * BLOCK, size)

    def _root_item(self, record: VolumeDescriptor) -> Item:
        head = DirRecord.unpack_from(record.root, base=FIRST_DESCRIPTOR * BLOCK + 156)
        section = low32(head.extent) + head.attribute_length, low32(head.size)
        return Item(b"\0", (section,), head.date, head.flags, b"", FIRST_DESCRIPTOR * BLOCK + 156)

    def _first_record(self, item: Item) -> Item:
        """Return the `.` of a directory."""
        block, size = item.sections[0]
        for one in read_records(self._read_base, block, min(max(size, 34), BLOCK)):
            return one
        raise Corrupt("a directory without its first record", offset=(block + self.base) * BLOCK, structure="DirRecord")

    def _rock_ridge(self, root: Item) -> bool:
        """Return whether the primary tree has Rock Ridge: what the root's first record says."""
        first = self._first_record(root)
        try:
            found = list(entries(first.use, first.at, self._read_base))
            if not any(one.signature == b"SP" for one in found) and first.use[:2] != b"SP":
                return False
        except Corrupt:
            if first.use[:2] != b"SP":
                return False
            raise
        for signature, data, _ in found:
            if signature == b"SP" and len(data) >= 3:
                self.skip = data[2]
            elif signature == b"ER" and len(data) >= 4:
                self.rock_version = data[4 : 4 + data[0]].decode("latin-1")
        return bool(self.rock_version) or any(one.signature in (b"PX", b"RR", b"TF") for one in found)

    def _is_bare(self, root: Item) -> bool:
        """Whether a root has no names: then Linux shows Joliet's."""
        block, size = root.sections[0]
        return sum(1 for _, _ in zip(read_records(self._read_base, block, size), range(3), strict=False)) < 3

    @property
    def tree(self) -> Tree:
        """The tree in the image."""
        with self._lock:
            if self._root is None:
                item = self._root_of_world
                rock = None
                if self.world == "rock ridge":
                    first = self._first_record(item)
                    rock = parse(first.use, first.at, self._read_base)
                self._root = self._directory(item, self._meta(item, rock, is_dir=True), b"/")
            return Tree(self._root, self.limits, time_step_ns=_SECOND)

    # Nodes

    def _meta(self, item: Item, rock: Rock | None, *, is_dir: bool) -> Meta:
        """Return metadata; without Rock Ridge what Linux shows: readable by all, programs where there is no suffix."""
        seconds = rock.mtime if rock is not None and rock.mtime is not None else parse_short(item.date)
        time = (seconds or 0) * _SECOND
        if rock is not None and rock.mode is not None:
            return Meta(rock.mode & 0o7777, rock.uid, rock.gid, time)
        name = item.identifier.partition(b";")[0]
        return Meta(0o555 if is_dir or b"." not in name else 0o444, 0, 0, time)

    def names(self, item: Item, path: bytes) -> dict[bytes, tuple[Item, Rock | None]]:
        """Return what is in a directory, by name. Raises Corrupt, LimitExceeded."""
        found: dict[bytes, tuple[Item, Rock | None]] = {}
        block, size = item.sections[0]
        self._metadata += size
        self.limits.require("max_metadata", self._metadata)
        if (block + self.base) * BLOCK + size > self.blob.size:
            raise Corrupt(
                "a directory behind the end of the image", offset=item.at, path=path, structure="DirRecord", field="size",
                found=f"{size} bytes at block {block}", allowed=f"up to block {self.blob.size // BLOCK}",
            )  # fmt: skip
        with context(path=path):
            for one in read_records(self._read_base, block, size):
                if one.identifier in (b"\0", b"\1"):
                    continue
                rock = None
                if self.world == "rock ridge":
                    rock = parse(one.use[self.skip :], one.at, self._read_base)
                    if rock.relocated:
                        continue
                name = self._name(one, rock)
                if bad_name(name):
                    raise Corrupt("impossible name", offset=one.at, structure="DirRecord", field="name", found=name)
                found.setdefault(name, (one, rock))  # of a name that is there twice Linux finds the first
                self._entries += 1
                self.limits.require("max_entries", self._entries)
        return found

    def _name(self, item: Item, rock: Rock | None) -> bytes:
        if rock is not None and rock.name is not None:
            return rock.name
        if self.world == "joliet":
            text = item.identifier.decode("utf-16-be", "replace")
            for ending in (";1", "."):
                if text.endswith(ending) and not item.is_dir and len(text) > len(ending) and ending == ";1":
                    text = text[:-2]
            return text.encode("utf-8", "replace")
        return plain_name(item.identifier)

    def node(self, item: Item, rock: Rock | None, path: bytes) -> Node:
        """Return the node of a record. Raises Corrupt, Unsupported, LimitExceeded."""
        if rock is not None and rock.fault is not None:
            raise rock.fault
        if rock is None or rock.mode is None:
            if item.is_dir:
                return self._directory(item, self._meta(item, rock, is_dir=True), path)
            return File(self._meta(item, rock, is_dir=False), self._content(item, rock))
        if rock.child is not None:
            return self._relocated(item, rock.child, path)
        kind = stat.S_IFMT(rock.mode)
        meta = self._meta(item, rock, is_dir=kind == stat.S_IFDIR)
        if kind == stat.S_IFDIR or (kind == 0 and item.is_dir):
            return self._directory(item, meta, path)
        if rock.serial is not None and rock.nlink > 1:
            known = self._linked.get(rock.serial)
            if known is not None:
                return known
        node = self._leaf(item, rock, kind, meta)
        if rock.serial is not None and rock.nlink > 1:
            self._linked[rock.serial] = node
        return node

    def _leaf(self, item: Item, rock: Rock, kind: int, meta: Meta) -> Node:
        if kind in (stat.S_IFREG, 0):
            return File(meta, self._content(item, rock))
        if kind == stat.S_IFLNK:
            if not rock.target:
                raise Corrupt("a symbolic link without a target", offset=item.at, structure="system use", field="SL")
            return Symlink(meta, rock.target)
        if kind == stat.S_IFIFO:
            return Pipe(meta)
        if kind == stat.S_IFSOCK:
            return Socket(meta)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            major, minor = rock.device or (0, 0)
            return Device(meta, "char" if kind == stat.S_IFCHR else "block", major, minor)
        raise Corrupt("a node of no known type", offset=item.at, structure="PX", field="mode", found=oct(kind))

    def _content(self, item: Item, rock: Rock | None) -> Blob:
        sections = [(block + self.base, size) for block, size in item.sections]
        blob = content_of(self.blob, sections)
        if rock is not None and rock.zisofs is not None:
            with context(offset=item.at):
                blob = ZisofsBlob(blob, rock.zisofs)
        self.limits.require("max_file_size", blob.size)
        return blob

    def _relocated(self, item: Item, block: int, path: bytes) -> Dir:
        """Return a directory that was moved up, since it would be too deep: the record is a placeholder."""
        moved = Item(item.identifier, ((block, BLOCK),), item.date, item.flags, b"", item.at)
        first = self._first_record(moved)
        rock = parse(first.use[self.skip :], first.at, self._read_base)
        if rock.child is not None:
            raise Corrupt(
                "a relocated directory that is a placeholder itself", offset=first.at, structure="system use", field="CL"
            )
        whole = moved._replace(sections=first.sections)
        if first.sections[0][0] != block:
            raise Corrupt(
                "a relocated directory that is not where it is said to be", offset=item.at, structure="system use", field="CL"
            )
        return self._directory(whole, self._meta(first, rock, is_dir=True), path)

    def _directory(self, item: Item, meta: Meta, path: bytes) -> Dir:
        block = item.sections[0][0]
        first = self._dirs.setdefault(block, path)
        if first != path:
            raise Corrupt("directory with two names, or inside itself", offset=item.at, path=path, found=f"also at {first!r}")
        return Dir(meta, _Children(self, item, path))

    # Format

    def info(self) -> dict[str, object]:
        """Return the image's parameters as plain values."""
        from imgcore.formats.iso9660.describe import describe_image

        return describe_image(self)

    def layout(self) -> Iterator[LayoutItem]:
        """Yield what the bytes outside of files are."""
        from imgcore.formats.iso9660.describe import describe_layout

        return describe_layout(self)

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the rules of ECMA-119, Rock Ridge and the readers."""
        from imgcore.formats.iso9660.check import check_blob

        return check_blob(self.blob, self.limits, control or Control())


class _Children(Mapping[bytes, Node]):
    """The children of a directory, read when they are first looked at."""

    __slots__ = ("_image", "_item", "_names", "_nodes", "_path")

    def __init__(self, image: IsoImage, item: Item, path: bytes) -> None:
        self._image, self._item, self._path = image, item, path
        self._names: dict[bytes, tuple[Item, Rock | None]] | None = None
        self._nodes: dict[bytes, Node] = {}

    @property
    def item(self) -> Item:
        """The directory's record."""
        return self._item

    def load(self) -> dict[bytes, tuple[Item, Rock | None]]:
        """Return the records by name."""
        names = self._names
        if names is None:
            with self._image._lock:
                if self._names is None:
                    self._names = self._image.names(self._item, self._path)
                names = self._names
        return names

    def __getitem__(self, name: bytes) -> Node:
        node = self._nodes.get(name)
        if node is None:
            item, rock = self.load()[name]
            path = join(self._path, name)
            with self._image._lock:
                node = self._nodes.get(name)
                if node is None:
                    with context(path=path):
                        node = self._image.node(item, rock, path)
                    self._nodes[name] = node
        return node

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.load())

    def __len__(self) -> int:
        return len(self.load())
