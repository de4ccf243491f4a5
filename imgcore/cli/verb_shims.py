"""`imgcore shims DIR`: scripts called mksquashfs and unsquashfs, which run imgcore."""

from __future__ import annotations

import click

from imgcore.cli.command import Run, verb
from imgcore.cli.shims.install import install

__all__ = ["command"]


@verb(
    "shims",
    "write scripts that stand for mksquashfs and unsquashfs",
    examples=('imgcore shims ./shims && PATH="$PWD/shims:$PATH" kiwi-ng …', "imgcore shims --force /opt/imgcore/bin"),
    codes=(2, 6),
)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--iso", is_flag=True, help="Those of xorriso, xorrisofs, mkisofs and genisoimage too.")
@click.option("--force", is_flag=True, help="Replace scripts that exist.")
def command(run: Run, directory: str, iso: bool, force: bool) -> int | None:
    """Write the scripts mksquashfs, unsquashfs, sqfscat and sqfstar into DIR.

    A program that finds DIR first in its PATH runs imgcore in their place, with the same options. An option that imgcore
    does not have is refused by name.
    """
    paths = install(directory, force=force, iso=iso)
    if run.output.as_json:
        run.output.event("summary", {"verb": "shims", "paths": [str(path) for path in paths]})
    else:
        for path in paths:
            run.output.line(str(path))
    return None
