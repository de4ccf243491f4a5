"""Writes a tree as a cpio of the newc kind, as Linux unpacks an initrd: parents first, names sorted, no clock.

Inode numbers are counted from 1 in the order of the names. The content of a file of several names stands at the last one.
"""

from __future__ import annotations

import stat
from collections import Counter
from typing import Final

from imgcore.blob import Sink
from imgcore.engine import Engine
from imgcore.errors import context
from imgcore.events import Control, Warned
from imgcore.formats.archive_writer import Output, in_order
from imgcore.formats.base import Options as AnyOptions
from imgcore.formats.base import Report
from imgcore.formats.cpio.layout import TRAILER, Numbers, newc_header
from imgcore.formats.cpio.options import CAPABILITIES, Options
from imgcore.model import Device, Dir, File, Node, Pipe, Socket, Symlink, Tree, checked

__all__ = ["write_image"]

_RECORD: Final = 512
_TYPES: Final = {
    Dir: stat.S_IFDIR,
    File: stat.S_IFREG,
    Symlink: stat.S_IFLNK,
    Pipe: stat.S_IFIFO,
    Socket: stat.S_IFSOCK,
}


def write_image(tree: Tree, sink: Sink, options: AnyOptions, control: Control, engine: Engine) -> Report:
    """Write `tree` to `sink`, which is empty.

    Raises NotRepresentable before anything is written; SourceError, OutputError, Cancelled.
    """
    assert isinstance(options, Options)
    tree, losses = checked(tree, CAPABILITIES, allow=options.allow_loss, format_name="cpio")
    for loss in losses:
        control.emit(Warned(f"lost: {loss.message}", loss.path))
    with Output(sink, options, control, single=True) as output:
        writer = _Writer(tree, output)
        for path, node in in_order(tree, control):
            with context(path=path):
                writer.add(path, node)
        writer.end()
    return Report(
        format="cpio",
        codec=output.compressor.fingerprint,
        engine=engine.name,
        size=sink.position,
        files=writer.kinds[File],
        dirs=writer.kinds[Dir],
        symlinks=writer.kinds[Symlink],
        others=writer.kinds[Device] + writer.kinds[Pipe] + writer.kinds[Socket],
        hard_links=writer.links,
        bytes_in=output.content,
        bytes_stored=output.content if options.compression == "none" else sink.position,
        duplicate_blocks=0,
        duplicate_tails=0,
        duplicate_bytes=0,
        hole_bytes=0,
        fragments=0,
        losses=tuple(losses),
    )


class _Writer:
    """Writes member after member; `kinds` counts nodes by class, `links` further names."""

    def __init__(self, tree: Tree, output: Output) -> None:
        self._output = output
        self._names = {id(tree.lookup(paths[0])): len(paths) for paths in tree.links().values()}
        self._left = dict(self._names)
        self._numbers: dict[int, int] = {}
        self._last = 0
        self.kinds: Counter[type] = Counter()
        self.links = 0

    def add(self, path: bytes, node: Node) -> None:
        """Write one name."""
        name = path[1:] or b"."
        if name == TRAILER:  # it would end the archive; Linux and cpio take the other spelling for a file
            name = b"./" + name
        nlink, key = self._names.get(id(node), 1), id(node)
        if nlink > 1 and key in self._numbers:
            self.links += 1
            number = self._numbers[key]
        else:
            self.kinds[type(node)] += 1
            self._last += 1
            number = self._last
            if nlink > 1:
                self._numbers[key] = number
        if nlink > 1:
            self._left[key] -= 1
        if isinstance(node, Dir):
            nlink = 2
        body = node.target if isinstance(node, Symlink) else b""
        size = node.content.size if isinstance(node, File) and not self._left.get(key) else len(body)
        self._head(name, node, number, nlink, size)
        if isinstance(node, File) and size:
            self._output.copy(node.content, 0, size)
        else:
            self._output.write(body)
        self._output.pad(4)
        if isinstance(node, File) and not self._left.get(key):
            self._output.done(path, size)

    def _head(self, name: bytes, node: Node, number: int, nlink: int, size: int) -> None:
        meta = node.meta
        major, minor = (node.major, node.minor) if isinstance(node, Device) else (0, 0)
        kind = (stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK) if isinstance(node, Device) else _TYPES[type(node)]
        numbers = Numbers(
            ino=number,
            mode=kind | meta.mode,
            uid=meta.uid,
            gid=meta.gid,
            nlink=nlink,
            mtime=meta.mtime_ns // 10**9,
            filesize=size,
            devmajor=0,
            devminor=0,
            rdevmajor=major,
            rdevminor=minor,
            namesize=len(name) + 1,
            check=0,
        )
        self._output.write(newc_header(numbers) + name + b"\0")
        self._output.pad(4)

    def end(self) -> None:
        """Write the trailer, and zeros up to 512 bytes."""
        self._output.write(newc_header(Numbers(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, len(TRAILER) + 1, 0)) + TRAILER + b"\0")
        self._output.pad(_RECORD)
