"""A source into a directory: `hosts.unpack`, of all of it or of what globs stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from imgcore import hosts
from imgcore.build.source import AnyPath, Source, open_source
from imgcore.build.spec import SourceSpec
from imgcore.events import Control
from imgcore.limits import Limits
from imgcore.model import Tree

if TYPE_CHECKING:  # whoever only reads or packs does not wait for it
    from imgcore.hosts import UnpackReport
    from imgcore.hosts.extract import OwnerMode

__all__ = ["unpack"]


def unpack(
    source: AnyPath | SourceSpec | Source | Tree,
    dest: AnyPath,
    *,
    only: Sequence[str | bytes] = (),
    owner: OwnerMode | None = None,
    devices: bool | None = None,
    xattrs: bool = True,
    force: bool = False,
    jobs: int = 1,
    limits: Limits | None = None,
    control: Control | None = None,
    engine: Literal["auto", "native", "pure"] = "auto",
) -> UnpackReport:
    """Write what is in `source` into the directory `dest`, safely; return what was done.

    `only` are globs, as of a .gitignore. `owner` is "keep" for root and "me" else; `devices` None makes them as root
    only; `force` replaces files that exist; `engine` is as for `get_engine`. See `imgcore.hosts.unpack` for what is raised,
    and what is promised.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, Tree):
            tree = source
        elif isinstance(source, Source):
            tree = source.tree
        else:
            tree = stack.enter_context(open_source(source, limits=limits, control=control)).tree
        if only:
            from imgcore.transforms import filter as by_path  # late: few want it, and all transforms come with it

            tree = by_path.only(tree, only)
        return hosts.unpack(
            tree,
            dest,
            owner=owner,
            devices=devices,
            xattrs=xattrs,
            force=force,
            jobs=jobs,
            limits=limits,
            control=control,
            engine=engine,
        )
