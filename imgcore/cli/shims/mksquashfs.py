"""mksquashfs's command line: `mksquashfs SOURCE... FILESYSTEM [OPTIONS] [-e EXCLUDE...]`.

What differs from mksquashfs 4.7.5: nothing is appended to an existing file (without -noappend it is an error), pseudo
files are never commands, the time of the file system is the newest in it unless said otherwise, dates are seconds or
ISO 8601. An existing file is written in place, since a caller may hold it open. The exit code is 0, or 1 for any error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from imgcore import __version__
from imgcore.blob import BytesBlob, FileBlob, PlainFile
from imgcore.build.host_files import HostFiles
from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.exits import stoppable
from imgcore.cli.shims.arguments import Arguments, ShimError, parse
from imgcore.cli.shims.excludes import PathSet, Patterns, read_exclude_file
from imgcore.cli.shims.mksquashfs_options import OPTIONS
from imgcore.cli.shims.sources import Known, cpio_tree, named_tree, single_tree
from imgcore.cli.shims.squashfs_settings import read_settings
from imgcore.cli.system import source_date_epoch
from imgcore.errors import ImgcoreError, context, show
from imgcore.events import Control, Event, Warned
from imgcore.formats.base import Report
from imgcore.limits import Limits
from imgcore.listings import PseudoEntry, apply_pseudo, parse_pseudo, read_pseudo_file
from imgcore.listings.text import time_ns, xattr_value
from imgcore.model import Dir, Meta, Node, Tree, type_name
from imgcore.transforms import (
    Clock,
    ModeRule,
    Owners,
    Policy,
    Rule,
    change_meta,
    change_modes,
    change_root,
    exclude,
    max_depth,
    set_xattrs,
    strip_xattrs,
)

__all__ = ["main"]

_NS = 10**9
Change = Callable[[Tree], Tree]


def main(argv: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    control = Control(_tell)
    try:
        arguments = parse("mksquashfs", argv, OPTIONS)
        if arguments.has("version"):
            print(f"mksquashfs version 4.7.5 (imgcore {__version__})")
            return 0
        if arguments.has("help") or not argv:
            print("SYNTAX: mksquashfs source1 source2 ... FILESYSTEM [OPTIONS] [-e list of exclude dirs/files]\n")
            print("imgcore's mksquashfs takes: " + " ".join(name for name in OPTIONS if OPTIONS[name].refused is None))
            return 0 if argv else 1
        with stoppable(control):
            _run(arguments, control)
    except (ShimError, ImgcoreError, ValueError) as error:
        print(f"mksquashfs: {error}", file=sys.stderr)
        hint = getattr(error, "hint", None)
        if hint:
            print(f"mksquashfs: hint: {hint}", file=sys.stderr)
        return 1
    return 0


def _tell(event: Event) -> None:
    if isinstance(event, Warned):
        print(f"mksquashfs: {event.message}" + (f": {show(event.path)}" if event.path else ""), file=sys.stderr)


def _run(arguments: Arguments, control: Control) -> None:
    if len(arguments.words) < 2:
        raise ShimError("a source and a FILESYSTEM are needed")
    *sources, dest = arguments.words
    offset = _size(arguments, "offset")
    if not arguments.has("noappend") and dest != "-" and _has_file(dest, offset):
        raise ShimError(f"`{dest}` exists, and imgcore does not append to it: -noappend writes over it")
    quiet = arguments.has("quiet") or dest == "-"
    with contextlib.ExitStack() as stack:
        known: Known = {}
        tree = _tree(arguments, sources, control, stack, known)
        options = read_settings(arguments)
        changes = [*_filters(arguments, sources, known), *_changes(arguments, control, stack)]
        policy = Policy(xattrs="all")
        for change in changes:
            tree = change(tree)
        if "mkfs_time" in arguments.values and arguments.text("mkfs_time") == "inode":
            options = dataclasses.replace(options, time=None)
        _print_names(arguments, tree)
        with _sink(dest, offset, stack) as target:
            report = pack(tree, target, format="squashfs", options=options, policy=policy, sync=False, control=control)
    if not quiet:
        _summary(report, dest)


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
        return cpio_tree(names, known)
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
    mode = ModeRule.parse(arguments.text("default_mode") or "0777").apply(0, True)
    uid = _user(arguments.text("default_uid")) if arguments.has("default_uid") else os.geteuid()
    gid = _group(arguments.text("default_gid")) if arguments.has("default_gid") else os.getegid()
    return change_root(tree, lambda meta: Meta(mode, uid, gid, meta.mtime_ns))


def _filters(arguments: Arguments, sources: list[str], known: Known) -> list[Change]:
    texts = arguments.texts("exclude")
    for path in arguments.texts("exclude_file"):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as stream:
                texts += read_exclude_file(stream.read())
        except OSError as error:
            raise ShimError(f"-ef: cannot open `{path}`: {error.strerror}") from None
    made: list[Change] = []
    if texts and (arguments.has("wildcards") or arguments.has("regex")):
        patterns = Patterns(texts, regular=arguments.has("regex"))
        made.append(lambda tree: exclude(tree, [Rule(patterns)]))
    elif texts:
        paths = _plain_excludes(texts, sources, arguments, known)
        made.append(lambda tree: exclude(tree, [Rule(paths)]))
    depth = arguments.text("max_depth")
    if depth is not None:
        levels = _number(depth, "-max-depth")
        made.append(lambda tree: max_depth(tree, levels))
    return made


def _plain_excludes(texts: Sequence[str], sources: Sequence[str], arguments: Arguments, known: Known) -> PathSet:
    """Return what plain excludes name: paths in the tree, and files by their inodes, as mksquashfs finds them."""
    single = len(sources) == 1 and not arguments.has("keep_as_directory")
    single = single and (arguments.has("tar") or os.path.isdir(sources[0]))
    places = {source: "" if single else "/" + os.path.basename(os.path.abspath(source)) for source in sources}
    found, nodes = [], []
    for text in texts:
        if text.startswith(("/", "./", "../")):
            candidates = [text]
            whole = os.path.realpath(os.path.dirname(os.path.abspath(text))) + "/" + os.path.basename(text.rstrip("/"))
            for source, place in places.items():
                top = os.path.realpath(source)
                if whole.startswith(top + "/") or top == "/":
                    found.append(os.fsencode(place + whole[len(top.rstrip("/")) :]))
        else:
            candidates = [os.path.join(source, text) for source in sources]
            found += [os.fsencode(place + "/" + os.path.normpath(text)) for place in places.values()]
        for path in candidates:
            with contextlib.suppress(OSError):  # what is not there leaves nothing out
                there = os.lstat(path)
                nodes += [known[key] for key in ((there.st_dev, there.st_ino),) if key in known]
    return PathSet(found, nodes)


def _changes(arguments: Arguments, control: Control, stack: contextlib.ExitStack) -> list[Change]:
    """Return what is changed in the tree, in mksquashfs's order."""
    made: list[Change] = []
    if not arguments.last("xattrs", True):
        made.append(lambda tree: strip_xattrs(tree, lambda name: True))
    made += _xattr_changes(arguments)
    pseudo = _pseudo(arguments, control, stack)
    owners = _owners(arguments)
    override = arguments.has("pseudo_override")
    if pseudo is not None and not override:
        made.append(pseudo)
    made.append(Policy(owners, Clock.keep(), "all").apply)
    if pseudo is not None and override:
        made.append(pseudo)
    file_mode, dir_mode = (
        ModeRule.parse(text) if (text := arguments.text(key)) is not None else None for key in ("file_mode", "dir_mode")
    )
    if file_mode or dir_mode:
        made.append(lambda tree: change_modes(tree, files=file_mode, dirs=dir_mode, links=file_mode))
    clock = _clock(arguments)
    if clock is not None:
        made.append(lambda tree: Policy(Owners.keep(), clock(tree), "all").apply(tree))
    made.append(_root(arguments))
    made.append(_whole_seconds)  # mksquashfs cuts them without a word
    return made


