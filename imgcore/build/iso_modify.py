"""Changes of an ISO image that keep everything else to the byte: what was there stays where it was, what is new is added.

New files, and directories that no longer fit, go behind the file system's last block ("graft"): a partition behind it (an EFI
system partition, say) moves to make room, with what leads to it; the copy of a GPT goes to the new end; digests are made
again. The result is a list of patches, so that it costs what is new and not the size of the image: `Modified.write` makes a
new image of it (sharing the old one's bytes where the file system can), `in_place` changes the old one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from imgcore.blob import Blob, BytesBlob, SliceBlob
from imgcore.build.iso_edits import Add, Edit, EspAdd, EspRemove, Kept, Modified, Patched, Remove, VolumeId
from imgcore.disk.edit import gpt_tail_sectors, moved_gpt, moved_mbr
from imgcore.disk.gpt import Gpt, read_gpt
from imgcore.disk.layout import PROTECTIVE
from imgcore.disk.mbr import read_mbr
from imgcore.disk.partitions import find_partition, partitions
from imgcore.errors import Corrupt, FormatError, NotRepresentable, NotThisFormat, PathError, Unsupported, show
from imgcore.events import Control
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.iso9660.catalog import Catalog, CatalogEntry
from imgcore.formats.iso9660.describe import catalog_of, text_of
from imgcore.formats.iso9660.digest import APPLICATION_USE, MediaDigest, stored_digest
from imgcore.formats.iso9660.edit import TreeEditor
from imgcore.formats.iso9660.layout import BLOCK, MAGIC, VolumeDescriptor, both32, low32
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Node, Pipe, Socket, Symlink, join, normalize

__all__ = ["Add", "Edit", "EspAdd", "EspRemove", "Kept", "Modified", "Remove", "VolumeId", "modify"]

_PER_BLOCK: Final = BLOCK // 512
_MIB: Final = 1 << 20
_CYLINDER: Final = 64 * 32
_READ: Final = 1 << 20
_SUMS: Final = (b"/md5sum.txt", b"/.treeinfo", b"/SHA256SUMS", b"/CHECKSUMS", b"/sha256sum.txt", b"/.checksum.md5")


def modify(blob: Blob, edits: Sequence[Edit], *, limits: Limits | None = None, control: Control | None = None) -> Modified:
    """Return the image with these changes. Without any it is the same to the byte.

    Raises PathError for a path that is not there, NotRepresentable for what the image cannot hold (a boot image that is
    replaced, no room in the ESP), Unsupported for a layout that could not be kept, Corrupt for a damaged image.
    """
    plan = _Plan(blob, limits or Limits.default(), control or Control())
    for edit in edits:
        plan.apply(edit)
    return plan.finish()


class _Plan:
    """One change of an image, while it is made."""

    def __init__(self, blob: Blob, limits: Limits, control: Control) -> None:
        self._blob, self._limits, self._control = blob, limits, control
        self._image = IsoImage(blob, limits)
        if self._image.session:
            raise Unsupported(
                "an image of several sessions, to which a further one is written by its drive", found=self._image.session
            )
        self._old_blocks = -(-blob.size // BLOCK)
        self._gpt = self._read_gpt()
        self._notes: list[str] = []
        self._end_of_data: int | None = None
        self._base = self._second_base()
        self._end = self._end_of_files()
        self._next = self._end
        self._catalog = catalog_of(self._image)
        self._contents: list[tuple[int, Blob]] = []
        self._editors: list[TreeEditor] | None = None
        self._esp: FatEditor | None = None
        self._esp_at = 0
        self._volume_id: str | None = None
        self._old_label = text_of(self._image.primary.volume_id)
        self._changed = False

    # What is there

    def _read_gpt(self) -> Gpt | None:
        try:
            return read_gpt(self._blob)
        except Corrupt:
            return None

    def _second_base(self) -> int:
        """Return the block at which a partition begins that is an ISO by itself, 0 where there is none."""
        found = [one.first for one in self._gpt.partitions] if self._gpt is not None else []
        found += [one.start for one in (read_mbr(self._blob) or {}).values() if one.kind != PROTECTIVE]
        for start in found:
            base = start // _PER_BLOCK
            if start and start % _PER_BLOCK == 0 and self._blob.read_at((base + 16) * BLOCK, 6) == b"\x01" + MAGIC:
                return base
        return 0

    def _end_of_files(self) -> int:
        """Return the block behind the file system, where there is room to be made."""
        if self._base:
            start = self._base * _PER_BLOCK
            ends = [one.last + 1 for one in self._gpt.partitions if one.first == start] if self._gpt is not None else []
            ends += [one.start + one.sectors for one in (read_mbr(self._blob) or {}).values() if one.start == start]
            return -(-ends[0] // _PER_BLOCK)
        return self._data_end()

    def _data_end(self) -> int:
        """Return the block behind everything but the copy of the GPT. Raises Unsupported."""
        if self._end_of_data is None:
            self._end_of_data = self._find_data_end()
        return self._end_of_data

    def _find_data_end(self) -> int:
        if self._gpt is None or self._gpt.alternate * 512 + 512 > self._blob.size:
            return self._old_blocks
        first = self._gpt.alternate + 1 - gpt_tail_sectors(self._blob)
        behind = (self._gpt.alternate + 1) * 512
        rest = self._blob.size - behind
        if rest > 64 * _MIB or self._blob.read_at(behind, rest).strip(b"\0"):
            raise Unsupported("bytes behind the copy of the GPT, whose meaning is not known", offset=behind)
        if rest >= BLOCK:
            self._notes.append(f"the copy of the GPT was not at the end: {rest} zero bytes behind it go")
        ends = [one.last + 1 for one in self._gpt.partitions if one.last < first]
        return max(first // _PER_BLOCK, -(-max(ends, default=0) // _PER_BLOCK))

    # Changes

    def apply(self, edit: Edit) -> None:
        """Take one change."""
        self._changed = True
        self._control.check()
        if isinstance(edit, Add):
            self._add(normalize(edit.path), edit.node)
        elif isinstance(edit, Remove):
            path = normalize(edit.path)
            self._refuse_boot_images(path)
            for editor in self._trees():
                with _only_if_there(editor, self._trees()[0]):
                    editor.remove(path)
        elif isinstance(edit, VolumeId):
            if len(edit.text.encode()) > 32:
                raise NotRepresentable(f"a volume id of {len(edit.text.encode())} bytes, at most 32")
            self._volume_id = edit.text
        elif isinstance(edit, EspAdd):
            self._editor_of_esp().add(edit.path, edit.content)
        else:
            self._editor_of_esp().remove(edit.path)

    def _trees(self) -> list[TreeEditor]:
        if self._editors is None:
            images = [self._image]
            if self._base:
                images.append(IsoImage(self._blob, self._limits, base=self._base))
            self._editors = [
                TreeEditor(image, descriptor, self._allocate)
                for image in images
                for descriptor in image.descriptors
                if descriptor.kind == 1 or descriptor.is_joliet or descriptor.is_enhanced
            ]
        return self._editors

    def _allocate(self, count: int) -> int:
        block = self._next
        self._next += count
        return block

    def _add(self, path: bytes, node: Node) -> None:
        self._refuse_boot_images(path)
        if isinstance(node, Dir):
            for editor in self._trees():
                editor.mkdir(path, node)
            for name in sorted(node.children):
                self._add(join(path, name), node.children[name])
            return
        if isinstance(node, (Device, Pipe, Socket)):
            raise NotRepresentable("devices, pipes and sockets cannot be added", path=path)
        block = size = 0
        if isinstance(node, File):
            size = node.content.size
            block = self._allocate(-(-size // BLOCK))
            self._contents.append((block, node.content))
        for editor in self._trees():
            if isinstance(node, Symlink) and not (editor.descriptor.kind == 1 and self._image.world == "rock ridge"):
                continue
            editor.add(path, node, block, size)

    def _refuse_boot_images(self, path: bytes) -> None:
        """Raise NotRepresentable for a path that firmware finds by its block."""
        try:
            node = self._image.tree.lookup(path)
        except PathError:
            return
        blocks = {entry.block for entry in self._catalog.entries} if self._catalog is not None else set()
        blocks |= {self._catalog.block} if self._catalog is not None else set()
        todo: list[tuple[bytes, Node]] = [(path, node)]
        while todo:
            here, one = todo.pop()
            if isinstance(one, Dir):
                todo += [(join(here, name), child) for name, child in one.children.items()]
            elif isinstance(one, File) and isinstance(one.content, SliceBlob) and one.content.start // BLOCK in blocks:
                raise NotRepresentable(
                    "a boot image, which firmware finds by its place, is not replaced or removed",
                    path=here,
                    hint="`imgcore iso create` makes a new image",
                )

    def _editor_of_esp(self) -> FatEditor:
        if self._esp is None:
            found: Blob | None = None
            with contextlib.suppress(PathError):
                found = find_partition(self._blob, "esp")
            if found is None:
                entry = next((one for one in self._entries() if one.platform == 0xEF), None)
                if entry is None:
                    raise PathError("the image has no EFI system partition")
                start = entry.block * BLOCK
                found = SliceBlob(self._blob, start, self._blob.size - start)
            assert isinstance(found, SliceBlob)
            self._esp_at = found.start
            try:
                self._esp = FatEditor(found, now=self._time(), limits=self._limits)
            except NotThisFormat:
                raise Unsupported("the EFI system partition is no FAT", offset=found.start) from None
        return self._esp

    def _entries(self) -> Sequence[CatalogEntry]:
        return self._catalog.entries if self._catalog is not None else ()

    def _time(self) -> int:
        """Return the time of what is new in the ESP: the volume's."""
        from imgcore.formats.iso9660.dates import parse_long

        return parse_long(self._image.primary.modified) or 0

    # Result

    def finish(self) -> Modified:
        """Return the changed image."""
        if not self._changed:
            report = Kept(self._blob.size, self._blob.size, 0, 0, 0, ())
            return Modified(self._blob, self._blob.size, [], report)
        patches: list[tuple[int, Blob]] = []
        for editor in self._editors or ():
            patches += [(at, BytesBlob(data)) for at, data in editor.patches()]
        delta = self._grown()
        size = self._new_size(delta)
        moved = self._moved(delta)
        added = [(block * BLOCK, content) for block, content in self._contents]
        tables = self._tables(delta, size) if size != self._blob.size or delta else []
        descriptors = self._descriptors(delta, size)
        esp = []
        if self._esp is not None:
            shift = delta * BLOCK if self._esp_at >= self._end * BLOCK else 0
            esp = [(self._esp_at + shift + patch.at, patch.content) for patch in self._esp.patches()]
        whole = [*moved, *added, *patches, *self._catalog_patches(delta), *tables, *descriptors, *esp]
        whole = [(at, content) for at, content in whole if content.size]
        digest = self._digest(whole, size)
        whole += digest
        return Modified(self._blob, size, whole, self._report(size, moved, added, whole, delta))

    def _grown(self) -> int:
        """Return how many blocks what is behind the files moves: what is new, kept to the alignment of partitions there."""
        delta = self._next - self._end
        starts = [one.offset for one in partitions(self._blob) if one.offset >= self._end * BLOCK] if delta else []
        if starts and all(start % _MIB == 0 for start in starts):
            delta += -delta % (_MIB // BLOCK)
        return delta

    def _new_size(self, delta: int) -> int:
        if not delta:
            return self._blob.size
        if self._gpt is not None and self._gpt.alternate * 512 + 512 <= self._blob.size:
            sectors = (self._data_end() + delta) * _PER_BLOCK + gpt_tail_sectors(self._blob)
            sectors += -sectors % _PER_BLOCK
        else:
            sectors = (self._old_blocks + delta) * _PER_BLOCK
        mbr = read_mbr(self._blob) or {}
        whole = any(one.start == 0 and one.sectors * 512 == self._blob.size for one in mbr.values())
        if whole and self._blob.size % (_CYLINDER * 512) == 0:
            sectors += -sectors % _CYLINDER
        return sectors * 512

    def _moved(self, delta: int) -> list[tuple[int, Blob]]:
        """Return what is behind the files, at its new place."""
        start, end = self._end * BLOCK, self._data_end() * BLOCK
        if not delta or end <= start:
            return []
        return [(start + delta * BLOCK, SliceBlob(self._blob, start, min(end, self._blob.size) - start))]

    def _tables(self, delta: int, size: int) -> list[tuple[int, Blob]]:
        """Return the partition tables as they become."""
        limit = self._end * _PER_BLOCK
        shift = delta * _PER_BLOCK

        def move(first: int, end: int) -> tuple[int, int]:
            if first >= limit:
                return first + shift, end + shift
            return (first, end + shift) if end >= limit else (first, end)

        sectors = size // 512
        out = list(moved_mbr(self._blob, sectors, self._blob.size // 512, move))
        if self._gpt is not None:
            if self._gpt.is_backup:
                raise Unsupported("the GPT's first copy is damaged: repair it first", offset=512)
            out += moved_gpt(self._blob, sectors, move)
        return [(at, BytesBlob(data)) for at, data in out]

    def _catalog_patches(self, delta: int) -> list[tuple[int, Blob]]:
        """Return the catalog's entries whose images move."""
        catalog: Catalog | None = self._catalog
        if catalog is None or not delta:
            return []
        return [
            (entry.at + 8, BytesBlob((entry.block + delta).to_bytes(4, "little")))
            for entry in catalog.entries
            if entry.block >= self._end
        ]

    def _descriptors(self, delta: int, size: int) -> list[tuple[int, Blob]]:
        """Return the volume descriptors as they become."""
        out: list[tuple[int, Blob]] = []
        grown = -(-size // BLOCK) - self._old_blocks
        for editor in self._trees():
            record, base = editor.record, editor.image.base
            if delta or grown:
                record.space_size = both32(min(max(low32(record.space_size) + (delta if base else grown), 0), 0xFFFFFFFF))
            if self._volume_id is not None:
                record.volume_id = self._label(editor, record)
            out.append((editor.descriptor.block * BLOCK, BytesBlob(record.pack())))
        return out

    def _label(self, editor: TreeEditor, record: VolumeDescriptor) -> bytes:
        assert self._volume_id is not None
        if not editor.descriptor.is_joliet:
            return self._volume_id.encode().ljust(32)
        units = self._volume_id.encode("utf-16-be", "replace")[:32]
        return units + b"\0 " * ((32 - len(units)) // 2)

    def _digest(self, patches: list[tuple[int, Blob]], size: int) -> list[tuple[int, Blob]]:
        """Return the application use field with the digest made again, where there was one."""
        stored = stored_digest(self._image.primary.application_use)
        if stored is None:
            return []
        self._notes.append(f"the {stored.kind} digest was made again, which reads the whole image")
        if "signature" in stored.fields:
            self._notes.append("the digest's signature no longer holds, and was left out")
        blocks = low32(self._trees()[0].record.space_size)
        pad = int(stored.fields["pad"]) if stored.fields.get("pad", "").isdigit() else 0
        digest = MediaDigest(stored.kind, blocks, pad if stored.kind == "tagmedia" else 0)
        whole = Patched(self._blob, size, patches)
        for at in range(0, size, _READ):
            self._control.check()
            digest.update(whole.read_at(at, _READ))
        return [(APPLICATION_USE, BytesBlob(digest.finish()))]

    def _report(
        self, size: int, moved: list[tuple[int, Blob]], added: list[tuple[int, Blob]], whole: list[tuple[int, Blob]], delta: int
    ) -> Kept:
        count_moved = sum(content.size for _, content in moved)
        count_added = sum(content.size for _, content in added)
        ids = {id(content) for _, content in (*moved, *added)}
        rewritten = sum(content.size for _, content in whole if id(content) not in ids)
        notes = list(self._notes)
        if delta:
            notes.append(f"{delta * BLOCK} bytes were put at block {self._end}")
        if moved:
            notes.append(f"{count_moved} bytes behind the file system moved by {delta * BLOCK}")
        for path in _SUMS:
            with contextlib.suppress(PathError, FormatError):
                self._image.tree.lookup(path)
                notes.append(f"`{show(path)}` may have sums of files that changed: it was not made again")
        if self._volume_id is not None:
            old = self._old_label
            notes.append(
                f"kernel command lines and boot loaders that look for the label `{show(old.encode())}` were not changed"
            )
        kept = max(min(self._blob.size, size) - count_moved - rewritten, 0)
        return Kept(size, kept, count_moved, rewritten, count_added, tuple(notes))


@contextlib.contextmanager
def _only_if_there(editor: TreeEditor, first: TreeEditor) -> Iterator[None]:
    """Let only the first tree say that a path is not there: links are in one world and not in the others."""
    try:
        yield
    except PathError:
        if editor is first:
            raise
