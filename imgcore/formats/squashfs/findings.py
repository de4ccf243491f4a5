"""Errors of the reader as findings of the checker."""

from __future__ import annotations

from imgcore.errors import ImgcoreError
from imgcore.formats.base import Finding

__all__ = ["from_error"]


def from_error(rule: str, error: ImgcoreError, *, fatal: bool = False, path: bytes | None = None) -> Finding:
    """Return the finding that says what `error` says."""
    where = error.path if isinstance(error.path, bytes) else None
    return Finding(
        rule,
        "error",
        error.message,
        fatal,
        path=where if path is None else path,
        offset=error.offset,
        structure=error.structure,
        field=error.field,
        found=None if error.found is None else str(error.found),
        allowed=None if error.allowed is None else str(error.allowed),
    )