def _whole_seconds(tree: Tree) -> Tree:
    def change(node: Node) -> Meta:
        fraction = node.meta.mtime_ns % _NS
        return dataclasses.replace(node.meta, mtime_ns=node.meta.mtime_ns - fraction) if fraction else node.meta

    return change_meta(tree, change)


def _xattr_changes(arguments: Arguments) -> list[Change]:
    made: list[Change] = []
    include, leave_out = arguments.text("xattrs_include"), arguments.text("xattrs_exclude")
    try:
        for text, keep in ((include, True), (leave_out, False)):
            if text is not None:
                compiled = re.compile(os.fsencode(text))
                made.append(lambda tree, c=compiled, k=keep: strip_xattrs(tree, lambda name: bool(c.search(name)) != k))  # type: ignore[misc]
    except re.error as error:
        raise ShimError(f"not a regular expression: {error}") from None
    added = {}
    for text in arguments.texts("xattrs_add"):
        name, equals, value = os.fsencode(text).partition(b"=")
        if not equals or b"." not in name:
            raise ShimError(f"-xattrs-add: `{text}` is not NAME=VALUE")
        added[name] = xattr_value(value)
    if added:
        made.append(lambda tree: set_xattrs(tree, added))
    return made


def _pseudo(arguments: Arguments, control: Control, stack: contextlib.ExitStack) -> Change | None:
    entries: list[PseudoEntry] = []
    for text in arguments.texts("pseudo"):
        with context(image="-p"):
            entry = parse_pseudo(os.fsencode(text))
        entries += [entry] if entry is not None else []
    for path in arguments.texts("pseudo_file"):
        with context(image=path):
            blob = BytesBlob(sys.stdin.buffer.read()) if path == "-" else stack.enter_context(FileBlob(path))
            entries += read_pseudo_file(blob, Limits.trusted())
    if not entries:
        return None
    missing = None
    if (default := arguments.text("pseudo_dir")) is not None:
        # A default directory has no name of its own: it is parsed as that of the root.
        entry = parse_pseudo(b"/ " + os.fsencode(default))
        if entry is None or entry.kind not in "dD" or entry.mode is None:
            raise ShimError(f"-pd: `{default}` is neither d MODE UID GID nor D TIME MODE UID GID")
        missing = Meta(entry.mode, _user(entry.user), _group(entry.group), entry.time_ns or 0)
    alone = arguments.words[:-1] == ["-"] and not (arguments.has("tar") or arguments.has("cpio"))

    def apply(tree: Tree) -> Tree:
        return apply_pseudo(
            None if alone else tree,
            entries,
            files=HostFiles(control=control),
            missing=missing,
            conflict=lambda error: control.emit(Warned(f"{error}; ignored")),
        )

    return apply


