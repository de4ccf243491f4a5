"""`--kind overlay` of `merge` and `explain`: layers as they are named, the options of the mount, and whether Linux mounts them.

What only systemd knows is refused there by name, and the other way round: no flag is without effect in silence.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click
from click.core import ParameterSource

from imgcore.build.extensions import open_layers
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run
from imgcore.cli.planning import decision_flags
from imgcore.limits import Limits
from imgcore.transforms.overlay import Merged, OverlayOptions, check_mount, merge, mount_options
from imgcore.transforms.overlay.mounting import MAX_OPTIONS

__all__ = ["KIND", "overlay_flags", "overlay_options", "require_of_kind", "stack_of"]

KIND: Final = click.option(
    "--kind",
    type=click.Choice(["sysext", "confext", "overlay"]),
    default="sysext",
    show_default=True,
    help="systemd's rules and order, or layers of an overlay, later ones above.",
)
_OPTIONS: Final = (
    click.option(
        "--mount-options",
        metavar="OPTION,...",
        help="Of an overlay, as mount takes them: userxattr, redirect_dir=on, metacopy=on, xino=on, …",
    ),
    click.option("--upper", type=SOURCE, metavar="SRC", help="The layer of an overlay that takes writes, above all others."),
    click.option(
        "--data", type=SOURCE, multiple=True, metavar="SRC", help="A data-only layer of an overlay, below all others."
    ),
)
_BOOLEANS: Final = {"on": True, "off": False}
_CHOICES: Final[Mapping[str, Mapping[str, Any]]] = {
    "redirect_dir": {word: word for word in ("on", "follow", "nofollow", "off")},
    "metacopy": _BOOLEANS,
    "index": _BOOLEANS,
    "nfs_export": _BOOLEANS,
    "xino": {word: word for word in ("on", "off", "auto")},
    "verity": {word: word for word in ("off", "on", "require")},
}
_WORDS: Final = ("userxattr", "volatile")


def overlay_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a verb."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def overlay_options(text: str | None) -> OverlayOptions:
    """Return what a text of mount options says. Raises UsageError."""
    values: dict[str, Any] = {}
    for part in (text or "").split(","):
        name, equals, word = part.partition("=")
        if not part:
            continue
        if name in _WORDS and not equals:
            values[name] = True
        elif name in _CHOICES and word in _CHOICES[name]:
            values[name] = _CHOICES[name][word]
        elif name in _CHOICES:
            raise click.UsageError(f"`{part}`: {name} is one of {', '.join(_CHOICES[name])}")
        else:
            raise click.UsageError(f"`{part}` is no option of an overlay here; known: {', '.join((*_WORDS, *_CHOICES))}")
    return OverlayOptions(**values)


def require_of_kind(kind: str) -> None:
    """Raise UsageError for a flag on the command line that has no effect on this kind of merge."""
    context = click.get_current_context()
    mine = {one.name: one.opts[-1] for one in context.command.params}
    for name in decision_flags() if kind == "overlay" else ("mount_options", "upper", "data"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{mine[name]} has no effect with --kind {kind}")


def stack_of(
    run: Run, sources: Sequence[SourceSpec], values: Mapping[str, Any], limits: Limits, stack: contextlib.ExitStack
) -> Merged:
    """Return the view through layers, the lowest first. Raises UsageError, OverlayError where Linux refuses it."""
    upper: SourceSpec | None = values["upper"]
    options = overlay_options(values["mount_options"])
    lowers, data = [_place(one, number) for number, one in enumerate(sources)], values["data"]
    contents = [_place(one, number + len(lowers)) for number, one in enumerate(data)]
    above = None if upper is None else _place(upper, len(lowers) + len(contents))
    work = None if above is None else b"/run/imgcore/work"
    check_mount(lowers[::-1], upper=above, work=work, data=contents, options=options, by_mount2=False)
    size = len(mount_options(lowers[::-1], upper=above, work=work, data=contents))
    if size > MAX_OPTIONS:
        run.output.note(
            f"warning: {size} bytes of mount options: mount(2) takes {MAX_OPTIONS}, fsconfig(2) takes each layer by itself"
        )
    opened = open_layers([*sources, *data, *([] if upper is None else [upper])], stack, limits=limits, control=run.control)
    first, last = len(sources), len(sources) + len(data)
    return merge(
        opened[:first][::-1],
        upper=None if upper is None else opened[-1],
        data=opened[first:last],
        options=options,
        limits=limits,
    )


def _place(source: SourceSpec, number: int) -> bytes:
    """Return where a layer lies: a directory of this machine where it is; an image on a mount point of its own."""
    plain = not source.parts and source.kind is None and source.partition is None
    if plain and os.path.isdir(source.path):
        return os.path.realpath(os.fsencode(source.path))
    return b"/run/imgcore/%d" % number
