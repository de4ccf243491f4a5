"""What differs between two trees, path by path: presence, type, content, metadata, xattrs and links apart.

Both trees are walked once, side by side, in the manifest's order. Contents are compared byte by byte, only where sizes
agree. Times are compared at the coarser resolution of the two trees, so a directory equals the image made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from imgcore.blob import Blob
from imgcore.errors import context, show
from imgcore.events import Control
from imgcore.model.node import Device, Dir, File, Node, Symlink, type_name
from imgcore.model.tree import Entry, Tree
from imgcore.values import value_class

__all__ = ["Change", "ChangeKind", "diff", "same_content"]

ChangeKind: TypeAlias = Literal[
    "added", "removed", "type", "content", "target", "device", "mode", "owner", "mtime", "xattrs", "link", "opaque"
]

_CHUNK = 1 << 20


@value_class
class Change:
    """One difference at one path; `old` and `new` are the two sides as text, empty where they say nothing."""

    path: bytes
    kind: ChangeKind
    old: str = ""
    new: str = ""


def same_content(a: Blob, b: Blob, control: Control | None = None) -> bool:
    """Return whether two blobs hold the same bytes."""
    if a is b:
        return True
    if a.size != b.size:
        return False
    for at, size, hole_a, hole_b in _common_runs(a, b):
        if hole_a and hole_b:
            continue
        for start in range(at, at + size, _CHUNK):
            if control is not None:
                control.check()
            length = min(_CHUNK, at + size - start)
            left = bytes(length) if hole_a else a.read_at(start, length)
            right = bytes(length) if hole_b else b.read_at(start, length)
            if left != right:
                return False
    return True


def _common_runs(a: Blob, b: Blob) -> Iterator[tuple[int, int, bool, bool]]:
    """Yield (begin, size, hole in a, hole in b) of the longest runs in which neither of two blobs of one size changes."""
    left, right = a.segments(), b.segments()
    one, two = next(left, None), next(right, None)
    at = 0
    while one is not None and two is not None:
        end = min(one.at + one.size, two.at + two.size)
        yield at, end - at, one.hole, two.hole
        at = end
        if one.at + one.size == end:
            one = next(left, None)
        if two.at + two.size == end:
            two = next(right, None)
    assert at == a.size, "segments do not cover their blob"


def diff(a: Tree, b: Tree, control: Control | None = None, *, contents: bool = True) -> Iterator[Change]:
    """Yield what changes from `a` to `b`, in bytewise order of the paths; without `contents` only sizes are compared."""
    control = control or Control()
    step = max(a.time_step_ns, b.time_step_ns)
    first_a: dict[int, bytes] = {}
    first_b: dict[int, bytes] = {}
    for path, old, new in _side_by_side(a, b):
        control.check()
        if old is None or new is None:
            only = new if old is None else old
            assert only is not None
            yield Change(
                path, "added" if old is None else "removed", *(("", type_name(only)) if old is None else (type_name(only), ""))
            )
            continue
        if type_name(old) != type_name(new):
            yield Change(path, "type", type_name(old), type_name(new))
            continue
        if not isinstance(old, Dir):
            leader_a, leader_b = first_a.setdefault(id(old), path), first_b.setdefault(id(new), path)
            if leader_a != leader_b:
                yield Change(path, "link", _link_text(leader_a, path), _link_text(leader_b, path))
            if leader_a is not path and leader_b is not path and leader_a == leader_b:
                continue  # another name of a pair that was compared at its first
        yield from _node_changes(path, old, new, step, control, contents)


def _link_text(leader: bytes, path: bytes) -> str:
    return "" if leader == path else show(leader)


def _side_by_side(a: Tree, b: Tree) -> Iterator[tuple[bytes, Node | None, Node | None]]:
    """Yield (path, node in a, node in b) in path order; None where there is no such path."""
    left, right = a.sorted_entries(), b.sorted_entries()
    one, two = next(left, None), next(right, None)
    while one is not None or two is not None:
        order = _compare(one, two)
        path = one.path if one is not None and order <= 0 else two.path if two is not None else b""
        yield path, one.node if one is not None and order <= 0 else None, two.node if two is not None and order >= 0 else None
        if order <= 0:
            one = next(left, None)
        if order >= 0:
            two = next(right, None)


def _compare(one: Entry | None, two: Entry | None) -> int:
    if one is None:
        return 1
    if two is None:
        return -1
    return (one.path > two.path) - (one.path < two.path)


def _node_changes(path: bytes, old: Node, new: Node, step: int, control: Control, contents: bool) -> Iterator[Change]:
    if isinstance(old, File) and isinstance(new, File):
        if old.content.size != new.content.size:
            yield Change(path, "content", f"{old.content.size} bytes", f"{new.content.size} bytes")
        elif contents:
            with context(path=path):
                same = same_content(old.content, new.content, control)
            if not same:
                yield Change(path, "content")
    elif isinstance(old, Symlink) and isinstance(new, Symlink):
        if old.target != new.target:
            yield Change(path, "target", show(old.target), show(new.target))
    elif isinstance(old, Device) and isinstance(new, Device):
        if (old.major, old.minor) != (new.major, new.minor):
            yield Change(path, "device", f"{old.major}:{old.minor}", f"{new.major}:{new.minor}")
    elif isinstance(old, Dir) and isinstance(new, Dir) and old.opaque != new.opaque:
        yield Change(path, "opaque", str(old.opaque).lower(), str(new.opaque).lower())
    was, now = old.meta, new.meta
    if was.mode != now.mode:
        yield Change(path, "mode", f"{was.mode:04o}", f"{now.mode:04o}")
    if (was.uid, was.gid) != (now.uid, now.gid):
        yield Change(path, "owner", f"{was.uid}:{was.gid}", f"{now.uid}:{now.gid}")
    if was.mtime_ns // step != now.mtime_ns // step:
        yield Change(path, "mtime", str(was.mtime_ns), str(now.mtime_ns))
    if dict(was.xattrs) != dict(now.xattrs):
        yield Change(path, "xattrs", *_xattr_text(dict(was.xattrs), dict(now.xattrs)))


def _xattr_text(old: dict[bytes, bytes], new: dict[bytes, bytes]) -> tuple[str, str]:
    """Return the names that differ on each side."""
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return (
        " ".join(f"{show(name)}={old[name].hex()}" for name in names if name in old),
        " ".join(f"{show(name)}={new[name].hex()}" for name in names if name in new),
    )
