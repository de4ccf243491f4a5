"""The tree of a file system that a definition asks for: CopyFiles=, MakeDirectories=, MakeSymlinks=, exclusions.

As systemd-repart copies, in this order: files and directories, each where it goes, over what is there; then directories
that are missing, then symbolic links. The root directory begins with mode, time and xattrs of the first directory that is
copied onto it, and is root's own. A directory that is there keeps its metadata. Directories that nobody brings are 0755,
root's, and of the time SOURCE_DATE_EPOCH, or of 1970: systemd's are of the moment, which would make every image another one.

Source: systemd, src/repart/repart.c: partition_populate_directory, do_copy_files, do_make_directories, do_make_symlinks.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from imgcore.build.repart.conf import DefinitionError
from imgcore.build.repart.definition import Definition
from imgcore.errors import NoSuchPath, PathError
from imgcore.events import Control, Warned
from imgcore.model import Dir, Meta, Node, Symlink, Tree

__all__ = ["populate"]


_NOT_COPIED = {"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"}
"""Directories of which nothing is copied when a whole system is."""


def populate(
    made: Definition, source: Tree, xattrs: Mapping[bytes, bytes], time_ns: int | None, control: Control | None = None
) -> Tree:
    """Return the tree; `xattrs` are added to the root directory. Raises DefinitionError."""
    control = control or Control()
    time = 0 if time_ns is None else time_ns
    new = Meta(0o755, mtime_ns=time)
    root: Dir = Dir(_root_meta(made, source, new), {})
    wanted = {path.rstrip("/") for path in made.exclude if not path.endswith("/")}
    emptied = {path.rstrip("/") for path in made.exclude if path.endswith("/")}
    for path, target in made.copy_files:
        try:
            node = source.lookup(path.encode(), follow=True)
        except NoSuchPath:  # not an error at systemd either: its own definitions copy an /opt that few trees have
            control.emit(Warned(f"CopyFiles={path}: there is no such file, and nothing is copied", os.fsencode(made.path)))
            continue
        except PathError as error:
            raise DefinitionError(f"CopyFiles={path}: {error}", structure=made.path) from None
        hollow = emptied | _NOT_COPIED if path == "/" else emptied
        there = _at(root, target)
        if there is not None and not isinstance(there, Dir):
            raise DefinitionError(f"CopyFiles={path}: there is a {target} already, and it is no directory", structure=made.path)
        kept = _without(node, path if path != "/" else "", wanted, hollow, {})
        if kept is not None:
            root = _put(root, target, kept, new, made)
    if made.exclude_target:
        gone = {path.rstrip("/") for path in made.exclude_target if not path.endswith("/")}
        hollow = {path.rstrip("/") for path in made.exclude_target if path.endswith("/")}
        left = _without(root, "", gone, hollow, {})
        assert isinstance(left, Dir)
        root = left
    for path in made.directories:
        root = _put(root, path.rstrip("/") or "/", Dir(new, {}), new, made)
    for path, text in made.symlinks:
        parent = path.rpartition("/")[0] or "/"
        if not isinstance(_at(root, parent), Dir):
            raise DefinitionError(f"MakeSymlinks={path}: there is no directory {parent}", structure=made.path)
        if _at(root, path) is None:
            root = _put(root, path, Symlink(Meta(0o777, mtime_ns=time), text.encode()), new, made)
    if xattrs:
        meta = root.meta
        root = dataclasses.replace(root, meta=dataclasses.replace(meta, xattrs={**meta.xattrs, **xattrs}))
    return source.with_root(root)


def _root_meta(made: Definition, source: Tree, new: Meta) -> Meta:
    """Return the metadata of the root: of the first directory that is copied onto it, but for the owner.

    Raises DefinitionError for something that is to be copied onto it and is not there.
    """
    for path, target in made.copy_files:
        if target == "/":
            try:
                node = source.lookup(path.encode(), follow=True)
            except PathError:
                raise DefinitionError(f"CopyFiles={path}: there is no such file", structure=made.path) from None
            if isinstance(node, Dir):
                return dataclasses.replace(node.meta, uid=0, gid=0)
    return new


def _at(root: Dir, path: str) -> Node | None:
    node: Node | None = root
    for name in path.encode().split(b"/"):
        if name:
            node = node.children.get(name) if isinstance(node, Dir) else None
    return node


def _without(node: Node, path: str, gone: set[str], hollow: set[str], copies: dict[int, Node]) -> Node | None:
    """Return a copy of `node`, which is at `path`, without what is excluded; None where it is excluded itself.

    Names of one node are names of one copy: hard links within what is copied stay, those to other copies do not.
    """
    if path in gone:
        return None
    if not isinstance(node, Dir):
        return copies.setdefault(id(node), dataclasses.replace(node))
    top: dict[bytes, Node] = {}
    todo = [(node, path, top)]
    while todo:
        directory, place, made = todo.pop()
        for name, child in directory.children.items() if place not in hollow else ():
            at = f"{place}/{name.decode('utf-8', 'surrogateescape')}"
            if at in gone:
                continue
            if isinstance(child, Dir):
                inner: dict[bytes, Node] = {}
                made[name] = dataclasses.replace(child, children=inner)
                todo.append((child, at, inner))
            else:
                made[name] = copies.setdefault(id(child), dataclasses.replace(child))
    return dataclasses.replace(node, children=top)


def _put(root: Dir, target: str, node: Node, new: Meta, made: Definition) -> Dir:
    """Return `root` with `node` at `target`, over what is there.

    The directory in which the name `target` appears or is replaced is as old as that, which is the time of `new`.
    """
    names = [name for name in target.encode().split(b"/") if name]
    if not names:
        if not isinstance(node, Dir):
            raise DefinitionError(f"only a directory can be copied onto /, not `{target}`", structure=made.path)
        return _merged(root, node)
    above = [root]
    for name in names[:-1]:
        child = above[-1].children.get(name)
        if child is not None and not isinstance(child, Dir):
            raise DefinitionError(f"{target}: a part of it is not a directory", structure=made.path)
        above.append(child if child is not None else Dir(new, {}))
    there = above[-1].children.get(names[-1])
    put: Node = _merged(there, node) if isinstance(there, Dir) and isinstance(node, Dir) else node
    for parent, name in zip(reversed(above), reversed(names), strict=True):
        there = parent.children.get(name)
        changed = there is None or not isinstance(put, Dir)
        put = dataclasses.replace(_touched(parent, new) if changed else parent, children={**parent.children, name: put})
    assert isinstance(put, Dir)
    return put


def _merged(one: Dir, two: Dir) -> Dir:
    """Return directory `one` with what is in `two` over it; it stays as old as it was."""
    top = dict(one.children)
    todo = [(top, two)]
    while todo:
        children, directory = todo.pop()
        for name, node in directory.children.items():
            there = children.get(name)
            if isinstance(there, Dir) and isinstance(node, Dir):
                inner = dict(there.children)
                children[name] = dataclasses.replace(there, children=inner)
                todo.append((inner, node))
            else:
                children[name] = node
    return dataclasses.replace(one, children=top)


def _touched(directory: Dir, new: Meta) -> Dir:
    if not new.mtime_ns:  # no SOURCE_DATE_EPOCH: no time is right, so none is changed
        return directory
    return dataclasses.replace(directory, meta=dataclasses.replace(directory.meta, mtime_ns=new.mtime_ns))
