"""File systems for partitions: those that can be made here, as systemd-repart would have its tools make them.

A squashfs is what `mksquashfs` makes without options but Compression= and CompressionLevel=: gzip, blocks of 128 KiB. A vfat
has the label of the partition in capitals, and the first four bytes of the file system's UUID as its serial number.
"""

from __future__ import annotations

import dataclasses
import uuid
from typing import Final

from imgcore.blob import Sink
from imgcore.build.pack import EngineName, pack
from imgcore.build.repart.conf import DefinitionError
from imgcore.build.repart.definition import Definition
from imgcore.disk.seeds import file_system_uuid
from imgcore.events import Control
from imgcore.formats.fat.options import Options as FatOptions
from imgcore.formats.squashfs import Options as SquashfsOptions
from imgcore.model import Tree
from imgcore.transforms import Clock, Policy

__all__ = ["FORMATS", "write_squashfs", "write_vfat"]

FORMATS: Final = ("squashfs", "vfat")
_LEVELS: Final = {"gzip": "9", "zstd": "15"}  # what mksquashfs takes unless told


def write_squashfs(
    tree: Tree, sink: Sink, one: Definition, time: int | None, engine: EngineName, jobs: int, control: Control
) -> None:
    """Write a squashfs; `time` is SOURCE_DATE_EPOCH. Raises DefinitionError for a compression that squashfs does not have."""
    name = one.compression or "gzip"
    settings = {"compression": name, "fragments": "small"}
    if one.level is not None or name in _LEVELS:
        settings["level"] = one.level or _LEVELS[name]
    if time is not None:
        settings["time"] = str(time)
    try:
        options = dataclasses.replace(SquashfsOptions().with_settings(settings), jobs=jobs)
    except ValueError as error:
        raise DefinitionError(f"Compression={one.compression or ''}: {error}", structure=one.path) from None
    clock = Clock() if time is None else Clock.clamp(time * 10**9)
    pack(tree, sink, format="squashfs", options=options, policy=Policy(clock=clock), engine=engine, control=control)


def write_vfat(
    tree: Tree, sink: Sink, one: Definition, label: str, guid: uuid.UUID, size: int | None, control: Control
) -> None:
    """Write a vfat of `size` bytes, or as small as it can be. Raises DefinitionError for a label that FAT cannot hold."""
    serial = int.from_bytes(file_system_uuid(guid).bytes[:4], "big")
    name = (one.volume_label or label).upper()[:11]
    try:
        options = FatOptions(size=size, label=name, serial=serial, allow_loss=("link", "xattr", "time"))
    except ValueError as error:
        raise DefinitionError(f"Format=vfat: {error}", structure=one.path) from None
    pack(tree, sink, format="fat", options=options, control=control)
