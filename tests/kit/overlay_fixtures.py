"""Layer stacks and what Linux 6.18 makes of them, as data: each is built in memory for our merge, and on disk for the kernel.

Layers: {"l1/dir/": None, "l1/file": "content", "l1/gone": WH, "l1/dev": ("c", 0, 1), "l1/link": "->target",
"l1/file@redirect": "/old"}; "@name" sets trusted.overlay.name, "@@name" the attribute `name` itself, "l1@opaque" one of the
layer's root; "l1/f#5" is a file of 5 bytes of nothing. Views: the sorted names of a directory, a file's content,
"->target" of a link, "c0:1" of a device, the errno's name.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Any, Literal

from imgcore.blob import BytesBlob, ZeroBlob, read_all
from imgcore.errors import OverlayError
from imgcore.model import Device, Dir, File, Meta, Node, Symlink, Tree
from imgcore.transforms.overlay import Layer, Merged, OverlayOptions, merge
from imgcore.transforms.overlay.following import followed

T = "trusted.overlay."
WH = ("c", 0, 0)

Layers = dict[str, Any]
View = str | list[str]


def meta(file: str, redirect: str | None = None, size: int = 5, value: str | bytes = "") -> Layers:
    """Return a file whose content is in another layer."""
    made: Layers = {f"{file}#{size}": None, f"{file}@metacopy": value}
    return made if redirect is None else {**made, f"{file}@redirect": redirect}


L2, L3 = "lowerdir=l1:l2", "lowerdir=l1:l2:l3"
RW = "lowerdir=l1,upperdir=u,workdir=w"
F7 = {"l1/d/f": "", "l1/d/f@whiteout": "y", "l2/d/f": "low"}
F8 = {**F7, "l1/d@opaque": "x"}
NEW = {"l1/new/k": "", "l2/old/f": "x"}
DATA = {"l3/x": "three"}

# id, layers, mount options, {path in the mount: expected view}
READ: list[tuple[str, Layers, str, dict[str, View]]] = [
    ("F1", {"l1/x/a": "", "l2/x": "f", "l3/x/c": ""}, L3, {"x": ["a"]}),
    ("F2", {"l1/x": "f", "l2/x/a": "", "l1/y/b": "", "l2/y": "f"}, L2, {"x": "f", "y": ["b"]}),
    ("F3", {"l1/only/wh": WH, "l1/only/ok": "", "l2/": None}, L2, {"only": ["ok", "wh"], "only/wh": "ENOENT"}),
    ("F4", {"l1/only/wh": WH, "l1/only/ok": "", "l2/only/wh": ""}, L2, {"only": ["ok"]}),
    ("F5", {"l2/only/wh": WH, "l1/only/ok": ""}, L2, {"only": ["ok"]}),
    ("F6", {"l1/only/wh": WH, "l1/only/ok": "", "l2/": None, "l1/only@origin": ""}, L2, {"only": ["ok"]}),
    ("F7", F7, L2, {"d": ["f"], "d/f": "ENOENT"}),
    ("F8", F8, L2, {"d": [], "d/f": "ENOENT"}),
    ("F8 empty value", {**F8, "l1/d/f@whiteout": ""}, L2, {"d": []}),
    ("F9", {**F8, "l1/d/f": "1"}, L2, {"d": ["f"], "d/f": "1"}),
    (
        "F10 single layer",
        {"l1/d/f": "", "l1/d/f@whiteout": "y", "l1/d@opaque": "x", "l2/": None},
        L2,
        {"d": ["f"], "d/f": "ENOENT"},
    ),
    ("F10 upper", {"u/d/f": "", "u/d/f@whiteout": "y", "u/d@opaque": "x", "l1/d/f": "low"}, RW, {"d": ["f"], "d/f": "ENOENT"}),
    ("F10 x elsewhere", {**F7, "l2/d@opaque": "x", "l3/d/": None}, L3, {"d": ["f"], "d/f": "ENOENT"}),
    (
        "F10 lowest",
        {"l1/d/g": "", "l2/d/f": "", "l2/d/f@whiteout": "y", "l2/d@opaque": "x"},
        L2,
        {"d": ["f", "g"], "d/f": "ENOENT"},
    ),
    ("F11", {"l1/b": "", "l1/b@whiteout": "y", "l2/b": "", "l2/c": "", "l1@opaque": "x"}, L2, {".": ["c"]}),
    ("F11 no x", {"l1/b": "", "l1/b@whiteout": "y", "l2/b": "", "l2/c": ""}, L2, {".": ["b", "c"], "b": "ENOENT"}),
    ("F12", {"l1/d/1": "", "l2/d/2": "", "l3/d/3": "", "l2/d@opaque": "y"}, L3, {"d": ["1", "2"]}),
    *[(f"F13 {v!r}", {"l1/d/1": "", "l2/d/2": "", "l1/d@opaque": v}, L2, {"d": ["1", "2"]}) for v in ("yes", "Y", "1", "")],
    ("F14 lower", {"l1/a": "", "l2/b": "", "l1@opaque": "y"}, L2, {".": ["a", "b"]}),
    ("F14 upper", {"u/a": "", "l1/b": "", "u@opaque": "y"}, RW, {".": ["a", "b"]}),
    (
        "F15",
        {"l1/a": WH, "l1/b": ("c", 0, 1), "l1/c": ("b", 0, 0), "l2/a": "", "l2/b": "", "l2/c": ""},
        L2,
        {".": ["b", "c"], "a": "ENOENT", "b": "c0:1", "c": "b0:0"},
    ),
    ("F16", {"l1/d/f": WH, "l1/d@opaque": "y", "l2/d/f": "", "l2/d/g": ""}, L2, {"d": ["f"], "d/f": "ENOENT"}),
    (
        "F17",
        {"l1/lib/x": "", "l2/usr/lib/y": "", "l2/lib": "->usr/lib", "l2/lib64/k": "", "l1/lib64": "->usr/lib"},
        L2,
        {"lib": ["x"], "lib64": "->usr/lib", "lib64/k": "ENOENT"},
    ),
    ("F18", {"l1/new@redirect": "/old", "l2/old/f": "x", "l2/new/g": "g"}, L2, {"new": ["f"], "old": ["f"]}),
    ("F19", {"l1/p/new@redirect": "old", "l2/p/old/f": "x", "l2/p/new/g": "g"}, L2, {"p/new": ["f"]}),
    ("F20", {**NEW, "l1/new@redirect": "/old"}, L2 + ",redirect_dir=nofollow", {"new": "EPERM", "old": ["f"]}),
    *[(f"F21 {v!r}", {**NEW, "l1/new@redirect": v}, L2, {"new": "EINVAL"}) for v in ("a/b", "/old/", "", "/", "//old")],
    *[(f"F21 {v!r}", {**NEW, "l1/new@redirect": v}, L2, {"new": "EACCES"}) for v in ("..", "/old/../x")],
    (
        "F22",
        {"l1/new@redirect": "/mid", "l2/mid/m": "", "l2/mid@redirect": "/old", "l3/old/f": "", "l3/mid/z": ""},
        L3,
        {"new": ["f", "m"]},
    ),
    ("F23", {"l1/new@redirect": "/a/b", "l2/a@opaque": "y", "l2/a/b/2": "", "l3/a/b/3": ""}, L3, {"new": ["2"], "a/b": ["2"]}),
    ("F24", {"l1/old": WH, "l1/new@redirect": "/old", "l2/old/f": ""}, L2, {"new": ["f"], "old": "ENOENT"}),
    ("F25 bottom", {"l1/q": "", "l2/new/k": "", "l2/new@redirect": "/old", "l2/old/f": ""}, L2, {"new": ["k"]}),
    ("F25 file", {"l1/new/k": "", "l1/new@redirect": "/old", "l2/old": "file"}, L2, {"new": ["k"]}),
    ("F25 nothing", {"l1/new/k": "", "l1/new@redirect": "/nope", "l2/new/z": ""}, L2, {"new": ["k"]}),
    ("F25 opaque", {**NEW, "l1/new@redirect": "/old", "l1/new@opaque": "y"}, L2, {"new": ["k"]}),
    ("F26 off", {**meta("l1/f"), "l2/f": "hello"}, L2, {"f": "EPERM"}),
    ("F26 on", {**meta("l1/f"), "l2/f": "hello"}, L2 + ",metacopy=on", {"f": "hello"}),
    *[(f"F27 {n}", {**meta("l1/f", size=n), "l2/f": "hello"}, L2 + ",metacopy=on", {"f": "hello"}) for n in (3, 10)],
    ("F28 no data", {**meta("l1/f"), "l2/": None}, L2 + ",metacopy=on", {"f": "EIO"}),
    ("F28 dir", {**meta("l1/f"), "l2/f/x": ""}, L2 + ",metacopy=on", {"f": "EIO"}),
    ("F28 whiteout", {**meta("l1/f"), "l2/f": WH, "l3/f": "hello"}, L3 + ",metacopy=on", {"f": "EIO"}),
    ("F28 bottom", {"l1/q": "", **meta("l2/f")}, L2 + ",metacopy=on", {"f": "EIO"}),
    ("F28 symlink", {**meta("l1/f", "/g"), "l2/g": "->h", "l2/h": "hello"}, L2 + ",metacopy=on", {"f": "EIO"}),
    ("F28 value", {**meta("l1/f", value=b"\1\2\3"), "l2/f": "hello"}, L2 + ",metacopy=on", {"f": "EIO"}),
    ("F29", {**meta("l1/f"), **meta("l2/f", "g"), "l3/g": "hello"}, L3 + ",metacopy=on", {"f": "hello"}),
    ("F30 absolute", {**meta("l1/f", "/x"), **DATA}, "lowerdir=l1::l3", {"f": "three", ".": ["f"]}),
    ("F30 relative", {**meta("l1/f", "x"), **DATA}, "lowerdir=l1::l3", {"f": "EPERM"}),
    ("F30 none", {**meta("l1/f"), "l3/f": "three"}, "lowerdir=l1::l3", {"f": "EPERM"}),
    ("F31 upper lower", {**meta("l1/f", "/x"), "l2/": None, **DATA}, "lowerdir=l1:l2::l3", {"f": "EPERM"}),
    ("F31 lowest", {"l1/": None, **meta("l2/f", "/x"), **DATA}, "lowerdir=l1:l2::l3", {"f": "three"}),
    ("F32 both", {**meta("l1/f", "/x"), **DATA, "l4/x": "four!"}, "lowerdir=l1::l3::l4", {"f": "three"}),
    ("F32 second", {**meta("l1/f", "/x"), "l3/": None, "l4/x": "four!"}, "lowerdir=l1::l3::l4", {"f": "four!"}),
    ("F33 missing", {**meta("l1/f", "/x"), "l3/": None}, "lowerdir=l1::l3", {"f": "ENOENT"}),
    ("F33 dir", {**meta("l1/f", "/x"), "l3/x/q": ""}, "lowerdir=l1::l3", {"f": "ENOENT"}),
    ("F33 link", {**meta("l1/f", "/x"), "l3/x": "->z", "l3/z": "zzzzz"}, "lowerdir=l1::l3", {"f": "ENOENT"}),
    ("F33 whiteout", {**meta("l1/f", "/x"), "l3/x": WH}, "lowerdir=l1::l3", {"f": "ENOENT"}),
    ("F33 linked dir", {**meta("l1/f", "/s/z"), "l3/s": "->real", "l3/real/z": "zzzzz"}, "lowerdir=l1::l3", {"f": "ELOOP"}),
    (
        "F42 read",
        {"l1/d@@user.overlay.opaque": "y", "l2/d/x": "", "l1/e@opaque": "y", "l2/e/x": ""},
        L2 + ",userxattr",
        {"d": [], "e": ["x"]},
    ),
    (
        "F47 no dir",
        {**meta("l1/f", "/b/aa"), "l2/": None, "l3/b/aa": "hello"},
        "lowerdir=l1:l2::l3,metacopy=on",
        {"f": "hello"},
    ),
    ("F47 dir", {**meta("l1/f", "/b/aa"), "l2/b/": None, "l3/b/aa": "hello"}, "lowerdir=l1:l2::l3,metacopy=on", {"f": "EIO"}),
]


# In memory


def trees(layers: Layers) -> dict[str, Tree]:
    """Return the layers as trees, by their names."""
    xattrs: dict[str, dict[bytes, bytes]] = {}
    leaves: dict[str, Any] = {}
    directories = {"l1"}
    for key, value in layers.items():
        path, at, name = key.partition("@")
        path, _, size = path.partition("#")
        place = path.rstrip("/")
        directories.update("/".join(place.split("/")[:count]) for count in range(1, place.count("/") + 1))
        if at:
            full = name[1:] if name.startswith("@") else T + name
            xattrs.setdefault(place, {})[full.encode()] = value if isinstance(value, bytes) else value.encode()
            if place not in leaves and f"{place}#" not in "".join(layers) and place not in layers:
                directories.add(place)
        elif path.endswith("/"):
            directories.add(place)
        else:
            leaves[place] = int(size) if size else value
    directories -= set(leaves)
    made: dict[str, dict[bytes, Node]] = {place: {} for place in directories}
    found: dict[str, Tree] = {}
    for place in sorted(directories | set(leaves), key=lambda one: -one.count("/")):
        seen = xattrs.get(place, {})
        node: Node = Dir(Meta(0o755, xattrs=seen), made[place]) if place in made else _leaf(leaves[place], seen)
        parent, slash, name = place.rpartition("/")
        if slash:
            made[parent][name.encode()] = node
        else:
            assert isinstance(node, Dir)
            found[place] = Tree(node)
    return found


def _leaf(value: Any, xattrs: dict[bytes, bytes]) -> Node:
    own = Meta(xattrs=xattrs)
    if isinstance(value, int):
        return File(own, ZeroBlob(value))
    if isinstance(value, tuple):
        kind: Literal["char", "block"] = "char" if value[0] == "c" else "block"
        return Device(own, kind, *value[1:])
    return Symlink(own, value[2:].encode()) if value.startswith("->") else File(own, BytesBlob(value.encode()))


def merge_fixture(layers: Layers, options: str) -> Merged:
    """Return our merge of a fixture under its mount options."""
    made = trees(layers)
    words = dict(word.partition("=")[::2] for word in options.split(","))
    lowers, *data = words["lowerdir"].split("::")
    stated: dict[str, Any] = {}
    if "redirect_dir" in words:
        stated["redirect_dir"] = words["redirect_dir"]
    if "metacopy" in words:
        stated["metacopy"] = words["metacopy"] == "on"
    empty = Tree(Dir())
    return merge(
        [Layer(name, made.get(name, empty)) for name in lowers.split(":")],
        upper=Layer("u", made.get("u", empty)) if "upperdir" in words else None,
        data=[Layer(name, made.get(name, empty)) for name in data],
        options=OverlayOptions(userxattr="userxattr" in words, **stated),
    )


def our_view(merged: Merged, path: str) -> View:
    """Return what our merge has at a path; links on the way are followed, as Linux does."""
    above, _, name = path.rpartition("/")
    try:
        way = followed(lambda one: merged.lookup(one).node, above.encode())
        place = "/" if path == "." else f"{os.fsdecode(way)}/{name}"
        node = merged.lookup(place).node
        if isinstance(node, Dir):
            return sorted(os.fsdecode(one) for one in merged.listdir(place))
        if isinstance(node, Symlink):
            return "->" + os.fsdecode(node.target)
        if isinstance(node, Device):
            return f"{node.kind[0]}{node.major}:{node.minor}"
        assert isinstance(node, File)
        node.content.read_at(0, 1)
        return read_all(node.content).decode()
    except OverlayError as error:
        return errno.errorcode[error.errno]


# On disk


def make(path: str, value: Any) -> None:
    """Make one entry of a fixture below the current directory."""
    if "@" in path:
        path, _, name = path.partition("@")
        if not os.path.lexists(path):
            os.makedirs(path)
        data = value if isinstance(value, bytes) else value.encode()
        os.setxattr(path, name[1:] if name[0] == "@" else T + name, data, follow_symlinks=False)
        return
    os.makedirs(os.path.dirname(path.rstrip("/")) or ".", exist_ok=True)
    if path.endswith("/"):
        os.makedirs(path, exist_ok=True)
    elif match := re.fullmatch(r"(.*)#(\d+)", path):
        Path(match[1]).touch()
        os.truncate(match[1], int(match[2]))
    elif isinstance(value, tuple):
        os.mknod(path, (stat.S_IFCHR if value[0] == "c" else stat.S_IFBLK) | 0o600, os.makedev(*value[1:]))
    elif value.startswith("->"):
        os.symlink(value[2:], path)
    else:
        Path(path).write_text(value)


def kernel_view(path: str) -> View:
    """Return what Linux has at a path."""
    try:
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode):
            return sorted(os.listdir(path))
        if stat.S_ISLNK(found.st_mode):
            return "->" + os.readlink(path)
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            kind = "c" if stat.S_ISCHR(found.st_mode) else "b"
            return f"{kind}{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        return Path(path).read_text()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
