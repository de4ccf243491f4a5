"""Several trees as one, and a tree put at a place below the root.

Joining is strict: a path may come from one tree only, but a directory may be in several. Its metadata is then that of
the first tree that has it, where a directory that `place_tree` made up counts last. With `overwrite` the later tree wins
instead: its file, link or directory takes the place of what was there, and a directory in both has its metadata.
"""

from __future__ import annotations

from collections.abc import Sequence

from imgcore.errors import MergeConflict
from imgcore.model import Dir, Meta, Node, PathLike, Tree, split, type_name
from imgcore.values import value_class

__all__ = ["join_trees", "place_tree"]


@value_class
class _MadeUp(Meta):
    """Metadata of a directory that no source has."""


def place_tree(tree: Tree, path: PathLike) -> Tree:
    """Return the tree in which the root of `tree` is at `path`.

    The directories above are 0755, root's, and as old as the root of `tree`, so that the result depends on it alone.
    """
    made_up = _MadeUp(0o755, 0, 0, tree.root.meta.mtime_ns)
    node = tree.root
    for name in reversed(split(path)):
        node = Dir(made_up, {name: node})
    return tree.with_root(node)


def join_trees(trees: Sequence[Tree], *, overwrite: bool = False) -> Tree:
    """Return one tree of all that is in `trees`. Raises MergeConflict unless `overwrite`, ValueError for no trees."""
    if not trees:
        raise ValueError("no trees to join")
    joined = trees[0]
    for tree in trees[1:]:
        joined = _join_two(joined, tree, overwrite)
    return joined


def _join_two(one: Tree, two: Tree, overwrite: bool) -> Tree:
    root = _joined(one.root, two.root, overwrite)
    todo = [(b"/", root.children, two.root)]
    while todo:
        parent, target, source = todo.pop()
        assert isinstance(target, dict)
        for name, node in source.children.items():
            there: Node | None = target.get(name)
            if there is None:
                target[name] = node
            elif isinstance(there, Dir) and isinstance(node, Dir):
                target[name] = made = _joined(there, node, overwrite)
                todo.append((parent + name + b"/", made.children, node))
            elif overwrite:
                target[name] = node
            else:
                raise MergeConflict(
                    "in two sources",
                    path=parent + name,
                    found=f"a {type_name(there)} and a {type_name(node)}",
                    allowed="a path in one source only, or a directory in both",
                    hint="--overwrite lets the later source win",
                )
    step = max(one.time_step_ns, two.time_step_ns)
    return Tree(root, one.limits, time_step_ns=step, is_layer=one.is_layer or two.is_layer)


def _joined(one: Dir, two: Dir, overwrite: bool) -> Dir:
    """Return a directory with the children of `one`, to which those of `two` are still to be added."""
    later = isinstance(one.meta, _MadeUp) or (overwrite and not isinstance(two.meta, _MadeUp))
    meta = two.meta if later else one.meta
    return Dir(meta, dict(one.children), two.opaque if later else one.opaque)
