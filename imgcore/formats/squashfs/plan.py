"""What the writer knows of a tree before it writes: numbers, link counts, sorted names, and the height of directories.

The root is number 1, the children of one directory are numbered one after another, so that a listing needs few headers.
A node of several names has one number and one item, unless hard links are not wanted: then each name has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imgcore.errors import NotRepresentable
from imgcore.events import Control
from imgcore.formats.squashfs.layout import NO_XATTR
from imgcore.model import Dir, Node, Tree, join

__all__ = ["Item", "Plan", "plan_tree"]


@dataclass(slots=True, eq=False)
class Item:
    """One node. `position` is where its inode begins in the inode stream, once it is there; `further_paths` are its others.

    Of a directory: `children` are its names, sorted, and their items; `parent` the number of the directory above;
    `height` is 0 when no directory is below.
    """

    node: Node
    path: bytes
    number: int
    parent: int = 0
    nlink: int = 1
    xattr: int = NO_XATTR
    position: int = -1
    height: int = 0
    planned: bool = False
    children: Sequence[tuple[bytes, Item]] = ()
    further_paths: list[bytes] | None = None


@dataclass(slots=True, eq=False)
class Plan:
    """All nodes in walk order, the root first; `names` counts names, the root's among them."""

    items: list[Item]
    names: int = 1

    def levels(self) -> list[list[Item]]:
        """Return the directories by height, the lowest first, each level in walk order."""
        dirs = [item for item in self.items if isinstance(item.node, Dir)]
        for item in reversed(dirs):  # walk order has a directory before those below it
            below = [child.height for _, child in item.children if isinstance(child.node, Dir)]
            item.height = max(below) + 1 if below else 0
        levels: list[list[Item]] = [[] for _ in range(self.items[0].height + 1)]
        for item in dirs:
            levels[item.height].append(item)
        return levels


class _Planner:
    def __init__(self, root: Dir, hardlinks: bool) -> None:
        first = Item(root, b"/", 1)
        self.plan = Plan([first])
        self._hardlinks = hardlinks
        self._numbers = 1
        self._by_node: dict[int, Item] = {id(root): first}

    def number_children(self, parent: Item) -> None:
        """Give each child of a directory that has none yet an item and a number."""
        assert isinstance(parent.node, Dir)
        nodes = parent.node.children
        children: list[tuple[bytes, Item]] = []
        for name in sorted(nodes):
            node = nodes[name]
            self.plan.names += 1
            item = self._by_node.get(id(node))
            if item is None:
                self._numbers += 1
                item = Item(node, join(parent.path, name), self._numbers, parent.number)
                if self._hardlinks or isinstance(node, Dir):
                    self._by_node[id(node)] = item
            elif isinstance(node, Dir):
                raise NotRepresentable("a directory with two names", path=join(parent.path, name))
            else:
                item.nlink += 1
                item.further_paths = item.further_paths or []
                item.further_paths.append(join(parent.path, name))
            children.append((name, item))
        parent.children = children


def plan_tree(tree: Tree, control: Control, *, hardlinks: bool = True) -> Plan:
    """Return the plan of `tree`, whose limits were tested by an earlier walk. Raises NotRepresentable, Cancelled."""
    planner = _Planner(tree.root, hardlinks)
    items = planner.plan.items
    planner.number_children(items[0])
    stack = [iter(items[0].children)]
    while stack:
        for _, item in stack[-1]:
            if item.planned:
                continue
            item.planned = True
            items.append(item)
            if isinstance(item.node, Dir):
                control.check()
                planner.number_children(item)
                stack.append(iter(item.children))
                break
        else:
            stack.pop()
    items[0].parent = len(items) + 1  # what mksquashfs says of the root; Linux does not look at it
    return planner.plan
