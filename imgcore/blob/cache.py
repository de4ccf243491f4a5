"""A small cache of decoded blocks: least recently used go first, bounded by bytes, thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

__all__ = ["BlockCache"]


class BlockCache:
    """Maps a key to bytes and forgets the least recently used ones beyond `capacity` bytes."""

    __slots__ = ("_bytes", "_items", "_lock", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._bytes = 0
        self._items: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> bytes | None:
        """Return what was put under `key`, or None."""
        with self._lock:
            data = self._items.get(key)
            if data is not None:
                self._items.move_to_end(key)
            return data

    def put(self, key: Hashable, data: bytes) -> None:
        """Remember `data`; one larger than the whole cache is not kept."""
        if len(data) > self.capacity:
            return
        with self._lock:
            old = self._items.pop(key, None)
            if old is not None:
                self._bytes -= len(old)
            self._items[key] = data
            self._bytes += len(data)
            while self._bytes > self.capacity:
                _, dropped = self._items.popitem(last=False)
                self._bytes -= len(dropped)
