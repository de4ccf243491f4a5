"""mksquashfs's command line: `mksquashfs SOURCE... FILESYSTEM [OPTIONS] [-e EXCLUDE...]`.

What differs from mksquashfs 4.7.5: nothing is appended to an existing file (without -noappend it is an error), pseudo
files are never commands, the time of the file system is the newest in it unless said otherwise, dates are seconds or
ISO 8601. An existing file is written in place, since a caller may hold it open. The exit code is 0, or 1 for any error.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from imgcore import __version__
from imgcore.blob import PlainFile
from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import silence_stdout
from imgcore.cli.exits import Stopped, stoppable
from imgcore.cli.shims.arguments import Arguments, ShimError, parse
from imgcore.cli.shims.excludes import PathSet
from imgcore.cli.shims.mksquashfs_changes import changes
from imgcore.cli.shims.mksquashfs_filters import filters
from imgcore.cli.shims.mksquashfs_options import OPTIONS
from imgcore.cli.shims.sources import Known, cpio_tree, named_tree, single_tree
from imgcore.cli.shims.squashfs_settings import read_settings
from imgcore.cli.shims.values import size
from imgcore.errors import ImgcoreError, show
from imgcore.events import Control, Event, Warned
from imgcore.formats.base import Report
from imgcore.model import Dir, Meta, Tree, type_name
from imgcore.transforms import Policy, Rule, change_root, exclude
from imgcore.transforms.order import Order

__all__ = ["main"]


def main(argv: Sequence[str], program: str = "mksquashfs") -> int:
    """Run one command line; return its exit code. `program` is what errors are in the name of."""
    control = Control(_tell)
    try:
        arguments = parse(program, argv, OPTIONS)
        if arguments.has("version"):
            print(f"mksquashfs version 4.7.5 (imgcore {__version__})")
            return 0
        if arguments.has("help") or not argv:
            print("SYNTAX: mksquashfs source1 source2 ... FILESYSTEM [OPTIONS] [-e list of exclude dirs/files]\n")
            print("imgcore's mksquashfs takes: " + " ".join(name for name in OPTIONS if OPTIONS[name].refused is None))
            return 0 if argv else 1
        with stoppable(control):
            _run(arguments, control)
    except Stopped:
        print(f"{program}: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        silence_stdout()
        return 1
    except (ShimError, ImgcoreError, ValueError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        hint = getattr(error, "hint", None)
        if hint:
            print(f"{program}: hint: {hint}", file=sys.stderr)
        return 1
    return 0


def _tell(event: Event) -> None:
    if isinstance(event, Warned):
        print(f"mksquashfs: {event.message}" + (f": {show(event.path)}" if event.path else ""), file=sys.stderr)


def _run(arguments: Arguments, control: Control) -> None:
    if len(arguments.words) < 2:
        raise ShimError("a source and a FILESYSTEM are needed")
    *sources, dest = arguments.words
    if arguments.has("stream"):
        dest = "-"
    offset = size(arguments, "offset")
    if offset is not None and offset >= 1 << 62:
        raise ShimError(f"-offset: {offset} is outside of any file")
    if not arguments.has("noappend") and dest != "-" and _has_file(dest, offset):
        raise ShimError(f"`{dest}` exists, and imgcore does not append to it: -noappend writes over it")
    quiet = arguments.has("quiet") or dest == "-"
    with contextlib.ExitStack() as stack:
        known: Known = {}
        tree = _tree(arguments, sources, control, stack, known)
        options = read_settings(arguments, sources)
        tree = _without_target(tree, dest, known)
        for change in (*filters(arguments, sources, known), *changes(arguments, control, stack)):
            tree = change(tree)
        _print_names(arguments, tree, sys.stderr if dest == "-" else sys.stdout)
        with _sink(dest, offset, stack) as target:
            report = pack(
                tree, target, format="squashfs", options=options, policy=Policy(xattrs="all"), sync=False, control=control
            )
    if isinstance(options.hints, Order):
        for line in options.hints.unused():
            control.emit(Warned(f"sort file, line {line.number}: no file of the image", line.names))
    if not quiet:
        _summary(report, dest)
        sys.stdout.flush()


def _without_target(tree: Tree, dest: str, known: Known) -> Tree:
    """Return the tree without the file that will be written over, which may lie in its own source."""
    try:
        found = os.stat(dest)
    except OSError:
        return tree
    node = known.get((found.st_dev, found.st_ino))
    return tree if node is None else exclude(tree, [Rule(PathSet([], [node]))])


def _has_file(dest: str, offset: int | None) -> bool:
    """Return whether there is something that would be written over."""
    try:
        found = os.stat(dest)
    except OSError:
        return False
    return not (stat.S_ISREG(found.st_mode) and offset is not None and found.st_size <= offset)


@contextlib.contextmanager
def _sink(dest: str, offset: int | None, stack: contextlib.ExitStack) -> Iterator[Any]:
    """Give where the image goes: a new file, an old one in place, a block device, standard output."""
    if dest == "-":
        yield sys.stdout.buffer
    elif os.path.exists(dest) or offset is not None:
        is_file = not os.path.exists(dest) or stat.S_ISREG(os.stat(dest).st_mode)
        if not is_file and not stat.S_ISBLK(os.stat(dest).st_mode):
            yield dest  # a FIFO, say
            return
        yield PlainFile(dest, start=offset or 0, sync=False, cut=is_file)
    else:
        yield dest


def _tree(arguments: Arguments, sources: list[str], control: Control, stack: contextlib.ExitStack, known: Known) -> Tree:
    """Return the tree of all sources, before anything is left out."""
    xattrs = bool(arguments.last("xattrs", True))
    mounts: Any = arguments.last("mounts", "cross")
    if arguments.has("tar"):
        return _tar_tree(arguments, sources, control, stack)
    if arguments.has("cpio"):
        if sources != ["-"]:
            raise ShimError("-cpiostyle: the source is -, the names come from standard input")
        names = [name for name in sys.stdin.buffer.read().split(str(arguments.last("cpio")).encode()) if name]
        return cpio_tree(names, xattrs, known)
    if sources == ["-"]:
        return Tree(Dir(Meta(0o777), {}))
    if (
        len(sources) == 1
        and os.path.isdir(sources[0])
        and not (arguments.has("keep_as_directory") or arguments.has("no_strip"))
    ):
        return single_tree(sources[0], xattrs, mounts, control, known)
    return named_tree(sources, xattrs, mounts, control, known, whole=arguments.has("no_strip"))


def _tar_tree(arguments: Arguments, sources: list[str], control: Control, stack: contextlib.ExitStack) -> Tree:
    if sources != ["-"]:
        raise ShimError("-tar: the source is -, the archive comes from standard input")
    spec = SourceSpec("-", "-", kind="tar", is_stdin=True)
    tree = stack.enter_context(open_source(spec, stdin=sys.stdin.buffer, control=control)).tree
    # mksquashfs takes no metadata of the root from the archive.
    return change_root(tree, lambda meta: Meta(0o777, os.geteuid(), os.getegid(), meta.mtime_ns))


def _print_names(arguments: Arguments, tree: Tree, out: TextIO) -> None:
    """Print what -info asks for."""
    if not (arguments.has("info") or arguments.has("info_file")):
        return
    lines = [
        f"{type_name(node)} {show(path)}" + (f", size {node.content.size} bytes" if hasattr(node, "content") else "")
        for path, node in tree.walk()
        if path != b"/"
    ]
    path = arguments.text("info_file")
    if path is None:
        print("\n".join(lines), file=out)
        return
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write("\n".join(lines) + "\n")


def _summary(report: Report, dest: str) -> None:
    print(f"Creating 4.0 filesystem on {dest} (imgcore {__version__}, {report.codec})")
    print(f"Filesystem size {report.size / 1024:.2f} Kbytes ({report.size / (1 << 20):.2f} Mbytes)")
    print(f"Number of inodes {report.files + report.dirs + report.symlinks + report.others}")
    print(f"Number of files {report.files}\nNumber of fragments {report.fragments}")
