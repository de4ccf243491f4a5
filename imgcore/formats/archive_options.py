"""What the options of tar and cpio share: the compression of the whole, and what a file name says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, Self

from imgcore.codec import stream_level
from imgcore.limits import parse_size
from imgcore.values import value_class

__all__ = ["ArchiveOptions", "stream_settings"]


@value_class
class ArchiveOptions:
    """Options of every archive; see the formats' own."""

    compression: str = "none"
    level: int | None = None
    jobs: int = 1
    allow_loss: tuple[str, ...] = ()

    def check(self, *, single: bool) -> None:
        """Raise ValueError for values that are none; `single` as of StreamCompressor."""
        stream_level(self.compression, self.level, single=single)
        if self.jobs < 1:
            raise ValueError("jobs has to be at least 1")

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options with the named fields set from text; raises ValueError."""
        fields = {field.name: field for field in dataclasses.fields(self) if field.name not in ("allow_loss", "jobs")}
        values: dict[str, object] = {}
        for key, text in settings.items():
            name = key.replace("-", "_")
            if name not in fields:
                raise ValueError(f"there is no option `{key}`; known: {', '.join(sorted(fields))}")
            if isinstance(fields[name].default, bool):
                if text not in ("yes", "no", "true", "false", "1", "0"):
                    raise ValueError(f"`{key}={text}`: write yes or no")
                values[name] = text in ("yes", "true", "1")
            else:
                values[name] = parse_size(text) if name == "level" else text
        return dataclasses.replace(self, **values)  # type: ignore[arg-type]


_SUFFIXES: Final = {"gzip": (".gz",), "bzip2": (".bz2",), "xz": (".xz",), "zstd": (".zst", ".zstd")}
_SHORT: Final = {"gzip": (".tgz",), "bzip2": (".tbz2", ".tbz"), "xz": (".txz",), "zstd": (".tzst",)}


def stream_settings(suffix: str) -> dict[str, dict[str, str]]:
    """Return what each file name suffix of an archive says of its compression, from the plain one, `.tar` or `.cpio`."""
    out = {suffix: {"compression": "none"}}
    for name, endings in _SUFFIXES.items():
        out |= {suffix + ending: {"compression": name} for ending in endings}
        if suffix == ".tar":
            out |= {ending: {"compression": name} for ending in _SHORT[name]}
    return out
