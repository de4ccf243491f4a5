"""The layer that turns one tree into another.

`layer_between(base, tree)` is the smallest layer over `base` that shows `tree`: what is new or changed, whole; a whiteout
for what is gone; a directory that keeps nothing of the lower one is opaque instead. Directories on the way have the tree's
metadata. Files that share an inode are in the layer together or not at all, since a link does not reach into another layer.
The trees' own attributes of overlayfs are data: the layer has them escaped, also those of a path that is the same in both,
since a mount would hide them where they lie in the base.

Three dialects say the same: overlayfs with `trusted.overlay.*` or `user.overlay.*`, and OCI's `.wh.NAME` files.
"""

from __future__ import annotations

import dataclasses
import errno
from typing import Final, Literal, TypeAlias

from imgcore.errors import NotRepresentable, OverlayError
from imgcore.events import Control
from imgcore.model import Device, Dir, File, Meta, Node, Symlink, Tree, Whiteout, join, same_content
from imgcore.transforms.overlay.arguments import require_one_of
from imgcore.transforms.overlay.layers import Markers

__all__ = ["DIALECTS", "Dialect", "Differ", "layer_between", "overlay_to_oci"]

Dialect: TypeAlias = Literal["trusted", "user", "oci"]
DIALECTS: Final = ("trusted", "user", "oci")

_WHITEOUT: Final = Device(Meta(0), "char", 0, 0)
_OCI_PREFIX: Final = b".wh."
_OCI_OPAQUE: Final = b".wh..wh..opq"


class Differ:
    """One comparison; with `escape`, of what a mount shows of `base` with `tree`, else of what is in both."""

    def __init__(self, base: Tree, tree: Tree, dialect: Dialect, control: Control, *, escape: bool) -> None:
        self.marks = Markers(b"user.overlay." if dialect == "user" else b"trusted.overlay.")
        self.step = max(base.time_step_ns, tree.time_step_ns)
        self.escape = escape
        self.control = control
        self.made: dict[int, tuple[Node, Node]] = {}
        self.forced = self._split_groups(base, tree)

    def _split_groups(self, base: Tree, tree: Tree) -> set[int]:
        """Return the nodes, by id, of hard links that are not the same links to the same content in the base."""
        forced = set()
        old = base.links()
        sizes = {key: len(paths) for key, paths in old.items()}
        of_path = {path: key for key, paths in old.items() for path in paths}
        for key, paths in tree.links().items():
            keys = {of_path.get(path) for path in paths}
            one = next(iter(keys))
            if (
                len(keys) > 1
                or one is None
                or sizes[one] != len(paths)
                or not self.same(base.lookup(paths[0]), tree.lookup(paths[0]))
            ):
                forced.add(key)
        for key, paths in old.items():  # a link that is one no more
            nodes = {id(tree.lookup(path)) for path in paths if path in tree}
            if len(nodes) > 1 or (len(nodes) == 1 and len([path for path in paths if path in tree]) < len(paths)):
                forced |= nodes
            del key
        return forced

    def same(self, old: Node, new: Node) -> bool:
        """Whether nothing of a node has to be in the layer, as far as it is not a directory."""
        if type(old) is not type(new) or not self.same_meta(old.meta, new.meta) or id(new) in getattr(self, "forced", ()):
            return False
        if self.escape and (self.marks.metacopy(old) is not None or self.marks.is_marked_file(old)):
            return False  # nothing is seen of it where it is in the base
        if isinstance(old, File) and isinstance(new, File):
            return same_content(old.content, new.content, self.control)
        if isinstance(old, Symlink) and isinstance(new, Symlink):
            return old.target == new.target
        if isinstance(old, Device) and isinstance(new, Device):
            return (old.kind, old.major, old.minor) == (new.kind, new.major, new.minor)
        return True

    def same_meta(self, old: Meta, new: Meta) -> bool:
        """Whether metadata is the same at the coarser resolution of both trees."""
        times = old.mtime_ns // self.step == new.mtime_ns // self.step
        seen = self.marks.visible(old.xattrs) if self.escape else old.xattrs
        return times and (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid) and dict(seen) == dict(new.xattrs)

    def whole(self, path: bytes, node: Node) -> Node:
        """Return a node with all that is below, as a layer has it."""
        if isinstance(node, Dir):
            return Dir(
                self.meta(node.meta), {name: self.whole(join(path, name), child) for name, child in node.children.items()}
            )
        known = self.made.get(id(node))
        if known is not None:
            return known[1]
        self.require_no_whiteout(path, node)
        made = dataclasses.replace(node, meta=self.meta(node.meta))
        self.made[id(node)] = node, made
        return made

    @staticmethod
    def require_no_whiteout(path: bytes, node: Node) -> None:
        """Raise NotRepresentable for a device 0:0 of the tree: no layer shows one, nor a base below a layer."""
        if isinstance(node, Whiteout) or (isinstance(node, Device) and node.kind == "char" and not (node.major or node.minor)):
            raise NotRepresentable("a device 0:0 in the tree, which a layer takes for a whiteout", path=path)

    def meta(self, meta: Meta) -> Meta:
        """Return metadata as a layer has it: the tree's own attributes of overlayfs one level deeper."""
        hidden = self.marks.hidden(meta.xattrs) if self.escape else meta.xattrs
        return meta if hidden is meta.xattrs else dataclasses.replace(meta, xattrs=hidden)

    def between(self, path: bytes, old: Dir, new: Dir) -> tuple[Dir, bool]:
        """Return what the layer has of a directory, and whether it has to have it."""
        self.control.check()
        children: dict[bytes, Node] = {}
        kept = 0
        removed = [name for name in old.children if name not in new.children]
        for name, node in new.children.items():
            full = join(path, name)
            below = old.children.get(name)
            if below is None:
                children[name] = self.whole(full, node)
            elif isinstance(below, Dir) and isinstance(node, Dir):
                part, needed = self.between(full, below, node)
                kept += 1
                if needed:
                    children[name] = part
            elif not isinstance(below, Dir) and not isinstance(node, Dir) and self.same(below, node):
                self.require_no_whiteout(full, node)
                kept += 1
            else:
                children[name] = self.whole(full, node)
        meta = self.meta(new.meta)
        needed = bool(children or removed) or not self.same_meta(old.meta, new.meta)
        if removed and not kept and path != b"/":
            xattrs = {**meta.xattrs, self.marks.prefix + b"opaque": b"y"}
            return Dir(dataclasses.replace(meta, xattrs=xattrs), children), needed
        return Dir(meta, {**children, **dict.fromkeys(removed, _WHITEOUT)}), needed


