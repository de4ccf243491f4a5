"""How the parts of the checker make findings: of an error of the reader, of an inode, of a directory entry."""

from __future__ import annotations

from imgcore.errors import ImgcoreError
from imgcore.formats.base import Finding, Severity
from imgcore.formats.squashfs.dir_reader import DirItem
from imgcore.formats.squashfs.inode_reader import Inode

__all__ = ["entry_finding", "from_error", "inode_finding"]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def from_error(rule: str, error: ImgcoreError, *, fatal: bool = False, path: bytes | None = None) -> Finding:
    """Return the finding that says what `error` says."""
    where = error.path if isinstance(error.path, bytes) else None
    return Finding(
        rule,
        "error",
        error.message,
        fatal,
        where if path is None else path,
        error.offset,
        error.structure,
        error.field,
        _text(error.found),
        _text(error.allowed),
    )


def inode_finding(
    rule: str,
    message: str,
    path: bytes,
    inode: Inode,
    *,
    field: str | None = None,
    found: object = None,
    allowed: object = None,
    severity: Severity = "error",
    fatal: bool = False,
) -> Finding:
    """Return a finding about an inode; its offset is that of the metadata block that the inode begins in."""
    where = f"inode {inode.number}"
    return Finding(rule, severity, message, fatal, path, inode.place[0], where, field, _text(found), _text(allowed))


def entry_finding(
    rule: str,
    message: str,
    path: bytes,
    item: DirItem,
    *,
    field: str = "name",
    found: object = None,
    severity: Severity = "error",
) -> Finding:
    """Return a finding about a directory entry; its offset is that of the metadata block that the entry begins in."""
    return Finding(rule, severity, message, False, path, item.block, "DirEntry", field, _text(found))
