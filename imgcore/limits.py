"""Bounds on what a reader may spend on an image that may be hostile.

A `Limits` value is an argument of every reader. Limits bound *reading*; what a format can hold when it is written is
`model.capability`. A format's own bounds (a metadata block is at most 8 KiB, a block at most 1 MiB) are not here: they
are always checked.
"""

from __future__ import annotations

import dataclasses

from imgcore.errors import LimitExceeded
from imgcore.values import value_class

__all__ = ["Limits"]

KiB = 1 << 10
MiB = 1 << 20
GiB = 1 << 30


@value_class
class Limits:
    """Bounds for reading; every field is inclusive.

    Attributes:
        max_entries: names in a whole tree.
        max_depth: directories below each other.
        max_path: bytes of one path inside a tree.
        max_metadata: decompressed bytes of metadata (inodes, listings, tables) that one image may make us hold.
        max_xattrs: bytes of the extended attributes of one node.
        max_file_size: bytes of one file's content.
        max_total_size: bytes of the contents of all files together, when they are packed, unpacked or digested.
        max_stream: bytes that a compressed stream (a `.tar.gz`) may become, or that a pipe may give.
        max_ratio: how many times as long a compressed stream may become, once that is more than 1 GiB.
        max_nesting: images inside images.
    """

    max_entries: int = 10_000_000
    max_depth: int = 8192
    max_path: int = 64 * KiB
    max_metadata: int = 2 * GiB
    max_xattrs: int = 16 * MiB
    max_file_size: int = 1 << 41
    max_total_size: int = 1 << 41
    max_stream: int = 256 * GiB
    max_ratio: int = 250
    max_nesting: int = 8

    @classmethod
    def default(cls) -> Limits:
        """Return the bounds for an image of unknown origin."""
        return cls()

    @classmethod
    def trusted(cls) -> Limits:
        """Return bounds that no real image meets."""
        most = (1 << 63) - 1
        return cls(**{field.name: most for field in dataclasses.fields(cls)})

    @classmethod
    def parse(cls, text: str) -> Limits:
        """Return the limits that a text such as `trusted,max_depth=64` names.

        Sizes may end in K, M, G or T (powers of 1024). Raises ValueError for a name or a number that is not one.
        """
        limits = cls()
        for position, part in enumerate(text.split(",")):
            if part in ("default", "trusted"):
                if position:
                    raise ValueError(f"`{part}` has to come first in `{text}`")
                limits = cls.trusted() if part == "trusted" else cls()
                continue
            name, _, number = part.partition("=")
            if name not in {field.name for field in dataclasses.fields(cls)}:
                known = ", ".join(field.name for field in dataclasses.fields(cls))
                raise ValueError(f"`{name}` is not a limit; known: default, trusted, {known}")
            limits = dataclasses.replace(limits, **{name: parse_size(number)})
        return limits

    def require(self, name: str, value: int) -> None:
        """Raise LimitExceeded if `value` is above the limit called `name`."""
        if value > getattr(self, name):
            raise LimitExceeded(
                f"limit {name} exceeded",
                structure="limits",
                field=name,
                found=value,
                allowed=f"at most {getattr(self, name)}",
                hint=f"if you trust the image, raise it: --limits {name}={max(value, 2 * getattr(self, name))}",
            )


def parse_size(text: str) -> int:
    """Return the number of bytes that `text` says; K, M, G and T are powers of 1024. Raises ValueError."""
    factors = {"K": KiB, "M": MiB, "G": GiB, "T": 1 << 40}
    body, factor = text, 1
    if text and text[-1].upper() in factors:
        body, factor = text[:-1], factors[text[-1].upper()]
    if not body.isascii() or not body.isdigit():
        raise ValueError(f"`{text}` is not a size; write a number, or one with K, M, G or T")
    return int(body) * factor
