"""Several stores in a row: the first that knows a block answers, and those before it are given what they lacked."""

from __future__ import annotations

from collections.abc import Sequence

from imgcore.store.base import BlockStore, Kept

__all__ = ["LayeredStore"]


class LayeredStore:
    """A store of `stores`, the quickest first: a directory in front of a remote one."""

    def __init__(self, stores: Sequence[BlockStore]) -> None:
        self.stores = tuple(stores)
        self.at_once: int = max((getattr(store, "at_once", 1) for store in self.stores), default=1)

    def get(self, key: bytes, raw_size: int) -> Kept | None:
        """Return what the first store has that has anything."""
        for place, store in enumerate(self.stores):
            kept = store.get(key, raw_size)
            if kept is not None:
                for before in self.stores[:place]:
                    before.put(key, raw_size, kept)
                return kept
        return None

    def put(self, key: bytes, raw_size: int, kept: Kept) -> None:
        """Keep a block in all of them."""
        for store in self.stores:
            store.put(key, raw_size, kept)

    def close(self, *, wait: bool = True) -> None:
        """Close all of them."""
        for store in self.stores:
            store.close(wait=wait)

    def warnings(self) -> list[str]:
        """Return the warnings of all of them."""
        return [warning for store in self.stores for warning in store.warnings()]
