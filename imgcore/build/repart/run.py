"""Definitions to a disk image: `imgcore repart`.

In this order: what fills partitions is made as far as its size does not depend on the disk (squashfs, CopyBlocks=, hash
trees, signatures), the first of it where it will lie; places are found; the rest is made (vfat of a given size); all is
written, and the disk appears whole. A dry run does the same into temporary files, and leaves nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Mapping, Sequence

from imgcore.blob import Blob, BytesBlob, FileBlob, ScratchSink, Sink, SliceBlob, open_sink, read_chunks
from imgcore.blob.part import PartSink, SinkBlob, append_zeros
from imgcore.build.ddi import RepartVersion
from imgcore.build.ddi_tree import validate_xattrs
from imgcore.build.disk_image import DiskPart, begin_disk, finish_disk
from imgcore.build.pack import EngineName
from imgcore.build.repart.conf import DefinitionError
from imgcore.build.repart.contents import FORMATS, write_squashfs, write_vfat
from imgcore.build.repart.definition import Definition
from imgcore.build.repart.plan import acquire_labels, acquire_uuids, attributes, siblings, wanted
from imgcore.build.repart.populate import populate
from imgcore.build.signing import Signer
from imgcore.build.source import AnyPath
from imgcore.disk.placing import GRAIN, Placed, auto_size, place
from imgcore.disk.seeds import disk_uuid, verity_salt, verity_uuid
from imgcore.disk.signature import signature_size
from imgcore.disk.verity import HashTree, VerityOptions, hash_tree
from imgcore.engine import get_engine
from imgcore.events import Control
from imgcore.model import Dir, Meta, Tree
from imgcore.values import value_class

__all__ = ["MadePart", "RepartSettings", "repart"]


@value_class(eq=False)
class RepartSettings:
    """How a disk is made.

    `size` None is as large as is needed; `sector` None is 512, where nobody says it; `root` is a directory below which
    CopyBlocks= are looked for; what `defer` names has its place, and is not in the table; `time` is SOURCE_DATE_EPOCH.
    """

    seed: uuid.UUID
    systemd: RepartVersion = 262
    size: int | None = None
    sector: int | None = None
    signer: Signer | None = None
    split: bool = False
    defer: frozenset[uuid.UUID] = frozenset()
    root: str | None = None
    time: int | None = None


@value_class(eq=False)
class MadePart:
    """A partition that was made, or would be: `number` from 1, `root` the root hash of the set that it belongs to.

    `is_split` says that it has a file of its own too, where its definition names one.
    """

    number: int
    definition: Definition
    label: str
    guid: uuid.UUID
    offset: int
    size: int
    padding: int
    root: bytes | None
    is_split: bool = False

    def values(
        self,
        dest: str,
    ) -> dict[str, object]:
        """Return what systemd-repart's JSON has of it."""
        node = f"{dest}{'p' if dest[-1:].isdigit() else ''}{self.number}"
        found: dict[str, object] = {
            "type": self.definition.type().name,
            "label": self.label or "-",
            "uuid": str(self.guid),
            "partno": self.number - 1,
            "file": os.path.abspath(self.definition.path),
            "node": node,
            "offset": self.offset,
            "old_size": 0,
            "raw_size": self.size,
            "old_padding": 0,
            "raw_padding": self.padding,
            "activity": "create",
        }
        if self.definition.drop_ins:
            found["drop-in_files"] = [os.path.abspath(path) for path in self.definition.drop_ins]
        if self.root is not None:
            found["roothash"] = self.root.hex()
        if self.is_split and self.definition.split_name is not None:
            found["split_path"] = os.path.abspath(self.split_path(dest))
        return found

    def split_path(self, dest: str) -> str:
        """Return the path of the partition's own file. Raises DefinitionError for a SplitName= that gives no file's name."""
        one = self.definition
        kind = one.type()
        known = {"%": "%", "t": kind.name, "T": kind.guid.hex, "U": self.guid.hex, "n": str(self.number - 1)}
        name = re.sub("%([%tTUn])", lambda match: known[match[1]], one.split_name or "")
        if "/" in name:
            raise DefinitionError(f"SplitName= gives `{name}`, which is no name of a file", structure=one.path)
        return f"{dest.removesuffix('.raw')}.{name}.raw"


