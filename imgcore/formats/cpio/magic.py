"""The six bytes that a member of each kind of cpio begins with; apart, since starting to work needs nothing else of a cpio."""

from __future__ import annotations

from typing import Final

__all__ = ["CRC", "NEWC", "ODC"]

NEWC: Final = b"070701"
CRC: Final = b"070702"
ODC: Final = b"070707"
