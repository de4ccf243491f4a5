"""Random system calls on an overlay: made on a mount by Linux and on `Writable` by us, and what each leaves in the upper layer.

A sequence is plain data: the stack (`overlay_stacks.Spec`) and a list of calls with their arguments. `kernel_run` and
`our_run` return what each call said ("ok" or the errno) and what then is in the upper layer. Times that the calls made are
"now" in both. Calls that would follow a symbolic link or wait for a pipe are skipped by both.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import stat
from typing import Any

from imgcore.blob import BytesBlob, read_all
from imgcore.engine import get_engine
from imgcore.errors import OverlayError
from imgcore.hosts import scan
from imgcore.model import Device, Dir, File, Node, Symlink, Tree
from imgcore.transforms.overlay import Layer, OverlayOptions, Writable
from tests.kit.overlay_stacks import NAMES, Spec, _random_dir, mount, mount_options, unmount

Call = list[Any]
_FEATURES = (("attributes", 0.6), ("redirect", 0.15), ("metacopy", 0.1), ("xwhiteout", 0.1))
Outcome = tuple[list[str], dict[str, Any]]

_libc = ctypes.CDLL(None, use_errno=True)
RECENT = 1_500_000_000 * 10**9  # later times were made by the calls: those of the layers are earlier
_LARGE = 1 << 20  # of larger files the size is compared, which sparse ones can have
_FLAGS = {"replace": 0, "no replace": 1, "exchange": 2}
ACL = bytes.fromhex("0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000500ffffffff")


_CALLS = [
    *("create", "mkdir", "mkdir", "symlink", "mknod", "link", "unlink", "unlink", "unlink", "rmdir", "rmdir", "rmtree"),
    *("rename", "rename", "rename", "rename", "open", "write", "truncate", "chmod", "chown", "utime", "setxattr"),
    "removexattr",
]


# Making one


def random_sequence(seed: int) -> Spec:
    """Return a stack and calls; the stack has the marks that a mount makes itself."""
    chance = random.Random(seed)
    userxattr = chance.random() < 0.15
    redirect = chance.choice([None, None, "follow", "on", "on", "nofollow"])
    metacopy = True if redirect == "on" and chance.random() < 0.4 else None
    if userxattr:
        redirect = metacopy = None
    features = {name for name, share in _FEATURES if chance.random() < share}
    if metacopy and chance.random() < 0.5:
        features.add("metacopy")
    spec: Spec = {
        "seed": seed,
        "upper": _layer(chance, 0, features) if chance.random() < 0.35 else {"t": "d", "x": {}, "ch": {}, "mtime": 10**9},
        "lowers": [_layer(chance, number + 1, features) for number in range(chance.randrange(1, 4))],
        "data": [_layer(chance, 7, {"plain"})] if "metacopy" in features and chance.random() < 0.4 else [],
        "redirect_dir": redirect,
        "metacopy": metacopy,
        "userxattr": userxattr,
        "calls": [],
    }
    shown: dict[str, bool] = {"/a": False}  # what is probably there: whether it is a directory, by path
    for layer in (*reversed(spec["lowers"]), spec["upper"]):
        shown.update(_paths(layer))
    for _ in range(chance.randrange(1, 20)):
        call = _random_call(chance, shown or {"/a": False})
        spec["calls"].append(call)
        _follow(call, shown)
    return spec


def _layer(chance: random.Random, number: int, features: set[str]) -> Spec:
    layer = _random_dir(chance, 0, number, features)
    _settle(chance, layer)
    return layer


def _settle(chance: random.Random, node: Spec) -> None:
    """Give everything a time of long ago, and some directories what is inherited in them."""
    node["mtime"] = chance.randrange(10**9) * 10**9 + chance.randrange(10**9)
    node["x"].pop("P.origin", None)
    if node["t"] == "d":
        if chance.random() < 0.1:
            node["mode"] = 0o2775
            node["owner"] = [1, 2]
        for child in node["ch"].values():
            _settle(chance, child)


def _paths(node: Spec, above: str = "") -> dict[str, bool]:
    found = {}
    for name, child in node.get("ch", {}).items():
        if child["t"] != "c" or child["rdev"] != [0, 0]:
            found[f"{above}/{name}"] = child["t"] == "d"
        found.update(_paths(child, f"{above}/{name}"))
    return found


def _follow(call: Call, shown: dict[str, bool]) -> None:
    """Note what a call probably did."""
    kind, path = call[:2]
    if kind in ("create", "mkdir", "symlink", "mknod"):
        shown.setdefault(path, kind == "mkdir")
    elif kind in ("unlink", "rmtree", "rmdir", "rename") and len(shown) > 3:
        for old in [one for one in shown if one == path or one.startswith(f"{path}/")]:
            is_dir = shown.pop(old)
            if kind == "rename":
                shown[call[2] + old[len(path) :]] = is_dir
    elif kind == "link":
        shown.setdefault(call[2], False)


def _known(chance: random.Random, shown: dict[str, bool], is_dir: bool | None = None) -> str:
    """Return a path that is probably there, and a directory or not."""
    fitting = [path for path, it_is in shown.items() if is_dir is None or it_is == is_dir]
    path = chance.choice(fitting if fitting and chance.random() < 0.9 else list(shown))
    return path if chance.random() < 0.95 else f"{path.rpartition('/')[0]}/{chance.choice(NAMES)}"


def _new(chance: random.Random, shown: dict[str, bool]) -> str:
    """Return a path that is probably free."""
    above = chance.choice(["", *(path for path, is_dir in shown.items() if is_dir)])
    if chance.random() < 0.05:
        above = chance.choice(list(shown))
    free = [name for name in NAMES if f"{above}/{name}" not in shown] or list(NAMES)
    return f"{above}/{chance.choice(free if chance.random() < 0.85 else NAMES)}"


_OF_FILES = ("unlink", "open", "write", "truncate", "link")
_OF_DIRS = ("rmdir", "rmtree")


def _random_call(chance: random.Random, shown: dict[str, bool]) -> Call:
    mode = chance.choice([0o644, 0o600, 0o755, 0o4755, 0o2755, 0o7777])
    kind = chance.choice(_CALLS)
    if kind in ("create", "mkdir", "symlink", "mknod"):
        path = _new(chance, shown)
    else:
        path = _known(chance, shown, False if kind in _OF_FILES else True if kind in _OF_DIRS else None)
    other = _new(chance, shown)
    if kind == "rename" and chance.random() < 0.4:
        other = _known(chance, shown, shown.get(path))
    if kind == "create":
        return [kind, path, mode, chance.choice(["", "new"])]
    if kind in ("mkdir", "chmod"):
        return [kind, path, mode]
    if kind == "symlink":
        return [kind, path, "target"]
    if kind == "mknod":
        return [
            kind,
            path,
            *chance.choice([("char", [0, 0]), ("char", [0, 1]), ("block", [0, 0]), ("fifo", [0, 0]), ("socket", [0, 0])]),
        ]
    if kind == "link":
        return [kind, path, other]
    if kind == "rename":
        return [kind, path, other, chance.choice(["replace"] * 3 + ["no replace", "exchange"])]
    if kind == "write":
        return [kind, path, chance.choice(["", "xyz"]), chance.choice([0, 1, 9])]
    if kind == "truncate":
        return [kind, path, chance.choice([0, 2, 7])]
    if kind == "chown":
        return [kind, path, chance.choice([-1, 5]), chance.choice([-1, 6])]
    if kind == "utime":
        return [kind, path, chance.randrange(10**9) * 10**9]
    if kind in ("setxattr", "removexattr"):
        name = chance.choice(
            ["user.k", "trusted.k", "P.opaque", "P.x", "Q.x", "security.capability", "system.posix_acl_default"]
        )
        return [kind, path, name] if kind == "removexattr" else [kind, path, name, "v"]
    return [kind, path]


# Linux


def kernel_run(spec: Spec) -> Outcome | str:
    """Return what Linux makes of the calls on the layers in the current directory, or the errno of mount."""
    os.makedirs("w", exist_ok=True)
    os.makedirs("m", exist_ok=True)
    try:
        mount(mount_options(spec))
    except OSError as error:
        return _name(error)
    said = []
    umask = os.umask(0)
    try:
        for call in spec["calls"]:
            said.append(_kernel_call(spec, call))
    finally:
        os.umask(umask)
        unmount()
    return said, upper_view(scan("u", engine=get_engine("pure")), spec)


def _kernel_call(spec: Spec, call: Call) -> str:
    kind, *words = call
    if _is_to_be_skipped(kind, words):
        return "skipped"
    try:
        _KERNEL[kind](spec, *("m" + word if isinstance(word, str) and word.startswith("/") else word for word in words))
    except OSError as error:
        return _name(error)
    return "ok"


def _is_to_be_skipped(kind: str, words: list[Any]) -> bool:
    """Whether a call would follow a link, or open something that is neither a file nor a directory."""
    if kind == "flagged":
        return False
    for word in words:
        if isinstance(word, str) and word.startswith("/"):
            parts = word.split("/")
            if any(os.path.islink("m" + "/".join(parts[:size])) for size in range(2, len(parts))):
                return True
    if kind == "rmtree" and os.path.islink("m" + words[0]):
        return True
    if kind in ("open", "write", "truncate", "chmod"):
        try:
            found = os.lstat("m" + words[0]).st_mode
        except OSError:
            return False
        wanted = (stat.S_ISREG, stat.S_ISDIR) if kind != "chmod" else (lambda mode: not stat.S_ISLNK(mode),)
        return not any(test(found) for test in wanted)
    return False


def _open(spec: Spec, path: str, data: str = "", at: int = 0, size: int | None = None) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        if data:
            os.pwrite(fd, data.encode(), at)
        if size is not None:
            os.ftruncate(fd, size)
    finally:
        os.close(fd)


def _create(spec: Spec, path: str, mode: int, data: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(fd, data.encode())
    finally:
        os.close(fd)


def _flagged(spec: Spec, path: str, flags: str, data: str) -> None:
    """Open as open(2) does, links followed, with CREAT, EXCL, TRUNC among `flags`; then write."""
    number = os.O_WRONLY
    for flag in flags.split():
        number |= getattr(os, f"O_{flag}")
    fd = os.open(path, number, 0o644)
    try:
        os.write(fd, data.encode())
    finally:
        os.close(fd)


_KINDS = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}


def rename_as(old: str, new: str, how: str) -> None:
    """Rename in one of the ways of renameat2(2). Raises OSError."""
    if _libc.renameat2(-100, old.encode(), -100, new.encode(), _FLAGS[how]):
        raise OSError(ctypes.get_errno(), how)


def _rmtree(spec: Spec, path: str) -> None:
    """Remove everything in a directory, then itself, in the order of names."""
    for name in sorted(os.listdir(path)):
        below = f"{path}/{name}"
        if stat.S_ISDIR(os.lstat(below).st_mode):
            _rmtree(spec, below)
        else:
            os.unlink(below)
    os.rmdir(path)


def _attribute(spec: Spec, name: str) -> str:
    prefix, other = ("user.overlay.", "trusted.overlay.") if spec["userxattr"] else ("trusted.overlay.", "user.overlay.")
    return name.replace("P.", prefix, 1) if name.startswith("P.") else name.replace("Q.", other, 1)


def _value(name: str, value: str) -> bytes:
    if name == "security.capability":
        return bytes.fromhex("0100000200040000000000000000000000000000")
    return ACL if name == "system.posix_acl_default" else value.encode()


_KERNEL: dict[str, Any] = {
    "create": _create,
    "mkdir": lambda spec, path, mode: os.mkdir(path, mode),
    "symlink": lambda spec, path, target: os.symlink(target, path),
    "mknod": lambda spec, path, kind, device: os.mknod(path, _KINDS[kind] | 0o644, os.makedev(*device)),
    "link": lambda spec, old, new: os.link(old, new, follow_symlinks=False),
    "unlink": lambda spec, path: os.unlink(path),
    "rmdir": lambda spec, path: os.rmdir(path),
    "rmtree": _rmtree,
    "rename": lambda spec, old, new, how: rename_as(old, new, how),
    "open": _open,
    "write": _open,
    "flagged": _flagged,
    "readlink": lambda spec, path: os.readlink(path),
    "listdir": lambda spec, path: os.listdir(path),
    "truncate": lambda spec, path, size: _open(spec, path, size=size),
    "chmod": lambda spec, path, mode: os.chmod(path, mode),
    "chown": lambda spec, path, uid, gid: os.chown(path, uid, gid, follow_symlinks=False),
    "utime": lambda spec, path, time: os.utime(path, ns=(time, time), follow_symlinks=False),
    "setxattr": lambda spec, path, name, value: os.setxattr(
        path, _attribute(spec, name), _value(name, value), follow_symlinks=False
    ),
    "removexattr": lambda spec, path, name: os.removexattr(path, _attribute(spec, name), follow_symlinks=False),
}


def _name(error: OSError | OverlayError) -> str:
    return errno.errorcode[error.errno or 0]


# Ours


def held(tree: Tree) -> Tree:
    """Return a tree whose contents are in memory, since Linux is going to change the files."""

    def hold(_: bytes, node: Node) -> Node:
        return File(node.meta, BytesBlob(read_all(node.content))) if isinstance(node, File) else node

    return tree.map(hold)


def our_run(spec: Spec, trees: dict[str, Tree], skipped: list[bool]) -> Outcome | str:
    """Return what we make of the calls, but for those that Linux's side skipped."""
    options = OverlayOptions(redirect_dir=spec["redirect_dir"], metacopy=spec["metacopy"], userxattr=spec["userxattr"])
    lowers = [Layer(name, trees[name]) for name in sorted(trees) if name.startswith("l")]
    data = [Layer(name, trees[name]) for name in sorted(trees) if name.startswith("d")]
    try:
        overlay = Writable(lowers, upper=trees["u"], data=data, options=options, now_ns=RECENT)
    except OverlayError as error:
        return _name(error)
    said = []
    for call, skip in zip(spec["calls"], skipped, strict=True):
        for word in call[1:]:  # Linux's side looks for links on the way
            if isinstance(word, str) and word.startswith("/"):
                with contextlib.suppress(OverlayError):
                    overlay.lookup(word.rpartition("/")[0])
        said.append("skipped" if skip else _our_call(overlay, spec, call))
    return said, upper_view(overlay.upper_tree(), spec)


