"""Options of the cpio writer, and what a cpio can hold."""

from __future__ import annotations

from typing import Final

from imgcore.formats.archive_options import ArchiveOptions, stream_settings
from imgcore.model import Capabilities
from imgcore.values import value_class

__all__ = ["CAPABILITIES", "SUFFIX_SETTINGS", "Options"]

CAPABILITIES: Final = Capabilities(
    time_step_ns=1_000_000_000,
    min_time_ns=0,
    max_time_ns=(1 << 32) * 1_000_000_000 - 1,
    max_name=255,
    max_target=4095,
    max_file_size=(1 << 32) - 1,
    sparse=False,
)

SUFFIX_SETTINGS: Final = stream_settings(".cpio")


@value_class
class Options(ArchiveOptions):
    """How to write a cpio.

    Attributes:
        compression: none, gzip, bzip2, xz or zstd, in a form that Linux reads as an initrd: a single stream.
        level: the compression's level; None is its default (gzip 6, bzip2 9, xz 6, zstd 9).
        jobs: threads that compress zstd; the archive does not depend on it.
        allow_loss: kinds of loss that are accepted: xattr, time.
    """

    def __post_init__(self) -> None:
        self.check(single=True)
