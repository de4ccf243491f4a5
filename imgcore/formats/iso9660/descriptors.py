"""The volume descriptors of an image that is written: who it is, how large, and where its directories are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from imgcore.formats.iso9660.dates import LONG_UNSET, long_date
from imgcore.formats.iso9660.digest import blank
from imgcore.formats.iso9660.layout import BLOCK, MAGIC, BootRecord, VolumeDescriptor, both16, both32
from imgcore.formats.iso9660.options import IDS, Options
from imgcore.formats.iso9660.plan import World

__all__ = ["descriptors"]

_TERMINATOR: Final = (b"\xff" + MAGIC + b"\x01").ljust(BLOCK, b"\0")
_JOLIET_LEVEL_3: Final = b"%/E"


class Placed(Protocol):
    """Where a world lies."""

    @property
    def base(self) -> int:
        """Blocks that positions are counted from."""
        ...

    @property
    def tables(self) -> int:
        """The first block of the path tables."""
        ...


def descriptors(
    options: Options, worlds: Mapping[str, World], placed: Mapping[str, Placed], size: int, time: int, catalog: int | None
) -> bytes:
    """Return all volume descriptors, the terminator among them, for an image of `size` blocks made at `time`.

    The boot record is the second one, where a BIOS looks for it: it is there if there is a `catalog`, at that block.
    """
    out = [_volume(options, worlds["primary"], placed["primary"], size, time, "primary")]
    if catalog is not None:
        out.append(BootRecord(0, MAGIC, 1, b"EL TORITO SPECIFICATION", b"", catalog, b"").pack())
    for name in ("enhanced", "joliet"):
        if name in worlds:
            out.append(_volume(options, worlds[name], placed[name], size, time, name))
    return b"".join([*out, _TERMINATOR])


def _volume(options: Options, world: World, placed: Placed, size: int, time: int, kind: str) -> bytes:
    def text(name: str) -> bytes:
        value, most = str(getattr(options, name)), IDS[name]
        if kind != "joliet":
            return value.encode("utf-8", "surrogateescape").ljust(most)
        units = value.encode("utf-16-be", "replace")[: most // 2 * 2]
        return (units + b"\0 " * (most // 2 - len(units) // 2)).ljust(most, b"\0")

    stamp = long_date(time)
    base = placed.base
    table = placed.tables - base
    big = table + world.table_blocks
    return VolumeDescriptor(
        kind=1 if kind == "primary" else 2,
        magic=MAGIC,
        version=2 if kind == "enhanced" else 1,
        flags=0,
        system_id=text("system_id"),
        volume_id=text("volume_id"),
        unused=0,
        space_size=both32(size),
        escapes=_JOLIET_LEVEL_3 if kind == "joliet" else b"",
        set_size=both16(1),
        sequence=both16(1),
        block_size=both16(BLOCK),
        path_table_size=both32(world.path_table_size),
        path_table_l=table,
        optional_l=0,
        path_table_m=big.to_bytes(4, "big"),
        optional_m=bytes(4),
        root=world.root_record(base),
        set_id=text("volume_set_id"),
        publisher=text("publisher"),
        preparer=text("preparer"),
        application=text("application"),
        copyright_file=text("copyright_file"),
        abstract_file=text("abstract_file"),
        bibliographic_file=text("bibliographic_file"),
        created=stamp,
        modified=stamp,
        expires=LONG_UNSET,
        effective=LONG_UNSET,
        structure_version=2 if kind == "enhanced" else 1,
        reserved=0,
        application_use=blank() if kind == "primary" else b"",
        rest=b"",
    ).pack()
