"""Directories of the host: `scan` makes a tree of one, `unpack` writes a tree into one."""

from imgcore.hosts.directory import Mounts, meta_at, node_at, scan
from imgcore.hosts.extract import unpack
from imgcore.hosts.unpacking import UnpackReport

__all__ = ["Mounts", "UnpackReport", "meta_at", "node_at", "scan", "unpack"]
