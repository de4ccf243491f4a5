"""Discoverable disk images (DDIs) from a tree: `imgcore ddi build`.

The disk has one root partition with a squashfs; with verity a partition with its hash tree; signed, one with the signature of
the root hash. That is what systemd-repart makes with `--make-ddi=`, in its layout and with its UUIDs: with the same seed and
the same file system the disk is the same to the byte. Versions differ: 262 adds up the size exactly, marks the signature
read-only, and says on the root directory, in xattrs `user.validatefs.*`, which partition the file system is meant for.

Without a seed it follows from the file system, so that the same tree gives the same disk.

With `bare` there is no disk: the file system stands alone, and what verity needs lies in files beside it (`NAME.verity`,
`NAME.roothash`, `NAME.roothash.p7s`), as systemd takes it too.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, Literal, TypeAlias

from imgcore.blob import Blob, BytesBlob, Sink, SliceBlob, open_sink, read_chunks
from imgcore.blob.part import PartSink, SinkBlob, append_zeros
from imgcore.build.ddi_tree import DdiKind, ddi_tree
from imgcore.build.disk_image import GROW_FILE_SYSTEM, READ_ONLY, DiskPart, begin_disk, finish_disk
from imgcore.build.pack import EngineName, PackSource, pack
from imgcore.build.signing import Signer
from imgcore.build.source import AnyPath
from imgcore.disk.placing import GRAIN, Wanted, auto_size, place
from imgcore.disk.seeds import disk_uuid, file_system_uuid, partition_uuid, verity_salt, verity_uuid
from imgcore.disk.signature import SIGNATURE_BYTES, VeritySignature, signature_size
from imgcore.disk.types import PartitionType, type_by_name
from imgcore.disk.verity import HashTree, VerityOptions, hash_tree
from imgcore.engine import Engine, get_engine
from imgcore.errors import Unsupported
from imgcore.events import Control, Warned
from imgcore.formats.base import Options, Report
from imgcore.formats.squashfs import Options as SquashfsOptions
from imgcore.limits import Limits
from imgcore.model import Tree
from imgcore.transforms import Policy
from imgcore.values import value_class

__all__ = ["DdiReport", "DdiSettings", "RepartVersion", "build_ddi", "labels"]

RepartVersion: TypeAlias = Literal[257, 262]
_SUFFIXES: Final = (b".roothash", b".roothash.p7s", b".verity")
_SECTORS: Final = (512, 1024, 2048, 4096)


@value_class(eq=False)
class DdiSettings:
    """What a DDI is to be.

    `kind` says which files go in; `architecture` is systemd's name; `systemd` the version whose layout is made. `signer` needs
    `verity`. `seed` None: one that follows from the file system. `split` writes each partition to a file beside the disk, and
    with `sidecars` the root hash and its signature; `bare` writes no disk. Raises ValueError for a sector that is not 512,
    1024, 2048 or 4096 bytes, for a name of an architecture that systemd does not have, and for a signer without verity.
    """

    kind: DdiKind = "sysext"
    architecture: str = "x86-64"
    seed: uuid.UUID | None = None
    verity: bool = False
    signer: Signer | None = None
    systemd: RepartVersion = 262
    sector: int = 512
    split: bool = False
    bare: bool = False
    sidecars: bool = True

    def __post_init__(self) -> None:
        if self.sector not in _SECTORS:
            raise ValueError(f"a sector of {self.sector} bytes; known: {', '.join(map(str, _SECTORS))}")
        if self.signer is not None and not self.verity:
            raise ValueError("a signature is of a root hash: it needs verity")
        if self.bare and self.split:
            raise ValueError("a bare file system has no partitions to split")
        type_by_name("root", self.architecture)

    def types(self) -> list[PartitionType]:
        """Return the types of the partitions, in order."""
        roles = ["root", "root-verity", "root-verity-sig"][: 1 + self.verity + (self.signer is not None)]
        return [type_by_name(role, self.architecture) for role in roles]


@value_class(eq=False)
class DdiReport:
    """What was made: `parts` of the disk, none of them for a bare file system; `pack` is about the file system in it."""

    pack: Report
    size: int
    seed: uuid.UUID
    parts: tuple[DiskPart, ...]
    root: bytes | None
    files: tuple[bytes, ...]

    def values(self) -> dict[str, object]:
        """Return the report as plain values."""
        parts = [
            {
                "type": one.kind.name,
                "label": one.label,
                "uuid": str(one.guid),
                "attributes": one.attributes,
                "offset": one.offset,
                "size": one.size,
            }
            for one in self.parts
        ]
        return {
            "size": self.size,
            "seed": str(self.seed),
            "root_hash": None if self.root is None else self.root.hex(),
            "partitions": parts,
            "files": [os.fsdecode(path) for path in self.files],
            "file_system": {"format": self.pack.format, "codec": self.pack.codec, "size": self.pack.size},
        }


def build_ddi(
    source: PackSource,
    dest: AnyPath,
    settings: DdiSettings,
    *,
    options: Options | None = None,
    policy: Policy | None = None,
    exclude: Sequence[str | bytes] = (),
    engine: EngineName = "auto",
    force: bool = False,
    sync: bool = True,
    jobs: int = 1,
    limits: Limits | None = None,
    stdin: BinaryIO | None = None,
    control: Control | None = None,
) -> DdiReport:
    """Write a DDI of `source` to `dest`; return what was made.

    `options` are those of squashfs; the other arguments are as for `pack`. What of the tree does not belong into an image of
    this kind is left out, with a warning. Raises as `pack` does, MergeConflict for a tree without a release file, Unsupported
    for another file system.
    """
    control = control or Control()
    options = SquashfsOptions() if options is None else options
    if not isinstance(options, SquashfsOptions):
        raise Unsupported("a DDI with another file system than squashfs", found=type(options).__module__)
    types = settings.types()
    names = labels(types)
    worker = get_engine(engine)

    def change(tree: Tree) -> Tree:
        marks = None if settings.bare or settings.systemd < 262 else (names, [one.guid for one in types])
        return ddi_tree(tree, settings.kind, os.path.basename(os.fsencode(dest)), marks, control)

    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(open_sink(dest, replace=force, sync=sync))
        if not settings.bare:
            begin_disk(sink)
        body = PartSink(sink)
        report = pack(
            source,
            body,
            format="squashfs",
            options=options,
            policy=policy,
            exclude=exclude,
            transforms=(change,),
            outputs=[dest, *_companions(os.fsencode(dest).removesuffix(b".raw"), types)],
            engine=engine,
            limits=limits,
            stdin=stdin,
            control=control,
        )
        append_zeros(sink, -body.position % GRAIN)
        held = SinkBlob(sink, sink.position - body.position)
        seed = settings.seed or _seed_of(held, jobs, worker, control)
        tree = _verity(held, seed, jobs, worker, control) if settings.verity else None
        signature = settings.signer.sign(tree.root) if settings.signer is not None and tree is not None else None
        parts: list[DiskPart] = []
        if not settings.bare:
            parts = _write_disk(sink, held.size, types, names, seed, tree, signature, settings, control)
        extra = list(_beside(os.fsencode(dest).removesuffix(b".raw"), sink, parts, tree, signature, settings))
        size = sink.position
        for path, content in extra:
            other = stack.enter_context(open_sink(path, replace=force, sync=sync))
            for data in read_chunks(content):
                other.append(data)
    root = None if tree is None else tree.root
    _warn_of_strangers(dest, [path for path, _ in extra], control)
    return DdiReport(report, size, seed, tuple(parts), root, tuple(path for path, _ in extra))


def _warn_of_strangers(dest: AnyPath, made: Sequence[bytes], control: Control) -> None:
    """Warn of files beside the image that systemd would take for its own, and that were not made with it."""
    stem = os.fsencode(dest).removesuffix(b".raw")
    for suffix in (*_SUFFIXES, b".usrhash", b".usrhash.p7s"):
        if stem + suffix not in made and os.path.exists(stem + suffix):
            control.emit(Warned("lies beside the image, and systemd will hold the image to it", stem + suffix))


def labels(types: Sequence[PartitionType]) -> list[str]:
    """Return the label of each partition: its type's name, with a number for the second of a name and later ones."""
    found: list[str] = []
    for one in types:
        label, number = one.name, 1
        while label in found:
            number += 1
            label = f"{one.name}-{number}"
        found.append(label)
    return found


