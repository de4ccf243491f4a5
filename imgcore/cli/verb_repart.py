"""`imgcore repart`: a disk image from definitions of partitions, as systemd-repart makes one."""

from __future__ import annotations

import json
import os
import platform
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

import click

from imgcore.build.ddi import RepartVersion
from imgcore.build.repart.builtin import built_in
from imgcore.build.repart.conf import definition_files
from imgcore.build.repart.definition import Definition, read_definition
from imgcore.build.repart.run import MadePart, RepartSettings, repart
from imgcore.build.repart.values import size as parse_size
from imgcore.build.signing import load_signer
from imgcore.build.source import Source, open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.system import allowed_cpus, source_date_epoch
from imgcore.disk.types import ARCHITECTURES, type_by_name
from imgcore.errors import PathError, TargetExists
from imgcore.hosts.lazily import look_at
from imgcore.limits import Limits
from imgcore.model import File, Tree
from imgcore.sysext.architecture import architecture_of_machine
from imgcore.sysext.release import read_assignments
from imgcore.sysext.version import NEWEST

__all__ = ["command"]

_SPECIFIERS = {"A": "IMAGE_VERSION", "B": "BUILD_ID", "M": "IMAGE_ID", "o": "ID", "w": "VERSION_ID", "W": "VARIANT_ID"}


