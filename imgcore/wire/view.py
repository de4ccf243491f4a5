"""A window on bytes of an image that knows where it lies, and the one place where ranges are checked."""

from __future__ import annotations

import struct
from typing import TypeVar

from imgcore.errors import Corrupt
from imgcore.wire.record import Record

__all__ = ["View"]

R = TypeVar("R", bound=Record)


class View:
    """Bytes with the offset in the image at which they begin; nothing outside the window can be read through it.

    `name` is what the window is called in errors. All positions are bytes from the window's start.
    """

    __slots__ = ("base", "data", "name")

    def __init__(self, data: bytes | memoryview, base: int = 0, name: str = "") -> None:
        self.data = data
        self.base = base
        self.name = name

    def __len__(self) -> int:
        return len(self.data)

    def require(self, at: int, size: int, what: str) -> None:
        """Raise Corrupt unless `size` bytes lie at `at` inside the window."""
        if at < 0 or size < 0 or at > len(self.data) or size > len(self.data) - at:
            raise Corrupt(
                f"{what} reaches outside of {self.name or 'its structure'}",
                offset=self.base + max(at, 0),
                structure=self.name or None,
                field=what,
                found=f"{size} bytes at {at}",
                allowed=f"within {len(self.data)} bytes",
            )

    def bytes(self, at: int, size: int, what: str) -> bytes:
        """Return `size` bytes at `at`; `what` names them in the error."""
        self.require(at, size, what)
        return bytes(self.data[at : at + size])

    def record(self, kind: type[R], at: int) -> R:
        """Return the record of type `kind` at `at`, its rules checked."""
        self.require(at, kind.SIZE, kind.__name__)
        return kind.unpack_from(self.data, at, base=self.base)

    def u32s(self, at: int, count: int, what: str) -> tuple[int, ...]:
        """Return `count` little-endian 32-bit numbers at `at`."""
        self.require(at, 4 * count, what)
        return struct.unpack_from(f"<{count}I", self.data, at)

    def u64s(self, at: int, count: int, what: str) -> tuple[int, ...]:
        """Return `count` little-endian 64-bit numbers at `at`."""
        self.require(at, 8 * count, what)
        return struct.unpack_from(f"<{count}Q", self.data, at)

    def sub(self, at: int, size: int, name: str) -> View:
        """Return the window of `size` bytes at `at`."""
        self.require(at, size, name)
        return View(self.data[at : at + size], self.base + at, name)
