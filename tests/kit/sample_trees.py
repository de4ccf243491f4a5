"""Small trees that have everything in them."""

from __future__ import annotations

import random

from imgcore.blob import BytesBlob
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree

SECOND = 1_000_000_000


def everything(block_size: int = 4096) -> Tree:
    """Return a tree of every node type, with links, holes, duplicates, tails, xattrs and a large directory."""
    chance = random.Random(7)
    text = b"a line of text that shrinks\n" * 400
    noise = chance.randbytes(3 * block_size)
    shared = File(Meta(0o644, 1000, 1000, 5 * SECOND, {b"user.comment": b"shared " * 8}), BytesBlob(text))
    capability = {
        b"security.capability": bytes.fromhex("0100000200200000000000000000000000000000"),
        b"user.comment": b"shared " * 8,
    }

    def file(data: bytes, mode: int = 0o644, **xattrs: bytes) -> File:
        return File(
            Meta(mode, 0, 0, 1_700_000_000 * SECOND, {f"user.{name}".encode(): value for name, value in xattrs.items()}),
            BytesBlob(data),
        )

    many: dict[bytes, Node] = {b"name-%04d" % number: file(b"%d" % number) for number in range(300)}
    return Tree(
        Dir(
            Meta(0o755, 0, 0, 1_700_000_001 * SECOND),
            {
                b"a": file(b"a"),
                b"bin": Dir(
                    Meta(0o755, 0, 0, 0),
                    {b"tool": File(Meta(0o755, 0, 0, 0, capability), BytesBlob(noise)), b"sh": Symlink(Meta(0o777), b"../a")},
                ),
                b"block": Device(Meta(0o660, 0, 6, 0), "block", 8, 1),
                b"char": Device(Meta(0o666, 0, 0, 0), "char", 4095, 1048575),
                b"copy": file(noise),
                b"empty": file(b""),
                b"empty-dir": Dir(Meta(0o1777, 3, 4, 0, {b"trusted.note": b"1"})),
                b"fifo": Pipe(Meta(0o600, 65534, 65534, 0)),
                b"hole": file(bytes(2 * block_size) + text + bytes(3 * block_size)),
                b"link": shared,
                b"many": Dir(Meta(), many),
                b"name-\xff\xfe\n": file(b"not UTF-8"),
                b"part": file(noise[block_size:]),
                b"socket": Socket(Meta(0o755)),
                b"sub": Dir(
                    Meta(),
                    {
                        b"sub": Dir(Meta(), {b"other-name": shared}),
                        b"symlink": Symlink(Meta(0o777, 0, 0, 0, {b"security.selinux": b"l\0"}), b"x" * 4095),
                    },
                ),
                b"zeros": file(bytes(block_size)),
                b"z" * 255: file(text + noise),
            },
        )
    )
