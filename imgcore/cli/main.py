"""`imgcore`: the group of all verbs. A verb's module is imported when it is called, so that starting stays quick."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

import imgcore

__all__ = ["group", "main", "run"]

VERBS: Final = {
    "pack": "write trees into an image",
    "unpack": "write what is in SRC into a directory, safely",
    "ls": "list what is in SRC",
    "cat": "print a file of SRC",
    "info": "show the parameters of an image",
    "manifest": "print the canonical manifest of SRC",
    "diff": "show what differs between two sources",
    "merge": "merge extensions over a host, as systemd or overlayfs would",
    "explain": "tell why a path of a merged host is as it is",
    "sysext": "decide, check and build extensions of systemd",
    "mkosi": "build the images of a mkosi configuration, without mkosi",
    "iso": "make, explain and change ISO 9660 images that boot",
    "repart": "write a disk image from definitions of partitions",
    "ddi": "make and check discoverable disk images",
    "check": "find everything in an image that breaks the rules",
    "cache": "show or prune a cache of compressed blocks",
    "shims": "write scripts that stand for mksquashfs and unsquashfs",
    "doctor": "show codecs, engine and versions",
    "formats": "show what each format can hold",
}


class _Verbs(click.Group):
    """A group that knows its commands by name and imports them on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"imgcore.cli.verb_{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what every verb's help says too."""
        from imgcore.cli.exits import EXIT_TEXTS

        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_TEXTS.items()])


@click.group(
    cls=_Verbs,
    invoke_without_command=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(imgcore.__version__, prog_name="imgcore", message="%(prog)s %(version)s")
def group() -> None:
    """Write, read, compare and check file-system images, without mounting anything and without root.

    SRC is a directory or an image: [/PLACE=][KIND:]PATH{@SUBPATH}. `@SUBPATH` goes down into a directory or an image
    that is in it, `/PLACE=` puts the tree there, `-` is standard input. A backslash escapes `# @ : =`.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    try:
        with group.make_context("imgcore", list(arguments)) as context:
            code = group.invoke(context)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        _show_usage(error, "--json" in arguments)
        return 2
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        from imgcore.cli.command import silence_stdout

        silence_stdout()
        return 141


def _show_usage(error: click.ClickException, as_json: bool) -> None:
    """Say what is wrong with the command line."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    help_of = context.command_path if context is not None else "imgcore"
    message = error.format_message().rstrip(".")
    if as_json:
        values = {"event": "error", "schema": 1, "kind": "UsageError", "message": message, "exit": 2}
        print(json.dumps(values, separators=(",", ":")), file=sys.stderr)
        return
    text = message[:1].lower() + message[1:] if message[:2].istitle() else message
    print(f"error: {text}\nhint: {help_of} --help", file=sys.stderr)


def main() -> None:
    """Be the program `imgcore`."""
    if "_IMGCORE_COMPLETE" in os.environ:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(group, {}, "imgcore", "_IMGCORE_COMPLETE", os.environ["_IMGCORE_COMPLETE"]))
    # What a verb makes lives until it ends; looking for cycles in it every 700 objects would take a tenth of its time.
    gc.set_threshold(1_000_000, 50, 100)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
