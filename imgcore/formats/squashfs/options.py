"""Options of the squashfs writer, and what squashfs can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal, Self

from imgcore.engine.protocol import Tails, minimum_memory
from imgcore.formats.common import values_from_text
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.layout import MAX_IDS
from imgcore.limits import parse_size
from imgcore.model import Capabilities, Hints
from imgcore.model.hints import MAX_ALIGN, check_align
from imgcore.values import value_class

if TYPE_CHECKING:
    from fractions import Fraction

    from imgcore.blob import Blob
    from imgcore.store.base import BlockStore

__all__ = ["CAPABILITIES", "CODEC_SETTINGS", "COMPRESSIONS", "FILTERS", "PARTS", "STRATEGIES", "Options"]

COMPRESSIONS: Final = ("gzip", "zstd", "xz", "lz4", "lzo", "none")

PARTS: Final = {
    "inodes": layout.FLAG_INODES_RAW,
    "data": layout.FLAG_DATA_RAW,
    "fragments": layout.FLAG_FRAGMENTS_RAW,
    "xattrs": layout.FLAG_XATTRS_RAW,
    "ids": layout.FLAG_IDS_RAW,
}
"""What can be left uncompressed, and the flag of the superblock that says so."""

CODEC_SETTINGS: Final = {
    "filters": "xz",
    "dict_size": "xz",
    "lc": "xz",
    "lp": "xz",
    "pb": "xz",
    "extreme": "xz",
    "window": "gzip",
    "strategy": "gzip",
    "acceleration": "lz4",
    "algorithm": "lzo",
}
"""The options that only one compression has."""

FILTERS: Final = ("x86", "powerpc", "ia64", "arm", "armthumb", "sparc", "arm64", "riscv")
STRATEGIES: Final = ("default", "filtered", "huffman", "rle", "fixed")

CAPABILITIES: Final = Capabilities(
    xattr_prefixes=(b"user.", b"trusted.", b"security."),
    max_xattrs=16 << 20,
    time_step_ns=1_000_000_000,
    min_time_ns=0,
    max_time_ns=(1 << 32) * 1_000_000_000 - 1,
    max_name=255,
    max_target=4095,
    max_ids=MAX_IDS,
)


@value_class
class Options:
    """How to write a squashfs image.

    Attributes:
        compression: gzip, zstd, xz, lz4, lzo, or none (marked as gzip, every block stored).
        level: the codec's level; None is its default (zstd 15, gzip 6, xz 6, lz4 fast). lzo and none have no level.
            zstd also has the fast levels -131072 to -1.
        block_size: bytes, a power of two from 4 KiB to 1 MiB. Below the page size of the machine that mounts it
            (4 KiB on x86-64, up to 64 KiB on some arm64) Linux refuses the image.
        fragments: pack the ends of all files together, only files smaller than a block ("small"), or none.
        export: write the table that NFS and file handles need.
        dedup: store equal content once.
        early_store: do not try to compress blocks that look like chance (compressed or encrypted files).
        time: the superblock's time, seconds since 1970; None is the newest time in the tree.
        jobs: threads that compress; the image does not depend on it.
        memory: bytes of content in flight at most.
        store: compressed blocks of earlier builds; the image does not depend on it.
        base: an older image, whose blocks are taken over where the settings are the same; the image does not depend on it.
        pad: the image's length is a multiple of this. Linux needs 1024, dm-verity and 4K disks need 4096; 1 is none.
        allow_loss: kinds of loss that are accepted: xattr, device, time.
        hints: what single files ask for; see `imgcore.model.FileHints`.
        order: contents of one priority are in walk order ("path"), or in that of their names' suffixes ("suffix").
        align: the position of each file's first block is a multiple of this: 1, or a power of two from 4 KiB to 64 MiB.
        resync: this many bytes apart on average, content begins at a multiple of 4 KiB, at places that the content itself
            determines, so that images of two builds have most blocks in common; 2 KiB are lost each time. 0 is never.
        uncompressed: parts that are stored raw: inodes (and listings), data, fragments, xattrs, ids.
        holes: blocks of zeros take no space. Off, they are stored like any others.
        hardlinks: a node of several names is one inode. Off, every name has its own.
        optimize: each block is compressed with several settings of the codec, and the shortest result kept: smaller, and
            several times as slow.
        filters: xz: each block of content is tried without and with each of these filters for machine code: x86, powerpc,
            ia64, arm, armthumb, sparc, arm64, riscv.
        dict_size: xz: bytes of the dictionary, 8 KiB to the block size, 2^n or 3 * 2^n; None is the block size.
        lc, lp, pb: xz: parameters of LZMA (bits of literal context, of literal and of match position); None is the level's.
        extreme: xz: the level's slower variant.
        window: gzip: bits of the window, 8 to 15. This and `strategy` use zlib in place of libdeflate, with levels 1 to 9.
        strategy: gzip: each block is tried with each of these strategies of zlib: default, filtered, huffman, rle, fixed.
        acceleration: lz4: 1 to 65537; faster and larger. Not with a level.
        algorithm: lzo: lzo1x_999 is all that there is.
    """

    compression: str = "zstd"
    level: int | None = None
    block_size: int = 128 << 10
    fragments: Tails = "all"
    export: bool = True
    dedup: bool = True
    early_store: bool = True
    time: int | None = None
    jobs: int = 1
    memory: int = 128 << 20
    store: BlockStore | None = None
    base: Blob | None = None
    pad: int = 4096
    allow_loss: tuple[str, ...] = ()
    hints: Hints | None = None
    order: Literal["path", "suffix"] = "path"
    align: int = 1
    resync: int = 2 << 20
    uncompressed: tuple[str, ...] = ()
    holes: bool = True
    hardlinks: bool = True
    optimize: bool = False
    filters: tuple[str, ...] = ()
    dict_size: int | None = None
    lc: int | None = None
    lp: int | None = None
    pb: int | None = None
    extreme: bool = False
    window: int | None = None
    strategy: tuple[str, ...] = ()
    acceleration: int | None = None
    algorithm: str | None = None

    def __post_init__(self) -> None:
        if self.compression not in COMPRESSIONS:
            raise ValueError(f"compression `{self.compression}` is none of {', '.join(COMPRESSIONS)}")
        if self.level is not None and self.compression in ("lzo", "none"):
            raise ValueError(f"compression `{self.compression}` has no level")
        if not 4096 <= self.block_size <= 1 << 20 or self.block_size & (self.block_size - 1):
            raise ValueError(f"block size {self.block_size} is not a power of two from 4096 to 1048576")
        if self.fragments not in ("all", "small", "none"):
            raise ValueError(f"fragments `{self.fragments}` is none of all, small, none")
        if self.time is not None and not 0 <= self.time < 1 << 32:
            raise ValueError(f"superblock time {self.time} does not fit 32 bits")
        self._check_resources()
        self._check_layout()
        self._check_settings()

    def _check_resources(self) -> None:
        if self.jobs < 1:
            raise ValueError("jobs has to be at least 1")
        if not (self.pad == 1 or 1024 <= self.pad <= 1 << 30) or self.pad & (self.pad - 1):
            raise ValueError(f"pad {self.pad} is not 1, nor a power of two from 1024 to 1 GiB")
        least = minimum_memory(self.block_size, self.jobs)
        if self.memory >= 1 << 63:
            raise ValueError(f"memory {self.memory} is more than any machine has")
        if self.memory < least:
            raise ValueError(
                f"memory {self.memory} is less than the {least} that {self.jobs} jobs with blocks of {self.block_size} need"
            )

    def _check_layout(self) -> None:
        if self.order not in ("path", "suffix"):
            raise ValueError(f"order `{self.order}` is none of path, suffix")
        check_align(self.align)
        if 1 < self.align < 4096:
            raise ValueError(f"align {self.align} is not 1, nor a power of two from 4096 to {MAX_ALIGN}")
        if not 0 <= self.resync < 1 << 63:
            raise ValueError(f"resync {self.resync} is not a number of bytes")
        _check_names("uncompressed", self.uncompressed, tuple(PARTS))

    def _check_settings(self) -> None:
        for name, compression in CODEC_SETTINGS.items():
            if getattr(self, name) not in (None, (), False) and self.compression != compression:
                raise ValueError(f"`{name.replace('_', '-')}` is an option of {compression}, not of {self.compression}")
        if self.optimize and self.compression in ("lzo", "none"):
            raise ValueError(f"compression `{self.compression}` has one setting only: nothing to optimize")
        _check_names("filters", self.filters, FILTERS)
        _check_names("strategy", self.strategy, STRATEGIES)
        if self.dict_size is not None:
            _check_dictionary(self.dict_size, self.block_size)
        for name, most in (("lc", 4), ("lp", 4), ("pb", 4)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= most:
                raise ValueError(f"{name} {value} is not within 0 to {most}")
        if (3 if self.lc is None else self.lc) + (self.lp or 0) > 4:
            raise ValueError(f"lc and lp are more than 4 together (lc is {3 if self.lc is None else self.lc})")
        if self.window is not None and not 8 <= self.window <= 15:
            raise ValueError(f"window {self.window} is not within 8 to 15")
        if self.uses_zlib and self.level is not None and not 1 <= self.level <= 9:
            raise ValueError(f"gzip with a window or a strategy has levels 1 to 9, not {self.level}")
        if self.acceleration is not None:
            if not 1 <= self.acceleration <= 65537:
                raise ValueError(f"acceleration {self.acceleration} is not within 1 to 65537")
            if self.level is not None or self.optimize:
                raise ValueError("acceleration makes lz4 faster and larger: not with a level, nor with optimize")
        if self.algorithm not in (None, "lzo1x_999"):
            raise ValueError(f"lzo has one algorithm here, lzo1x_999; `{self.algorithm}` is not there")

    @property
    def uses_zlib(self) -> bool:
        """Whether gzip is done by zlib: libdeflate has neither windows nor strategies."""
        return self.window is not None or bool(self.strategy)

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options with the named fields set from text; raises ValueError."""
        values = values_from_text("squashfs", _FROM_TEXT, settings)
        share = values.get("dict_size")
        if share is not None and not isinstance(share, int):  # a part of a block
            size = share * values.get("block_size", self.block_size)
            if size.denominator != 1:
                raise ValueError(f"`dict-size={settings.get('dict-size', settings.get('dict_size'))}` is not a number of bytes")
            values["dict_size"] = int(size)
        return dataclasses.replace(self, **values)


