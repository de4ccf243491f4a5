"""What a format is: one value that says all about it, and the shape of what its reader and writer give back.

A format is a folder with the same file names as every other (`layout.py options.py reader.py writer.py check.py`) and
one `FORMAT` value in its `__init__`. To add one: make the folder and add its name to `formats.FORMATS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

from imgcore.blob import Blob, Sink
from imgcore.engine import Engine
from imgcore.errors import Unsupported
from imgcore.events import Control
from imgcore.limits import Limits
from imgcore.model import Capabilities, FileHints, Hints, Loss, Tree
from imgcore.values import field, value_class

__all__ = [
    "FileHints",
    "Finding",
    "Format",
    "Hints",
    "Image",
    "LayoutItem",
    "Magic",
    "Options",
    "Report",
    "Severity",
    "deferred",
    "not_written",
]

Severity: TypeAlias = Literal["error", "warning"]


def deferred(place: str) -> Callable[..., Any]:
    """Return a function that calls the one at `place` ("module:name"), which is imported by then.

    So that a format can be looked at (its name, its options) without what reads and writes it.
    """
    module, _, name = place.partition(":")

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments)

    return call


def not_written(name: str) -> Callable[..., Report]:
    """Return what stands for the writer of a format that is only read: a function that raises Unsupported."""

    def refuse(*arguments: object) -> Report:
        raise Unsupported(f"{name} is a format that is only read")

    return refuse


@value_class
class Magic:
    """Bytes at a fixed place that mark a format."""

    at: int
    value: bytes


@value_class
class Finding:
    """One thing that `check` found. An "error" is something that Linux would refuse or misread.

    `fatal` says that Linux would not mount the image at all, or that a part of it is missing. `rule` is a short name
    that scripts can rely on.
    """

    rule: str
    severity: Severity
    message: str
    fatal: bool = False
    path: bytes | None = None
    offset: int | None = None
    structure: str | None = None
    field: str | None = None
    found: str | None = None
    allowed: str | None = None


@value_class
class LayoutItem:
    """One line of `info --layout`: bytes of the image, what they are, and their value as text."""

    offset: int
    size: int
    name: str
    value: str


@value_class
class Report:
    """What a writer did. Sizes are bytes; `seconds` is wall time, None where the caller did not measure it.

    Attributes:
        format: the format's name.
        codec: fingerprint of the codec (library, version, level).
        engine: `native` or `pure`.
        size: bytes of the image, padding included.
        files, dirs, symlinks, others: distinct nodes of each kind; hard_links: further names.
        bytes_in: bytes of all distinct files, holes included.
        bytes_stored: bytes of file content in the image, compressed.
        duplicate_blocks, duplicate_tails, duplicate_bytes: content that was not stored, since it was there already.
        hole_bytes: bytes of blocks of zeros, which take no space.
        fragments: blocks made of tails of several files.
        losses: what the format could not hold and the caller allowed, or is only warned of; of `pack` also the marks of
            overlayfs that the policy left out.
        recalled: blocks and fragments that a store of earlier builds had, and that were not compressed again.
    """

    format: str
    codec: str
    engine: str
    size: int
    files: int
    dirs: int
    symlinks: int
    others: int
    hard_links: int
    bytes_in: int
    bytes_stored: int
    duplicate_blocks: int
    duplicate_tails: int
    duplicate_bytes: int
    hole_bytes: int
    fragments: int
    losses: tuple[Loss, ...] = ()
    recalled: int = 0
    seconds: float | None = None


class Options(Protocol):
    """A frozen dataclass of a format's options; `with_settings` applies `-O KEY=VALUE` pairs."""

    def with_settings(self, settings: Mapping[str, str]) -> Self:
        """Return these options with named fields changed; raises ValueError for an unknown key or a bad value."""
        ...


class Image(Protocol):
    """An open image; thread-safe; `with` closes it."""

    @property
    def tree(self) -> Tree:
        """The tree in the image, read as it is looked at."""
        ...

    def info(self) -> dict[str, object]:
        """Return the image's own parameters as plain values, for `info`."""
        ...

    def layout(self) -> Iterator[LayoutItem]:
        """Yield what every byte of metadata is, in order of offsets."""
        ...

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the format's rules; reads the whole image."""
        ...

    def close(self) -> None:
        """Release the image's resources; twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@value_class
class Format:
    """Everything about one format.

    Attributes:
        name: as users write it (`squashfs`).
        title: one line for people.
        suffixes: of file names that stand for it.
        magics: where it is recognised.
        recognise: says whether a blob without such bytes is in this format, for formats that have none.
        suffix_settings: what a suffix says beyond the format, as `Options.with_settings` takes it.
        writable: whether there is a writer; without one `write` raises Unsupported.
        default_options: the options when none are given.
        capabilities: what it can hold.
        open: (blob, limits) to Image; raises NotThisFormat, Corrupt, Unsupported.
        write: (tree, sink, options, control, engine) to Report; the tree is checked against the capabilities first.
        check_blob: (blob, limits, control) to findings, also for images that cannot be opened.
        limitations: sentences for the documentation.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    magics: tuple[Magic, ...]
    default_options: Options
    capabilities: Capabilities
    open: Callable[[Blob, Limits], Image]
    write: Callable[[Tree, Sink, Options, Control, Engine], Report]
    check_blob: Callable[[Blob, Limits, Control], Iterator[Finding]]
    limitations: tuple[str, ...] = ()
    recognise: Callable[[Blob], bool] | None = None
    suffix_settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    writable: bool = True

    def suffix_of(self, name: str) -> str | None:
        """Return the longest of the suffixes that `name` ends in, whatever its case."""
        fitting = [suffix for suffix in self.suffixes if name.lower().endswith(suffix)]
        return max(fitting, key=len, default=None)

    def options_for(self, name: str | None) -> Options:
        """Return the options that hold for a file of this name when nothing else is said: the suffix's settings, if any."""
        suffix = None if name is None else self.suffix_of(name)
        settings = {} if suffix is None else self.suffix_settings.get(suffix, {})
        return self.default_options.with_settings(settings) if settings else self.default_options
