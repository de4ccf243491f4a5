"""Directories of the host: `scan` makes a tree of one, `unpack` writes a tree into one, and is imported when it is needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.hosts.directory import Mounts, meta_at, node_at, scan

if TYPE_CHECKING:
    from imgcore.hosts.extract import UnpackReport, unpack

__all__ = ["Mounts", "UnpackReport", "meta_at", "node_at", "scan", "unpack"]


def __getattr__(name: str) -> object:
    if name not in ("UnpackReport", "unpack"):
        raise AttributeError(f"module `imgcore.hosts` has no attribute `{name}`")
    return getattr(importlib.import_module("imgcore.hosts.extract"), name)
