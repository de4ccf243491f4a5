"""A page that shows a merge: one file of HTML that opens without a network.

The data is a JSON text in the page: a row for each path (its parent's number, name, type, size, layer), the conflicts with
both sides, what became of each extension. `merge_page.js` draws the treemap and the tree from it, `merge_page.css` says how
it looks. Rows that are not shown are not in the document, so that a hundred thousand of them open at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from imgcore.blob import open_sink
from imgcore.model import Dir, File, Node, Symlink, Tree, join, type_name
from imgcore.sysext.plan import Plan
from imgcore.transforms.overlay import Merged, Story, explain, problems

__all__ = ["page", "write_page"]

Views = Sequence[tuple[bytes, Merged]]
_MOST_STORIES = 20_000  # conflicts whose sides are told


def write_page(path: str, tree: Tree, views: Views, plan: Plan | None) -> None:
    """Write the page to a file, which is replaced. Raises OutputError."""
    with open_sink(path, replace=True, sync=False) as sink:
        sink.append(page(tree, views, plan).encode())


def page(tree: Tree, views: Views, plan: Plan | None) -> str:
    """Return the page."""
    text = json.dumps(_data(tree, views, plan), ensure_ascii=True, separators=(",", ":"))
    for mark, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(mark, escape)  # nothing in a name ends the script
    parts = {name: _part(name) for name in ("merge_page.css", "merge_page.js", "merge_page.html")}
    made = parts["merge_page.html"].replace("/*CSS*/", parts["merge_page.css"]).replace("/*JS*/", parts["merge_page.js"])
    return made.replace("/*DATA*/", text)


def _part(name: str) -> str:
    return resources.files("imgcore.build").joinpath(name).read_text("utf-8")


def _data(tree: Tree, views: Views, plan: Plan | None) -> dict[str, Any]:
    layers: dict[str, int] = {}
    rows: dict[str, list[Any]] = {"parent": [], "name": [], "type": [], "size": [], "layer": []}
    stories: dict[int, list[list[str]]] = {}
    numbers: dict[bytes, int] = {}
    for path, node in tree.walk():
        parent, _, name = path.rpartition(b"/")
        number = numbers[path] = len(numbers)
        view = _view_of(views, path)
        layer, sides = ("host", None) if view is None else _origin(view, path)
        rows["parent"].append(numbers.get(parent or b"/", 0) if path != b"/" else -1)
        rows["name"].append(_text(name) or "/")
        rows["type"].append(type_name(node)[0])
        rows["size"].append(_size(node))
        rows["layer"].append(layers.setdefault(layer, len(layers)))
        if sides is not None and len(stories) < _MOST_STORIES:
            stories[number] = sides
    return {
        "layers": list(layers),
        **rows,
        "stories": stories,
        "hidden": list(_hidden(views)),
        "problems": [
            [one.rule, _text(_outer(top, one.path)), one.layer, one.message] for top, view in views for one in problems(view)
        ],
        "extensions": [] if plan is None else [list(one) for one in _extensions(plan)],
        "blocks": []
        if plan is None
        else [[block.rule, _text(block.subject), block.found, block.wanted] for block in plan.blocks],
    }


def _view_of(views: Views, path: bytes) -> tuple[bytes, Merged] | None:
    for top, view in views:
        if top == b"/" or path == top or path.startswith(top + b"/"):
            return top, view
    return None


def _origin(place: tuple[bytes, Merged], path: bytes) -> tuple[str, list[list[str]] | None]:
    """Return the layer that a path is of, and the sides where several layers have it and it is no directory of all."""
    top, view = place
    inside = path if top == b"/" else path[len(top) :] or b"/"
    candidates = sum(_has(layer.tree.root, inside) for layer in view.layers)
    if candidates <= 1:
        for layer in view.layers:
            if _has(layer.tree.root, inside):
                return layer.name, None
    story = explain(view, inside, below=top)
    return story.layer or "host", _sides(story)


def _has(root: Dir, path: bytes) -> bool:
    node: Node = root
    for name in path.split(b"/"):
        if name:
            below = node.children.get(name) if isinstance(node, Dir) else None
            if below is None:
                return False
            node = below
    return True


def _sides(story: Story) -> list[list[str]]:
    return [[part.layer, part.kind, part.role, part.why, part.by] for part in story.parts]


def _hidden(views: Views) -> Iterator[list[str]]:
    """Yield (path, layer, why, by) of what a layer has and the merge does not show."""
    for top, view in views:
        count = 0
        for layer in view.layers:
            stack = [(b"/", layer.tree.root)]
            while stack and count < _MOST_STORIES:
                path, directory = stack.pop()
                for name, node in directory.children.items():
                    full = join(path, name)
                    if isinstance(node, Dir):
                        if _merged_part(view, full, node):
                            stack.append((full, node))
                            continue
                    elif not _is_over(view, layer.tree.root, full):
                        continue
                    story = explain(view, full, below=top)
                    for part in story.parts:
                        if part.layer == layer.name and part.role == "hidden":
                            count += 1
                            yield [_text(_outer(top, full)), layer.name, part.why, part.by]


def _merged_part(view: Merged, path: bytes, node: Dir) -> bool:
    """Whether a directory of a layer is seen, alone or with others."""
    if not _is_over(view, node, path):
        return True
    story = explain(view, path)
    return story.kind == "dir" and all(part.role != "hidden" for part in story.parts)


def _is_over(view: Merged, node: Node, path: bytes) -> bool:
    """Whether more than one layer has the path."""
    return sum(_has(layer.tree.root, path) for layer in view.layers) > 1


def _extensions(plan: Plan) -> Iterator[tuple[str, str, str, str, str, str]]:
    for one in plan.decisions:
        yield _text(one.name), one.outcome, one.rule, one.found, one.wanted, one.fix


def _size(node: Node) -> int:
    if isinstance(node, File):
        return node.content.size
    return len(node.target) if isinstance(node, Symlink) else 0


def _outer(top: bytes, path: bytes) -> bytes:
    return path if top == b"/" else top if path == b"/" else top + path


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
