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
from imgcore.errors import OverlayError
from imgcore.model import File, Node, Symlink, Tree, join, type_name
from imgcore.sysext.plan import Plan
from imgcore.transforms.overlay import Merged, explain, problems

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


class _Origins:
    """Of each path in the merged hierarchies its layer, and the sides where several layers have it; what is not seen."""

    def __init__(self, views: Views) -> None:
        self.layers: dict[bytes, str] = {}
        self.sides: dict[bytes, list[list[str]]] = {}
        self.hidden: list[list[str]] = []
        for top, view in views:
            self._look(top, view)

    def _look(self, top: bytes, view: Merged) -> None:
        stack = [(b"/", view.root)]
        self.layers[top] = view.layer_name(view.root.top[0])
        while stack:
            path, directory = stack.pop()
            owners: dict[bytes, int] = {}
            for _, part in directory.parts:
                for name in part.children:
                    owners[name] = owners.get(name, 0) + 1
            for name, count in owners.items():
                full = join(path, name)
                try:
                    found = view.find(directory, name)
                except OverlayError:
                    found = None
                if found is not None:
                    self.layers[_outer(top, full)] = view.layer_name(found.hit.layer)
                    if found.merged is not None:
                        stack.append((full, found.merged))
                whole = found is not None and found.merged is not None and len(found.merged.parts) == count
                if found is None or (count > 1 and not whole):
                    self._tell(view, top, full)

    def _tell(self, view: Merged, top: bytes, path: bytes) -> None:
        if len(self.sides) + len(self.hidden) >= _MOST_STORIES:
            return
        story = explain(view, path, below=top)
        outer = _outer(top, path)
        if story.kind and len(story.parts) > 1:
            self.sides[outer] = [[part.layer, part.kind, part.role, part.why, part.by] for part in story.parts]
        self.hidden += [[_text(outer), part.layer, part.why, part.by] for part in story.parts if part.role == "hidden"]


def _data(tree: Tree, views: Views, plan: Plan | None) -> dict[str, Any]:
    origins = _Origins(views)
    layers: dict[str, int] = {}
    rows: dict[str, list[Any]] = {"parent": [], "name": [], "type": [], "size": [], "layer": []}
    stories: dict[int, list[list[str]]] = {}
    numbers: dict[bytes, int] = {}
    for path, node in tree.walk():
        parent, _, name = path.rpartition(b"/")
        number = numbers[path] = len(numbers)
        rows["parent"].append(numbers.get(parent or b"/", 0) if path != b"/" else -1)
        rows["name"].append(_text(name) or "/")
        rows["type"].append(type_name(node)[0])
        rows["size"].append(_size(node))
        rows["layer"].append(layers.setdefault(origins.layers.get(path, "host"), len(layers)))
        if path in origins.sides:
            stories[number] = origins.sides[path]
    return {
        "layers": list(layers),
        **rows,
        "stories": stories,
        "hidden": origins.hidden,
        "problems": [
            [one.rule, _text(_outer(top, one.path)), one.layer, one.message] for top, view in views for one in problems(view)
        ],
        "extensions": [] if plan is None else [list(one) for one in _extensions(plan)],
        "blocked": plan is not None and bool(plan.blocked or plan.unsupported),
    }


def _extensions(plan: Plan) -> Iterator[tuple[str, str, str, str, str, str]]:
    unmountable = {block.subject for block in plan.blocks if block.of_extension}
    for one in plan.decisions:
        if one.outcome != "accepted" or one.name not in unmountable:
            yield _text(one.name), one.outcome, one.rule, one.found, one.wanted, one.fix
    for block in plan.blocks:
        yield _text(block.subject), "fatal", block.rule, block.found, block.wanted, block.fix
    for skipped in plan.skipped:
        yield _text(skipped.path), "skipped", skipped.rule, skipped.reason, "", ""


def _size(node: Node) -> int:
    if isinstance(node, File):
        return node.content.size
    return len(node.target) if isinstance(node, Symlink) else 0


def _outer(top: bytes, path: bytes) -> bytes:
    return path if top == b"/" else top if path == b"/" else top + path


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
