"""Packages put together as one tree, as if they had been installed: no program is run, and no database is written.

Directories are shared; a file of two packages has to be the same in both. Owners are looked up in the base tree and in the
accounts that the packages bring. A package's path that goes through a symbolic link of another package or of the base (`/lib`
on a merged `/usr`) lands where the link leads. The tree has what the packages bring, and nothing of the base.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Final, Self, TypeAlias

from imgcore.errors import MergeConflict, PathError, context, show
from imgcore.events import Control, Warned
from imgcore.formats.rpm import RpmImage
from imgcore.formats.rpm.package import Package, Scriptlet
from imgcore.limits import Limits
from imgcore.model import Accounts, Device, Dir, File, Meta, Node, Symlink, Tree, TreeBuilder, same_content, type_name
from imgcore.packages.directory import open_package
from imgcore.packages.model import Candidate
from imgcore.values import value_class

__all__ = ["Installable", "Installed", "InstalledScriptlet", "install"]

Installable: TypeAlias = "Candidate | RpmImage | str | bytes | os.PathLike[str]"
_MOST_LINKS: Final = 40


@value_class
class InstalledScriptlet:
    """A scriptlet or trigger that was not run, and whose it is."""

    package: str
    scriptlet: Scriptlet


class Installed:
    """Packages as one tree; `with` closes them, and the tree's contents cannot be read any more then.

    Attributes:
        tree: what they bring.
        packages: what they are, sorted by name and version.
        warnings: owners that are not known, directories of which two packages say different things.
        scriptlets: what was not run.
    """

    def __init__(
        self,
        tree: Tree,
        packages: tuple[Package, ...],
        warnings: tuple[str, ...],
        scriptlets: tuple[InstalledScriptlet, ...],
        stack: contextlib.ExitStack,
    ) -> None:
        self.tree = tree
        self.packages = packages
        self.warnings = warnings
        self.scriptlets = scriptlets
        self._stack = stack

    def close(self) -> None:
        """Close the packages; twice is fine."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def install(
    packages: Sequence[Installable],
    *,
    base: Tree | None = None,
    accounts: Accounts | None = None,
    limits: Limits | None = None,
    control: Control | None = None,
) -> Installed:
    """Return packages as one tree: what `resolve` found, packages that are open (the caller's to close), or paths.

    `base` is what they are installed over: its accounts and its links to directories count. `accounts` count before all.
    Nothing looks whether the packages go together; `resolve` does. The result does not depend on their order.
    Raises MergeConflict that names both packages and the path, PathError, and what opening and reading packages raises.
    """
    limits, control = limits or Limits.default(), control or Control()
    with contextlib.ExitStack() as stack:
        images = [_opened(one, limits, stack, control) for one in packages]
        images.sort(key=lambda image: image.package.nevra)
        known = accounts or Accounts()
        if base is not None:
            known = known.over(Accounts.of_tree(base))
        for image in images:
            known = known.over(Accounts.of_tree(image.tree))
        joiner = _Joiner(base, limits)
        trees: list[tuple[RpmImage, Tree]] = []
        warnings: dict[str, None] = {}
        for image in images:
            with context(image=image.package.nevra):
                tree, said = image.with_accounts(known)
            warnings |= dict.fromkeys(f"{image.package.nevra}: {one}" for one in said)
            joiner.note_links(tree)
            trees.append((image, tree))
        for image, tree in trees:
            control.check()
            joiner.add(image.package, tree)
        scriptlets = [InstalledScriptlet(image.package.nevra, one) for image in images for one in image.package.scriptlets]
        warnings |= joiner.warnings
        for text in warnings:
            control.emit(Warned(text))
        found = tuple(image.package for image in images)
        return Installed(joiner.tree(), found, tuple(warnings), tuple(scriptlets), stack.pop_all())


def _opened(one: Installable, limits: Limits, stack: contextlib.ExitStack, control: Control) -> RpmImage:
    control.check()
    if isinstance(one, RpmImage):
        return one
    image = one.source.open(one) if isinstance(one, Candidate) else open_package(one, limits)
    return stack.enter_context(image)


@value_class(eq=False)
class _Place:
    """A path of the joined tree: its node, whose it is, and whether that package says what the node is."""

    node: Node
    owner: str
    owned: bool


