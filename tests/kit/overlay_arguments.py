"""Calls on an overlay with odd arguments: paths that end with a slash, `.` or `..`, names and values of attributes, sizes.

Each is a call of root's in a chroot of a fresh mount, so that `/` and `..` are those of the mount, over a layer that has a
file of every kind. What it says is a letter of `SAID`; what it leaves in the upper layer is compared with Linux's too.
`tests/oracle/test_overlay_cases.py` asks Linux, `tests/unit` needs no root.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import imgcore
from imgcore.engine import get_engine
from imgcore.errors import OverlayError
from imgcore.hosts import scan
from imgcore.model import Dir, Meta, Pipe, Symlink, Tree, file
from imgcore.transforms.overlay import Writable
from tests.kit import overlay_stacks
from tests.kit.overlay_stacks import Spec
from tests.kit.overlay_writes import RECENT, rename_as, upper_view

__all__ = ["APART", "EXT4", "EXT4_SIZES", "LOWER", "OVERLAPPING", "ROWS", "Row", "kernel_row", "our_row"]

SAID = {
    ".": "ok", "N": "ENOENT", "D": "ENOTDIR", "I": "EISDIR", "X": "EEXIST", "B": "EBUSY", "V": "EINVAL", "E": "ENOTEMPTY",
    "L": "ENAMETOOLONG", "P": "EPERM", "x": "EXDEV", "R": "ERANGE", "G": "E2BIG", "S": "ENOTSUP", "A": "ENODATA", "F": "EFBIG",
}  # fmt: skip
LOWER = Tree(
    Dir(
        Meta(0o755),
        {
            b"f": file(b"file", mode=0o644),
            b"e": Dir(Meta(0o755), {}),
            b"d": Dir(Meta(0o755), {b"a": file(b"a", mode=0o644), b"sub": Dir(Meta(0o755), {})}),
            b"s": Symlink(Meta(0o777), b"f"),
            b"p": Pipe(Meta(0o644)),
        },
    )
)
EXT4 = (1 << 44) - 4096
"""The largest file of an ext4 with blocks of 4 KiB."""

UPPERS = [
    (["bb", "a"], "a", False),
    (["bb", "./a"], "a", False),
    (["b/c", "a"], "b", False),
    (["bb", "a"], "b", True),
    (["b", "a"], "b/c", True),
    (["b", "a"], "bb", True),
]
"""Lower layers, an upper one, and whether Linux mounts them."""
OVERLAPPING = [
    ["b", "./b"],
    ["b", "b/"],
    ["b", "b//."],
    ["b", "a/../b"],
    ["b/c", "b"],
    ["./b", "b/./c"],
    [".", "b"],
    ["a", "b", "a"],
]
"""Directories that Linux does not mount together, from the one that has `a` and `b/c` on."""
APART = [["a", "b"], ["b", "bb"], ["b/c", "b/../bb"], ["./a", "bb"]]
"""Directories that it does."""

_LAST = (1 << 63) - 1
_SPEC: Spec = {"userxattr": False}


class Row(NamedTuple):
    """A call, its arguments, and the name of the errno that it gives, or "ok"."""

    call: str
    arguments: tuple[Any, ...]
    said: str


# The columns: unlink rmdir mkdir create mknod lookup chmod open listdir symlink, rename of it to /z, of /f, /d, /e to it,
# /f to it without replacing, /f exchanged with it, /e to it without replacing, a link to it at /z, a link to /f there.
_PATHS = {
    "": "NNNNNNNNNNNNNNNNNNN",
    "/": "IBXXX..I.XBBBBXBXPX",
    "/.": "IVXXX..I.XBBBBXBXPX",
    "/..": "IEXXX..I.XBBBBXBXPX",
    "/e/.": "IVXXX..I.XBBBBXBXPX",
    "/e/..": "IEXXX..I.XBBBBXBXPX",
    "/d/.": "IVXXX..I.XBBBBXBXPX",
    "/d/..": "IEXXX..I.XBBBBXBXPX",
    "/d/sub/..": "IEXXX..I.XBBBBXBXPX",
    "/f/.": "DDDDDDDDDDDDDDDDDDD",
    "/f/..": "DDDDDDDDDDDDDDDDDDD",
    "/none/.": "NNNNNNNNNNNNNNNNNNN",
    "/none/..": "NNNNNNNNNNNNNNNNNNN",
    "/e/": "I.XIX..I.XxDx.XxXPX",
    "/f/": "DDXIXDDDDXDDDDXDXDX",
    "/none/": "NN.INNNNNNNDxxDNxNN",
    "/none/x/": "NNNNNNNNNNNNNNNNNNN",
    "/f/x/": "DDDDDDDDDDDDDDDDDDD",
    "/e/n/": "NN.INNNNNNNDxVDNVNN",
    "/e/n//": "NN.INNNNNNNDxVDNVNN",
    "/d/../n": "NN...NNNN.N.xx.NxN.",
    "/d/sub/../../n": "NN...NNNN.N.xx.NxN.",
    "/../n": "NN...NNNN.N.xx.NxN.",
    "n": "NN...NNNN.N.xx.NxN.",
    "./n": "NN...NNNN.N.xx.NxN.",
    "/f/../n": "DDDDDDDDDDDDDDDDDDD",
    "/none/../n": "NNNNNNNNNNNNNNNNNNN",
    "/d/./a": ".DXXX...DX..VDX.X.X",
    "/d//a": ".DXXX...DX..VDX.X.X",
    "/" + "x" * 256: "LLLLLLLLLLLLLLLLLLL",
    "/" + "x" * 256 + "/": "LLLILLLLLLLLLLLLLLL",
    "/e/" + "x" * 256 + "/..": "LLLLLLLLLLLLLLLLLLL",
    "/" + "./" * 2046 + "n": "NN...NNNN.N.xx.NxN.",
    "/" + "./" * 2048 + "n": "LLLLLLLLLLLLLLLLLLL",
    "/s/": "DDXIXDDDDXDDDDXDXDX",
    "/s/.": "DDDDDDDDDDDDDDDDDDD",
    "/d/../f": ".DXXX...DX..DDX.X.X",
    "/d/sub/../a": ".DXXX...DX..VDX.X.X",
}
_ALONE = ("unlink", "rmdir", "mkdir", "create", "mknod", "lookup", "chmod", "open", "listdir", "symlink")


def _of_path(path: str) -> list[tuple[str, tuple[Any, ...]]]:
    more: dict[str, tuple[Any, ...]] = {"mknod": ("fifo",), "chmod": (0o600,)}
    calls: list[tuple[str, tuple[Any, ...]]] = [(call, (path, *more.get(call, ()))) for call in _ALONE]
    calls[-1] = ("symlink", (b"target", path))
    calls += [("rename", (path, "/z", "replace")), *(("rename", (one, path, "replace")) for one in ("/f", "/d", "/e"))]
    calls += [("rename", ("/f", path, "no replace")), ("rename", ("/f", path, "exchange"))]
    return [*calls, ("rename", ("/e", path, "no replace")), ("link", (path, "/z")), ("link", ("/f", path))]


# By (name, value): what setting it says of each of `_TARGETS`, and what removing it does.
_TARGETS = ("/f", "/e", "/s", "/p", "/none", "/")
_CAPABILITY = b"\1\0\0\2\0\4" + bytes(14)
_ATTRIBUTES = {
    (b"", b"y"): ("RRRRRR", "RRRRRR"),
    (b"user.", b"1"): ("VVPPNV", "VVPPNV"),
    (b"user." + b"n" * 250, b"1"): ("..PPN.", "AAPPNA"),
    (b"user." + b"n" * 251, b"1"): ("RRRRRR", "RRRRRR"),
    (b"user." + b"n" * 251, b"1" * 65537): ("RRRRRR", "RRRRRR"),
    (b"user.b", b"1" * 65537): ("GGGGGG", "AAPPNA"),
    (b"user.b", b"1" * 60000): ("..PPN.", "AAPPNA"),
    (b"trusted.", b""): ("VVVVNV", "VVVVNV"),
    (b"security.", b""): ("VVVVNV", "VVVVNV"),
    (b"system.", b""): ("SSSSNS", "SSSSNS"),
    (b"system.foo", b"garbage"): ("SSSSNS", "SSSSNS"),
    (b"system.posix_acl_foo", b""): ("SSSSNS", "SSSSNS"),
    (b"odd.k", b""): ("SSSSNS", "SSSSNS"),
    (b"odd", b""): ("SSSSNS", "SSSSNS"),
    (b"trusted.overlay.", b"y"): ("VVVVNV", "VVVVNV"),
    (b"trusted.overlay.opaque", b"y"): ("....N.", "AAAANA"),
    (b"trusted.overlay." + b"n" * 231, b"y"): ("....N.", "AAAANA"),
    (b"trusted.overlay." + b"n" * 232, b"y"): ("SSSSNS", "SSSSNS"),
    (b"user.overlay.", b"y"): ("..PPN.", "AAPPNA"),
    (b"trusted.overlay", b"y"): ("....N.", "AAAANA"),
    (b"security.capability", b"garbage"): ("VVVVNV", "AAAANA"),
    (b"security.capability", _CAPABILITY): ("....N.", "AAAANA"),
    (b"security.capability", _CAPABILITY + bytes(4)): ("VVVVNV", "AAAANA"),
    (b"security.capability", b"\1\0\0\3" + bytes(16) + b"\1\0\0\0"): ("....N.", "AAAANA"),
    (b"security.capability", b"\1\0\0\1" + bytes(8)): ("VVVVNV", "AAAANA"),
    (b"security.capability", b"\3\0\0\2" + bytes(16)): ("VVVVNV", "AAAANA"),
}
_TARGETS_OF_LINKS = {"": "N", "t" * 4095: ".", "t" * 4096: "L"}
_SIZES: list[tuple[str, tuple[Any, ...], str]] = [
    ("write", (b"xx", -1), "V"),
    ("write", (b"", -1), "V"),
    ("write", (b"x", 1 << 62), "."),
    ("write", (b"x", _LAST - 1), "."),
    ("write", (b"xyz", _LAST - 1), "V"),
    ("write", (b"x", _LAST), "V"),
    ("write", (b"", _LAST), "."),
    ("truncate", (-1,), "V"),
    ("truncate", (_LAST,), "."),
]
EXT4_SIZES = [
    Row(call, ("/f", *arguments), SAID[letter])
    for call, arguments, letter in (
        *(("write", (data, at), letter) for data, at, letter in (
            (b"x", 1 << 62, "F"), (b"", 1 << 62, "."), (b"x", EXT4 - 1, "."), (b"xyz", EXT4 - 1, "."), (b"x", EXT4, "F"),
            (b"x", _LAST, "V"), (b"x", -1, "V"),
        )),
        ("truncate", (_LAST,), "F"), ("truncate", (EXT4,), "."), ("truncate", (EXT4 + 1,), "F"), ("truncate", (-1,), "V"),
    )
]  # fmt: skip


def _rows() -> Iterator[Row]:
    for path, letters in _PATHS.items():
        for (call, arguments), letter in zip(_of_path(path), letters, strict=True):
            yield Row(call, arguments, SAID[letter])
    for (name, value), (store, remove) in _ATTRIBUTES.items():
        for target, one, other in zip(_TARGETS, store, remove, strict=True):
            yield Row("setxattr", (target, name, value), SAID[one])
            yield Row("removexattr", (target, name), SAID[other])
    for to, letter in _TARGETS_OF_LINKS.items():
        yield Row("symlink", (to.encode(), "/n"), SAID[letter])
        yield Row("symlink", (to.encode(), "/f"), "EEXIST" if letter == "." else SAID[letter])
        yield Row("symlink", (to.encode(), ""), "ENOENT" if letter == "." else SAID[letter])
    for call, arguments, letter in _SIZES:
        yield Row(call, ("/f", *arguments), SAID[letter])
        yield Row(call, ("/e", *arguments), "EISDIR")
    for uid in (-1, (1 << 32) - 1, (1 << 32) - 2):
        yield Row("chown", ("/f", uid, 5), "ok")
    for mode in (0o777777, 0o104755):
        yield Row("chmod", ("/f", mode), "ok")


ROWS = list(_rows())


# Linux


def _opened(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_NOFOLLOW | flags, 0o644)


_LINUX: dict[str, Any] = {
    "unlink": os.unlink,
    "rmdir": os.rmdir,
    "mkdir": lambda path: os.mkdir(path, 0o755),
    "create": lambda path: os.close(_opened(path, os.O_CREAT | os.O_EXCL)),
    "mknod": lambda path, kind: os.mkfifo(path, 0o644),
    "lookup": os.lstat,
    "chmod": os.chmod,
    "chown": lambda path, uid, gid: os.chown(path, uid if uid < _LAST >> 31 else -1, gid, follow_symlinks=False),
    "open": _opened,
    "listdir": os.listdir,
    "symlink": lambda target, path: os.symlink(target, os.fsencode(path)),
    "rename": rename_as,
    "link": lambda old, new: os.link(old, new, follow_symlinks=False),
    "write": lambda path, data, at: os.pwrite(_opened(path), data, at),
    "truncate": lambda path, size: os.ftruncate(_opened(path), size),
    "setxattr": lambda path, name, value: os.setxattr(path, name, value, follow_symlinks=False),
    "removexattr": lambda path, name: os.removexattr(path, name, follow_symlinks=False),
}


def kernel_row(row: Row) -> tuple[str, dict[str, Any]]:
    """Return what Linux says, and what is in the upper layer then; works in the current directory, below `row`."""
    for name in ("u", "w", "m"):
        shutil.rmtree(name, ignore_errors=True)
        Path(name).mkdir(0o755)
    if not os.path.isdir("l"):
        imgcore.unpack(LOWER, "l")
    overlay_stacks.mount("lowerdir=l,upperdir=u,workdir=w")
    try:
        said = _in_a_child(row)
    finally:
        overlay_stacks.unmount()
    return said, upper_view(scan("u", engine=get_engine("pure")), _SPEC)


def _in_a_child(row: Row) -> str:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "failed"
        try:
            os.chroot("m")
            os.chdir("/")
            os.umask(0)
            try:
                _LINUX[row.call](*row.arguments)
                said = "ok"
            except OSError as error:
                said = errno.errorcode[error.errno or 0]
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return text


# Ours


def our_row(row: Row, *, max_file_size: int = _LAST) -> tuple[str, dict[str, Any]]:
    """Return what we say, and what is in the upper layer then; an error has to name a path of the call."""
    upper = Tree(Dir(Meta(0o755, mtime_ns=RECENT), {}))
    overlay = Writable([LOWER], upper=upper, now_ns=RECENT, max_file_size=max_file_size)
    arguments, how = row.arguments, {}
    if row.call == "rename":
        arguments, how = arguments[:2], {"how": arguments[2]}
    said = "ok"
    try:
        getattr(overlay, row.call)(*arguments, **how)
    except OverlayError as error:
        said = errno.errorcode[error.errno]
        paths = {os.path.normpath(b"/" + os.fsencode(one)) for one in arguments if isinstance(one, str)}
        named = error.path
        assert isinstance(named, bytes), f"{row}: the error has no path"
        assert os.path.normpath(b"/" + named) in paths, f"{row}: the error is of {named!r}"
    return said, upper_view(overlay.upper_tree(), _SPEC)
