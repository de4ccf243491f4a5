"""Writes a tree as a tar: POSIX headers, PAX records where a header is too small, parents first, names sorted.

The archive depends on the tree and the options alone: no names of users, no access times, no clock.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from imgcore.blob import BytesBlob, Sink
from imgcore.engine import Engine
from imgcore.errors import context
from imgcore.events import Control, Warned
from imgcore.formats.archive_writer import Output, content_runs, in_order
from imgcore.formats.base import Options as AnyOptions
from imgcore.formats.base import Report
from imgcore.formats.tar.acl import acl_to_text
from imgcore.formats.tar.layout import BLOCK, END, MAGIC, RECORD, Header, is_octal, octal, pax_record, pax_time, sealed
from imgcore.formats.tar.options import CAPABILITIES, Options
from imgcore.formats.tar.sparse import map_text
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Symlink, Tree, checked

__all__ = ["write_image"]

_NAME: Final = 100
_PREFIX: Final = 155
_SMALLEST_HOLE: Final = 64 << 10
_READ_ONCE: Final = 1 << 20  # bytes; a larger file is read twice, first for its holes
_ACLS: Final = {
    b"system.posix_acl_access": b"SCHILY.acl.access",
    b"system.posix_acl_default": b"SCHILY.acl.default",
}
_VERBATIM: Final = frozenset(_ACLS.values())


def write_image(tree: Tree, sink: Sink, options: AnyOptions, control: Control, engine: Engine) -> Report:
    """Write `tree` to `sink`, which is empty.

    Raises NotRepresentable before anything is written; SourceError, OutputError, Cancelled.
    """
    assert isinstance(options, Options)
    tree, losses = checked(tree, CAPABILITIES, allow=options.allow_loss, format_name="tar")
    for loss in losses:
        control.emit(Warned(f"lost: {loss.message}", loss.path))
    with Output(sink, options, control, single=False) as output:
        writer = _Writer(output, options)
        for path, node in in_order(tree, control):
            with context(path=path):
                writer.add(path, node)
        output.write(END)
        output.pad(RECORD)
    return Report(
        format="tar",
        codec=output.compressor.fingerprint,
        engine=engine.name,
        size=sink.position,
        files=writer.kinds[File],
        dirs=writer.kinds[Dir],
        symlinks=writer.kinds[Symlink],
        others=writer.kinds[Device] + writer.kinds[Pipe],
        hard_links=writer.links,
        bytes_in=output.content,
        bytes_stored=output.content - writer.holes if options.compression == "none" else sink.position,
        duplicate_blocks=0,
        duplicate_tails=0,
        duplicate_bytes=0,
        hole_bytes=writer.holes,
        fragments=0,
        losses=tuple(losses),
    )


def split_name(name: bytes) -> tuple[bytes, bytes] | None:
    """Return (prefix, name) as a ustar header holds them, None where it cannot."""
    if len(name) <= _NAME:
        return b"", name
    cut = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    if cut <= 0 or len(name) - cut - 1 > _NAME:
        return None
    return name[:cut], name[cut + 1 :]


def xattr_records(meta: Meta) -> list[tuple[bytes, bytes]]:
    """Return the PAX records of extended attributes: ACLs as text where that is exact, everything else as it is."""
    out = []
    for name, value in sorted(meta.xattrs.items()):
        text = acl_to_text(value) if name in _ACLS else None
        if text is not None:
            out.append((_ACLS[name], text))
        elif name in _VERBATIM and value:
            out.append((name, value))
        else:
            out.append((b"SCHILY.xattr." + name.replace(b"%", b"%25").replace(b"=", b"%3D"), value))
    return out


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _Writer:
    """Writes member after member; `kinds` counts nodes by class, `links` further names, `holes` bytes not stored."""

    def __init__(self, output: Output, options: Options) -> None:
        self._output = output
        self._sparse = options.sparse
        self._names: dict[int, bytes] = {}
        self.kinds: Counter[type] = Counter()
        self.links = 0
        self.holes = 0

    def add(self, path: bytes, node: Node) -> None:
        """Write one name."""
        name = b"." + path
        if isinstance(node, Dir):
            self.kinds[Dir] += 1
            self._head(name if name.endswith(b"/") else name + b"/", b"5", node.meta)
            return
        first = self._names.setdefault(id(node), name)
        if first is not name:
            self.links += 1
            self._head(name, b"1", node.meta, link=first, xattrs=False)
            return
        self.kinds[type(node)] += 1
        if isinstance(node, File):
            self._file(path, name, node)
        elif isinstance(node, Symlink):
            self._head(name, b"2", node.meta, link=node.target)
        elif isinstance(node, Device):
            self._head(name, b"3" if node.kind == "char" else b"4", node.meta, device=(node.major, node.minor))
        else:
            assert isinstance(node, Pipe), "a node that the check let through"
            self._head(name, b"6", node.meta)

    def _file(self, path: bytes, name: bytes, node: File) -> None:
        output, blob = self._output, node.content
        size = blob.size
        if size <= _READ_ONCE:
            blob = BytesBlob(blob.read_at(0, size))
        runs = content_runs(blob) if self._sparse and size >= _SMALLEST_HOLE else []
        if any(run.hole for run in runs):
            data, text = map_text(runs, size)
            stored = sum(length for _, length in data)
            self.holes += size - stored
            base = name.rpartition(b"/")
            records = [
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.name", name),
                (b"GNU.sparse.realsize", b"%d" % size),
            ]
            self._head(base[0] + b"/GNUSparseFile.0/" + base[2], b"0", node.meta, size=len(text) + stored, records=records)
            output.write(text)
            for at, length in data:
                output.copy(blob, at, length)
        else:
            self._head(name, b"0", node.meta, size=size)
            output.copy(blob, 0, size)
        output.pad(BLOCK)
        output.done(path, size)

    def _head(
        self,
        name: bytes,
        kind: bytes,
        meta: Meta,
        *,
        size: int = 0,
        link: bytes = b"",
        device: tuple[int, int] | None = None,
        records: list[tuple[bytes, bytes]] | None = None,
        xattrs: bool = True,
    ) -> None:
        """Write a member's header, and one with PAX records before it where it does not fit."""
        more = list(records or ())
        split = split_name(name)
        if split is None:
            more.append((b"path", name))
            split = b"", name[:_NAME]
        if len(link) > _NAME:
            more.append((b"linkpath", link))
        if not all(_is_utf8(value) for _, value in more):
            more.insert(0, (b"hdrcharset", b"BINARY"))
        numbers = {"uid": (meta.uid, 8), "gid": (meta.gid, 8), "size": (size, 12)}
        more += [(key.encode(), b"%d" % value) for key, (value, width) in numbers.items() if not is_octal(value, width)]
        seconds, fraction = divmod(meta.mtime_ns, 10**9)
        if fraction or not is_octal(seconds, 12):
            more.append((b"mtime", pax_time(meta.mtime_ns)))
        if xattrs and meta.xattrs:
            more += xattr_records(meta)
        if more:
            body = b"".join(pax_record(key, value) for key, value in more)
            base = name.rstrip(b"/").rpartition(b"/")[2]
            self._output.write(_header(b"", b"./PaxHeaders/" + base[:80], b"x", Meta(0o644), len(body), 0))
            self._output.write(body)
            self._output.pad(BLOCK)
        self._output.write(_header(*split, kind, meta, size, seconds, link, device))


def _header(
    prefix: bytes,
    name: bytes,
    kind: bytes,
    meta: Meta,
    size: int,
    seconds: int,
    link: bytes = b"",
    device: tuple[int, int] | None = None,
) -> bytes:
    """Return a header; numbers that do not fit are left to PAX records and 0 here."""

    def number(value: int, width: int) -> bytes:
        return octal(value if is_octal(value, width) else 0, width)

    major, minor = (b"", b"") if device is None else (octal(device[0], 8), octal(device[1], 8))
    return sealed(
        Header(
            name=name,
            mode=octal(meta.mode, 8),
            uid=number(meta.uid, 8),
            gid=number(meta.gid, 8),
            size=number(size, 12),
            mtime=number(seconds, 12),
            chksum=b"",
            typeflag=kind,
            linkname=link[:_NAME],
            magic=MAGIC,
            version=b"00",
            uname=b"",
            gname=b"",
            devmajor=major,
            devminor=minor,
            prefix=prefix,
            padding=b"",
        )
    )