def _check_names(what: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{what} `{name}` is none of {', '.join(known)}")
    if len(set(names)) != len(names):
        raise ValueError(f"{what} has a name twice: {', '.join(names)}")


def _check_dictionary(size: int, block_size: int) -> None:
    """Raise ValueError for a dictionary that Linux does not mount, or could not read with."""
    most = max(block_size, layout.METADATA_SIZE)
    if not layout.METADATA_SIZE <= size <= most:
        raise ValueError(f"dictionary of {size} bytes is not within {layout.METADATA_SIZE} and the block size {most}")
    lowest = size & -size
    if size not in (lowest, 3 * lowest):
        raise ValueError(f"dictionary of {size} bytes is neither 2^n nor 3 * 2^n: Linux does not mount it")


def _yes(text: str) -> bool:
    if text not in ("yes", "no", "true", "false", "1", "0"):
        raise ValueError("write yes or no")
    return text in ("yes", "true", "1")


def _number(text: str) -> int:
    return -parse_size(text[1:]) if text.startswith("-") else parse_size(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _dictionary(text: str) -> int | Fraction:
    """Return bytes, or the part of a block that a percentage says."""
    if not text.endswith("%"):
        return parse_size(text)
    digits = text[:-1]
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit():
        raise ValueError("write a number of bytes, or of percent of the block size")
    from fractions import Fraction  # late: few ask for it

    return Fraction(digits) / 100


_FROM_TEXT: Final[Mapping[str, Callable[[str], object]]] = {
    **dict.fromkeys(("compression", "fragments", "order", "algorithm"), str),
    **dict.fromkeys(("export", "dedup", "early_store", "holes", "hardlinks", "optimize", "extreme"), _yes),
    **dict.fromkeys(("block_size", "time", "pad", "align", "resync", "lc", "lp", "pb", "window", "acceleration"), parse_size),
    **dict.fromkeys(("uncompressed", "filters", "strategy"), _names),
    "level": _number,
    "dict_size": _dictionary,
}
"""The options that can be set by `-O`."""