def _owners(arguments: Arguments) -> Owners:
    uid = 0 if arguments.has("all_root") else None
    gid = uid
    if arguments.has("force_uid"):
        uid = _user(arguments.text("force_uid"))
    if arguments.has("force_gid"):
        gid = _group(arguments.text("force_gid"))
    offset = _number(arguments.text("id_offset") or "0", "-uid-gid-offset")
    return Owners(None if uid is None and gid is None else (uid, gid), offset=offset)


def _clock(arguments: Arguments) -> Callable[[Tree], Clock] | None:
    """Return what says the times of a tree: all one time, none later than SOURCE_DATE_EPOCH, or None to keep them."""
    text = arguments.text("inode_time") or arguments.text("repro_time")
    if text is not None:
        if text == "inode":
            return lambda tree: Clock.fixed(max(node.meta.mtime_ns for _, node in tree.walk()))
        fixed = Clock.fixed(_time(text))
        return lambda tree: fixed
    epoch = source_date_epoch()
    return None if epoch is None else lambda tree: Clock.clamp(epoch * _NS)


def _root(arguments: Arguments) -> Change:
    mode = ModeRule.parse(str(arguments.last("root_mode"))) if arguments.has("root_mode") else None
    uid = _user(arguments.text("root_uid")) if arguments.has("root_uid") else None
    gid = _group(arguments.text("root_gid")) if arguments.has("root_gid") else None
    text = arguments.text("root_time")

    def root(tree: Tree) -> Tree:
        time = None
        if text == "inode":
            time = max(node.meta.mtime_ns for _, node in tree.walk())
        elif text is not None:
            time = _time(text)

        def change(meta: Meta) -> Meta:
            return Meta(
                meta.mode if mode is None else mode.apply(meta.mode, True),
                meta.uid if uid is None else uid,
                meta.gid if gid is None else gid,
                meta.mtime_ns if time is None else time,
                meta.xattrs,
            )

        return change_root(tree, change)

    return root


def _time(text: str) -> int:
    try:
        return time_ns(text.encode())
    except ImgcoreError as error:
        raise ShimError(f"`{text}`: imgcore takes seconds since 1970, or a date of ISO 8601 ({error.message})") from None


def _number(text: str, option: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        raise ShimError(f"{option}: `{text}` is not a number")
    return int(text)


def _size(arguments: Arguments, key: str) -> int | None:
    from imgcore.limits import parse_size

    text = arguments.text(key)
    return None if text is None else parse_size(re.sub(r"(?i)(?<=[kmg])(bytes|b)$", "", text))


def _user(text: str | None) -> int:
    return _id(text, HostFiles().user, "user")


def _group(text: str | None) -> int:
    return _id(text, HostFiles().group, "group")


def _id(text: str | None, lookup: Callable[[str], int | None], what: str) -> int:
    assert text is not None
    found = int(text) if text.isascii() and text.isdigit() else lookup(text)
    if found is None:
        raise ShimError(f"`{text}` is no {what} here")
    return found


def _print_names(arguments: Arguments, tree: Tree) -> None:
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
        print("\n".join(lines))
        return
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write("\n".join(lines) + "\n")


def _summary(report: Report, dest: str) -> None:
    print(f"Creating 4.0 filesystem on {dest} (imgcore {__version__}, {report.codec})")
    print(f"Filesystem size {report.size / 1024:.2f} Kbytes ({report.size / (1 << 20):.2f} Mbytes)")
    print(f"Number of inodes {report.files + report.dirs + report.symlinks + report.others}")
    print(f"Number of files {report.files}\nNumber of fragments {report.fragments}")