def repart(
    made: Sequence[Definition],
    source: Tree | None,
    dest: AnyPath | None,
    settings: RepartSettings,
    *,
    engine: EngineName = "auto",
    jobs: int = 1,
    force: bool = False,
    sync: bool = True,
    control: Control | None = None,
) -> list[MadePart]:
    """Write the disk that the definitions ask for to `dest`, or nothing where that is None; return its partitions.

    `source` is the tree that CopyFiles= copies from. Raises DefinitionError, ValueError where the partitions do not fit, and
    what `pack` raises.
    """
    if not made:
        raise ValueError("no definitions, and so no partitions")
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(ScratchSink() if dest is None else open_sink(dest, replace=force, sync=sync))
        work = _Work(made, source, settings, engine, jobs, control or Control(), stack, sink)
        parts, total = work.run()
        disk = [part for part, shown in parts if shown.definition.type().guid not in settings.defer]
        finish_disk(
            sink,
            work.body,
            disk,
            total=total,
            sector=settings.sector or 512,
            disk_guid=disk_uuid(settings.seed),
            control=work.control,
        )
        if settings.split and dest is not None:
            for path, part, size in _splits(os.fsdecode(dest), parts, settings.systemd):
                other = stack.enter_context(open_sink(os.fsencode(path), replace=force, sync=sync))
                for data in read_chunks(SliceBlob(SinkBlob(sink), part.offset, size)):
                    other.append(data)
    return [shown for _, shown in parts]


class _Work:
    def __init__(
        self,
        made: Sequence[Definition],
        source: Tree | None,
        settings: RepartSettings,
        engine: EngineName,
        jobs: int,
        control: Control,
        stack: contextlib.ExitStack,
        sink: Sink,
    ) -> None:
        self.made, self.settings, self.control, self.body = made, settings, control, 0
        self._source = source if source is not None else Tree(Dir(Meta(0o755), {}))
        self._engine, self._jobs, self._stack, self._sink = engine, jobs, stack, sink
        self._labels, self._guids = acquire_labels(made), acquire_uuids(made, settings.seed)
        self._contents: list[Blob | None] = [None] * len(made)
        self._first: int | None = None
        self._sector = settings.sector or 512
        self._trees: dict[str, HashTree] = {}

    def run(self) -> tuple[list[tuple[DiskPart, MadePart]], int]:
        """Return the partitions, as they are written and as they are shown, and the size of the disk."""
        begin_disk(self._sink)
        for number, one in enumerate(self.made):
            group = siblings(self.made, one)
            if one.verity == "data" and "hash" not in group:
                raise DefinitionError(
                    f"no Verity=hash for VerityMatchKey={one.match_key}: nothing would protect the data", structure=one.path
                )
            if one.verity in ("off", "data"):
                self._fill(number, one)
        for number, one in enumerate(self.made):
            if one.verity == "hash":
                self._contents[number] = BytesBlob(self._hash(one).area)
        for number, one in enumerate(self.made):
            if one.verity == "signature":
                self._sign(number, one)
        needs = []
        for number, one in enumerate(self.made):
            content = self._contents[number]
            # What a partition holds counts with Minimize= only; without it, it has to fit into what the partition gets.
            known = content is not None and (one.copy_blocks is not None or one.minimize != "off")
            size = content.size if content is not None and known else None
            needs.append(wanted(one, size, systemd=self.settings.systemd, sector=self.settings.sector))
        total = self.settings.size
        if total is None:
            total = auto_size(needs, self._sector, exact=self.settings.systemd >= 262)
        placed = place(needs, total, self._sector)
        return [self._part(number, where) for number, where in enumerate(placed, 1)], total

    def _fill(self, number: int, one: Definition) -> None:
        """Make what goes into a partition, unless its size has to be known first; of one that is deferred the size counts."""
        if one.copy_blocks is not None:
            path = (
                one.copy_blocks if self.settings.root is None else os.path.join(self.settings.root, one.copy_blocks.lstrip("/"))
            )
            content = self._stack.enter_context(FileBlob(path))
            if not content.size or content.size % _COPIED:
                raise DefinitionError(
                    f"CopyBlocks=: `{path}` has {content.size} bytes, and has to have whole sectors of {_COPIED}",
                    structure=one.path,
                )
            self._contents[number] = content
            return
        kind = one.file_system
        deferred = one.type().guid in self.settings.defer
        if kind in (None, "empty") or (deferred and one.minimize == "off"):
            return
        if kind not in FORMATS:
            raise DefinitionError(
                f"Format={kind}: this file system cannot be made here",
                structure=one.path,
                hint=f"known: {', '.join(FORMATS)}, empty{_override(one)}",
            )
        if kind == "vfat" and one.minimize == "off":
            return
        streamed = number == 0 and one.priority <= 0 and kind == "squashfs" and not deferred
        home = self._sink if streamed else self._stack.enter_context(ScratchSink())
        body = PartSink(home)  # pack commits the sink that it is given, and this one is read afterwards
        tree = self._tree(number, one)
        if kind == "vfat":
            write_vfat(tree, body, one, self._labels[number], self._guids[number], None, self.control)
        else:
            write_squashfs(tree, body, one, self.settings.time, self._engine, self._jobs, self.control)
        append_zeros(body, -body.position % GRAIN)
        if streamed:
            self._first, self.body = number, body.position
        self._contents[number] = SinkBlob(home, home.position - body.position)

    def _tree(self, number: int, one: Definition) -> Tree:
        xattrs: Mapping[bytes, bytes] = {}
        marked = one.validate if one.validate is not None else self.settings.systemd >= 262
        if marked and one.file_system != "vfat":
            group = list(siblings(self.made, one).values()) or [one]
            names = [self._labels[self.made.index(other)] for other in group]
            points = one.mount_points or [_MOUNT_POINTS.get(one.type().role, "")]
            xattrs = validate_xattrs(names, [other.type().guid for other in group], mount_point=points[0])
        time = None if self.settings.time is None else self.settings.time * 10**9
        return populate(one, self._source, xattrs, time, self.control)

    def _hash(self, one: Definition) -> HashTree:
        assert one.match_key is not None
        if one.match_key not in self._trees:
            group = siblings(self.made, one)
            data, tree = group["data"], group["hash"]
            content = self._contents[self.made.index(data)]
            if content is None:
                raise DefinitionError("nothing of which a hash tree could be made", structure=data.path)
            options = VerityOptions(
                verity_salt(self.settings.seed),
                verity_uuid(self.settings.seed),
                data_block=tree.data_block or GRAIN,
                hash_block=tree.hash_block or GRAIN,
            )
            if content.size % options.data_block:
                raise DefinitionError(f"{content.size} bytes are not whole blocks of {options.data_block}", structure=data.path)
            engine = get_engine(self._engine)
            self._trees[one.match_key] = hash_tree(content, options, jobs=self._jobs, engine=engine, control=self.control)
        return self._trees[one.match_key]

    def _sign(self, number: int, one: Definition) -> None:
        if one.type().guid in self.settings.defer:
            return
        if self.settings.signer is None:
            raise DefinitionError(
                "Verity=signature needs a private key and a certificate",
                structure=one.path,
                hint=f"--private-key and --certificate, or --exclude-partitions {one.type().name}",
            )
        self._contents[number] = BytesBlob(self.settings.signer.sign(self._hash(one).root).pack())

    def _part(self, number: int, where: Placed) -> tuple[DiskPart, MadePart]:
        one, index = self.made[where.index], where.index
        content = self._contents[index]
        if one.file_system == "vfat" and one.minimize == "off" and one.type().guid not in self.settings.defer:
            home = self._stack.enter_context(ScratchSink())
            write_vfat(
                self._tree(index, one), PartSink(home), one, self._labels[index], self._guids[index], where.size, self.control
            )
            content = SinkBlob(home)
        if content is not None and content.size > where.size:
            raise DefinitionError(
                f"{content.size} bytes do not fit into the partition of {where.size}",
                structure=one.path,
                hint="Minimize=best makes it as large as that" if one.minimize == "off" and one.copy_blocks is None else None,
            )
        tree = self._trees.get(one.match_key) if one.match_key is not None else None
        guid = self._guids[index]
        if tree is not None and one.verity in ("data", "hash") and one.guid is None:
            guid = uuid.UUID(bytes=tree.root[:16] if one.verity == "data" else tree.root[16:32])
        label, marks = self._labels[index], attributes(one, self.settings.systemd)
        # None is what was streamed; what nobody fills is zeros already.
        filled = None if index == self._first else content if content is not None else BytesBlob(b"")
        part = DiskPart(one.type(), label, guid, marks, where.offset, where.size, filled, number)
        root = None if tree is None else tree.root
        shown = MadePart(number, one, label, guid, where.offset, where.size, where.padding, root, self.settings.split)
        return part, shown


