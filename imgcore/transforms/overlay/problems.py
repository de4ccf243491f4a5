"""What a merge does in silence and nobody meant: ghosts, names that give errors, marks without effect."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from imgcore.errors import OverlayError, show
from imgcore.model import Dir, Loss, Node, Tree, join
from imgcore.transforms.overlay.lookup import Found, MergedDir
from imgcore.transforms.overlay.merged import Merged
from imgcore.values import value_class

__all__ = ["Problem", "problems", "unseen", "without_unseen"]


@value_class
class Problem:
    """One of them: `rule` is a word that programs can rely on, `layer` names the layer that it is in, "" for the merge."""

    rule: str
    path: bytes
    layer: str
    message: str


def problems(merged: Merged) -> Iterator[Problem]:
    """Yield what is wrong or without effect, in walk order.

    Rules: `ghost` (listed, and not there), `error` (looking it up fails), `open-error` (opening it does), `inconsistent`
    (Linux answers ESTALE or not, by what was looked at before), `root-opaque`, `useless-whiteout`, `whiteout-in-opaque`,
    `oci-whiteout` (a plain file to Linux).
    """
    for number, layer in enumerate(merged.layers, 0 if merged.upper is not None else 1):
        if merged.marks.opaque(layer.tree.root) == b"y":
            yield Problem("root-opaque", b"/", merged.layer_name(number), "an opaque root has no effect")
    claims = _Claims()
    stack: list[tuple[bytes, MergedDir]] = [(b"/", merged.root)]
    while stack:
        path, directory = stack.pop()
        yield from _marks(merged, path, directory)
        below = []
        for name in sorted(merged.names(directory)):
            full = join(path, name)
            try:
                found = merged.find(directory, name)
            except OverlayError as error:
                yield Problem("error", full, "", f"{errno.errorcode[error.errno]}: {error.message}")
                continue
            if found is None:
                layer_name = next(merged.layer_name(number) for number, part in directory.parts if name in part.children)
                yield Problem("ghost", full, layer_name, "is listed and cannot be looked up: a whiteout that nothing removes")
                continue
            claims.add(full, found)
            if found.merged is not None:
                below.append((full, found.merged))
                continue
            try:
                merged.content(found)
            except OverlayError as error:
                message = f"{errno.errorcode[error.errno]}: {error.message}"
                yield Problem("open-error", full, merged.layer_name(found.hit.layer), message)
        stack += reversed(below)
    if merged.upper is not None:
        yield from claims.problems(merged.layer_name(0))


def unseen(found: Iterable[Problem], top: bytes = b"/") -> list[Loss]:
    """Return those of the problems that take something from the merged tree: names and contents that Linux has an error for.

    `top` is where the merge is in a larger tree. A ghost is no loss: there is nothing of it.
    """
    return [
        Loss("lookup", top if one.path == b"/" else top.rstrip(b"/") + one.path, one.message)
        for one in found
        if one.rule in ("error", "open-error")
    ]


def without_unseen(tree: Tree, losses: Iterable[Loss]) -> Tree:
    """Return a merged tree without the files whose content gives an error; what cannot be looked up is not in it anyway."""
    gone = {loss.path for loss in losses}
    if not any(path in tree for path in gone):
        return tree
    return tree.map(lambda path, node: None if path in gone else node)


class _Claims:
    """Who says that a node of a lower layer is its own: what Linux then shows depends on who was looked at first.

    A directory of the upper layer claims the topmost directory that it is merged with, a file without content the topmost
    file that it is a copy of. Two claims to one directory are ESTALE; a file that is claimed, and seen by itself too, is one
    inode.
    """

    def __init__(self) -> None:
        self._users: dict[int, list[tuple[bytes, bool]]] = {}
        self._held: list[Node] = []  # whose id is a key

    def add(self, path: bytes, found: Found) -> None:
        """Note what was found at a path."""
        if found.merged is not None:
            if found.merged.upper is not None and found.merged.lowers:
                self._use(found.merged.lowers[0][1], path, True)
        elif found.lower is not None:
            self._use(found.lower.node, path, True)
        elif found.hit.layer:
            self._use(found.hit.node, path, False)

    def _use(self, node: Node, path: bytes, claims: bool) -> None:
        self._users.setdefault(id(node), []).append((path, claims))
        self._held.append(node)

    def problems(self, upper: str) -> Iterator[Problem]:
        """Yield a problem for each path that shares what is claimed."""
        for users in self._users.values():
            if len(users) > 1 and any(claims for _, claims in users):
                for path, _ in users:
                    other = next(one for one, _ in users if one != path)
                    message = f"is the same lower file or directory as `{show(other)}`: may be ESTALE"
                    yield Problem("inconsistent", path, upper, message)


def _marks(merged: Merged, path: bytes, directory: MergedDir) -> Iterator[Problem]:
    """Yield marks of the directory's parts that have no effect."""
    marks = merged.marks
    parts = directory.parts
    for place, (number, part) in enumerate(parts):
        for name in sorted(part.children):
            node: Node = part.children[name]
            if name.startswith(b".wh."):
                yield Problem(
                    "oci-whiteout",
                    join(path, name),
                    merged.layer_name(number),
                    "a plain file to Linux: whiteouts of OCI are for container tools",
                )
            if marks.says_nothing(node) or not marks.is_whiteout(node):
                continue
            if marks.opaque(part) == b"y" and not directory.is_root:
                yield Problem(
                    "whiteout-in-opaque",
                    join(path, name),
                    merged.layer_name(number),
                    "the directory is opaque: nothing is left to remove",
                )
            elif not any(name in other.children for _, other in parts[place + 1 :]):
                yield Problem("useless-whiteout", join(path, name), merged.layer_name(number), "no lower layer has this name")
            assert not isinstance(node, Dir)
