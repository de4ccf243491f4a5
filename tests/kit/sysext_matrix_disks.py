"""The matrix's disks: which partitions of an image systemd takes as an extension."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from imgcore import pack
from imgcore.blob import BytesBlob, MemorySink
from imgcore.blob.part import append_zeros
from imgcore.build.disk_image import NO_AUTO, READ_ONLY, DiskPart, finish_disk
from imgcore.disk.placing import ALIGNMENT
from imgcore.disk.types import type_by_name
from imgcore.events import Control
from tests.kit.sysext import Root
from tests.kit.sysext_matrix import ab, case
from tests.kit.sysext_matrix_odd import CASES, VERSIONS, Case

__all__ = ["CASES", "VERSIONS", "Case"]


def image_of(directory: Path) -> bytes:
    """Return a squashfs of a directory."""
    sink = MemorySink()
    pack([str(directory)], sink, format="squashfs")
    return sink.value()


def disk(parts: Sequence[tuple[str, bytes, int]], sector: int = 512) -> bytes:
    """Return a disk with partitions of these types, contents and attributes."""
    sink = MemorySink()
    append_zeros(sink, ALIGNMENT)
    at, placed = ALIGNMENT, []
    for number, (name, content, attributes) in enumerate(parts):
        size = -(-max(len(content), 4096) // 4096) * 4096
        guid = uuid.UUID(int=number + 1)
        kind = type_by_name(name, "x86-64")
        placed.append(DiskPart(kind, name, guid, attributes, at, size, BytesBlob(content)))
        at += size
    total = max(at + 33 * 512 + sector, 5 << 20)
    total += -total % 4096
    finish_disk(sink, 0, placed, total=total, sector=sector, disk_guid=uuid.UUID(int=99), control=Control())
    return sink.value()


def disk_b(root: Root, parts: Sequence[tuple[str, int]], *, junk: bool = False) -> None:
    """Make `a`, and an image `b` whose partitions all hold the same extension."""
    directory = ab(root)
    content = bytes(100_000) if junk else image_of(directory)
    shutil.rmtree(directory)
    (root.extensions / "b.raw").write_bytes(disk([(name, content, attributes) for name, attributes in parts]))


for label, parts, expected in (
    ("root", [("root", 0)], ("a b",)),
    ("root, read-only", [("root", READ_ONLY)], ("a b",)),
    ("usr", [("usr", 0)], ("ABORT",)),
    ("root of another architecture", [("root-arm64", 0)], ("a b",)),
    ("linux-generic", [("linux-generic", 0)], ("a b",)),
    ("two of linux-generic", [("linux-generic", 0), ("linux-generic", 0)], ("ABORT",)),
    ("root, and linux-generic", [("root", 0), ("linux-generic", 0)], ("a b",)),
    ("two roots", [("root", 0), ("root", 0)], ("a b",)),
    ("root and home", [("root", 0), ("home", 0)], ("a b",)),
    ("home", [("home", 0)], ("ABORT",)),
    ("root, no-auto", [("root", NO_AUTO)], ("ABORT",)),
    ("linux-generic, no-auto", [("linux-generic", NO_AUTO)], ("ABORT",)),
    ("no partitions", [], ("ABORT",)),
):

    def setup(root: Root, parts: list[tuple[str, int]] = parts) -> None:
        disk_b(root, parts)

    case(f"a disk: {label}", *expected)(setup)


@case("a disk: a root with nothing in it", "ABORT")
def empty_root(root: Root) -> None:
    disk_b(root, [("root", 0)], junk=True)


@case("a disk: root, and usr with files of its own", "a b")
def root_and_usr(root: Root) -> None:
    directory = ab(root)
    whole = image_of(directory)
    usr = image_of(directory / "usr")
    shutil.rmtree(directory)
    (root.extensions / "b.raw").write_bytes(disk([("root", whole, 0), ("usr", usr, 0)]))


@case("a disk: usr alone", "a b")
def usr_alone(root: Root) -> None:
    directory = ab(root)
    usr = image_of(directory / "usr")
    shutil.rmtree(directory)
    (root.extensions / "b.raw").write_bytes(disk([("usr", usr, 0)]))


def _patched(root: Root, at: int, data: bytes) -> None:
    """Put an extension b on a disk, and other bytes into its first sector."""
    disk_b(root, [("root", 0)])
    path = root.extensions / "b.raw"
    whole = bytearray(path.read_bytes())
    whole[at : at + len(data)] = data
    path.write_bytes(whole)


@case("a disk: no MBR before its table", "ABORT")
def no_mbr(root: Root) -> None:
    _patched(root, 0, bytes(512))


@case("a disk: an MBR without the partition that stands for the table", "ABORT")
def unprotected(root: Root) -> None:
    _patched(root, 450, b"\x83")


@case("a disk: a protective partition that begins elsewhere", "a b")
def protected_elsewhere(root: Root) -> None:
    _patched(root, 454, b"\x02")