def _override(one: Definition) -> str:
    """Return what to say of the variable that replaces Format= of a partition that has a role."""
    name = one.type().role.upper().replace("-", "_")
    return f"; SYSTEMD_REPART_OVERRIDE_FSTYPE_{name}=squashfs replaces Format=" if name else ""


_COPIED = 512
_MOUNT_POINTS = {
    "root": "/",
    "usr": "/usr",
    "home": "/home",
    "srv": "/srv",
    "var": "/var",
    "tmp": "/var/tmp",
    "esp": "/efi",
    "xbootldr": "/boot",
}


def _splits(dest: str, parts: Sequence[tuple[DiskPart, MadePart]], systemd: int) -> list[tuple[str, DiskPart, int]]:
    """Return (path, partition, bytes of it) of each partition's own file. Raises DefinitionError for two of one name."""
    found: dict[str, tuple[str, DiskPart, int]] = {}
    for part, shown in parts:
        if shown.definition.split_name is None:
            continue
        path, size = shown.split_path(dest), part.size
        if path in found:
            message = f"SplitName= gives `{os.path.basename(path)}`, which another partition has"
            raise DefinitionError(message, structure=shown.definition.path)
        if systemd >= 262 and shown.definition.verity == "signature" and part.content is not None:
            size = signature_size(part.content)  # without what fills the partition up
        found[path] = path, part, size
    return list(found.values())