def _our_call(overlay: Writable, spec: Spec, call: Call) -> str:
    kind, *words = call
    try:
        if kind == "create":
            overlay.create(words[0], words[1], BytesBlob(words[2].encode()))
        elif kind == "symlink":
            overlay.symlink(words[1].encode(), words[0])
        elif kind == "mknod":
            overlay.mknod(words[0], words[1], 0o644, tuple(words[2]))
        elif kind == "rename":
            overlay.rename(words[0], words[1], how=words[2])
        elif kind == "write":
            overlay.write(words[0], words[1].encode(), words[2])
        elif kind == "setxattr":
            overlay.setxattr(words[0], _attribute(spec, words[1]).encode(), _value(words[1], words[2]))
        elif kind == "removexattr":
            overlay.removexattr(words[0], _attribute(spec, words[1]).encode())
        elif kind == "rmtree":
            _our_rmtree(overlay, words[0])
        elif kind == "flagged":
            _our_flagged(overlay, words[0], words[1].split(), words[2].encode())
        elif kind == "readlink":
            if not isinstance(overlay.lookup(words[0]), Symlink):
                return "EINVAL"
        else:
            getattr(overlay, kind)(*words)
    except OverlayError as error:
        return _name(error)
    return "ok"


def _our_flagged(overlay: Writable, path: str, flags: list[str], data: bytes) -> None:
    """Do what open(2) does with these flags, by the calls that there are."""
    if "EXCL" in flags:
        above, _, name = path.rpartition("/")
        overlay.create(overlay.resolve(above) + b"/" + name.encode(), 0o644, BytesBlob(data))
        return
    place = overlay.resolve(path)
    try:
        overlay.lookup(place)
    except OverlayError as error:
        if error.errno != errno.ENOENT or "CREAT" not in flags:
            raise
        overlay.create(place, 0o644, BytesBlob(data))
        return
    if "TRUNC" in flags:
        overlay.truncate(place, 0)
    else:
        overlay.open(place)
    overlay.write(place, data)


