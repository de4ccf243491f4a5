"""Directories of the host: `scan` makes a tree of one, `unpack` writes a tree into one, and is imported when it is needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.hosts.directory import Mounts, meta_at, node_at, scan
from imgcore.hosts.lazily import look_at

if TYPE_CHECKING:
    from imgcore.hosts.extract import unpack
    from imgcore.hosts.unpacking import UnpackReport

__all__ = ["Mounts", "UnpackReport", "look_at", "meta_at", "node_at", "scan", "unpack"]


def __getattr__(name: str) -> object:
    places = {"UnpackReport": "imgcore.hosts.unpacking", "unpack": "imgcore.hosts.extract"}
    if name not in places:
        raise AttributeError(f"module `imgcore.hosts` has no attribute `{name}`")
    return getattr(importlib.import_module(places[name]), name)
