"""What an RPM package can hold; it has no options, since none is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from imgcore.model import Capabilities
from imgcore.values import value_class

__all__ = ["CAPABILITIES", "SUFFIXES", "Options"]

CAPABILITIES: Final = Capabilities(
    xattr_prefixes=(b"security.capability",),
    time_step_ns=1_000_000_000,
    min_time_ns=0,
    max_time_ns=(1 << 32) * 1_000_000_000 - 1,
    max_major=0xFF,
    max_minor=0xFF,
    sparse=False,
)
SUFFIXES: Final = (".rpm",)


@value_class
class Options:
    """Nothing: a package is only read."""

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options; raises ValueError for any setting."""
        if settings:
            raise ValueError(f"rpm has no option `{next(iter(settings))}`")
        return self
