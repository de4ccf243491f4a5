"""`imgcore ls SRC [PATH]`: names, or lines like those of `ls -l`."""

from __future__ import annotations

import datetime
import json
import os
import stat
from collections.abc import Iterator
from typing import Final

import click

from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.errors import PathError, show
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Node, Symlink, Table, Tree, entry_record, normalize, type_name

__all__ = ["command", "long_line"]

_KINDS: Final = {
    "dir": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "whiteout": 0,
}

_LINES: Final = 4096  # printed at once


@verb(
    "ls",
    "list what is in SRC",
    examples=("imgcore ls out.raw", "imgcore ls -l out.raw /usr/bin", "imgcore ls -R --json out.raw | jq -r .path"),
    codes=(1, 3, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@click.argument("path", default="/")
@click.option("-l", "--long", "is_long", is_flag=True, help="Mode, owner, group, size and time (UTC) too.")
@click.option("-R", "--recursive", is_flag=True, help="All that is below too, as whole paths.")
@limits_option
def command(run: Run, source: SourceSpec, path: str, is_long: bool, recursive: bool, limits: Limits) -> int | None:
    """List the directory PATH of SRC, or the one file that PATH is.

    With --json: the lines of the manifest, without the files' digests.
    """
    with open_source(source, limits=limits, stdin=run.stdin(), control=run.control) as opened:
        if recursive and not is_long and not run.output.as_json and normalize(os.fsencode(path)) == b"/":
            table = opened.tree.columns()
            if table is not None:
                _list_columns(run, table)
                return None
        entries = _entries(opened.tree, normalize(os.fsencode(path)), recursive, follow=not is_long)
        if run.output.as_json:
            leaders = {id(node): paths[0] for node, paths in _linked(opened.tree)}
            for full, _, node in entries:
                leader = leaders.get(id(node))
                record = entry_record(full, node, None if leader in (None, full) else leader)
                run.output.line(json.dumps(record, ensure_ascii=True, separators=(",", ":")))
            return None
        for full, name, node in entries:
            text = show(full if recursive else name)
            run.output.line(long_line(text, node) if is_long else text)
    return None


def _list_columns(run: Run, table: Table) -> None:
    """Print all paths of a tree that comes by the column: no node is made for it."""
    rows = table.shape.walk()
    for begin in range(0, len(rows), _LINES):
        run.output.line(_shown(table.shape.paths(rows[begin : begin + _LINES])))


def _shown(paths: list[bytes]) -> str:
    """Return what `show` makes of each, a line each; at once where no path needs anything done."""
    try:
        text = b"\n".join(paths).decode()
    except UnicodeDecodeError:
        text = "\0"
    plain = text.count("\n") == len(paths) - 1 and text.replace("\n", "").isprintable()
    return text if plain else "\n".join(map(show, paths))


def _entries(tree: Tree, path: bytes, recursive: bool, *, follow: bool) -> Iterator[tuple[bytes, bytes, Node]]:
    """Yield (path, name, node) of what is to be listed. Raises PathError."""
    node = tree.lookup(path)
    if isinstance(node, Symlink) and follow:
        try:
            target = tree.lookup(path, follow=True)
        except PathError:
            target = node
        node = target if isinstance(target, Dir) else node
    if not isinstance(node, Dir):
        yield path, path, node
        return
    prefix = path.rstrip(b"/")
    if recursive:
        for below, child in Tree(node, tree.limits).walk():
            full = prefix + below if below != b"/" else path
            yield full, full, child
        return
    for name in sorted(node.children):
        yield prefix + b"/" + name, name, node.children[name]


def _linked(tree: Tree) -> list[tuple[Node, list[bytes]]]:
    """Return the nodes of several names and these, in the manifest's order."""
    seen: dict[int, tuple[Node, list[bytes]]] = {}
    for path, node in tree.sorted_entries():
        if not isinstance(node, Dir):
            seen.setdefault(id(node), (node, []))[1].append(path)
    return [pair for pair in seen.values() if len(pair[1]) > 1]


def long_line(text: str, node: Node) -> str:
    """Return a line as of `ls -l`, without the link count, the time in UTC."""
    meta = node.meta
    size = str(node.content.size) if isinstance(node, File) else "0"
    if isinstance(node, Device):
        size = f"{node.major},{node.minor}"
    mode = stat.filemode(_KINDS[type_name(node)] | meta.mode)
    arrow = f" -> {show(node.target)}" if isinstance(node, Symlink) else ""
    return f"{mode} {meta.uid:>5} {meta.gid:>5} {size:>10} {_time(meta.mtime_ns)} {text}{arrow}"


def _time(mtime_ns: int) -> str:
    """Return a time for people; one that a calendar does not have as seconds since 1970."""
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=mtime_ns // 10**9)
    except OverflowError:
        return f"@{mtime_ns // 10**9}"
    return moment.isoformat(" ", "seconds")