def _our_rmtree(overlay: Writable, path: str) -> None:
    for name in overlay.listdir(path):
        below = f"{path}/{os.fsdecode(name)}"
        if isinstance(overlay.lookup(below), Dir):
            _our_rmtree(overlay, below)
        else:
            overlay.unlink(below)
    overlay.rmdir(path)


def upper_view(tree: Tree, spec: Spec) -> dict[str, Any]:
    """Return what is in an upper layer, as values that compare and print."""
    prefix = b"user.overlay." if spec["userxattr"] else b"trusted.overlay."
    hidden = {prefix + b"origin", prefix + b"uuid"}
    groups = {path: paths[0] for paths in tree.links().values() for path in sorted(paths)}
    view = {}
    for path, node in tree.walk():
        meta = node.meta
        xattrs = {os.fsdecode(name): value.hex() for name, value in sorted(meta.xattrs.items()) if name not in hidden}
        time = meta.mtime_ns if meta.mtime_ns < RECENT else "now"
        record: list[Any] = [type(node).__name__, oct(meta.mode), meta.uid, meta.gid, time, xattrs]
        if isinstance(node, File):
            small = node.content.size < _LARGE
            record.append(read_all(node.content).decode("latin-1") if small else node.content.size)
        elif isinstance(node, Symlink):
            record.append(os.fsdecode(node.target))
        elif isinstance(node, Device):
            record += [node.kind, node.major, node.minor]
        if path in groups and not (isinstance(node, Device) and not node.major and not node.minor):
            record.append(os.fsdecode(groups[path]))
        view[os.fsdecode(path)] = record
    return view
