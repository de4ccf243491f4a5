"""Options of the ISO 9660 writer, and what an ISO with Rock Ridge can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, Self

from imgcore.formats.common import values_from_text
from imgcore.formats.iso9660.dates import MAX_TIME, MIN_TIME
from imgcore.limits import parse_size
from imgcore.model import Capabilities, Hints
from imgcore.values import value_class

if TYPE_CHECKING:
    from imgcore.formats.iso9660.boot import Boot

__all__ = ["CAPABILITIES", "IDS", "PLAIN_CAPABILITIES", "Options"]

CAPABILITIES: Final = Capabilities(
    hardlinks=False,
    time_step_ns=1_000_000_000,
    min_time_ns=MIN_TIME * 1_000_000_000,
    max_time_ns=MAX_TIME * 1_000_000_000 + 999_999_999,
    max_name=253,
    max_target=4095,
    sparse=False,
)

PLAIN_CAPABILITIES: Final = dataclasses.replace(CAPABILITIES, types=frozenset(("dir", "file")))

IDS: Final = {
    "system_id": 32,
    "volume_id": 32,
    "volume_set_id": 128,
    "publisher": 128,
    "preparer": 128,
    "application": 128,
    "copyright_file": 37,
    "abstract_file": 37,
    "bibliographic_file": 37,
}
"""The texts of a volume descriptor and the bytes that each has."""

_DIGESTS: Final = ("none", "isomd5", "tagmedia")


@value_class
class Options:
    """How to write an ISO 9660 image.

    Attributes:
        level: of interchange. 1: names of 8.3 characters, no file above 4 GiB; 2: 31 characters; 3: files of several
            extents; 4: as 3, and a second tree of ISO 9660:1999 with names of 207 bytes.
        relaxed: identifiers keep lower case and other characters.
        rock_ridge: 1.10, 1.12 (with serial numbers: hard links survive), or no: then only directories and files are left.
        joliet: no, yes (names of 64 characters), long (103), for Windows; links and devices are not in it.
        volume_id: the label, at most 32 bytes.
        system_id, volume_set_id, publisher, preparer, application: texts of the descriptors.
        copyright_file, abstract_file, bibliographic_file: names of files in the root.
        time: of the image, seconds since 1970, which is also its UUID for GRUB and blkid; None is the newest time in the tree.
        align: the position of each file's content is a multiple of this: a power of two from 2048 to 64 MiB.
        pad: the length is a multiple of this.
        dedup: files of equal content share it. (Some readers take such files for hard links.)
        hints: what single files ask for: `priority` decides which come first.
        digest: isomd5 (Fedora's media check) or tagmedia (SUSE's), written into the application use field.
        boot: what makes the image boot; see `boot.Boot`.
        allow_loss: kinds of loss that are accepted: link, xattr, device, time.
    """

    level: int = 3
    relaxed: bool = False
    rock_ridge: Literal["1.10", "1.12", "no"] = "1.10"
    joliet: Literal["no", "yes", "long"] = "no"
    volume_id: str = "CDROM"
    system_id: str = "LINUX"
    volume_set_id: str = ""
    publisher: str = ""
    preparer: str = ""
    application: str = ""
    copyright_file: str = ""
    abstract_file: str = ""
    bibliographic_file: str = ""
    time: int | None = None
    align: int = 2048
    pad: int = 2048
    dedup: bool = False
    hints: Hints | None = None
    digest: Literal["none", "isomd5", "tagmedia"] = "none"
    boot: Boot | None = None
    allow_loss: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in (1, 2, 3, 4):
            raise ValueError(f"level {self.level} is none of 1, 2, 3, 4")
        for name, known in (
            ("rock_ridge", ("1.10", "1.12", "no")),
            ("joliet", ("no", "yes", "long")),
            ("digest", _DIGESTS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name.replace('_', '-')} `{getattr(self, name)}` is none of {', '.join(known)}")
        for name, most in IDS.items():
            text = getattr(self, name)
            if len(text.encode("utf-8", "surrogateescape")) > most:
                raise ValueError(f"{name.replace('_', '-')} `{text}` has more than {most} bytes")
        if self.time is not None and not MIN_TIME <= self.time <= MAX_TIME:
            raise ValueError(f"time {self.time} is not within the years 1900 to 2155")
        for name in ("align", "pad"):
            value = getattr(self, name)
            if not 2048 <= value <= 64 << 20 or value & (value - 1):
                raise ValueError(f"{name} {value} is not a power of two from 2048 to 64 MiB")

    @property
    def capabilities(self) -> Capabilities:
        """What an image with these options can hold."""
        if self.rock_ridge == "no":
            return PLAIN_CAPABILITIES
        caps = CAPABILITIES
        if self.rock_ridge == "1.12":
            caps = dataclasses.replace(caps, hardlinks=True)
        if self.level < 3:
            caps = dataclasses.replace(caps, max_file_size=(1 << 32) - 1)
        return caps

    @property
    def rewritten(self) -> frozenset[bytes]:
        """The paths of files whose bytes the writer changes or makes: boot images that know their place, the boot catalog."""
        if self.boot is None:
            return frozenset()
        changed = {
            one.source for one in self.boot.images if isinstance(one.source, bytes) and (one.info_table or one.grub2_info)
        }
        if self.boot.catalog is not None and self.boot.images:
            changed.add(self.boot.catalog)
        return frozenset(changed)

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options with the named fields set from text; raises ValueError."""
        values = values_from_text("iso9660", _FROM_TEXT, settings)
        return dataclasses.replace(self, **values)


def _yes(text: str) -> bool:
    if text not in ("yes", "no", "true", "false", "1", "0"):
        raise ValueError("write yes or no")
    return text in ("yes", "true", "1")


def _rock_ridge(text: str) -> str:
    return {"yes": "1.10", "true": "1.10"}.get(text, text)


_FROM_TEXT: Final[Mapping[str, Callable[[str], object]]] = {
    **dict.fromkeys(("joliet", "digest", *IDS), str),
    **dict.fromkeys(("relaxed", "dedup"), _yes),
    **dict.fromkeys(("level", "time", "align", "pad"), parse_size),
    "rock_ridge": _rock_ridge,
}
"""The options that can be set by `-O`."""
