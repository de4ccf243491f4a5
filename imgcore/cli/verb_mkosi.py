"""`imgcore mkosi`: the images of a mkosi configuration, without mkosi."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import click

from imgcore.build.ddi import RepartVersion
from imgcore.build.mkosi_image import BuiltImage, MkosiSettings, build_images
from imgcore.build.mkosi_output import Writing
from imgcore.build.mkosi_packages import Installer
from imgcore.cli.command import SIZE, Run, limits_option, verb
from imgcore.cli.mkosi_host import this_host
from imgcore.cli.output import human
from imgcore.cli.packing import parse_compression, parse_settings
from imgcore.cli.system import allowed_cpus
from imgcore.cli.verb_pack import format_options
from imgcore.errors import SourceUnreadable, show
from imgcore.formats import by_name
from imgcore.formats.squashfs import Options as SquashfsOptions
from imgcore.limits import Limits
from imgcore.mkosi import BY_NAME, SETTINGS, Configuration, Image, Setting, load, nearest, summary

__all__ = ["command"]

_SHORT: Final = {
    **{"Include": "-I", "Distribution": "-d", "Release": "-r", "Format": "-t", "Output": "-o", "OutputDirectory": "-O"},
    **{"Packages": "-p", "Environment": "-E"},
}
_OWN: Final = ("Seed",)  # said by an option of this verb too


def _uuid(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else str(uuid.UUID(value))
    except ValueError:
        raise click.BadParameter(f"`{value}` is no UUID", ctx, param) from None


def _assignment(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or name not in BY_NAME:
            near = nearest(name)
            help_ = f"; did you mean {near}?" if near and name not in BY_NAME else ""
            raise click.BadParameter(f"`{value}` is not SETTING=VALUE with a setting of mkosi{help_}", ctx, param)
        found.append((name, text))
    return found


def _settings_of_mkosi(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give the verb an option for each setting that is supported, called as mkosi's."""
    rows = [one for one in SETTINGS if one.support == "supported" and one.name not in _OWN]
    for one in reversed(rows):
        names = [one.flag, *([_SHORT[one.name]] if one.name in _SHORT else [])]
        function = click.option(
            *names, f"set_{one.name.lower()}", multiple=True, metavar="VALUE", help=f"{one.name}= of [{one.section}]."
        )(function)
    return function


