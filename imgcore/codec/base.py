"""What a codec is: a named pair of functions on whole buffers, in one configuration.

`compress` returns the compressed bytes, also when they are longer than the input: whether to keep them is the caller's
decision. `Decoder` returns at most `max_size` bytes; the size of its buffer comes from the caller, never from the data,
and data that would give more raises Corrupt. Both are thread-safe and release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from imgcore.values import value_class

__all__ = ["Codec", "CodecInfo", "Decoder", "require_level"]

Decoder: TypeAlias = Callable[[bytes | memoryview, int], bytes]
"""decoder(data, max_size) -> raw bytes; raises Corrupt."""


@value_class
class CodecInfo:
    """Who does the work: `provider` is a package or library, `version` that of the compression library itself."""

    name: str
    provider: str
    version: str
    levels: tuple[int, ...]
    default_level: int | None
    available: bool
    reason: str = ""


class Codec(Protocol):
    """A compressor in one configuration."""

    @property
    def name(self) -> str:
        """`zlib`, `zstd`, `xz`, `lz4` or `lzo`."""
        ...

    @property
    def level(self) -> int | None:
        """The level, None where there is none."""
        ...

    @property
    def fingerprint(self) -> str:
        """What determines the bytes: library, version, settings; such as `zstd 1.5.7 level 15`."""
        ...

    @property
    def slow(self) -> bool:
        """Whether a quick look at a block, to see that it cannot shrink, costs much less than compressing it."""
        ...

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` compressed."""
        ...


def require_level(name: str, level: int | None, levels: Sequence[int]) -> None:
    """Raise ValueError for a level that the codec does not have."""
    if level is not None and level not in levels:
        allowed = f"levels {levels[0]} to {levels[-1]}" if levels else "no levels"
        raise ValueError(f"{name} has {allowed}, not {level}")
