"""Random stacks of overlay layers: made on disk, mounted by Linux and looked at, and looked at through our merge.

A stack is plain data (`Spec`), so that one that differs can be printed, cut down and kept. `build` writes a layer below a
directory, `observe` walks a mount by system calls, `simulate` walks our view of the same directories in the same order.
Both give the same dictionary: "/dir/" to the listed names in order, "/name" to what stat, listxattr, readlink and open say,
or to the name of the errno.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imgcore
from imgcore.blob import read_all
from imgcore.errors import OverlayError
from imgcore.hosts import scan
from imgcore.model import Device, Dir, File, Node, Symlink, Tree
from imgcore.transforms.overlay import Layer, Merged, OverlayOptions, merge

NAMES = "abcd"
Spec = dict[str, Any]
View = dict[str, Any]

_libc = ctypes.CDLL(None, use_errno=True)


# Making one


def random_spec(seed: int) -> Spec:
    """Return a stack: its layers, and the options of the mount."""
    chance = random.Random(seed)
    features = {name for name in ("xwhiteout", "redirect", "metacopy", "attributes") if chance.random() < 0.6}
    userxattr = chance.random() < 0.12
    redirect = chance.choice(["follow", "nofollow", "follow", "on", None])
    metacopy: bool | None = chance.random() < 0.6 if redirect == "on" else None
    if userxattr:
        redirect, metacopy = chance.choice([None, "nofollow"]), None
    count = chance.randrange(2, 5)
    lowers = [_random_dir(chance, 0, number + 1, features) for number in range(count)]
    upper = _random_dir(chance, 0, 0, features) if chance.random() < 0.5 else None
    data = []
    if "metacopy" in features and chance.random() < 0.4:
        data = [_random_dir(chance, 1, 7 + number, {"plain"}) for number in range(chance.randrange(1, 3))]
        lowers = lowers[: chance.randrange(1, len(lowers) + 1)]
        if redirect == "nofollow":
            lowers = lowers[:1]
    return {
        "seed": seed,
        "upper": upper,
        "lowers": lowers,
        "data": data,
        "redirect_dir": redirect,
        "metacopy": metacopy,
        "userxattr": userxattr,
    }


def _random_redirect(chance: random.Random) -> str:
    if chance.random() < 0.05:
        return chance.choice(["", "/", "a/b", "//a", "/a/", "..", "/a/../b", ".", "/./a"])
    if chance.random() < 0.5:
        return chance.choice(NAMES)
    return "/" + "/".join(chance.choice(NAMES) for _ in range(chance.randrange(1, 4)))


def _random_dir(chance: random.Random, depth: int, layer: int, features: set[str]) -> Spec:
    node: Spec = {"t": "d", "x": {}, "ch": {}}
    for name in NAMES:
        if chance.random() < 0.55:
            continue
        kind = chance.random()
        if kind < 0.45 and depth < 3:
            child = _random_dir(chance, depth + 1, layer, features)
        elif kind < 0.7:
            child = _random_file(chance, name, layer, features)
        elif kind < 0.85:
            child = {"t": "c", "x": {}, "rdev": [0, 0]}
        elif kind < 0.91:
            child = {"t": "l", "x": {}, "data": f"t{layer}"}
        elif kind < 0.93:
            child = {"t": "p", "x": {}}
        else:
            child = {"t": chance.choice("cb"), "x": {}, "rdev": [0, chance.choice([0, 1])]}
        _attributes(chance, child, features)
        node["ch"][name] = child
    if chance.random() < 0.15:
        node["x"]["P.opaque"] = "y"
    elif "xwhiteout" in features and chance.random() < 0.5:
        node["x"]["P.opaque"] = "x"
    elif chance.random() < 0.03:
        node["x"]["P.opaque"] = chance.choice(["yes", "Y", "1", ""])
    if depth and "redirect" in features and chance.random() < 0.3:
        node["x"]["P.redirect"] = _random_redirect(chance)
    if chance.random() < 0.05 and "plain" not in features:
        node["x"]["P.origin"] = ""
    _attributes(chance, node, features)
    return node


def _random_file(chance: random.Random, name: str, layer: int, features: set[str]) -> Spec:
    child: Spec = {"t": "f", "x": {}, "data": f"{layer}{name}{chance.randrange(99)}"}
    if chance.random() < 0.12:
        child["data"] = ""
    if "xwhiteout" in features and chance.random() < 0.3:
        child["x"]["P.whiteout"], child["data"] = chance.choice(["y", ""]), ""
    if "metacopy" in features and chance.random() < 0.45:
        child["x"]["P.metacopy"] = chance.choice(["", "", "", "", "\1\2\3"]) if chance.random() < 0.2 else ""
    if "metacopy" in features and chance.random() < 0.3:
        child["x"]["P.redirect"] = _random_redirect(chance)
    if chance.random() < 0.1:
        child["link"] = chance.choice(NAMES)  # a second name beside it, where that is free
    return child


def _attributes(chance: random.Random, node: Spec, features: set[str]) -> None:
    if "attributes" not in features:
        return
    if chance.random() < 0.3:
        node["mode"] = chance.choice([0o700, 0o755, 0o644, 0o4755, 0o1777, 0])
        node["owner"] = [chance.randrange(3), chance.randrange(3)]
        node["mtime"] = chance.randrange(1, 2_000_000_000) * 1_000_000_000 + chance.randrange(1_000_000_000)
    if chance.random() < 0.15 and node["t"] in "df":
        name = chance.choice(
            ["P.overlay.opaque", "P.overlay.overlay.k", "P.bar", "Q.opaque", "Q.whiteout", "user.k", "trusted.k"]
        )
        node["x"][name] = chance.choice(["", "y", "x", "v"])


# On disk


def build(node: Spec, path: str, prefix: str, other: str) -> None:
    """Write one layer below the existing directory `path`; attributes `P.*` begin with `prefix`, `Q.*` with `other`."""
    for name, child in node["ch"].items():
        place = f"{path}/{name}"
        if child["t"] == "d":
            os.mkdir(place)
            build(child, place, prefix, other)
        elif child["t"] == "f":
            Path(place).write_text(child["data"])
        elif child["t"] == "l":
            os.symlink(child["data"], place)
        elif child["t"] == "p":
            os.mkfifo(place)
        else:
            kind = stat.S_IFCHR if child["t"] == "c" else stat.S_IFBLK
            os.mknod(place, kind | 0o600, os.makedev(*child["rdev"]))
    for name, child in node["ch"].items():
        other_name = child.get("link")
        if other_name is not None and other_name not in node["ch"] and not os.path.lexists(f"{path}/{other_name}"):
            os.link(f"{path}/{name}", f"{path}/{other_name}")
    for name, child in node["ch"].items():
        _finish(child, f"{path}/{name}", prefix, other)


def _finish(node: Spec, place: str, prefix: str, other: str) -> None:
    for name, value in node["x"].items():
        full = name.replace("P.", prefix, 1) if name.startswith("P.") else name.replace("Q.", other, 1)
        if node["t"] in "df" or full.startswith("trusted."):
            os.setxattr(place, full, value.encode(), follow_symlinks=False)
    if "owner" in node:
        os.chown(place, *node["owner"], follow_symlinks=False)
    if "mode" in node and node["t"] != "l":
        os.chmod(place, node["mode"])
    if "mtime" in node:
        os.utime(place, ns=(node["mtime"], node["mtime"]), follow_symlinks=False)


def make_layers(spec: Spec) -> list[str]:
    """Make all layers of a stack in the current directory; return their names, the upper one `u` first, if there is one."""
    for old in Path().iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    prefix, other = ("user.overlay.", "trusted.overlay.") if spec["userxattr"] else ("trusted.overlay.", "user.overlay.")
    names = []
    layers = [*([("u", spec["upper"])] if spec["upper"] is not None else [])]
    layers += [(f"l{number}", layer) for number, layer in enumerate(spec["lowers"])]
    layers += [(f"d{number}", layer) for number, layer in enumerate(spec["data"])]
    for name, layer in layers:
        os.mkdir(name)
        build(layer, name, prefix, other)
        _finish(layer, name, prefix, other)
        names.append(name)
    return names


def mount_options(spec: Spec) -> str:
    """Return the options of the mount."""
    lowers = ":".join(f"l{number}" for number in range(len(spec["lowers"])))
    words = ["lowerdir=" + lowers + "".join(f"::d{number}" for number in range(len(spec["data"])))]
    if spec["upper"] is not None:
        words.append("upperdir=u,workdir=w")
    if spec["redirect_dir"] is not None:
        words.append(f"redirect_dir={spec['redirect_dir']}")
    if spec["metacopy"] is not None:
        words.append(f"metacopy={'on' if spec['metacopy'] else 'off'}")
    if spec["userxattr"]:
        words.append("userxattr")
    return ",".join(words)


def mount(options: str, place: str = "m") -> None:
    """Mount an overlay. Raises OSError."""
    if _libc.mount(b"overlay", place.encode(), b"overlay", 0, options.encode()):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), options)


def unmount(place: str = "m") -> None:
    """Take a mount away, even when something of it is open."""
    _libc.umount2(place.encode(), 2)


# What Linux shows


def kernel_view(spec: Spec) -> View | str:
    """Return what Linux makes of the layers in the current directory, or the name of the errno of mount."""
    os.makedirs("w", exist_ok=True)
    os.makedirs("m", exist_ok=True)
    try:
        mount(mount_options(spec))
    except OSError as error:
        return _name(error.errno)
    try:
        return dict(_observe("m", ""))
    finally:
        unmount()


def _observe(path: str, shown: str) -> Iterator[tuple[str, Any]]:
    try:
        with os.scandir(path) as entries:
            yield f"{shown}/", [entry.name for entry in entries]
    except OSError as error:
        yield f"{shown}/", _name(error.errno)
    for name in NAMES:
        place, key = f"{path}/{name}", f"{shown}/{name}"
        try:
            found = os.lstat(place)
        except OSError as error:
            if error.errno != errno.ENOENT:
                yield key, _name(error.errno)
            continue
        yield key, _status(place, found)
        if stat.S_ISDIR(found.st_mode):
            yield from _observe(place, key)


def _status(place: str, found: os.stat_result) -> list[Any]:
    kind = stat.S_IFMT(found.st_mode)
    xattrs = {
        name: os.getxattr(place, name, follow_symlinks=False).hex() for name in os.listxattr(place, follow_symlinks=False)
    }
    record = [oct(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, dict(sorted(xattrs.items()))]
    record.append(found.st_nlink)
    if kind == stat.S_IFREG:
        try:
            record += [found.st_size, Path(place).read_text()]
        except OSError as error:
            record += [found.st_size, _name(error.errno)]
    elif kind == stat.S_IFLNK:
        record.append(os.readlink(place))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        record.append([os.major(found.st_rdev), os.minor(found.st_rdev)])
    return record


def _name(code: int | None) -> str:
    return "E" + errno.errorcode[code or 0]


# What we show


def read_layers(names: list[str], limit: int | None = None) -> dict[str, Tree]:
    """Return the trees of the layers in the current directory, in the order in which their directories list names."""
    return {name: scan(name, engine=imgcore.engine.get_engine("pure")) for name in names}


def options_of(spec: Spec) -> OverlayOptions:
    """Return the options of a stack as a value."""
    return OverlayOptions(redirect_dir=spec["redirect_dir"], metacopy=spec["metacopy"], userxattr=spec["userxattr"])


def merge_spec(spec: Spec, trees: dict[str, Tree]) -> Merged:
    """Return our view of a stack."""
    return merge(
        [Layer(name, trees[name]) for name in sorted(trees) if name.startswith("l")],
        upper=trees.get("u"),
        data=[Layer(name, trees[name]) for name in sorted(trees) if name.startswith("d")],
        options=options_of(spec),
    )


def our_view(spec: Spec, trees: dict[str, Tree]) -> View | str:
    """Return our view of a stack, as `kernel_view` does."""
    try:
        merged = merge_spec(spec, trees)
    except OverlayError as error:
        return _name(error.errno)
    return dict(_simulate(merged, ""))


def _simulate(merged: Merged, shown: str) -> Iterator[tuple[str, Any]]:
    try:
        yield f"{shown}/", [os.fsdecode(name) for name in merged.listdir(shown or "/")]
    except OverlayError as error:
        yield f"{shown}/", _name(error.errno)
    for name in NAMES:
        key = f"{shown}/{name}"
        try:
            seen = merged.lookup(key)
        except OverlayError as error:
            if error.errno != errno.ENOENT:
                yield key, _name(error.errno)
            continue
        yield key, _record(seen.node, seen.nlink, seen.size)
        if isinstance(seen.node, Dir):
            yield from _simulate(merged, key)


_TYPES = {"Dir": stat.S_IFDIR, "File": stat.S_IFREG, "Symlink": stat.S_IFLNK, "Pipe": stat.S_IFIFO, "Socket": stat.S_IFSOCK}


def _record(node: Node, nlink: int, size: int) -> list[Any]:
    kind = _TYPES.get(type(node).__name__) or (stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK)  # type: ignore[union-attr]
    xattrs = {os.fsdecode(name): value.hex() for name, value in node.meta.xattrs.items()}
    meta = node.meta
    record = [oct(kind | meta.mode), meta.uid, meta.gid, meta.mtime_ns, dict(sorted(xattrs.items())), nlink]
    if isinstance(node, File):
        try:
            node.content.read_at(0, 1)  # what cannot be opened says so even when it is empty
            record += [size, read_all(node.content).decode()]
        except OverlayError as error:
            record += [size, _name(error.errno)]
    elif isinstance(node, Symlink):
        record.append(os.fsdecode(node.target))
    elif isinstance(node, Device):
        record.append([node.major, node.minor])
    return record