@verb(
    "mkosi",
    "build the images of a mkosi configuration, without mkosi",
    examples=(
        "imgcore mkosi -C example-extension --seed 750b6cd5-c4ae-4012-a15e-7be3c29e6a47",
        "imgcore mkosi --json summary",
        "imgcore mkosi --allow-scripts --force --format tar",
    ),
    codes=(1, 3, 4, 5, 7),
)
@click.argument("action", type=click.Choice(["build", "summary"]), default="build", metavar="[build|summary]")
@click.option(
    "-C", "--directory", type=click.Path(), default=".", metavar="DIR", help="Where the configuration is.  [default: .]"
)
@click.option("--allow-scripts", is_flag=True, help="Run the configuration's scripts, in namespaces of their own.")
@click.option("--seed", callback=_uuid, metavar="UUID", help="What UUIDs follow from, where Seed= is not set.")
@click.option("-f", "--force", is_flag=True, help="Replace older outputs.")
@click.option(
    "--set", "assignments", multiple=True, callback=_assignment, metavar="SETTING=VALUE", help="Any setting of mkosi."
)
@_settings_of_mkosi
@click.option(
    "--repository", "repositories", multiple=True, metavar="PLACE", help="A repository of RPMs: a directory, file://, https://."
)
@click.option("--network", is_flag=True, help="Repositories may be at https://.")
@click.option(
    "--repository-key", "keys", multiple=True, type=click.Path(dir_okay=False), metavar="FILE", help="Who signs repositories."
)
@click.option("--builtin", type=click.Path(), metavar="DIR", help="Where mkosi's own configurations are, for Include=mkosi-vm.")
@click.option("--systemd-version", metavar="VERSION", help="For [Match] SystemdVersion=.")
@click.option(
    "--systemd", type=click.Choice(["257", "262"]), default="262", show_default=True, help="Lay out disks as this systemd does."
)
@click.option(
    "--subtract",
    type=click.Choice(["mkosi", "overlay", "identical"]),
    default="mkosi",
    show_default=True,
    help="What an image over others leaves out: names that they have; what they show anyway; what is the same.",
)
@click.option("-c", "--compression", callback=parse_compression, metavar="NAME[:LEVEL]", help="Of squashfs, as for pack.")
@click.option("-b", "--block-size", type=SIZE, metavar="SIZE", help="Of squashfs, as for pack.")
@click.option(
    "--option", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="Of squashfs, as -O of pack."
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@click.option("--engine", type=click.Choice(["auto", "native", "pure"]), default="auto", show_default=True, help="As for pack.")
@click.option("--no-sync", is_flag=True, help="Do not force images to disk before they appear.")
@limits_option
def command(
    run: Run, action: str, directory: str, assignments: list[tuple[str, str]], limits: Limits, **values: Any
) -> int | None:
    """Build the images that mkosi.conf in DIR describes: sysext, confext, portable, directory, tar, cpio.

    The language is that of mkosi 25.3; `--json summary` prints what `mkosi --json summary` does. What cannot be built is
    refused by its name, with file and line, before anything is done. Options with a mkosi setting's name are mkosi's.
    """
    if not values["network"] and any(place.startswith("https://") for place in values["repositories"]):
        raise click.UsageError("a repository at https:// needs --network")
    place = Path(directory)
    given = [*_given(values), *assignments]
    if values["seed"] is not None:
        given.append(("Seed", values["seed"]))
    builtin = None if values["builtin"] is None else Path(values["builtin"])
    host = this_host(
        place, seed=values["seed"], builtin=builtin, systemd=values["systemd_version"], scripts=values["allow_scripts"]
    )
    found = load(host, given)
    for warning in found.warnings:
        run.output.note(f"warning: {warning}")
    if action == "summary":
        _show_summary(run, found)
        return None
    try:
        squashfs = format_options(
            by_name("squashfs"), {**values, "allow_loss": (), "memory": None, "format_name": "squashfs"}, None, None
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    writing = Writing(
        cast(SquashfsOptions, squashfs),
        cast(RepartVersion, int(values["systemd"])),
        values["jobs"] or allowed_cpus(),
        values["engine"],
        not values["no_sync"],
    )
    install = Installer(values["repositories"], values["network"], _keys(values["keys"]), limits)
    settings = MkosiSettings(values["allow_scripts"], values["force"], _output(), writing, install, values["subtract"], limits)
    with run.work() as control:
        built = build_images(found, host.directory, settings, control)
    _show_built(run, built)
    return None


def _keys(paths: Sequence[str]) -> tuple[bytes, ...]:
    """Return the certificates in files. Raises SourceUnreadable."""
    found = []
    for path in paths:
        try:
            found.append(Path(path).read_bytes())
        except OSError as error:
            raise SourceUnreadable(f"cannot read key: {error.strerror}", path=path) from None
    return tuple(found)


def _given(values: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[Setting] = [one for one in SETTINGS if f"set_{one.name.lower()}" in values]
    return [(one.name, text) for one in rows for text in values[f"set_{one.name.lower()}"]]


def _output() -> int:
    """Return the descriptor of standard error, to which scripts print."""
    return 2 if sys.__stderr__ is None else sys.__stderr__.fileno()


def _show_summary(run: Run, found: Configuration) -> None:
    if run.output.as_json:
        run.output.line(summary(found))
        return
    for number, image in enumerate(found.images):
        if number:
            run.output.line("")
        run.output.line(f"image {image.name or '(main)'}: {image.output}")
        for setting in SETTINGS:
            if setting.name in image.places and image.values[setting.name] not in (None, [], {}):
                run.output.line(f"    {setting.name}={_shown(image, setting.name)}")


def _shown(image: Image, name: str) -> str:
    value = image.values[name]
    if isinstance(value, list):
        trees = [_tree(one) if isinstance(one, dict) else str(one) for one in value]
        return ", ".join(trees)
    if isinstance(value, dict):
        return " ".join(f"{key}={one}" for key, one in value.items())
    return "yes" if value is True else "no" if value is False else str(value)


def _tree(value: dict[str, Any]) -> str:
    target = value.get("Target")
    return str(value.get("Source", value)) + (f":{target}" if target else "")


def _show_built(run: Run, built: list[BuiltImage]) -> None:
    if run.output.as_json:
        images = [
            {"image": one.image.name, "format": one.image.text("Format"), "files": [show(str(path)) for path in one.files]}
            for one in built
        ]
        run.output.event("summary", {"verb": "mkosi", "images": images})
        return
    for one in built:
        for path in one.files:
            size = f", {human(path.stat().st_size)}" if path.is_file() and not path.is_symlink() else ""
            run.output.note(f"{path}{size}")
