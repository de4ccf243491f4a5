"""`imgcore sysext build TREE -o NAME.raw`: an extension image, with its release file."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final

import click

from imgcore.build.extension_name import extension_name
from imgcore.build.pack import choose_format, pack
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.build.sysext_image import extension_tree
from imgcore.cli.command import SIZE, SOURCE, Run, limits_option, verb
from imgcore.cli.packing import parse_clock, parse_compression, parse_losses, parse_owner, parse_settings
from imgcore.cli.planning import KIND, read_os_release
from imgcore.cli.system import source_date_epoch
from imgcore.cli.verb_pack import format_options, show_report
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.model import Dir, Tree
from imgcore.sysext.architecture import ARCHITECTURES, near_misses
from imgcore.sysext.discovery import is_extension_name
from imgcore.sysext.kinds import KINDS, KindName
from imgcore.sysext.layers import bad_characters
from imgcore.transforms import Clock, Globs, Policy
from imgcore.transforms import exclude as leave_out

__all__ = ["build_command"]

_SCOPES: Final = ("system", "initrd", "portable")


@verb(
    "build",
    "build an extension image from a tree",
    examples=(
        "imgcore sysext build ./tree -o hello.raw --id _any",
        "imgcore sysext build ./tree -o tools.raw --like /etc/os-release --arch x86-64",
        "imgcore sysext build ./etc-tree --kind confext -o site.raw --id fedora --version-id 42",
    ),
    codes=(1, 3, 4, 5),
)
@click.argument("source", type=SOURCE, metavar="TREE")
@click.option("-o", "--output", "dest", required=True, metavar="NAME.raw", help="The image; the extension is called NAME.")
@KIND
@click.option("--id", "os_id", metavar="ID", help="The host's ID, or _any.")
@click.option("--version-id", metavar="VERSION", help="The host's VERSION_ID.")
@click.option("--like", type=click.Path(dir_okay=False), metavar="FILE", help="Take ID and VERSION_ID of this os-release.")
@click.option("--level", metavar="LEVEL", help="SYSEXT_LEVEL (CONFEXT_LEVEL): what hosts of another version may share.")
@click.option("--scope", metavar="WORDS", help="SYSEXT_SCOPE: system, initrd, portable.")
@click.option("--arch", metavar="NAME", help="ARCHITECTURE, as systemd calls it: x86-64, arm64, _any.")
@click.option("--reload-manager", is_flag=True, help="EXTENSION_RELOAD_MANAGER=1: systemd reads its units anew.")
@click.option("--format", "format_name", metavar="NAME", help="The file system.  [default: what DEST's suffix says]")
@click.option("-c", "--compression", callback=parse_compression, metavar="NAME[:LEVEL]", help="As for pack.")
@click.option("-b", "--block-size", type=SIZE, metavar="SIZE", help="As for pack.")
@click.option("-O", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="An option of the format.")
@click.option("--allow-loss", callback=parse_losses, metavar="KIND,...", help="Accept what the format cannot hold.")
@click.option("--owner", default="root", callback=parse_owner, metavar="WHO", help="keep, root, UID:GID.  [default: root]")
@click.option("--clock", callback=parse_clock, metavar="WHEN", help="As for pack.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@click.option("--force", is_flag=True, help="Replace DEST.")
@click.option("--no-sync", is_flag=True, help="Do not force the image to disk before it appears.")
@limits_option
def build_command(run: Run, source: SourceSpec, dest: str, kind: KindName, limits: Limits, **values: Any) -> int | None:
    """Write the release file into TREE, under the name that NAME.raw asks for, and pack all as a bare file system.

    A release file that is there under another name is renamed; one that contradicts a flag is an error, and so is an
    os-release. What is outside of the hierarchies (/usr and /opt, of confext /etc) is packed and warned of: it is never
    merged.
    """
    try:
        name = _name(run, dest, kind, values["format_name"])
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    wanted = _wanted(kind, values)
    with run.work() as control, contextlib.ExitStack() as stack:
        tree = stack.enter_context(open_source(source, limits=limits, stdin=run.stdin(), control=control)).tree
        try:
            chosen = choose_format(dest, values["format_name"])
            options = format_options(chosen, {**values, "memory": None}, dest, None)
            globs = Globs(values["exclude"])
            made = extension_tree(leave_out(tree, globs), name, wanted, kind=kind)
            for glob in globs.unused():
                run.output.note(f"warning: --exclude `{show(glob)}` matches nothing")
            if made.renamed is not None:
                run.output.note(f"renamed `{show(made.renamed)}` to `{show(made.release)}`")
            _warn_outside(run, made.tree, kind)
            epoch = source_date_epoch()
            clock = values["clock"] or (Clock() if epoch is None else Clock.clamp(epoch * 10**9))
            report = pack(
                made.tree,
                dest,
                format=chosen.name,
                options=options,
                policy=Policy(owners=values["owner"], clock=clock),
                force=values["force"],
                sync=not values["no_sync"],
                limits=limits,
                control=control,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    show_report(run, report, dest, None)
    return None


def _name(run: Run, dest: str, kind: KindName, format_name: str | None) -> bytes:
    """Return the extension's name. Raises UsageError for one that systemd passes over, or that no merge survives."""
    name = extension_name(dest, kind)
    if not is_extension_name(name):
        raise click.UsageError(f"`{show(dest)}`: systemd takes no extension called `{show(name)}`")
    if bad := bad_characters(name):
        shown = " ".join(bad.decode())
        raise click.UsageError(f"`{show(dest)}`: with {shown} in its name, systemd could not merge any extension beside it")
    choose_format(dest, format_name)  # says what is none before anything is said about the name
    if not dest.endswith(".raw"):
        run.output.note(f"warning: systemd looks for {show(name)}.raw, and would pass over `{show(dest)}`")
    return name


