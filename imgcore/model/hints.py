"""How a writer is to lay out the content of single files: values that a caller, or a sort file, gives for each path.

They are wishes: they change where and how bytes are stored, never what is read back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from imgcore.model.node import File
from imgcore.values import value_class

__all__ = ["MAX_ALIGN", "FileHints", "Hints", "check_align"]

MAX_ALIGN = 64 << 20


def check_align(align: int) -> None:
    """Raise ValueError for an alignment that no writer offers."""
    if not 1 <= align <= MAX_ALIGN or align & (align - 1):
        raise ValueError(f"alignment {align} is not a power of two up to 64 MiB")


@value_class
class FileHints:
    """How a writer is to lay out the content of one file; what a format knows nothing of is left alone.

    Attributes:
        priority: contents of a higher priority come first; those of the same one keep the tree's order.
        compress: False stores it as it is.
        fragment: False keeps its end out of blocks that it would share with other files.
        dedup: False stores it even if the same is there, and nothing shares what is stored.
        holes: False stores blocks of zeros like any others.
        align: the position in the image that it begins at is a multiple of this, a power of two.
    """

    priority: int = 0
    compress: bool = True
    fragment: bool = True
    dedup: bool = True
    holes: bool = True
    align: int = 1

    def __post_init__(self) -> None:
        check_align(self.align)


Hints: TypeAlias = Callable[[bytes, File], FileHints | None]
"""Asked for each file, with its path in the tree; None is `FileHints()`.

Of a hard-linked file it is asked for each name, and the first answer that is not None holds.
"""
