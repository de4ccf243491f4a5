"""Directories of the host: `scan` makes a tree of one, `unpack` writes a tree into one."""

from imgcore.hosts.directory import scan
from imgcore.hosts.extract import UnpackReport, unpack

__all__ = ["UnpackReport", "scan", "unpack"]
