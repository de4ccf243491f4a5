"""Options of the squashfs writer, the codec each one names, and what squashfs can hold."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from imgcore.codec import Codec, make_codec
from imgcore.engine.protocol import Tails, minimum_memory
from imgcore.formats.squashfs.layout import MAX_IDS, METADATA_SIZE
from imgcore.limits import parse_size
from imgcore.model import Capabilities

__all__ = ["CAPABILITIES", "COMPRESSIONS", "DEFAULT_LEVELS", "Options", "codec_for", "compressor_options"]

COMPRESSIONS: Final = ("gzip", "zstd", "xz", "lz4", "lzo", "none")
DEFAULT_LEVELS: Final = {"gzip": 6, "zstd": 15, "xz": 6}

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


@dataclass(frozen=True, slots=True)
class Options:
    """How to write a squashfs image.

    Attributes:
        compression: gzip, zstd, xz, lz4, lzo, or none (marked as gzip, every block stored).
        level: the codec's level; None is its default (zstd 15, gzip 6, xz 6, lz4 fast). lzo and none have no level.
        block_size: bytes, a power of two from 4 KiB to 1 MiB. Below the page size of the machine that mounts it
            (4 KiB on x86-64, up to 64 KiB on some arm64) Linux refuses the image.
        fragments: pack the ends of all files together, only files smaller than a block ("small"), or none.
        export: write the table that NFS and file handles need.
        dedup: store equal content once.
        early_store: do not try to compress blocks that look like chance (compressed or encrypted files).
        time: the superblock's time, seconds since 1970; None is the newest time in the tree.
        jobs: threads that compress; the image does not depend on it.
        memory: bytes of content in flight at most.
        pad: the image's length is a multiple of this. Linux needs 1024, dm-verity and 4K disks need 4096.
        allow_loss: kinds of loss that are accepted: xattr, device, time.
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
    pad: int = 4096
    allow_loss: tuple[str, ...] = ()

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
        if self.jobs < 1:
            raise ValueError("jobs has to be at least 1")
        if not 1024 <= self.pad <= 1 << 30 or self.pad & (self.pad - 1):
            raise ValueError(f"pad {self.pad} is not a power of two from 1024 to 1 GiB")
        least = minimum_memory(self.block_size, self.jobs)
        if self.memory >= 1 << 63:
            raise ValueError(f"memory {self.memory} is more than any machine has")
        if self.memory < least:
            raise ValueError(
                f"memory {self.memory} is less than the {least} that {self.jobs} jobs with blocks of {self.block_size} need"
            )

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options with the named fields set from text; raises ValueError."""
        kinds = {field.name: type(getattr(Options(), field.name)) for field in dataclasses.fields(self)}
        values: dict[str, object] = {}
        for key, text in settings.items():
            name = key.replace("-", "_")
            if name not in kinds or name in ("allow_loss", "jobs", "memory"):
                known = ", ".join(sorted(set(kinds) - {"allow_loss", "jobs", "memory"}))
                raise ValueError(f"squashfs has no option `{key}`; known: {known}")
            if kinds[name] is bool:
                if text not in ("yes", "no", "true", "false", "1", "0"):
                    raise ValueError(f"`{key}={text}`: write yes or no")
                values[name] = text in ("yes", "true", "1")
            elif kinds[name] is int or name in ("level", "time"):
                values[name] = parse_size(text)
            else:
                values[name] = text
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]

    @property
    def effective_level(self) -> int | None:
        """The level that will be used, None where the codec has none."""
        return self.level if self.level is not None else DEFAULT_LEVELS.get(self.compression)


def codec_for(options: Options, *, metadata: bool = False) -> Codec | None:
    """Return the codec of data blocks or of metadata blocks, None to store. Raises ValueError for a bad level."""
    if options.compression == "none":
        return None
    name = "zlib" if options.compression == "gzip" else options.compression
    return make_codec(name, options.effective_level, block_size=METADATA_SIZE if metadata else options.block_size)


def compressor_options(options: Options) -> bytes:
    """Return the compressor options that go behind the superblock, b"" where the defaults hold.

    Linux needs them for lz4 only; the other codecs' are for `unsquashfs -s` and say what mksquashfs would.
    """
    level = options.effective_level
    if options.compression == "lz4":
        return struct.pack("<ii", 1, 1 if level is not None else 0)
    if options.compression == "gzip" and level is not None and min(level, 9) != 9:
        return struct.pack("<ihh", level, 15, 1)
    if options.compression == "zstd" and level is not None and level != 15:
        return struct.pack("<i", level)
    return b""
