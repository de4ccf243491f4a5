"""`imgcore ddi build TREE -o NAME.raw`: a disk image as systemd-repart --make-ddi makes it."""

from __future__ import annotations

import platform
import uuid
from typing import Any, cast

import click

from imgcore.build.ddi import DdiReport, DdiSettings, RepartVersion, build_ddi
from imgcore.build.pack import choose_format
from imgcore.build.signing import load_signer
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SIZE, SOURCE, Run, limits_option, verb
from imgcore.cli.output import human
from imgcore.cli.packing import parse_clock, parse_compression, parse_losses, parse_owner, parse_settings
from imgcore.cli.system import allowed_cpus, source_date_epoch
from imgcore.cli.verb_pack import format_options
from imgcore.errors import Unsupported, show
from imgcore.limits import Limits
from imgcore.sysext.architecture import architecture_of_machine
from imgcore.transforms import Clock, Policy

__all__ = ["build_command"]


def _uuid(ctx: click.Context, param: click.Parameter, value: str | None) -> uuid.UUID | None:
    try:
        return None if value is None else uuid.UUID(value)
    except ValueError:
        raise click.BadParameter(f"`{value}` is no UUID") from None


@verb(
    "build",
    "write a disk image with one file system, and verity",
    examples=(
        "imgcore ddi build ./tree -o hello.raw",
        "imgcore ddi build ./tree -o hello.raw --verity --seed 750b6cd5-c4ae-4012-a15e-7be3c29e6a47",
        "imgcore ddi build ./tree -o hello.raw --verity --key mkosi.key --cert mkosi.crt",
    ),
    codes=(3, 4, 5),
)
@click.argument("sources", type=SOURCE, metavar="TREE...", nargs=-1, required=True)
@click.option("-o", "--output", "dest", required=True, metavar="NAME.raw", help="The image; an extension is called NAME.")
@click.option(
    "--kind",
    type=click.Choice(["sysext", "confext", "portable"]),
    default="sysext",
    show_default=True,
    help="What the image is.",
)
@click.option("--verity", is_flag=True, help="Add a dm-verity hash tree.")
@click.option("--key", type=click.Path(), metavar="PEM", help="Sign the root hash with this private key (with --cert).")
@click.option("--cert", type=click.Path(), metavar="PEM", help="The key's certificate.")
@click.option("--seed", callback=_uuid, metavar="UUID", help="What all UUIDs follow from.  [default: the file system]")
@click.option("--split", is_flag=True, help="Write each partition, the root hash and its signature beside the image too.")
@click.option("--bare", is_flag=True, help="No disk: the file system, and NAME.verity, NAME.roothash, NAME.roothash.p7s.")
@click.option("--arch", metavar="NAME", help="The architecture, as systemd calls it.  [default: the machine's]")
@click.option(
    "--sector-size", type=click.Choice(["512", "1024", "2048", "4096"]), default="512", show_default=True, help="Bytes."
)
@click.option(
    "--systemd",
    type=click.Choice(["257", "262"]),
    default="262",
    show_default=True,
    help="Lay out as this systemd-repart does.",
)
@click.option("--format", "format_name", default="squashfs", metavar="NAME", help="The file system: squashfs.")
@click.option("-c", "--compression", callback=parse_compression, metavar="NAME[:LEVEL]", help="As for pack.")
@click.option("-b", "--block-size", type=SIZE, metavar="SIZE", help="As for pack.")
@click.option("-O", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="An option of the format.")
@click.option("--allow-loss", callback=parse_losses, metavar="KIND,...", help="Accept what the format cannot hold.")
@click.option("--owner", default="root", callback=parse_owner, metavar="WHO", help="keep, root, UID:GID.  [default: root]")
@click.option("--clock", callback=parse_clock, metavar="WHEN", help="As for pack.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@click.option("--memory", type=SIZE, metavar="SIZE", help="As for pack.")
@click.option("--engine", type=click.Choice(["auto", "native", "pure"]), default="auto", show_default=True, help="As for pack.")
@click.option("--force", is_flag=True, help="Replace DEST.")
@click.option("--no-sync", is_flag=True, help="Do not force the image to disk before it appears.")
@limits_option
def build_command(run: Run, sources: tuple[SourceSpec, ...], dest: str, limits: Limits, **values: Any) -> int | None:
    """Write a disk image with TREE in a squashfs in a root partition, as `systemd-repart --make-ddi` would.

    Of an extension only its hierarchies go in: /usr and /opt, of confext /etc; what else there is is warned of. The release
    file has to be in TREE: `imgcore sysext build` writes one, this does not.
    """
    if (values["key"] is None) != (values["cert"] is None):
        raise click.UsageError("--key and --cert belong together")
    try:
        kind = choose_format(dest, values["format_name"])
    except ValueError:
        kind = None
    if kind is None or kind.name != "squashfs":
        raise Unsupported(f"a DDI with a file system `{values['format_name']}`", hint="squashfs is what can be made here")
    try:
        signer = None if values["key"] is None else load_signer(values["key"], values["cert"])
        wanted = DdiSettings(
            kind=values["kind"],
            architecture=values["arch"] or architecture_of_machine(platform.machine()),
            seed=values["seed"],
            verity=values["verity"] or signer is not None,
            signer=signer,
            systemd=cast(RepartVersion, int(values["systemd"])),
            sector=int(values["sector_size"]),
            split=values["split"],
            bare=values["bare"],
        )
        options = format_options(kind, values, None, None)
        epoch = source_date_epoch()
        clock = values["clock"] or (Clock() if epoch is None else Clock.clamp(epoch * 10**9))
        with run.work() as control:
            report = build_ddi(
                list(sources),
                dest,
                wanted,
                options=options,
                policy=Policy(owners=values["owner"], clock=clock),
                exclude=values["exclude"],
                engine=values["engine"],
                force=values["force"],
                sync=not values["no_sync"],
                jobs=values["jobs"] or allowed_cpus(),
                limits=limits,
                stdin=run.stdin(),
                control=control,
            )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    _show(run, report, dest)
    return None


def _show(run: Run, report: DdiReport, dest: str) -> None:
    if run.output.as_json:
        run.output.event("summary", {"verb": "ddi build", "dest": show(dest), **report.values()})
        return
    run.output.note(f"wrote `{show(dest)}`: {human(report.size)}, seed {report.seed}")
    for number, part in enumerate(report.parts, 1):
        run.output.note(f"  {number} {part.label}: {human(part.size)} at {part.offset}, {part.guid}")
    if report.root is not None:
        run.output.note(f"  root hash {report.root.hex()}")
    for path in report.files:
        run.output.note(f"  `{show(path)}`")
