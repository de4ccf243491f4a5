"""The merged host: what a plan's layers make of its hierarchies, by the rules of overlayfs.

The root of a merged hierarchy is systemd's own: owner 0:0, and the mode of the host's hierarchy (0755 before systemd 256).
What systemd leaves in it, its marker directory, is left out. A hierarchy that takes writes has the metadata of what takes
them. Time: systemd's is that of the merge; here it is the host's, so that the same input gives the same output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from imgcore.limits import Limits
from imgcore.model import Dir, Meta, Node, Tree, split
from imgcore.sysext.chase import chase
from imgcore.sysext.layers import Hierarchy, Layer
from imgcore.sysext.plan import Plan
from imgcore.transforms import overlay
from imgcore.transforms.overlay import Merged, OverlayOptions
from imgcore.values import value_class

__all__ = ["MergedHierarchy", "MergedHost", "merge_plan"]


@value_class(eq=False)
class MergedHierarchy:
    """One hierarchy: where it is, and the view of its layers; `names` are those of the layers, the uppermost first."""

    path: bytes
    target: bytes
    merged: Merged
    names: tuple[str, ...]


@value_class(eq=False)
class MergedHost:
    """A host with its hierarchies merged: the whole tree, and the views that are in it."""

    tree: Tree
    hierarchies: tuple[MergedHierarchy, ...]

    def at(self, path: bytes) -> tuple[MergedHierarchy, bytes] | None:
        """Return the hierarchy that a path is in, and the path inside of it; None where it is in none."""
        for one in self.hierarchies:
            if path == one.target or path.startswith(one.target.rstrip(b"/") + b"/"):
                return one, path[len(one.target.rstrip(b"/")) :] or b"/"
        return None


def merge_plan(plan: Plan, *, limits: Limits | None = None) -> MergedHost:
    """Return what systemd makes of the host; the host itself where the plan is blocked or nothing is merged.

    The plan has to stay open while the tree is used.
    """
    root = plan.root.root
    made = []
    for hierarchy in () if plan.blocked else plan.hierarchies:
        if not hierarchy.merged:
            continue
        view = _view(plan, hierarchy, limits)
        made.append(MergedHierarchy(hierarchy.path, hierarchy.target, view, tuple(layer.name for layer in view.layers)))
        root = _replaced(root, list(split(hierarchy.target)), _root(plan, hierarchy, view))
    limits = limits or plan.root.limits
    step = max([plan.root.time_step_ns, *(one.merged.tree.time_step_ns for one in made)])
    return MergedHost(Tree(root, limits, time_step_ns=step), tuple(made))


def _view(plan: Plan, hierarchy: Hierarchy, limits: Limits | None) -> Merged:
    trees = {one.extension.name: one.extension.tree for one in plan.accepted}
    options = OverlayOptions.SYSTEMD
    upper = None
    if hierarchy.writes.upper != "none":
        options = OverlayOptions.SYSTEMD_MUTABLE
        directory = hierarchy.writes.directory
        upper = overlay.Layer(_upper_name(hierarchy), Tree(directory if directory is not None else Dir(_meta(plan, hierarchy))))
    lowers = [_layer(layer, trees.get(layer.name) if layer.origin == "extension" else plan.root) for layer in hierarchy.layers]
    if not lowers:
        lowers = [overlay.Layer("nothing", Tree(Dir(_meta(plan, hierarchy))))]
    return overlay.merge(lowers, upper=upper, options=options, limits=limits or plan.root.limits)


def _upper_name(hierarchy: Hierarchy) -> str:
    return {"host": "host", "ephemeral": "writes (in memory)"}.get(hierarchy.writes.upper, "writes")


def _layer(layer: Layer, whole: Tree | None) -> overlay.Layer:
    name = {"host": "host", "mutable": "writes (imported)"}.get(layer.origin) or layer.name.decode("utf-8", "backslashreplace")
    return overlay.Layer(name, Tree(layer.directory), whole)


def _meta(plan: Plan, hierarchy: Hierarchy) -> Meta:
    """Return the metadata of the root of a merged hierarchy."""
    host = chase(plan.root, hierarchy.target)
    if host is None or not isinstance(host.node, Dir):
        return Meta(0o755)
    own = host.node.meta
    mode = own.mode & 0o777 if plan.options.systemd.keeps_mode else 0o755
    return dataclasses.replace(own, mode=mode, uid=0, gid=0)


def _root(plan: Plan, hierarchy: Hierarchy, view: Merged) -> Dir:
    top = view.tree.root
    if view.upper is not None and hierarchy.writes.upper != "ephemeral":
        return top
    return dataclasses.replace(top, meta=_meta(plan, hierarchy))


def _replaced(root: Dir, names: list[bytes], node: Dir) -> Dir:
    """Return `root` with `node` at a path; directories on the way are made where they are missing."""
    if not names:
        return node
    above: list[Dir] = [root]
    for name in names[:-1]:
        child: Node | None = above[-1].children.get(name)
        above.append(child if isinstance(child, Dir) else Dir(Meta(0o755)))
    for parent, name in _upwards(above, names):
        node = dataclasses.replace(parent, children={**parent.children, name: node})
    return node


def _upwards(above: list[Dir], names: list[bytes]) -> Iterator[tuple[Dir, bytes]]:
    return zip(reversed(above), reversed(names), strict=True)
