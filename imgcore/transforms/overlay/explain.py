"""The story of one path of a merged tree: who has it, what became of every other layer's part, and why."""

from __future__ import annotations

import errno

from imgcore.errors import OverlayError
from imgcore.model import Dir, Node, PathLike, normalize, split, type_name
from imgcore.transforms.overlay.lookup import Found, Hit, MergedDir, Step
from imgcore.transforms.overlay.merged import Merged
from imgcore.values import value_class

__all__ = ["Part", "Story", "explain"]


@value_class
class Part:
    """What one layer has at the path.

    `role` is "wins" (its metadata is seen, and for a file its content), "content" (only its content is), "merged" (a
    directory whose names are seen) or "hidden"; `why` says what hides it, and `by` names the layer that does.
    """

    layer: str
    kind: str
    role: str
    why: str = ""
    by: str = ""


@value_class
class Story:
    """What a merged tree has at a path.

    `kind` is the type of what is seen, "" where nothing is; `error` is the errno's name where looking fails with another
    one than ENOENT. `layer` has the metadata, `content_layer` the content. `parts` are those of all layers that have
    something at the path, the uppermost first; `steps` what the search met: whiteouts, opaque directories, redirects.
    """

    path: bytes
    kind: str
    layer: str
    content_layer: str
    error: str
    message: str
    parts: tuple[Part, ...]
    steps: tuple[tuple[str, str, str], ...]


class _Level:
    """One component on the way: the directory it is in, its name, and what was found."""

    def __init__(self, parent: MergedDir, name: bytes, found: Found | None, steps: list[Step]) -> None:
        self.parent, self.name, self.found, self.steps = parent, name, found, steps


def explain(merged: Merged, path: PathLike, *, below: bytes = b"") -> Story:
    """Return the story of a path; there is one for every path, also for what is not there.

    `below` is where the merge is in a larger tree, for what is said of directories on the way.
    """
    full = normalize(path)
    levels: list[_Level] = []
    found: Found | None = Found(Hit(*merged.root.top), merged.root, None, b"")
    error: OverlayError | None = None
    for name in split(full):
        if found is None or found.merged is None:
            found = None
            break
        steps: list[Step] = []
        parent = found.merged
        try:
            found = merged.find(parent, name, steps)
        except OverlayError as failure:
            found, error = None, failure
        levels.append(_Level(parent, name, found, steps))
        if found is None:
            break
    content = ""
    if found is not None and found.merged is None:
        try:
            content = merged.content(found)[1]
        except OverlayError as failure:
            error = failure
    parts = tuple(_parts(merged, full, levels, found, below.rstrip(b"/")))
    told = tuple(
        (merged.layer_name(step.layer), step.path.decode("utf-8", "backslashreplace"), step.what)
        for one in levels
        for step in one.steps
    )
    return Story(
        path=full,
        kind="" if found is None else type_name(found.hit.node),
        layer="" if found is None else merged.layer_name(found.hit.layer),
        content_layer=content,
        error="" if error is None else errno.errorcode[error.errno],
        message="" if error is None else error.message,
        parts=parts,
        steps=told,
    )


def _parts(merged: Merged, path: bytes, levels: list[_Level], found: Found | None, below: bytes) -> list[Part]:
    made = []
    first = 0 if merged.upper is not None else 1
    seen = {layer for layer, _ in found.merged.parts} if found is not None and found.merged is not None else set()
    for number, layer in enumerate(merged.layers, first):
        node = _plain(layer.tree.root, path)
        if node is None and (found is None or number not in (found.hit.layer, *seen)):
            continue
        kind = "" if node is None else _kind(merged, node)
        if found is not None and number == found.hit.layer:
            made.append(Part(layer.name, kind or type_name(found.hit.node), "wins", _from_elsewhere(node)))
        elif number in seen:
            made.append(Part(layer.name, kind or "dir", "merged", _from_elsewhere(node)))
        elif found is not None and found.content is not None and found.content.layer == number and found.merged is None:
            made.append(Part(layer.name, kind, "content"))
        elif node is not None:
            why, by = _hidden(merged, number, levels, below)
            made.append(Part(layer.name, kind, "hidden", why, by))
    return made


def _from_elsewhere(node: Node | None) -> str:
    return "by a redirect" if node is None else ""


def _kind(merged: Merged, node: Node) -> str:
    return "whiteout" if merged.marks.is_whiteout(node) else type_name(node)


def _plain(root: Dir, path: bytes) -> Node | None:
    """Return what a layer by itself has at a path, without following links."""
    node: Node = root
    for name in split(path):
        below = node.children.get(name) if isinstance(node, Dir) else None
        if below is None:
            return None
        node = below
    return node


def _hidden(merged: Merged, layer: int, levels: list[_Level], below: bytes) -> tuple[str, str]:
    """Return what hides the part of a layer, and the layer that does."""
    at = below
    for level in levels:
        at += b"/" + level.name
        shown = at.decode("utf-8", "backslashreplace")
        kept = level.found is not None and level.found.merged is not None and layer in dict(level.found.merged.parts)
        if kept:
            continue
        above = [(number, part.children.get(level.name)) for number, part in level.parent.parts if number < layer]
        own = dict(level.parent.parts).get(layer)
        mine = None if own is None else own.children.get(level.name)
        for number, node in above:
            if node is None:
                continue
            name = merged.layer_name(number)
            if merged.marks.is_whiteout(node):
                return f"`{shown}` is a whiteout there", name
            if not isinstance(node, Dir):
                return f"`{shown}` is a {type_name(node)} there", name
            if merged.marks.opaque(node) == b"y":
                return f"`{shown}` is an opaque directory there", name
            if merged.marks.redirect(node) is not None:
                return f"`{shown}` is redirected there", name
            if mine is not None and not isinstance(mine, Dir):
                return f"`{shown}` is a directory there", name
        if mine is not None and merged.marks.is_whiteout(mine):
            if level is not levels[-1]:
                return f"`{shown}` is a whiteout", merged.layer_name(layer)
            lower = [part.children.get(level.name) for number, part in level.parent.parts if number > layer]
            removes = any(node is not None and not merged.marks.is_whiteout(node) for node in lower)
            return "it removes what layers below have there" if removes else "no layer below has anything there", ""
        return f"`{shown}` cannot be looked up" if level.found is None else f"`{shown}` is not merged with it", ""
    return "", ""
