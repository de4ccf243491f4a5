"""The flags that say in which order files are stored, and how: `--sort` and `--layout`."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from imgcore.errors import SourceUnreadable, context, show
from imgcore.events import Warned
from imgcore.limits import parse_size
from imgcore.model import File, FileHints
from imgcore.transforms import Globs
from imgcore.values import field, value_class

if TYPE_CHECKING:
    from imgcore.transforms.order import Order

__all__ = ["Layout", "LayoutRule", "layout_options", "read_layout", "read_order"]

_ORDERS = ("mksquashfs", "gensquashfs", "access")

_WORDS = {
    "store": ("compress", False),
    "compress": ("compress", True),
    "no-fragment": ("fragment", False),
    "no-dedup": ("dedup", False),
    "no-holes": ("holes", False),
}


@value_class
class LayoutRule:
    """What the files that a glob stands for ask for; `changes` are fields of `FileHints`."""

    glob: str
    changes: dict[str, Any]
    matcher: Globs = field(compare=False)


def _rule(text: str) -> LayoutRule:
    """Return the rule of GLOB=WORD,… Raises ValueError."""
    glob, equals, words = text.rpartition("=")
    if not equals or not glob or not words:
        raise ValueError(f"`{text}` is not GLOB=WORD,…")
    changes: dict[str, Any] = {}
    for word in words.split(","):
        name, colon, value = word.partition(":")
        if word in _WORDS:
            key, changes[key] = _WORDS[word][0], _WORDS[word][1]
        elif name == "align" and colon:
            changes["align"] = parse_size(value)
        elif name == "priority" and re.fullmatch(r"-?[0-9]{1,9}", value):
            changes["priority"] = int(value)
        else:
            raise ValueError(f"`{word}` is none of {', '.join(_WORDS)}, align:SIZE, priority:NUMBER")
    FileHints(**changes)  # says what is wrong with an alignment
    return LayoutRule(glob, changes, Globs([glob]))


def _parse_rules(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[LayoutRule, ...]:
    try:
        return tuple(_rule(text) for text in value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def layout_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a verb."""
    function = click.option(
        "--layout",
        multiple=True,
        callback=_parse_rules,
        metavar="GLOB=WORD,...",
        help="How files are stored: store no-fragment no-dedup no-holes align:SIZE priority:N.",
    )(function)
    return click.option(
        "--sort",
        multiple=True,
        metavar="[KIND:]FILE",
        help="Order of the files' contents. KIND: mksquashfs (the default), gensquashfs, access (paths as they were read).",
    )(function)


@value_class
class Layout:
    """What all the flags say together; call it as a `Hints`."""

    orders: tuple[Order, ...]
    rules: tuple[LayoutRule, ...]

    def __call__(self, path: bytes, node: File) -> FileHints | None:
        """Return what the first order that knows the file says, changed by the rules; None for nothing."""
        found = next((hints for order in self.orders if (hints := order(path, node)) is not None), None)
        for rule in self.rules:
            if rule.matcher.match(path, node):
                found = dataclasses.replace(found or FileHints(), **rule.changes)
        return found

    def warnings(self) -> list[Warned]:
        """Return what named no file, after an image was written."""
        found = [
            Warned(f"sort file, line {line.number}: `{show(line.names)}` is no file of the image")
            for order in self.orders
            for line in order.unused()
        ]
        return found + [Warned(f"layout `{rule.glob}` matches nothing") for rule in self.rules if rule.matcher.unused()]


def read_layout(sorts: Sequence[str], rules: Sequence[LayoutRule], source: str | None) -> Layout | None:
    """Return what the flags say, None for nothing. Raises SourceUnreadable, Corrupt."""
    if not sorts and not rules:
        return None
    return Layout(tuple(read_order(text, source) for text in sorts), tuple(rules))


def read_order(text: str, source: str | None) -> Order:
    """Return the order of `[KIND:]FILE`; absolute paths in it may begin with `source`. Raises SourceUnreadable, Corrupt."""
    from imgcore.transforms.order import read_access_order, read_sort_file, read_sort_rules  # late: few have one

    kind, colon, path = text.partition(":")
    if not colon or kind not in _ORDERS:
        kind, path = "mksquashfs", text
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise SourceUnreadable(f"cannot open: {error.strerror}", path=os.fsencode(path)) from None
    top = b"" if source is None else os.fsencode(source)
    with context(image=path):
        if kind == "gensquashfs":
            return read_sort_rules(data, path)
        return (read_access_order if kind == "access" else read_sort_file)(data, path, source=top)
