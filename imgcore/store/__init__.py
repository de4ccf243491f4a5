"""Compressed blocks that were made before, so that a rebuild only compresses what changed.

A `BlockStore` maps a key, which says the raw bytes and everything else that determines what they are compressed to, to
the stored form of a block. The engines ask it before they compress, and hand it what they made. An image made with a
store is the same, byte for byte, as one made without. `LocalStore` is a directory, `RemoteStore` any URL that fsspec
knows, `LayeredStore` the one in front of the other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.store.base import BlockStore, Kept, StoreUse, block_key, key_prefix, pack_object, unpack_object

if TYPE_CHECKING:
    from imgcore.store.info import CacheInfo
    from imgcore.store.layered import LayeredStore
    from imgcore.store.local import LocalStore
    from imgcore.store.remote import RemoteStore

__all__ = [
    "BlockStore",
    "CacheInfo",
    "Kept",
    "LayeredStore",
    "LocalStore",
    "RemoteStore",
    "StoreUse",
    "block_key",
    "key_prefix",
    "pack_object",
    "unpack_object",
]


_LATE = {"CacheInfo": "info", "LayeredStore": "layered", "LocalStore": "local", "RemoteStore": "remote"}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.store` has no attribute `{name}`")
    return getattr(importlib.import_module(f"imgcore.store.{_LATE[name]}"), name)