class _Joiner:
    """Puts the trees of packages together."""

    def __init__(self, base: Tree | None, limits: Limits) -> None:
        self._base = base
        self._limits = limits
        self._links: dict[bytes, bytes] = {}
        self._places: dict[bytes, _Place] = {}
        self._resolved: dict[bytes, bytes] = {}
        self.warnings: dict[str, None] = {}

    def note_links(self, tree: Tree) -> None:
        """Know the symbolic links of a package, before any path is looked at."""
        for path, node in tree.walk():
            if isinstance(node, Symlink):
                self._links.setdefault(path, node.target)

    def add(self, package: Package, tree: Tree) -> None:
        """Take the paths of a package."""
        owned = {b"/" + file.path.strip(b"/") for file in package.files}
        for path, node in tree.walk():
            with context(image=package.nevra, path=path):
                self._add(path, node, package.nevra, path in owned)

    def _add(self, path: bytes, node: Node, owner: str, owned: bool) -> None:
        folder, _, name = path.rpartition(b"/")
        where = self._folder(folder or b"/")
        place = where.rstrip(b"/") + b"/" + name
        if isinstance(node, Dir):
            # A directory that is only on the way, and one whose place a link of the base has, are where that leads.
            if not owned or self._base_link(place) is not None:
                place = self._folder(path)
            node = Dir(node.meta, {})
        there = self._places.get(place)
        if there is None:
            self._places[place] = _Place(node, owner, owned)
        elif isinstance(node, Dir) and isinstance(there.node, Dir):
            self._share(place, there, node, owner, owned)
        elif not _same(there.node, node):
            raise MergeConflict(
                f"{there.owner} and {owner} have different files of one name",
                path=place,
                found=f"{_told(there.node)} and {_told(node)}",
                allowed="the same type, owner, mode, capabilities and content",
            )

    def _share(self, place: bytes, there: _Place, node: Dir, owner: str, owned: bool) -> None:
        if not owned:
            return
        if not there.owned:
            self._places[place] = _Place(node, owner, True)
            return
        one, two = there.node.meta, node.meta
        if (one.mode, one.uid, one.gid) != (two.mode, two.uid, two.gid):
            self.warnings[f"{there.owner} and {owner} say different things of the directory {show(place)}: the first holds"] = (
                None
            )

    def _base_link(self, path: bytes) -> bytes | None:
        """Return where a link of the base leads, None where there is no link."""
        if self._base is None:
            return None
        try:
            node = self._base.lookup(path)
        except PathError:
            return None
        return node.target if isinstance(node, Symlink) else None

    def _folder(self, path: bytes) -> bytes:
        """Return the directory that a path leads to, through the links of packages and of the base. Raises PathError."""
        known = self._resolved.get(path)
        if known is not None:
            return known
        todo = [part for part in path.split(b"/") if part][::-1]
        at: list[bytes] = []
        hops = 0
        while todo:
            part = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                at = at[:-1]
                continue
            here = b"/" + b"/".join([*at, part])
            target = self._links.get(here)
            if target is None:
                target = self._base_link(here)
            if target is None:
                at.append(part)
                continue
            hops += 1
            if hops > _MOST_LINKS:
                raise PathError("too many levels of symbolic links", path=path)
            if target.startswith(b"/"):
                at = []
            todo += target.split(b"/")[::-1]
        found = b"/" + b"/".join(at)
        self._resolved[path] = found
        return found

    def tree(self) -> Tree:
        """Return what was put together."""
        builder = TreeBuilder(missing=Meta(0o755), limits=self._limits)
        root = self._places.pop(b"/", None)
        if root is not None and isinstance(root.node, Dir):
            builder.set_root(root.node)
        for path, place in sorted(self._places.items()):
            node = place.node
            builder.add(path, dataclasses.replace(node, children={}) if isinstance(node, Dir) else node)
        made = builder.tree()
        return Tree(made.root, self._limits, time_step_ns=10**9)


def _told(node: Node) -> str:
    meta = node.meta
    size = f", {node.content.size} bytes" if isinstance(node, File) else ""
    return f"a {type_name(node)} {meta.mode:04o} {meta.uid}:{meta.gid}{size}"


def _same(one: Node, two: Node) -> bool:
    """Return whether two packages mean the same by a path; only the time may differ."""
    if one is two:
        return True
    left, right = one.meta, two.meta
    if type(one) is not type(two) or (left.mode, left.uid, left.gid) != (right.mode, right.uid, right.gid):
        return False
    if dict(left.xattrs) != dict(right.xattrs):
        return False
    if isinstance(one, File) and isinstance(two, File):
        return one.content.size == two.content.size and same_content(one.content, two.content)
    if isinstance(one, Symlink) and isinstance(two, Symlink):
        return one.target == two.target
    if isinstance(one, Device) and isinstance(two, Device):
        return (one.kind, one.major, one.minor) == (two.kind, two.major, two.minor)
    return True
