"""Options of the FAT writer, and what FAT can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final, Self

from imgcore.formats.common import values_from_text
from imgcore.limits import parse_size
from imgcore.model import Capabilities
from imgcore.values import value_class

__all__ = ["CAPABILITIES", "MAX_TIME", "MIN_TIME", "Options"]

MIN_TIME: Final = 315532800
"""1980-01-01, in seconds."""
MAX_TIME: Final = 4354819199
"""The end of 2107."""

CAPABILITIES: Final = Capabilities(
    types=frozenset(("dir", "file")),
    hardlinks=False,
    time_step_ns=2_000_000_000,
    min_time_ns=MIN_TIME * 1_000_000_000,
    max_time_ns=MAX_TIME * 1_000_000_000 + 999_999_999,
    max_name=765,
    max_file_size=(1 << 32) - 1,
    sparse=False,
)


@value_class
class Options:
    """How to write a FAT volume.

    Attributes:
        size: bytes of the volume; None is what the content needs, and a tenth more.
        type: 12, 16 or 32; None is what fits the size.
        sector: bytes of a sector, 512 to 4096.
        cluster: bytes of a cluster; None is chosen.
        root_entries: names in the root, of FAT12 and FAT16.
        label: of the volume, at most 11 characters.
        serial: of the volume; None derives it from names, sizes and times.
        hidden: sectors before the volume, as its partition table counts them.
        allow_loss: kinds of loss that are accepted: link, xattr, time.
    """

    size: int | None = None
    type: int | None = None
    sector: int = 512
    cluster: int | None = None
    root_entries: int = 512
    label: str = ""
    serial: int | None = None
    hidden: int = 0
    allow_loss: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.type not in (None, 12, 16, 32):
            raise ValueError(f"type {self.type} is none of 12, 16, 32")
        if self.sector not in (512, 1024, 2048, 4096):
            raise ValueError(f"sector {self.sector} is none of 512, 1024, 2048, 4096")
        if self.cluster is not None and (not 512 <= self.cluster <= 32768 or self.cluster & (self.cluster - 1)):
            raise ValueError(f"cluster {self.cluster} is not a power of two from 512 to 32768")
        if not 16 <= self.root_entries <= 65520 or self.root_entries * 32 % self.sector:
            raise ValueError(f"root-entries {self.root_entries} does not fill sectors, or is not within 16 to 65520")
        text = self.label.encode("ascii", "replace")
        if len(text) > 11 or b"?" in text or any(char in b'"*+,./:;<=>[\\]|' or char < 32 for char in text):
            raise ValueError(f"label `{self.label}` is not 11 plain characters")
        if self.serial is not None and not 0 <= self.serial < 1 << 32:
            raise ValueError(f"serial {self.serial} does not fit 32 bits")
        if not 0 <= self.hidden < 1 << 32:
            raise ValueError(f"hidden {self.hidden} does not fit 32 bits")

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options with the named fields set from text; raises ValueError."""
        values = values_from_text("fat", _FROM_TEXT, settings)
        return dataclasses.replace(self, **values)


_FROM_TEXT: Final[Mapping[str, Callable[[str], object]]] = {
    "label": str,
    "serial": lambda text: int(text.replace("-", ""), 16),
    **dict.fromkeys(("size", "type", "sector", "cluster", "root_entries", "hidden"), parse_size),
}
