"""Whether an image is half changed: a journal lies beside it, whose change was stopped or is under way."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["is_half_changed", "journal_of"]

_SUFFIX: Final = b".imgcore-journal"


def journal_of(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return the name of the journal of an image."""
    return os.path.realpath(os.fsencode(path)) + _SUFFIX


def is_half_changed(path: str | bytes | os.PathLike[str]) -> bool:
    """Whether a change of an image was stopped, or is under way: what is read of it may be the old, the new, or neither."""
    return os.path.lexists(journal_of(path))