def _seed_of(held: Blob, jobs: int, engine: Engine, control: Control) -> uuid.UUID:
    """Return a seed that follows from the file system: from the root of a hash tree without salt."""
    root = hash_tree(held, VerityOptions(), jobs=jobs, engine=engine, control=control).root
    return file_system_uuid(uuid.UUID(bytes=root[:16]))


def _verity(held: Blob, seed: uuid.UUID, jobs: int, engine: Engine, control: Control) -> HashTree:
    return hash_tree(held, VerityOptions(verity_salt(seed), verity_uuid(seed)), jobs=jobs, engine=engine, control=control)


def _write_disk(
    sink: Sink,
    body: int,
    types: Sequence[PartitionType],
    names: Sequence[str],
    seed: uuid.UUID,
    tree: HashTree | None,
    signature: VeritySignature | None,
    settings: DdiSettings,
    control: Control,
) -> list[DiskPart]:
    wanted = [Wanted(body)]
    contents: list[Blob | None] = [None]
    if tree is not None:
        contents.append(BytesBlob(tree.area))
        wanted.append(Wanted(len(tree.area)))
    if signature is not None:
        contents.append(BytesBlob(signature.pack()))
        wanted.append(Wanted(SIGNATURE_BYTES, SIGNATURE_BYTES))
    total = auto_size(wanted, settings.sector, exact=settings.systemd >= 262)
    parts = []
    for placed, kind, label, content in zip(place(wanted, total, settings.sector), types, names, contents, strict=True):
        guid = partition_uuid(seed, kind.guid)
        attributes = GROW_FILE_SYSTEM if tree is None else READ_ONLY
        if kind.is_signature and settings.systemd < 262:
            attributes = 0
        elif tree is not None and not kind.is_signature:
            guid = uuid.UUID(bytes=tree.root[16:32] if kind.is_verity else tree.root[:16])
        parts.append(DiskPart(kind, label, guid, attributes, placed.offset, placed.size, content))
    finish_disk(sink, body, parts, total=total, sector=settings.sector, disk_guid=disk_uuid(seed), control=control)
    return parts


def _companions(stem: bytes, types: Sequence[PartitionType]) -> list[bytes]:
    """Return the paths of all that may be made beside the image."""
    return [stem + suffix for suffix in _SUFFIXES] + [stem + b"." + one.name.encode() + b".raw" for one in types]


def _beside(
    stem: bytes,
    sink: Sink,
    parts: Sequence[DiskPart],
    tree: HashTree | None,
    signature: VeritySignature | None,
    settings: DdiSettings,
) -> Iterator[tuple[bytes, Blob]]:
    if settings.split:
        whole = SinkBlob(sink)
        for part in parts:
            size = part.size
            if part.kind.is_signature and settings.systemd >= 262 and part.content is not None:
                size = signature_size(part.content)
            yield stem + b"." + part.kind.name.encode() + b".raw", SliceBlob(whole, part.offset, size)
    if not (settings.bare or (settings.split and settings.sidecars)):
        return
    if tree is not None:
        if settings.bare:
            yield stem + b".verity", BytesBlob(tree.area)
        yield stem + b".roothash", BytesBlob(tree.root.hex().encode())
    if signature is not None:
        yield stem + b".roothash.p7s", BytesBlob(signature.der)