def layer_between(base: Tree, tree: Tree, *, dialect: Dialect = "trusted", control: Control | None = None) -> Tree:
    """Return the smallest layer so that `merge([layer, base])` shows `tree`.

    `base` is what is seen, not a layer: whiteouts and marks in it have no meaning. Marks in `tree` are attributes as others:
    the layer has them escaped (but for `oci`, which has no word for that), wherever the merge would hide them. Times are
    compared at the coarser resolution of both. Raises NotRepresentable for a device 0:0 in `tree` and, with `oci`, for a
    name that begins with `.wh.`, ValueError for an unknown dialect.
    """
    require_one_of("dialect", dialect, DIALECTS)
    differ = Differ(base, tree, "trusted" if dialect == "oci" else dialect, control or Control(), escape=dialect != "oci")
    root, _ = differ.between(b"/", base.root, tree.root)
    layer = Tree(root, tree.limits, time_step_ns=differ.step, is_layer=True)
    return overlay_to_oci(layer) if dialect == "oci" else layer


def overlay_to_oci(layer: Tree, namespace: Literal["trusted", "user"] = "trusted") -> Tree:
    """Return a layer of overlayfs with OCI's whiteouts in place of its own; `namespace` is that of its opaque attribute.

    Raises NotRepresentable for a name that begins with `.wh.`, OverlayError (EINVAL) for what OCI has no word for: a
    redirect, a file without its content; ValueError for another namespace.
    """
    require_one_of("namespace", namespace, ("trusted", "user"))
    marks = Markers(f"{namespace}.overlay.".encode())

    def turned(path: bytes, node: Dir) -> Dir:
        children: dict[bytes, Node] = {}
        xattrs = {name: value for name, value in node.meta.xattrs.items() if name != marks.prefix + b"opaque"}
        if marks.opaque(node) == b"y":
            children[_OCI_OPAQUE] = File(Meta(0o600))
        for name, child in node.children.items():
            full = join(path, name)
            if name.startswith(_OCI_PREFIX):
                raise NotRepresentable("a name that OCI takes for a whiteout", path=full)
            if marks.redirect(child) is not None or marks.metacopy(child) is not None:
                raise OverlayError(
                    "a redirect, or a file without its content, which OCI has no word for", errno.EINVAL, path=full
                )
            if marks.is_whiteout(child):
                children[_OCI_PREFIX + name] = File(Meta(0o600, mtime_ns=child.meta.mtime_ns))
            else:
                children[name] = turned(full, child) if isinstance(child, Dir) else child
        same = len(xattrs) == len(node.meta.xattrs)
        return Dir(node.meta if same else dataclasses.replace(node.meta, xattrs=xattrs), children)

    return layer.with_root(turned(b"/", layer.root))
