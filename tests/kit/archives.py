"""Trees with what archives find hard, and archives made by hand, field by field."""

from __future__ import annotations

import dataclasses

from imgcore.blob import Blob, BytesBlob, MemorySink
from imgcore.engine import get_engine
from imgcore.events import Control
from imgcore.formats.base import Format, Options
from imgcore.formats.tar.layout import BLOCK, Header, pax_record, sealed
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Symlink, Tree, type_name
from imgcore.testing.strategies import HolesBlob
from tests.kit.sample_trees import everything

SECOND = 10**9
ACL = bytes.fromhex(
    "02000000 01000700ffffffff 02000400e8030000 04000500ffffffff 10000500ffffffff 20000000ffffffff".replace(" ", "")
)


def hard(*, sockets: bool = False, xattrs: bool = True) -> Tree:
    """Return a tree of every node type and of names, numbers and times that headers are too small for."""
    base = everything(64 << 10)
    more: dict[bytes, Node] = dict(base.root.children)
    deep: dict[bytes, Node] = {b"n" * 120: File(Meta(0o600, 3_000_000, 4_000_000, 1), BytesBlob(b"deep"))}
    for number in range(12):
        deep = {b"directory-%02d-" % number + b"d" * 20: Dir(Meta(mtime_ns=number * SECOND), deep)}
    shared = File(Meta(0o640, 5, 6, 1_600_000_000 * SECOND + 123_456_789), BytesBlob(b"shared " * 100))
    more |= {
        b"deep": Dir(Meta(0o700), deep),
        b"l1": shared,
        b"l2": shared,
        b"fraction": File(Meta(mtime_ns=1_700_000_000 * SECOND + 5)),
        b"old": File(Meta(mtime_ns=-5 * SECOND)),
        b"late": File(Meta(mtime_ns=(1 << 33) * SECOND)),
        b"long-link": Symlink(Meta(0o777), b"t" * 150),
        b"s" * 100: File(Meta(), BytesBlob(b"100")),
        b"s" * 101: File(Meta(), BytesBlob(b"101")),
        b"sparse": File(Meta(), HolesBlob([b"a" * 65536, 1 << 20, b"b" * 70000, 3 << 20])),
        b"sparse-at-end": File(Meta(), HolesBlob([2 << 20, b"z"])),
        b"all-hole": File(Meta(), HolesBlob([1 << 20])),
        b"\xc3\xa9-utf8": Pipe(Meta(0o600)),
        b"\xff" * 150: File(Meta(), BytesBlob(b"long and not UTF-8")),
        b"link-\xfe": Symlink(Meta(0o777), b"\xfd" * 120),
        b"null": Device(Meta(0o666), "char", 1, 3),
        b"acl": File(Meta(0o750, xattrs={b"system.posix_acl_access": ACL, b"user.a=b%3D%25": b"\0\xff\n", b"user.empty": b""})),
    }
    tree = Tree(Dir(base.root.meta, more))

    def change(path: bytes, node: Node) -> Node | None:
        if type_name(node) == "socket" and not sockets:
            return None
        if xattrs or not node.meta.xattrs:
            return node
        return dataclasses.replace(node, meta=dataclasses.replace(node.meta, xattrs={}))

    return tree.map(change)


def written(form: Format, tree: Tree, options: Options | None = None) -> bytes:
    """Return a tree as a format writes it."""
    sink = MemorySink()
    form.write(tree, sink, options or form.default_options, Control(), get_engine("pure"))
    return sink.value()


def read(form: Format, data: bytes | Blob, limits: Limits | None = None) -> Tree:
    """Return the tree in an image of a format."""
    return form.open(BytesBlob(data) if isinstance(data, bytes) else data, limits or Limits.default()).tree


def header(name: bytes, kind: bytes = b"0", size: int = 0, size_field: bytes | None = None, **fields: bytes) -> bytes:
    """Return the block of a ustar header; `size_field` and `fields` are raw."""
    values: dict[str, bytes] = {field.name: b"" for field in Header.LAYOUT}
    values |= {
        "name": name,
        "mode": b"0000644\0",
        "uid": b"0000000\0",
        "gid": b"0000000\0",
        "size": b"%011o\0" % size if size_field is None else size_field,
        "mtime": b"00000000000\0",
        "typeflag": kind,
        "magic": b"ustar\0",
        "version": b"00",
    }
    return sealed(Header(**(values | fields)))


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def member(name: bytes, data: bytes = b"", kind: bytes = b"0", **fields: bytes) -> bytes:
    """Return a member: its header and its content."""
    return header(name, kind, len(data), **fields) + padded(data)


def pax(kind: bytes = b"x", **records: bytes) -> bytes:
    """Return an extended header; `__` in a keyword stands for a dot."""
    pairs = ((key.replace("__", ".").encode(), value) for key, value in records.items())
    return member(b"pax", b"".join(pax_record(key, value) for key, value in pairs), kind)


END = bytes(1024)
