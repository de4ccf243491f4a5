"""The flags that say in which order files are stored, and how: `--sort` and `--layout`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from imgcore.limits import parse_size
from imgcore.model import File, FileHints, Hints
from imgcore.transforms import Globs

__all__ = ["LayoutRule", "combined_hints", "layout_options"]

_WORDS = {
    "store": ("compress", False),
    "compress": ("compress", True),
    "no-fragment": ("fragment", False),
    "no-dedup": ("dedup", False),
    "no-holes": ("holes", False),
}


@dataclass(frozen=True, slots=True)
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


def combined_hints(bases: Sequence[Hints], rules: Sequence[LayoutRule]) -> Hints | None:
    """Return what asks each of `bases` in turn, the first that knows a file counts, and then applies the rules."""
    if not bases and not rules:
        return None

    def hints(path: bytes, node: File) -> FileHints | None:
        found = next((hint for base in bases if (hint := base(path, node)) is not None), FileHints())
        for rule in rules:
            if rule.matcher.match(path, node):
                found = dataclasses.replace(found, **rule.changes)
        return found

    return hints
