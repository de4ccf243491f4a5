"""rename(2) in an overlay: what goes up, what stays behind as a whiteout, which directories are marked.

A directory that has lower parts can move only where the mount makes redirects (`redirect_dir=on`): its upper part then says
where its lower parts are, by a name while it stays in its directory, by a path from the root else. Without, Linux answers
EXDEV, and programs copy. A directory of the upper layer alone that comes into a merged one is made opaque, so that it does
not merge with what the lower layers have under its new name (Linux, `ovl_rename`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from imgcore.model import Dir, File, Node
from imgcore.transforms.overlay.arguments import Path
from imgcore.transforms.overlay.copyup import Spot, Upper, fail
from imgcore.transforms.overlay.walking import Walk

__all__ = ["RENAME_WAYS", "RenameHow", "redirect", "rename"]

RenameHow: TypeAlias = Literal["replace", "no replace", "exchange"]
RENAME_WAYS: Final = ("replace", "no replace", "exchange")

_LONGEST_REDIRECT = 256

Find = Callable[[Sequence[bytes]], Spot]


def rename(upper: Upper, walk: Walk, old: Path, new: Path, how: RenameHow, now_ns: int) -> None:
    """Move what is at a path to another one, in the ways of renameat2(2). Raises OverlayError, in Linux's order."""
    walk.directories(old)  # Linux looks at the way to both before it looks at either
    walk.directories(new)
    if not old.is_name:
        raise fail(errno.EBUSY, "the root, or not the name of a directory", old.text)
    if not new.is_name:
        code = errno.EEXIST if how == "no replace" else errno.EBUSY
        raise fail(code, "the root, or not the name of a directory", new.text)
    source = walk.spot(old)
    if source.found is None:  # which Linux says before it looks at the other name
        raise fail(errno.ENOENT, "no such path", old.text)
    target = walk.spot(new)
    if how == "no replace" and target.found is not None:
        raise fail(errno.EEXIST, "there is something of that name", new.text)
    if how == "exchange" and target.found is None:
        raise fail(errno.ENOENT, "no such path", new.text)
    if old.slash and source.is_no_directory:
        raise fail(errno.ENOTDIR, "not a directory, as the slash says", old.text)
    if new.slash and (target if how == "exchange" else source).is_no_directory:
        raise fail(errno.ENOTDIR, "not a directory, as the slash says", new.text)
    was, now = source.parts, target.parts
    if len(was) < len(now) and now[: len(was)] == was:
        raise fail(errno.EINVAL, "a directory into itself", new.text)
    if len(now) < len(was) and was[: len(now)] == now:
        raise fail(errno.ENOTEMPTY if how == "replace" else errno.EINVAL, "a directory above the source", new.text)
    same = target.found is not None and source.found.hit.node is target.found.hit.node and source.found.hit.layer == 0
    if was == now or same:
        return  # two names of one file: nothing happens
    if how == "exchange":
        _exchange(upper, source, target, walk.spot_of, was, now, now_ns)
    else:
        _move(upper, source, target, walk.spot_of, was, now, now_ns)


def _path(parts: Sequence[bytes]) -> bytes:
    return b"/" + b"/".join(parts)


def _is_dir(spot: Spot) -> bool:
    return spot.found is not None and spot.found.merged is not None


def _has_lower(spot: Spot) -> bool:
    """Whether what is there is not of the upper layer alone: a directory with lower parts, or anything not copied up."""
    found = spot.found
    assert found is not None
    return found.hit.layer != 0 if found.merged is None else bool(found.merged.lowers)


def _require_movable(upper: Upper, spot: Spot) -> None:
    assert upper.merged is not None
    if _is_dir(spot) and _has_lower(spot) and not upper.merged.how.redirect:
        raise fail(errno.EXDEV, "a directory with lower parts, which only redirect_dir=on can move", _path(spot.parts))


def redirect(upper: Upper, spot: Spot, node: Node, *, absolute: bool) -> None:
    """Make an upper node say where its lower parts are. Raises EXDEV where that is too long to be said."""
    known = node.meta.xattrs.get(upper.redirect)
    if known is not None and (not absolute or known.startswith(b"/")):
        return
    if not absolute:
        upper.set_xattr(node, upper.redirect, spot.name)
        return
    parts: list[bytes] = [known or spot.name]
    for name, directory in reversed(spot.above):
        said = None if directory.upper is None else directory.upper.meta.xattrs.get(upper.redirect)
        parts.append(name if said is None else said)
        if said is not None and said.startswith(b"/"):
            break
    target = b"/".join(reversed(parts))
    if not target.startswith(b"/"):
        target = b"/" + target
    if len(target) > _LONGEST_REDIRECT:
        raise fail(errno.EXDEV, "the path of a redirect is too long", _path(spot.parts))
    upper.set_xattr(node, upper.redirect, target)


