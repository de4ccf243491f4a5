"""What all verbs share: their common flags, help with examples and exit codes, and how they end.

    @verb("ls", "list what is in SRC", examples=("imgcore ls -l out.raw /usr",), codes=(1, 3))
    @click.argument("source", type=SOURCE)
    def command(run: Run, source: SourceSpec) -> int | None: ...

A verb's function gets a `Run` and its own parameters, and returns an exit code, None for 0. Whatever it raises on
purpose becomes an error message and an exit code here, in one place.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import click

from imgcore.build.spec import SourceSpec, parse_source
from imgcore.cli.exits import CLOSED_STDOUT, EXIT_TEXTS, Stopped, code_of, stoppable
from imgcore.cli.output import Output
from imgcore.cli.progress import Mode, View, choose_view
from imgcore.errors import Cancelled, ImgcoreError, OutputError
from imgcore.events import Control, Event, Warned
from imgcore.limits import Limits, parse_size
from imgcore.values import value_class

__all__ = ["LIMITS", "SIZE", "SOURCE", "Run", "Verb", "limits_option", "silence_stdout", "verb"]


@value_class(frozen=False)
class Run:
    """One run of a verb: where it prints, and the control that its work takes."""

    output: Output
    control: Control
    view: View

    @contextlib.contextmanager
    def work(self) -> Iterator[Control]:
        """Give the control for work that leaves something behind: a signal lets it clean up."""
        try:
            with stoppable(self.control):
                yield self.control
        finally:
            self.view.close()

    @staticmethod
    def stdin() -> BinaryIO | None:
        """Return standard input as bytes, None where there is none."""
        return None if sys.stdin is None else sys.stdin.buffer


class _SourceType(click.ParamType[SourceSpec]):
    """A SRC, parsed."""

    name = "source"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> SourceSpec:
        """Return the parsed source."""
        if isinstance(value, SourceSpec):
            return value
        try:
            return parse_source(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Let the shell complete names of files."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class _Converted(click.ParamType[Any]):
    """A value that a function makes of text; its ValueError is the usage error."""

    def __init__(self, name: str, convert: Callable[[str], object]) -> None:
        self.name = name
        self._convert = convert

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the converted text."""
        if not isinstance(value, str):
            return value
        try:
            return self._convert(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SOURCE = _SourceType()
SIZE = _Converted("size", parse_size)
LIMITS = _Converted("limits", Limits.parse)

limits_option = click.option(
    "--limits",
    type=LIMITS,
    default=Limits(),
    metavar="LIMITS",
    help="What an image may make us spend: `default`, `trusted`, and NAME=N, comma-separated.  [default: default]",
)


class Verb(click.Command):
    """A command whose help ends with examples and exit codes."""

    examples: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and the exit codes."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(" " * formatter.current_indent + example + "\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), EXIT_TEXTS[code]) for code in sorted({0, 2, 6, 130, *self.codes})])


def verb(
    name: str, summary: str, *, examples: Sequence[str], codes: Sequence[int] = ()
) -> Callable[[Callable[..., int | None]], Verb]:
    """Make a verb of a function; `codes` are the exit codes that it may have beyond 0, 2, 6 and 130."""

    def decorate(function: Callable[..., int | None]) -> Verb:
        @functools.wraps(function)
        def callback(as_json: bool, quiet: bool, verbose: bool, progress: Mode, **values: Any) -> int:
            output = Output(as_json=as_json, quiet=quiet, verbose=verbose)
            return _run(function, output, progress, values)

        for option in reversed(_COMMON):
            callback = option(callback)
        made = click.command(name, cls=Verb, short_help=summary)(callback)
        made.examples, made.codes = tuple(examples), tuple(codes)
        return made

    return decorate


_COMMON = (
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but data and errors."),
    click.option("-v", "--verbose", is_flag=True, help="Print more: what is read, each warning."),
    click.option(
        "--progress",
        type=click.Choice(["auto", "plain", "json", "none"]),
        default="auto",
        show_default=True,
        help="Show progress on stderr; auto: a bar on a terminal.",
    ),
)


def _run(function: Callable[..., int | None], output: Output, progress: Mode, values: dict[str, Any]) -> int:
    """Run a verb; return its exit code."""
    view = choose_view(progress, output)
    if output.verbose:
        import logging

        logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(name)s: %(message)s")

    def on_event(event: Event) -> None:
        if isinstance(event, Warned):
            output.warn(event)
        else:
            view.show(event)

    run = Run(output, Control(on_event), view)
    try:
        try:
            code = function(run, **values) or 0
            output.finish()
            return code
        finally:
            view.close()
    except click.ClickException:
        raise
    except BrokenPipeError:
        silence_stdout()
        return CLOSED_STDOUT
    except Stopped as stopped:
        return _failed(Cancelled("interrupted", hint=stopped.hint), output, stopped.code)
    except KeyboardInterrupt as error:
        return _failed(Cancelled("interrupted"), output, code_of(error))
    except (ImgcoreError, OSError) as error:
        return _failed(error, output, code_of(error))


def _failed(error: ImgcoreError | OSError, output: Output, code: int) -> int:
    """Tell of an error; return the exit code."""
    try:
        # What was printed before the error comes before it where both go to one place.
        if sys.stdout is not None:
            sys.stdout.flush()
        output.error(error, code)
    except BrokenPipeError:
        silence_stdout()
        return CLOSED_STDOUT
    except (OSError, OutputError):
        silence_stdout()
    return code


def silence_stdout() -> None:
    """Make the interpreter's own flush at its end go nowhere: the reader is gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(null, stream.fileno())
    os.close(null)