def _wanted(kind: KindName, values: dict[str, Any]) -> dict[str, str]:
    """Return the assignments that the flags ask for. Raises UsageError."""
    what = KINDS[kind]
    wanted: dict[str, str] = {}
    if values["like"] is not None:
        like = read_os_release(values["like"])
        if not like.get("ID"):
            raise click.UsageError(f"`{values['like']}` has no ID")
        wanted |= {key: like[key] for key in ("ID", "VERSION_ID", what.level_key) if like.get(key)}
    flags = {
        "ID": values["os_id"],
        "VERSION_ID": values["version_id"],
        what.level_key: values["level"],
        what.scope_key: values["scope"],
        "ARCHITECTURE": values["arch"],
        "EXTENSION_RELOAD_MANAGER": "1" if values["reload_manager"] else None,
    }
    for key, text in flags.items():
        if text is not None and any(char in text for char in "\n\0"):
            raise click.UsageError(f"{key} has a newline or a zero byte in it")
    for key, text in flags.items():
        if text is not None and wanted.get(key, text) != text:
            said = f"`{values['like']}` says {key}={wanted[key]}"
            raise click.UsageError(f"{said}, and {key}={text} was asked for: leave out --like, or the other flag")
    _require_words(values["arch"], values["scope"])
    return wanted | {key: text for key, text in flags.items() if text is not None}


def _require_words(architecture: str | None, scope: str | None) -> None:
    """Raise UsageError for words that no systemd knows: an extension that says them is ignored everywhere."""
    if architecture not in (None, "", "_any") and architecture not in ARCHITECTURES:
        near = near_misses(architecture)
        help_ = f"it says {near}" if near else f"known: _any, {', '.join(sorted(ARCHITECTURES))}"
        raise click.UsageError(f"--arch {architecture}: systemd knows no such architecture; {help_}")
    for word in (scope or "").split():
        if word not in _SCOPES:
            raise click.UsageError(f"--scope: systemd knows no `{word}`; known: {', '.join(_SCOPES)}")


def _warn_outside(run: Run, tree: Tree, kind: KindName) -> None:
    inside = {path.strip(b"/") for path in KINDS[kind].hierarchies}
    outside = sorted(name for name in tree.root.children if name not in inside)
    empty = all(not isinstance(node := tree.root.children.get(name), Dir) or not node.children for name in inside)
    if outside:
        names = ", ".join(f"`/{show(name)}`" for name in outside)
        run.output.note(f"warning: never merged, since it is outside of the hierarchies: {names}")
    if empty:
        run.output.note(f"warning: nothing to merge in {os.fsdecode(b', '.join(KINDS[kind].hierarchies))}")