def _mark(upper: Upper, spot: Spot, node: Node, into: Spot, *, lower: bool, same: bool) -> None:
    """Give a node that is about to move what keeps its lower parts, or keeps others away from it."""
    if isinstance(node, File):
        if upper.metacopy in node.meta.xattrs:
            absolute = not same or _is_linked_below(upper, spot)
            redirect(upper, spot, node, absolute=absolute)
    elif isinstance(node, Dir):
        if lower:
            redirect(upper, spot, node, absolute=not same)
        elif node.meta.xattrs.get(upper.opaque) != b"y" and into.parent.lowers:
            upper.set_xattr(node, upper.opaque, b"y")


def _is_linked_below(upper: Upper, spot: Spot) -> bool:
    """Whether the lower file of a metadata copy has several names."""
    found = spot.found
    assert found is not None
    place = found.content
    return place is not None and place.layer > 0 and upper.links(found._replace(hit=place)) > 1


def _move(
    upper: Upper, source: Spot, target: Spot, find: Find, was: Sequence[bytes], now: Sequence[bytes], now_ns: int
) -> None:
    """Move `source` to the place of `target`; `find` says what a path stands for after something was copied up."""
    if target.found is not None:
        if _is_dir(target) and not _is_dir(source):
            raise fail(errno.EISDIR, "a directory is in the way", _path(now))
        if _is_dir(source) and not _is_dir(target):
            raise fail(errno.ENOTDIR, "what is in the way is no directory", _path(now))
    _require_movable(upper, source)
    if target.found is not None and target.found.merged is not None and not _is_plain(upper, target):
        upper.require_empty(target.found.merged, plain=False, path=_path(now))
    below, lower = upper.is_below(source), _has_lower(source)
    node = upper.node(source, data=False)
    source = find(was)
    target = find(now)
    place = upper.parent(target)
    source, target = find(was), find(now)
    replaced = None if target.found is None else target.found.merged
    same = was[:-1] == now[:-1]
    _mark(upper, source, node, target, lower=lower, same=same)
    if not same and (lower if isinstance(node, Dir) else upper.came_up(source, node)):
        upper.set_impure(place)
    if replaced is not None and _is_plain(upper, target):
        upper.require_empty(replaced, plain=True, path=_path(now))
    origin = upper.parent(source)
    cold = upper.is_cold(origin, source.name)
    if below:
        hidden = place.children[target.name] if upper.has_whiteout(target) else upper.made_whiteout(origin, now_ns)
        upper.put(origin, source.name, hidden, now_ns)
    else:
        upper.remove(origin, source.name, now_ns)
    upper.put(place, target.name, node, now_ns)
    if cold:
        upper.linked(place, target.name, node)


def _is_plain(upper: Upper, spot: Spot) -> bool:
    found = spot.found
    assert found is not None
    assert found.merged is not None
    return not found.merged.lowers and upper.origin not in found.merged.top[1].meta.xattrs


def _exchange(upper: Upper, one: Spot, two: Spot, find: Find, was: Sequence[bytes], now: Sequence[bytes], now_ns: int) -> None:
    """Let two names that exist change places."""
    _require_movable(upper, one)
    _require_movable(upper, two)
    lowers = _has_lower(one), _has_lower(two)
    first = upper.node(one, data=False)
    second = upper.node(find(now), data=False)
    one, two = find(was), find(now)
    same = was[:-1] == now[:-1]
    _mark(upper, one, first, two, lower=lowers[0], same=same)
    _mark(upper, two, second, one, lower=lowers[1], same=same)
    left, right = upper.parent(one), upper.parent(two)
    if not same and (lowers[0] if isinstance(first, Dir) else upper.came_up(one, first)):
        upper.set_impure(right)
    if not same and (lowers[1] if isinstance(second, Dir) else upper.came_up(two, second)):
        upper.set_impure(left)
    cold = upper.is_cold(left, one.name), upper.is_cold(right, two.name)
    upper.put(left, one.name, second, now_ns)
    upper.put(right, two.name, first, now_ns)
    if cold[1]:
        upper.linked(left, one.name, second)
    if cold[0]:
        upper.linked(right, two.name, first)
