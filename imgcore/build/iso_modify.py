"""Changes of an ISO image that keep everything else to the byte: what was there stays where it was, what is new is added.

New files, and directories that no longer fit, go behind the file system's last block ("graft"): a partition behind it (an EFI
system partition, say) moves to make room, with what leads to it; the copy of a GPT goes to the new end; digests are made
again. The result is a list of patches, so that it costs what is new and not the size of the image: `Modified.write` makes a
new image of it (sharing the old one's bytes where the file system can), `in_place` changes the old one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from imgcore.blob import Blob, BytesBlob, SliceBlob
from imgcore.build.iso_edits import Add, Edit, EspAdd, EspRemove, Kept, Modified, Patched, Remove, VolumeId
from imgcore.build.iso_room import Room
from imgcore.disk.partitions import find_partition
from imgcore.errors import Corrupt, FormatError, NotRepresentable, NotThisFormat, PathError, Unsupported, show
from imgcore.events import Control
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.iso9660.catalog import CatalogEntry
from imgcore.formats.iso9660.describe import catalog_of, text_of
from imgcore.formats.iso9660.digest import APPLICATION_USE, MediaDigest, stored_digest
from imgcore.formats.iso9660.edit import TreeEditor
from imgcore.formats.iso9660.layout import BLOCK, VolumeDescriptor, both32, low32
from imgcore.formats.iso9660.options import CAPABILITIES, PLAIN_CAPABILITIES
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree, checked, join, normalize, split

__all__ = ["Add", "Edit", "EspAdd", "EspRemove", "Kept", "Modified", "Remove", "VolumeId", "modify"]

_READ: Final = 1 << 20
_SUMS: Final = (b"/md5sum.txt", b"/.treeinfo", b"/SHA256SUMS", b"/CHECKSUMS", b"/sha256sum.txt", b"/.checksum.md5")


def modify(
    blob: Blob,
    edits: Sequence[Edit],
    *,
    allow_loss: Collection[str] = (),
    limits: Limits | None = None,
    control: Control | None = None,
) -> Modified:
    """Return the image with these changes. Without any it is the same to the byte.

    `allow_loss` names kinds of loss that are accepted: link, xattr, device, time. Raises PathError for a path that is not
    there, NotRepresentable for what the image cannot hold (a boot image that is replaced, no room in the ESP, a symbolic
    link without Rock Ridge), Unsupported for a layout that could not be kept, Corrupt for a damaged image.
    """
    if not edits:
        IsoImage(blob, limits or Limits.default())  # says what is none
        return Modified(blob, blob.size, [], Kept(blob.size, blob.size, 0, 0, 0, ()))
    plan = _Plan(blob, limits or Limits.default(), control or Control(), tuple(allow_loss))
    for edit in edits:
        plan.apply(edit)
    return plan.finish()


class _Esp(NamedTuple):
    """An EFI file system: where it begins, and its editor."""

    start: int
    editor: FatEditor


class _Plan:
    """One change of an image, while it is made."""

    def __init__(self, blob: Blob, limits: Limits, control: Control, allow_loss: tuple[str, ...]) -> None:
        self._blob, self._limits, self._control, self._allow_loss = blob, limits, control, allow_loss
        self._image = IsoImage(blob, limits)
        if self._image.session:
            raise Unsupported(
                "an image of several sessions, to which a further one is written by its drive", found=self._image.session
            )
        claimed = low32(self._image.primary.space_size) * BLOCK
        if claimed > blob.size:
            what = "an image that is cut: what is added would lie where its files were"
            raise Corrupt(what, structure="VolumeDescriptor", found=blob.size, allowed=f"at least {claimed} bytes")
        self._notes: list[str] = []
        self._room = Room(self._image, self._notes)
        self._catalog = catalog_of(self._image)
        self._contents: list[tuple[int, Blob]] = []
        self._editors: list[TreeEditor] | None = None
        self._esps: list[_Esp] | None = None
        self._volume_id: str | None = None
        self._old_label = text_of(self._image.primary.volume_id)

    # Changes

    def apply(self, edit: Edit) -> None:
        """Take one change."""
        self._control.check()
        if isinstance(edit, Add):
            self._add_checked(normalize(edit.path), edit.node)
        elif isinstance(edit, Remove):
            path = normalize(edit.path)
            self._refuse_boot_images(path)
            for editor in self._trees():
                with _only_if_there(editor, self._trees()[0]):
                    editor.remove(path)
        elif isinstance(edit, VolumeId):
            size = len(_encoded(edit.text))
            if size > 32:
                raise NotRepresentable(f"a volume id of {size} bytes, at most 32")
            self._volume_id = edit.text
        elif isinstance(edit, EspAdd):
            for esp in self._esp_editors():
                esp.editor.add(edit.path, edit.content)
        else:
            first, *others = self._esp_editors()
            first.editor.remove(edit.path)
            for esp in others:
                with contextlib.suppress(PathError):
                    esp.editor.remove(edit.path)

    def _trees(self) -> list[TreeEditor]:
        if self._editors is None:
            images = [self._image]
            if self._room.base:
                images.append(IsoImage(self._blob, self._limits, base=self._room.base))
            self._editors = [
                TreeEditor(image, descriptor, self._room.allocate)
                for image in images
                for descriptor in image.descriptors
                if descriptor.kind == 1 or descriptor.is_joliet or descriptor.is_enhanced
            ]
        return self._editors

    def _add_checked(self, path: bytes, node: Node) -> None:
        """Add what the image can hold. Raises NotRepresentable for what it would lose."""
        caps = CAPABILITIES if self._image.world == "rock ridge" else PLAIN_CAPABILITIES
        top: Node = node
        for name in reversed(split(path)):
            top = Dir(Meta(), {name: top})
        if not isinstance(top, Dir):
            raise PathError("a directory is in the way", path=path)
        kept, losses = checked(Tree(top, self._limits), caps, allow=self._allow_loss, format_name="iso9660")
        self._notes += [f"lost: {loss}" for loss in losses if loss.kind in self._allow_loss]
        if path in kept:  # what is lost whole is not
            self._add(path, kept.lookup(path))

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
            block = self._room.allocate(-(-size // BLOCK))
            self._contents.append((block, node.content))
        for editor in self._trees():
            if isinstance(node, Symlink) and not (editor.descriptor.kind == 1 and self._image.world == "rock ridge"):
                with contextlib.suppress(PathError):  # what the link replaces goes from the trees that have no links
                    editor.remove(path)
                continue
            name = editor.add(path, node, block, size)
            if self._image.world != "rock ridge" and name != split(path)[-1]:
                self._notes.append(f"`{show(path)}` is called `{show(name)}` in a tree without Rock Ridge")

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

    def _esp_editors(self) -> list[_Esp]:
        """Return the EFI system partition, and the image that UEFI boots from a CD where that is another one."""
        if self._esps is None:
            places: list[int] = []
            with contextlib.suppress(PathError):
                found = find_partition(self._blob, "esp")
                assert isinstance(found, SliceBlob)
                places.append(found.start)
            places += [entry.block * BLOCK for entry in self._entries() if entry.platform == 0xEF and entry.bootable]
            if not places:
                raise PathError("the image has no EFI system partition")
            self._esps = [self._esp_at(start) for start in dict.fromkeys(places)]
            for one in self._esps:
                self._refuse_shared(one.start)
            if len(self._esps) > 1:
                where = " and ".join(str(one.start // BLOCK) for one in self._esps)
                self._notes.append(f"the image has two EFI file systems, at blocks {where}: both were changed")
        return self._esps

    def _refuse_shared(self, start: int) -> None:
        """Raise NotRepresentable where several files have the bytes of an EFI file system: all of them would change."""
        if start >= self._room.end * BLOCK:
            return
        found = []
        for path, node in self._image.tree.walk():
            if (
                isinstance(node, File)
                and isinstance(node.content, SliceBlob)
                and node.content.start == start
                and node.content.size
            ):
                found.append(path)
        if len(found) > 1:
            names = " and ".join(f"`{show(path)}`" for path in found[:2])
            raise NotRepresentable(f"{names} have the same bytes: both would change", path=found[0])

    def _esp_at(self, start: int) -> _Esp:
        if start >= self._blob.size:
            raise Corrupt("an EFI file system behind the end of the image", offset=start)
        try:
            found = SliceBlob(self._blob, start, self._blob.size - start)
            return _Esp(start, FatEditor(found, now=self._time(), limits=self._limits))
        except NotThisFormat:
            raise Unsupported("the EFI system partition is no FAT", offset=start) from None

    def _entries(self) -> Sequence[CatalogEntry]:
        return self._catalog.entries if self._catalog is not None else ()

    def _time(self) -> int:
        """Return the time of what is new in the ESP: the volume's."""
        from imgcore.formats.iso9660.dates import parse_long

        return parse_long(self._image.primary.modified) or 0

    # Result

    def finish(self) -> Modified:
        """Return the changed image."""
        patches: list[tuple[int, Blob]] = []
        for editor in self._editors or ():
            patches += [(at, BytesBlob(data)) for at, data in editor.patches()]
        delta = self._room.grown()
        size = self._room.new_size(delta)
        moved = self._room.moved(delta)
        added = [(block * BLOCK, content) for block, content in self._contents]
        tables = self._room.tables(delta, size) if size != self._blob.size or delta else []
        descriptors = self._descriptors(delta, size)
        esp = []
        for one in self._esps or ():
            shift = delta * BLOCK if one.start >= self._room.end * BLOCK else 0
            esp += [(one.start + shift + patch.at, patch.content) for patch in one.editor.patches()]
        whole = [*moved, *added, *patches, *self._room.catalog_patches(self._catalog, delta), *tables, *descriptors, *esp]
        whole = [(at, content) for at, content in whole if content.size]
        digest = self._digest(whole, size)
        whole += digest
        return Modified(self._blob, size, whole, self._report(size, moved, added, whole, delta))

    def _descriptors(self, delta: int, size: int) -> list[tuple[int, Blob]]:
        """Return the volume descriptors as they become."""
        out: list[tuple[int, Blob]] = []
        for editor in self._trees():
            record, base = editor.record, editor.image.base
            blocks = self._room.space_size(low32(record.space_size), delta, size, second=bool(base))
            record.space_size = both32(min(max(blocks, 0), 0xFFFFFFFF))
            if self._volume_id is not None:
                record.volume_id = self._label(editor, record)
            out.append((editor.descriptor.block * BLOCK, BytesBlob(record.pack())))
        return out

    def _label(self, editor: TreeEditor, record: VolumeDescriptor) -> bytes:
        assert self._volume_id is not None
        if not editor.descriptor.is_joliet:
            return _encoded(self._volume_id).ljust(32)
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
            notes.append(f"{delta * BLOCK} bytes were put at block {self._room.end}")
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


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _only_if_there(editor: TreeEditor, first: TreeEditor) -> Iterator[None]:
    """Let only the first tree say that a path is not there: links are in one world and not in the others."""
    try:
        yield
    except PathError:
        if editor is first:
            raise
