"""A codec made of several: every block is compressed by each of them, and the shortest result is kept.

All of them write streams that one decoder reads, so nothing has to say which one it was. Of equally short results the
first codec's is kept. The engines ask for the `alternatives` and try them one by one, so that the native one calls those
with C functions directly, and both can stop in between; `compress` is for everyone else.
"""

from __future__ import annotations

from imgcore.codec.base import Codec

__all__ = ["BestCodec", "alternatives", "best_of"]


class BestCodec:
    """The shortest of what several codecs of one format make of a block; the first of them gives name and level."""

    def __init__(self, codecs: tuple[Codec, ...]) -> None:
        if not codecs or len({codec.name for codec in codecs}) != 1:
            raise ValueError("alternatives are at least one codec, all of one format")
        self.alternatives = codecs

    @property
    def name(self) -> str:
        """The name of the format."""
        return self.alternatives[0].name

    @property
    def level(self) -> int | None:
        """The level of the first."""
        return self.alternatives[0].level

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        return "best of: " + "; ".join(codec.fingerprint for codec in self.alternatives)

    @property
    def slow(self) -> bool:
        """Whether one of them is."""
        return any(codec.slow for codec in self.alternatives)

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return the shortest of what they make of `data`."""
        return min((codec.compress(data) for codec in self.alternatives), key=len)


def alternatives(codec: Codec) -> tuple[Codec, ...]:
    """Return the codecs that `codec` chooses from, in the order that decides between equals; often it alone."""
    return codec.alternatives if isinstance(codec, BestCodec) else (codec,)


def best_of(codecs: list[Codec]) -> Codec:
    """Return the codec that chooses from `codecs`, which are not empty; equal configurations count once."""
    distinct: dict[str, Codec] = {}
    for codec in codecs:
        distinct.setdefault(codec.fingerprint, codec)
    kept = tuple(distinct.values())
    return kept[0] if len(kept) == 1 else BestCodec(kept)