@verb(
    "repart",
    "write a disk image from definitions of partitions",
    examples=(
        "imgcore repart --definitions ./repart.d --root ./tree --seed 750b6cd5-c4ae-4012-a15e-7be3c29e6a47 disk.raw",
        "imgcore repart --definitions ./repart.d --root ./tree --dry-run yes --json-style pretty disk.raw",
        "SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT=squashfs imgcore repart --make-ddi sysext --copy-source ./tree x.raw",
    ),
    codes=(3, 4, 5),
)
@click.argument("dest", metavar="IMAGE")
@click.option("--definitions", multiple=True, type=click.Path(file_okay=False), metavar="DIR", help="Where *.conf are read.")
@click.option("--make-ddi", type=click.Choice(["sysext", "confext", "portable"]), help="systemd's own definitions of a DDI.")
@click.option("--root", type=SOURCE, metavar="SRC", help="What CopyFiles= copies from, and CopyBlocks= of a directory.")
@click.option("-s", "--copy-source", type=SOURCE, metavar="SRC", help="What CopyFiles= copies from.")
@click.option("--seed", metavar="UUID", help="What all UUIDs follow from; `random` is a new one.")
@click.option("--size", default="auto", show_default=True, metavar="SIZE", help="Bytes of the disk, or `auto`.")
@click.option(
    "--empty", type=click.Choice(["create", "force"]), default="create", show_default=True, help="force: replace IMAGE."
)
@click.option("--dry-run", type=click.Choice(["yes", "no"]), default="no", show_default=True, help="yes: write nothing.")
@click.option("--json-style", type=click.Choice(["pretty", "short", "off"]), default="off", help="Print systemd's JSON.")
@click.option("--sector-size", type=click.Choice(["512", "1024", "2048", "4096"]), help="Bytes.  [default: 512]")
@click.option("--architecture", "--arch", metavar="NAME", help="As systemd calls it.  [default: the machine's]")
@click.option(
    "--split", type=click.Choice(["yes", "no"]), default="no", show_default=True, help="Each partition in a file, too."
)
@click.option("--private-key", "--key", type=click.Path(), metavar="PEM", help="For Verity=signature.")
@click.option("--certificate", "--cert", type=click.Path(), metavar="PEM", help="The key's certificate.")
@click.option("--include-partitions", metavar="TYPE,...", help="Take no others.")
@click.option("--exclude-partitions", metavar="TYPE,...", help="Leave these out.")
@click.option("--defer-partitions", metavar="TYPE,...", help="Leave room for these, and write neither them nor their entries.")
@click.option(
    "--systemd",
    type=click.Choice(["257", "262"]),
    default="262",
    show_default=True,
    help="Lay out as this systemd-repart does.",
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@click.option("--engine", type=click.Choice(["auto", "native", "pure"]), default="auto", show_default=True, help="As for pack.")
@click.option("--no-sync", is_flag=True, help="Do not force the image to disk before it appears.")
@limits_option
def command(run: Run, dest: str, limits: Limits, **values: Any) -> int | None:
    """Write the disk image IMAGE with the partitions that definitions ask for (repart.d(5)).

    The keys and the layout are those of systemd-repart; the bytes are too, given the same file systems. Disks that exist are
    not changed. A key that is not supported is an error that names file and line. SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT and
    its like replace Format=.
    """
    if (values["private_key"] is None) != (values["certificate"] is None):
        raise click.UsageError("--private-key and --certificate belong together")
    if bool(values["definitions"]) == bool(values["make_ddi"]):
        raise click.UsageError("either --definitions or --make-ddi is needed")
    if dest == "-":
        raise click.UsageError("a disk image is put together in a file, not on standard output")
    if values["root"] is not None and values["copy_source"] is not None:
        raise click.UsageError("--root and --copy-source exclude each other")
    try:
        architecture = values["architecture"] or architecture_of_machine(platform.machine())
        if architecture not in ARCHITECTURES:
            raise ValueError(f"`{architecture}` is no architecture; known: {', '.join(ARCHITECTURES)}")
        settings = _settings(values, architecture)
        with run.work() as control:
            where: SourceSpec | None = values["root"] or values["copy_source"]
            plain = None if where is None else _directory(where)
            if plain is not None:  # as a whole system may be: what nobody copies is not looked at
                opened: Source | None = Source(plain, look_at(plain, limits=limits))
            else:
                opened = None if where is None else open_source(where, limits=limits, stdin=run.stdin(), control=control)
            try:
                tree = None if opened is None else opened.tree
                made = _definitions(values, architecture, tree)
                parts = repart(
                    made,
                    tree,
                    None if values["dry_run"] == "yes" else dest,
                    settings,
                    engine=values["engine"],
                    jobs=values["jobs"] or allowed_cpus(),
                    force=values["empty"] == "force",
                    sync=not values["no_sync"],
                    control=control,
                )
            finally:
                if opened is not None:
                    opened.close()
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except TargetExists as error:
        error.hint = "--empty force replaces it"
        raise
    _show(run, parts, dest, values)
    return None


def _settings(values: dict[str, Any], architecture: str) -> RepartSettings:
    """Return what the flags ask for. Raises ValueError."""
    seed = values["seed"]
    if seed is None or seed == "random":
        if seed is None:
            raise ValueError("--seed is needed: all UUIDs follow from it; `--seed random` makes a new one")
        found = uuid.uuid4()
    else:
        try:
            found = uuid.UUID(seed)
        except ValueError:
            raise ValueError(f"--seed: `{seed}` is no UUID") from None
    size = None if values["size"] == "auto" else -(-parse_size(values["size"]) // 4096) * 4096
    signer = None if values["private_key"] is None else load_signer(values["private_key"], values["certificate"])
    return RepartSettings(
        seed=found,
        systemd=cast(RepartVersion, int(values["systemd"])),
        size=size,
        sector=None if values["sector_size"] is None else int(values["sector_size"]),
        signer=signer,
        split=values["split"] == "yes",
        defer=_types(values["defer_partitions"], architecture),
        root=_directory(values["root"]),
        time=source_date_epoch(),
    )


def _types(text: str | None, architecture: str) -> frozenset[uuid.UUID]:
    """Return the UUIDs of types in a list. Raises ValueError."""
    return frozenset(type_by_name(word, architecture).guid for word in (text or "").split(",") if word)


def _directory(source: SourceSpec | None) -> str | None:
    """Return the directory that a source is, None for another one: what CopyBlocks= names is a file of the host then."""
    return source.path if source is not None and not source.parts and os.path.isdir(source.path) else None


def _definitions(values: dict[str, Any], architecture: str, tree: Tree | None) -> list[Definition]:
    """Return the definitions that count, with Format= as the environment overrides it. Raises ValueError, DefinitionError."""
    if values["make_ddi"] is not None:
        found = built_in(values["make_ddi"], architecture)
        if tree is None:
            raise ValueError("--make-ddi needs --copy-source")
    else:
        expand = _expander(architecture, tree)
        found = [read_definition(path, architecture, expand) for path in definition_files(values["definitions"])]
    wanted = _types(values["include_partitions"], architecture)
    unwanted = _types(values["exclude_partitions"], architecture)
    made = [one for one in found if (not wanted or one.type().guid in wanted) and one.type().guid not in unwanted]
    for one in made:
        role = one.type().role
        override = os.environ.get(f"SYSTEMD_REPART_OVERRIDE_FSTYPE_{role.upper().replace('-', '_')}") if role else None
        if override and one.verity in ("off", "data") and one.copy_blocks is None:
            one.format = override
        if one.populated and tree is None and one.copy_files:
            raise ValueError(f"{one.path} has CopyFiles=: --root or --copy-source says of what")
    return made


def _expander(architecture: str, tree: Tree | None) -> Callable[[str], str]:
    """Return what fills in specifiers: those of the architecture and of the source's os-release."""
    said: dict[str, str] = {}
    for path in (b"/etc/os-release", b"/usr/lib/os-release"):
        if tree is None or said:
            break
        try:
            node = tree.lookup(path, follow=True)
        except PathError:
            continue
        if isinstance(node, File):
            said = read_assignments(node.content, NEWEST)

    def value(match: re.Match[str]) -> str:
        letter = match[1]
        if letter == "%":
            return "%"
        if letter == "a":
            return architecture
        if letter in _SPECIFIERS:
            return said.get(_SPECIFIERS[letter], "")
        raise ValueError(f"the specifier `%{letter}` is of a running system, and not supported")

    return lambda text: re.sub("%(.?)", value, text)


def _show(run: Run, parts: Sequence[MadePart], dest: str, values: dict[str, Any]) -> None:
    shown = [part.values(dest) for part in parts]
    nothing: dict[str, object] = {
        "roothash": None,
        "split_path": None,
        "drop-in_files": None if values["systemd"] == "262" else [],
    }
    for name, value in nothing.items():  # a column that one has, all have
        if any(name in one for one in shown):
            shown = [{**one, name: one.get(name, value)} for one in shown]
    if values["json_style"] != "off":
        style: dict[str, Any] = (
            {"indent": "\t", "separators": (",", " : ")} if values["json_style"] == "pretty" else {"separators": (",", ":")}
        )
        run.output.line(json.dumps(shown, ensure_ascii=False, **style))
        return
    if run.output.as_json:
        run.output.event(
            "summary", {"verb": "repart", "dest": dest, "dry_run": values["dry_run"] == "yes", "partitions": shown}
        )
        return
    for part in parts:
        run.output.note(f"{part.number} {part.label}: {part.size} bytes at {part.offset}, {part.guid}")
