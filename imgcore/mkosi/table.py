"""All settings of mkosi 25.3, in its order: what the parser, the summary, the refusals and the documentation read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from imgcore.mkosi.setting import Setting
from imgcore.mkosi.table_build import BUILD, VALIDATION
from imgcore.mkosi.table_content import CONTENT
from imgcore.mkosi.table_image import CONFIG, DISTRIBUTION, OUTPUT
from imgcore.mkosi.table_runtime import RUNTIME

__all__ = ["BY_NAME", "BY_SPECIFIER", "SECTIONS", "SETTINGS", "nearest"]

SETTINGS: Final[tuple[Setting, ...]] = (*CONFIG, *DISTRIBUTION, *OUTPUT, *CONTENT, *VALIDATION, *BUILD, *RUNTIME)
"""Every setting."""

BY_NAME: Final[Mapping[str, Setting]] = {name: one for one in SETTINGS for name in (one.name, *one.aliases)}
"""The settings by their names, older ones too."""

BY_SPECIFIER: Final[Mapping[str, Setting]] = {one.specifier: one for one in SETTINGS if one.specifier}
"""The settings that a letter behind `%` stands for."""

SECTIONS: Final = (*dict.fromkeys(one.section for one in SETTINGS), "Host")
"""The sections with settings; `Host` is what `Runtime` was called."""


def nearest(name: str, known: Iterable[str] | None = None) -> str | None:
    """Return the known name that is most like `name`, None where none is: settings, or those of `known`."""
    names = list(BY_NAME) if known is None else list(known)
    folded = {one.lower(): one for one in names}
    found = difflib.get_close_matches(name.lower(), folded, 1, 0.6)
    return folded[found[0]] if found else None
