"""A discoverable disk image, read: what its partitions are for, what verity and the signature say, whether all is true.

The partitions of one root (or usr) file system belong together by their types: data, hash tree, signature of the same role and
architecture. The root hash is what somebody says who knows it, else what a signature names; without either it is put together
from the UUIDs of data and tree, which are its halves.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
from typing import Any

from imgcore import formats
from imgcore.blob import Blob, FileBlob, SliceBlob
from imgcore.build.signing import check_signature, load_certificate, require_fingerprint
from imgcore.disk.gpt import Gpt, GptPartition, read_gpt
from imgcore.disk.mbr import protective_start
from imgcore.disk.signature import VeritySignature, read_signature
from imgcore.disk.types import PartitionType, type_of
from imgcore.disk.verity import VerityOptions, read_superblock, verify
from imgcore.engine import Engine
from imgcore.errors import Corrupt, FormatError, NotThisFormat, VerificationFailed
from imgcore.events import Control
from imgcore.formats.base import Finding
from imgcore.limits import Limits
from imgcore.values import value_class

__all__ = ["Ddi", "DdiPart", "VeritySet", "read_ddi", "table_findings", "verify_beside", "verify_set"]


@value_class(eq=False)
class DdiPart:
    """A partition: its entry, its type where that is known, and its bytes, None where these are not within the disk."""

    entry: GptPartition
    kind: PartitionType | None
    blob: Blob | None


@value_class(eq=False)
class VeritySet:
    """A file system with its hash tree and the signature of the root hash; `root` is what the UUIDs say."""

    data: DdiPart
    tree: DdiPart | None
    signature: DdiPart | None

    @property
    def root(self) -> bytes | None:
        """The root hash of which the UUIDs are the halves, None without a tree."""
        return None if self.tree is None else self.data.entry.guid.bytes + self.tree.entry.guid.bytes


@value_class(eq=False)
class Ddi:
    """A disk: its table, what is wrong with that, its partitions in order of their numbers."""

    gpt: Gpt
    parts: tuple[DdiPart, ...]

    def sets(self) -> list[VeritySet]:
        """Return the root and usr file systems, each with what belongs to it."""
        found = []
        for part in self.parts:
            if part.kind is None or part.kind.role not in ("root", "usr"):
                continue
            tree, signature = (self._of(part.kind, suffix) for suffix in ("-verity", "-verity-sig"))
            found.append(VeritySet(part, tree, signature))
        return found

    def _of(self, kind: PartitionType, suffix: str) -> DdiPart | None:
        return next((one for one in self.parts if one.kind is not None and one.kind.name == kind.name + suffix), None)

    def info(self) -> dict[str, object]:
        """Return what is to be said of the disk, as plain values."""
        return {
            "sector": self.gpt.sector,
            "guid": str(self.gpt.disk_guid),
            "partitions": [_describe(part, self.gpt.sector) for part in self.parts],
            "verity": [_describe_set(one) for one in self.sets() if one.tree is not None],
            "problems": list(self.gpt.problems),
        }


def read_ddi(blob: Blob) -> Ddi:
    """Return the disk. Raises NotThisFormat without a GPT, Corrupt for one of which neither copy can be right."""
    for sector in (512, 4096, 1024, 2048):
        gpt = read_gpt(blob, sector=sector)
        if gpt is not None:
            if protective_start(blob) != 1:
                problem = "the MBR has no protective partition in sector 1: Linux does not look for the table"
                gpt = dataclasses.replace(gpt, problems=(*gpt.problems, problem))
            return Ddi(gpt, tuple(_part(blob, one, sector) for one in gpt.partitions))
    raise NotThisFormat("no GUID partition table", hint="a bare file system is an image by itself: `imgcore info`")


def table_findings(blob: Blob) -> list[Finding]:
    """Return what is wrong with the partition table of a disk; none where there is no GPT. Raises Corrupt as `read_ddi`."""
    try:
        disk = read_ddi(blob)
    except NotThisFormat:
        return []
    found = [Finding("partition-table", "error", problem, structure="GPT") for problem in disk.gpt.problems]
    outside = [part.entry.number for part in disk.parts if part.blob is None]
    return found + [
        Finding("partition-table", "error", f"partition {number} is not within the disk", True, structure="GPT")
        for number in outside
    ]


def _part(blob: Blob, entry: GptPartition, sector: int) -> DdiPart:
    start, size = entry.first * sector, (entry.last - entry.first + 1) * sector
    return DdiPart(entry, type_of(entry.kind), SliceBlob(blob, start, size) if start + size <= blob.size else None)


def _describe(part: DdiPart, sector: int) -> dict[str, object]:
    entry = part.entry
    known = formats.detect(part.blob) if part.blob is not None else None
    return {
        "number": entry.number,
        "type": part.kind.name if part.kind is not None else str(entry.kind),
        "label": entry.name,
        "guid": str(entry.guid),
        "offset": entry.first * sector,
        "size": (entry.last - entry.first + 1) * sector,
        "attributes": [name for bit, name in _ATTRIBUTES.items() if entry.attributes >> bit & 1],
        "format": None if known is None else known.name,
    }


_ATTRIBUTES = {
    0: "required",
    1: "no-block-io",
    2: "legacy-boot",
    59: "grow-file-system",
    60: "read-only",
    62: "hidden",
    63: "no-auto",
}


def _describe_set(one: VeritySet) -> dict[str, object]:
    assert one.tree is not None
    found: dict[str, Any] = {"data": one.data.entry.number, "tree": one.tree.entry.number, "root": (one.root or b"").hex()}
    try:
        if one.tree.blob is not None:
            options, blocks = read_superblock(one.tree.blob)
            found |= {
                "algorithm": options.algorithm,
                "hash_type": options.hash_type,
                "data_block": options.data_block,
                "hash_block": options.hash_block,
                "data_blocks": blocks,
                "salt": options.salt.hex(),
                "uuid": str(options.uuid),
            }
        if one.signature is not None and one.signature.blob is not None:
            signed = read_signature(one.signature.blob)
            found["signature"] = {"root": signed.root.hex(), "certificate": signed.fingerprint.hex(), "bytes": len(signed.der)}
    except FormatError as error:
        found["problem"] = str(error)
    return found


def verify_set(
    one: VeritySet,
    *,
    root: bytes | None = None,
    certificate: str | None = None,
    jobs: int = 1,
    engine: Engine | None = None,
    limits: Limits | None = None,
    control: Control | None = None,
) -> tuple[VerityOptions, bytes, VeritySignature | None]:
    """Check a file system against its root hash, and that against the signature; return (tree's options, root hash, signature).

    `root` is the root hash that has to be, `certificate` the PEM file of who has to have signed it. Raises VerificationFailed,
    Corrupt, SourceUnreadable, Unsupported.
    """
    if one.tree is None or one.root is None:
        raise VerificationFailed("no verity partition: nothing says what the file system has to be", structure="GPT")
    if one.tree.blob is None or one.data.blob is None:
        raise Corrupt("a partition is not within the disk", structure="GPT")
    signature = None
    if one.signature is not None:
        if one.signature.blob is None:
            raise Corrupt("a partition is not within the disk", structure="GPT")
        signature = read_signature(one.signature.blob)
    if certificate is not None:
        if signature is None:
            raise VerificationFailed("no signature partition, and a certificate was given", structure="GPT")
        made_by = load_certificate(certificate)
        check_signature(signature, made_by)
        require_fingerprint(signature, made_by)
    expected = root if root is not None else signature.root if signature is not None else one.root
    if signature is not None and signature.root != expected:
        raise VerificationFailed(
            "the signature is of another root hash",
            structure="verity signature",
            found=signature.root.hex(),
            allowed=expected.hex(),
        )
    for part, half in ((one.data, expected[:16]), (one.tree, expected[16:32])):
        if part.entry.guid.bytes != half:
            raise VerificationFailed(
                f"partition {part.entry.number} is not called after the root hash",
                structure="GPT",
                field="guid",
                found=str(part.entry.guid),
                allowed=str(uuid.UUID(bytes=half)),
            )
    options = verify(one.data.blob, one.tree.blob, expected, jobs=jobs, engine=engine, limits=limits, control=control)
    return options, expected, signature


def verify_beside(
    data: Blob,
    path: str,
    *,
    root: bytes | None = None,
    certificate: str | None = None,
    jobs: int = 1,
    limits: Limits | None = None,
    control: Control | None = None,
) -> tuple[VerityOptions, bytes, VeritySignature | None]:
    """Check a bare file system, stored at `path`, against NAME.verity, NAME.roothash and NAME.roothash.p7s beside it.

    Returns and raises as `verify_set` does.
    """
    stem = path.removesuffix(".raw")
    if root is None:
        text = _small(f"{stem}.roothash")
        try:
            root = bytes.fromhex(text.decode("ascii").strip()) if text is not None else None
        except ValueError:
            raise Corrupt("not a root hash in hexadecimal digits", path=f"{stem}.roothash") from None
    if root is None:
        raise VerificationFailed("neither a partition table, nor a root hash beside the file system", path=f"{stem}.roothash")
    der = _small(f"{stem}.roothash.p7s")
    signature = None if der is None else VeritySignature(root, b"", der)
    if certificate is not None:
        if signature is None:
            raise VerificationFailed("no signature, and a certificate was given", path=f"{stem}.roothash.p7s")
        check_signature(signature, load_certificate(certificate))
    with FileBlob(f"{stem}.verity") as area:
        options = verify(data, area, root, jobs=jobs, limits=limits, control=control)
    return options, root, signature


def _small(path: str) -> bytes | None:
    """Return what a small file holds, None where there is none."""
    if not os.path.exists(path):
        return None
    with FileBlob(path) as blob:
        return blob.read_at(0, 1 << 20)
