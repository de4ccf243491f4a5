"""Options of the tar writer, and what a tar can hold."""

from __future__ import annotations

from typing import Final

from imgcore.formats.archive_options import ArchiveOptions, stream_settings
from imgcore.model import Capabilities
from imgcore.values import value_class

__all__ = ["CAPABILITIES", "SUFFIX_SETTINGS", "Options"]

CAPABILITIES: Final = Capabilities(
    types=frozenset(("dir", "file", "symlink", "char", "block", "fifo")),
    xattr_prefixes=(b"",),
    max_xattrs=16 << 20,
    max_name=65535,
    max_target=65535,
)

SUFFIX_SETTINGS: Final = stream_settings(".tar")


@value_class
class Options(ArchiveOptions):
    """How to write a tar.

    Attributes:
        compression: none, gzip, bzip2, xz or zstd.
        level: the compression's level; None is its default (gzip 6, bzip2 9, xz 6, zstd 9).
        jobs: threads that compress; the archive does not depend on it.
        allow_loss: kinds of loss that are accepted: device (sockets among them), xattr.
        sparse: do not store blocks of 64 KiB of zeros (GNU.sparse 1.0; GNU tar, bsdtar, Go and Python read it).
    """

    sparse: bool = True

    def __post_init__(self) -> None:
        self.check(single=False)
