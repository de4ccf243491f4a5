"""What a Debian package can hold; it has no options, since none is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from imgcore.formats.tar.options import CAPABILITIES as TAR
from imgcore.values import value_class

__all__ = ["CAPABILITIES", "SUFFIXES", "Options"]

CAPABILITIES: Final = TAR
"""What a tar holds: the files are in one."""

SUFFIXES: Final = (".deb",)


@value_class
class Options:
    """Nothing: a package is only read."""

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options; raises ValueError for any setting."""
        if settings:
            raise ValueError(f"deb has no option `{next(iter(settings))}`")
        return self
