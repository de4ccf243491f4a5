"""The flags that say how a tree is packed, for every verb that writes an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import click

from imgcore.model import LOSS_KINDS
from imgcore.transforms import Clock, Owners

__all__ = ["Compression", "parse_clock", "parse_compression", "parse_losses", "parse_owner", "parse_settings"]

_NS = 10**9


class Compression(NamedTuple):
    """A codec and its level, None for the default."""

    name: str
    level: int | None


def parse_compression(ctx: click.Context, param: click.Parameter, value: str | None) -> Compression | None:
    """Return NAME[:LEVEL]; whether the format has it is the format's to say."""
    if value is None:
        return None
    name, colon, level = value.partition(":")
    if colon and not re.fullmatch(r"-?[0-9]{1,6}", level, re.ASCII):
        raise click.BadParameter(f"`{level}` is not a level", ctx, param)
    return Compression(name, int(level) if colon else None)


def parse_owner(ctx: click.Context, param: click.Parameter, value: str) -> Owners:
    """Return keep, root or UID:GID."""
    if value == "keep":
        return Owners.keep()
    if value == "root":
        return Owners.root()
    match = re.fullmatch(r"([0-9]+):([0-9]+)", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"`{value}` is not keep, root or UID:GID", ctx, param)
    try:
        return Owners.fixed(int(match[1]), int(match[2]))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def parse_clock(ctx: click.Context, param: click.Parameter, value: str | None) -> Clock | None:
    """Return keep, clamp:EPOCH or EPOCH; None when nothing was said."""
    if value is None:
        return None
    if value == "keep":
        return Clock.keep()
    match = re.fullmatch(r"(clamp:)?(-?[0-9]{1,12})", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"`{value}` is not keep, clamp:EPOCH or EPOCH (seconds since 1970)", ctx, param)
    time_ns = int(match[2]) * _NS
    return Clock.clamp(time_ns) if match[1] else Clock.fixed(time_ns)


def parse_losses(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the kinds of loss."""
    kinds = tuple(kind for kind in (value or "").split(",") if kind)
    for kind in kinds:
        if kind not in LOSS_KINDS:
            raise click.BadParameter(f"`{kind}` is none of {', '.join(LOSS_KINDS)}", ctx, param)
    return kinds


def parse_settings(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> dict[str, str]:
    """Return KEY=VALUE pairs."""
    settings: dict[str, str] = {}
    for pair in value:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"`{pair}` is not KEY=VALUE", ctx, param)
        settings[key] = text
    return settings
