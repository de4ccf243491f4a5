"""unsquashfs's command line: `unsquashfs [OPTIONS] FILESYSTEM [FILES…]`.

What differs from unsquashfs 4.7.5: an error is an error, exit code 1, and what could not be set (extended attributes, for
one who is not root) is exit code 2; links in names to extract are not followed. Devices are made by root only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import grp
import os
import pwd
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from imgcore import __version__
from imgcore.blob import FileBlob, SliceBlob, read_chunks
from imgcore.build.unpack import unpack
from imgcore.cli.command import silence_stdout
from imgcore.cli.exits import Stopped, stoppable
from imgcore.cli.shims.arguments import Arguments, ShimError, parse
from imgcore.cli.shims.excludes import Patterns, read_exclude_file
from imgcore.cli.shims.unsquashfs_options import OPTIONS
from imgcore.cli.shims.values import number
from imgcore.cli.system import allowed_cpus
from imgcore.errors import ImgcoreError, show
from imgcore.events import Control, Event, Warned
from imgcore.formats.squashfs import FORMAT, SquashfsImage
from imgcore.limits import Limits, parse_size
from imgcore.listings.pseudo_writer import pseudo_text
from imgcore.listings.text import time_ns
from imgcore.model import Device, Dir, File, Node, Symlink, Tree, type_name
from imgcore.transforms import Clock, Matcher, Owners, Policy, Rule, exclude, max_depth, strip_xattrs

__all__ = ["main"]

_DEST = "squashfs-root"
_KINDS = {
    "dir": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}


def main(argv: Sequence[str], program: str = "unsquashfs") -> int:
    """Run one command line; return its exit code."""
    warned: list[Warned] = []

    def tell(event: Event) -> None:
        if isinstance(event, Warned):
            warned.append(event)
            print(f"{program}: {event.message}" + (f": {show(event.path)}" if event.path else ""), file=sys.stderr)

    control = Control(tell)
    try:
        arguments = parse(program, argv, OPTIONS)
        if arguments.has("version"):
            print(f"unsquashfs version 4.7.5 (imgcore {__version__})")
            return 0
        if arguments.has("help") or not arguments.words:
            print("SYNTAX: unsquashfs [OPTIONS] FILESYSTEM [files to extract or exclude (with -excludes) or cat (with -cat)]\n")
            print("imgcore's unsquashfs takes: " + " ".join(name for name in OPTIONS if OPTIONS[name].refused is None))
            return 0 if arguments.has("help") else 1
        with stoppable(control), _opened(arguments) as image:
            return _run(arguments, image, control) or (2 if warned else 0)
    except Stopped:
        print(f"{program}: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        silence_stdout()
        return 1
    except (ShimError, ImgcoreError, ValueError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _opened(arguments: Arguments) -> Iterator[SquashfsImage]:
    path, offset = arguments.words[0], parse_size(arguments.text("offset") or "0")
    with FileBlob(path) as blob:
        inner = SliceBlob(blob, min(offset, blob.size), blob.size - min(offset, blob.size)) if offset else blob
        with FORMAT.open(inner, Limits.default()) as image:
            assert isinstance(image, SquashfsImage)
            yield image


def _run(arguments: Arguments, image: SquashfsImage, control: Control) -> int:
    if arguments.has("stat"):
        _print_superblock(image, arguments.words[0])
        return 0
    if arguments.has("mkfs_time"):
        print(image.superblock.mkfs_time)
        return 0
    if arguments.has("cat"):
        return _cat(arguments, image, sys.stdout.buffer)
    tree = _chosen(arguments, image.tree)
    if arguments.has("pseudo_file"):
        return _write_pseudo(str(arguments.text("pseudo_file")), tree, control)
    form = arguments.text("list")
    if form is not None and form != "long-info":
        _list(arguments, image, tree, form)
        return 0
    return _extract(arguments, image, tree, control)


def _chosen(arguments: Arguments, tree: Tree) -> Tree:
    """Return what the names on the command line, and those in files, leave of the tree."""
    names, left_out = arguments.words[1:], []
    if arguments.has("excludes"):
        names, left_out = [], names
    names += [name for path in arguments.texts("extract_file") for name in _names_in(path)]
    left_out += [name for path in arguments.texts("exclude_file") for name in _names_in(path)]
    if left_out:
        tree = exclude(tree, [Rule(_patterns(arguments, left_out))])
    if names:
        tree = _only(tree, [_patterns(arguments, [name]) for name in names], names, required=arguments.has("match"))
    depth = arguments.text("max_depth")
    if depth is not None:
        tree = max_depth(tree, number(depth, "-max-depth"))
    for key, keep in (("xattrs_include", True), ("xattrs_exclude", False)):
        if (text := arguments.text(key)) is not None:
            try:
                compiled = re.compile(os.fsencode(text))
            except re.error as error:
                raise ShimError(f"not a regular expression: {error}") from None
            tree = strip_xattrs(tree, lambda name, c=compiled, k=keep: bool(c.search(name)) != k)  # type: ignore[misc]
    if (text := arguments.text("all_time")) is not None:
        tree = Policy(Owners.keep(), Clock.fixed(time_ns(text.encode())), "all").apply(tree)
    return tree


def _patterns(arguments: Arguments, names: Sequence[str]) -> Patterns:
    plain = [re.sub(r"^(\.?/)+", "", name) for name in names]
    if arguments.has("no_wildcards") or arguments.has("match"):
        plain = [re.sub(r"([*?\[\\()!+@])", r"\\\1", name) for name in plain]
    return Patterns(plain, regular=arguments.has("regex"))


def _only(tree: Tree, wanted: Sequence[Matcher], names: Sequence[str], *, required: bool) -> Tree:
    """Return what the matchers stand for, all below it and the directories on the way."""
    used = [False] * len(wanted)
    kept: set[bytes] = set()
    below: list[bytes] = []
    for path, node in tree.walk():
        found = [matcher.match(path, node) for matcher in wanted]
        used = [was or now for was, now in zip(used, found, strict=True)]
        if any(found) or any(path.startswith(top) for top in below[-1:]):
            if any(found) and isinstance(node, Dir) and not any(path.startswith(top) for top in below[-1:]):
                below.append(path + b"/")
            while path not in kept and path != b"/":
                kept.add(path)
                path = path[: path.rfind(b"/")] or b"/"
    missing = [name for name, was in zip(names, used, strict=True) if not was]
    if required and missing:
        raise ShimError(f"extract filename {missing[0]} can't be resolved")
    return exclude(tree, lambda path, node: path not in kept)


def _names_in(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return read_exclude_file(stream.read())
    except OSError as error:
        raise ShimError(f"cannot open `{path}`: {error.strerror}") from None


def _cat(arguments: Arguments, image: SquashfsImage, out: BinaryIO) -> int:
    code = 0
    for name in arguments.words[1:]:
        found = [name]
        if re.search(r"[*?\[]", name) and not arguments.has("no_wildcards"):
            patterns = _patterns(arguments, [name])
            found = [os.fsdecode(path) for path, node in image.tree.walk() if patterns.match(path, node)] or [name]
        for path in found:
            node = image.tree.lookup(path, follow=True)
            if not isinstance(node, File):
                print(f"cat: {path} is not a regular file", file=sys.stderr)
                code = 2
                continue
            for chunk in read_chunks(node.content):
                out.write(chunk)
    out.flush()
    return code


def _write_pseudo(path: str, tree: Tree, control: Control) -> int:
    with contextlib.ExitStack() as stack:
        stream = sys.stdout.buffer if path == "-" else stack.enter_context(open(path, "wb"))
        for chunk in pseudo_text(tree, control):
            stream.write(chunk)
        stream.flush()
    return 0


def _extract(arguments: Arguments, image: SquashfsImage, tree: Tree, control: Control) -> int:
    processors = arguments.text("processors")
    jobs = allowed_cpus() if processors is None else max(1, number(processors, "-processors"))
    report = unpack(
        tree,
        arguments.text("dest") or _DEST,
        xattrs=bool(arguments.last("xattrs", True)),
        force=arguments.has("force"),
        jobs=jobs,
        control=control,
    )
    if arguments.has("info") or arguments.text("list") == "long-info":
        _list(arguments, image, tree, "long" if arguments.text("list") == "long-info" else "names")
    if not arguments.has("quiet"):
        values = dataclasses.asdict(report)
        for key, what in (("files", "files"), ("dirs", "directories"), ("symlinks", "symlinks"), ("hard_links", "hardlinks")):
            print(f"created {values[key]} {what}")
    return 2 if report.skipped else 0


def _list(arguments: Arguments, image: SquashfsImage, tree: Tree, form: str) -> None:
    top = (arguments.text("dest") or _DEST).rstrip("/")
    lines = []
    for path, node in tree.walk():
        if "concise" in form and isinstance(node, Dir) and node.children:
            continue
        name = top + ("" if path == b"/" else os.fsdecode(path))
        if form in ("names", "concise"):
            lines.append(name)
        else:
            size = image.directory_size(path) if isinstance(node, Dir) else _listed_size(node)
            lines.append(_long_line(arguments, name, node, size, numeric=form == "numeric"))
    for line in lines:
        sys.stdout.buffer.write(os.fsencode(line) + b"\n")
    sys.stdout.buffer.flush()


def _long_line(arguments: Arguments, name: str, node: Node, listed: int, *, numeric: bool) -> str:
    meta = node.meta
    owner = f"{meta.uid}/{meta.gid}" if numeric else f"{_user(meta.uid)}/{_group(meta.gid)}"
    size = f"{node.major:3d},{node.minor:3d}" if isinstance(node, Device) else str(listed)
    zone = datetime.UTC if arguments.has("utc") else None
    moment = datetime.datetime.fromtimestamp(meta.mtime_ns // 10**9, zone)
    time = moment.strftime("%Y-%m-%d %H:%M:%S" if arguments.has("precise") else "%Y-%m-%d %H:%M")
    arrow = f" -> {os.fsdecode(node.target)}" if isinstance(node, Symlink) else ""
    mode = stat.filemode(_KINDS[type_name(node)] | meta.mode)
    return f"{mode} {owner}{size:>{max(27 - len(owner), len(size) + 1)}} {time} {name}{arrow}"


def _listed_size(node: Node) -> int:
    """Return what unsquashfs lists: the bytes of a file or of a link's target."""
    if isinstance(node, File):
        return node.content.size
    return len(node.target) if isinstance(node, Symlink) else 0


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def _print_superblock(image: SquashfsImage, path: str) -> None:
    """Print what -s asks for, in unsquashfs's words."""
    info, superblock = image.info(), image.superblock
    made = datetime.datetime.fromtimestamp(superblock.mkfs_time).strftime("%a %b %e %H:%M:%S %Y")
    flags = superblock.flags
    size = superblock.bytes_used
    print(f"Found a valid SQUASHFS 4:0 superblock on {path}.")
    print(f"Creation or last append time {made}")
    print(f"Filesystem size {size} bytes ({size / 1024:.2f} Kbytes / {size / (1 << 20):.2f} Mbytes)")
    print(f"Compression {info['compression']}")
    print(f"Block size {superblock.block_size}")
    print(f"Filesystem is {'' if flags & 0x80 else 'not '}exportable via NFS")
    for bit, what in ((0, "Inodes"), (1, "Data"), (11, "Uids/Gids (Id table)")):
        verb = "is" if bit == 1 else "are"
        print(f"{what} {verb} {'un' if flags >> bit & 1 else ''}compressed")
    if flags & 0x10:
        print("Fragments are not stored")
    else:
        print(f"Fragments are {'un' if flags & 8 else ''}compressed")
        print(f"Tailends are {'' if flags & 0x20 else 'not '}packed into fragments")
    print("Xattrs are not stored" if flags & 0x200 else f"Xattrs are {'un' if flags & 0x100 else ''}compressed")
    print(f"Duplicates are {'' if flags & 0x40 else 'not '}removed")
    print(
        f"Number of fragments {superblock.fragments}\nNumber of inodes {superblock.inodes}\nNumber of ids {superblock.no_ids}"
    )
    head = image.xattr_head()
    if head is not None:
        print(f"Number of xattr ids {head.xattr_ids}")
