"""An extension image from a tree: its release file written under the right name, checked, and packed.

The release file is called after the extension, which is called after its file. One that is there under another name is
renamed; what it says and what is asked for must not contradict each other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from imgcore.blob import BytesBlob
from imgcore.errors import MergeConflict, context
from imgcore.model import Dir, File, Meta, Node, Tree, join
from imgcore.sysext.chase import directory_at
from imgcore.sysext.kinds import KINDS, KindName
from imgcore.sysext.release import PREFIX, find_os_release, read_assignments
from imgcore.sysext.version import NEWEST
from imgcore.values import value_class

__all__ = ["BuiltTree", "extension_tree"]


@value_class(eq=False)
class BuiltTree:
    """A tree that is an extension: `release` is the path of its release file, `renamed` what that was called before."""

    tree: Tree
    release: bytes
    values: Mapping[str, str]
    renamed: bytes | None


def extension_tree(tree: Tree, name: bytes, values: Mapping[str, str], *, kind: KindName = "sysext") -> BuiltTree:
    """Return `tree` as the extension `name`, whose release file says `values` and what it said before.

    Raises MergeConflict where the two contradict each other, where several release files could be meant, where there is an
    os-release, where a file stands in the way, and without an ID.
    """
    what = KINDS[kind]
    found = find_os_release(tree)
    if found.trouble:
        raise MergeConflict(f"{found.trouble}, which stops every merge", path=found.path)
    if found.present:
        raise MergeConflict(
            "an extension must not have an os-release: it would hide the host's",
            path=b"/usr/lib/os-release",
            hint="--exclude /usr/lib/os-release leaves it out",
        )
    old, said = _present(tree, what.release_dir, name)
    for key, wanted in values.items():
        if said.get(key, wanted) != wanted:
            raise MergeConflict(
                f"{key}={said[key]} in the release file, and {key}={wanted} was asked for",
                path=old,
                hint="change one of them",
            )
    both = {**said, **values}
    if not both.get("ID"):
        raise MergeConflict("no ID: no host would take the extension", hint="--id NAME, --id _any, or --like OS-RELEASE")
    path = join(what.release_dir, PREFIX + name)
    text = b"".join(f"{key}={_quoted(value)}\n".encode() for key, value in both.items())
    made = _without(tree.root, old) if old is not None and old != path else tree.root
    mtime = max((node.meta.mtime_ns for _, node in tree.walk()), default=0)
    made = _with(made, path, File(Meta(0o644, mtime_ns=mtime), BytesBlob(text)), mtime)
    renamed = old if old is not None and old != path else None
    return BuiltTree(tree.with_root(made), path, both, renamed)


def _present(tree: Tree, directory: bytes, name: bytes) -> tuple[bytes | None, dict[str, str]]:
    """Return the release file that is there, and what it says."""
    place = directory_at(tree, directory)
    if place is None or not isinstance(place.node, Dir):
        return None, {}
    files = {entry: node for entry, node in place.node.children.items() if entry.startswith(PREFIX)}
    chosen = PREFIX + name if PREFIX + name in files else next(iter(files), None)
    if chosen is None:
        return None, {}
    if len(files) > 1 and chosen != PREFIX + name:
        raise MergeConflict(
            f"several release files, and none is called extension-release.{_text(name)}",
            path=place.path,
            hint="--exclude leaves out those that are not meant",
        )
    node = files[chosen]
    if not isinstance(node, File):
        raise MergeConflict("a release file that is no regular file", path=join(place.path, chosen))
    with context(path=join(place.path, chosen)):
        return join(place.path, chosen), read_assignments(node.content, NEWEST)


def _with(root: Dir, path: bytes, node: Node, mtime: int) -> Dir:
    names = [part for part in path.split(b"/") if part]
    above = [root]
    for name in names[:-1]:
        child = above[-1].children.get(name)
        if child is not None and not isinstance(child, Dir):
            at = b"/" + b"/".join(names[: len(above)])
            raise MergeConflict(f"not a directory, where {_text(path)} goes", path=at)
        above.append(child if child is not None else Dir(Meta(0o755, mtime_ns=mtime)))
    for parent, name in zip(reversed(above), reversed(names), strict=True):
        node = dataclasses.replace(parent, children={**parent.children, name: node})
    assert isinstance(node, Dir)
    return node


def _without(root: Dir, path: bytes) -> Dir:
    names = [part for part in path.split(b"/") if part]
    above = [root]
    for name in names[:-1]:
        child = above[-1].children[name]
        assert isinstance(child, Dir)
        above.append(child)
    last = above.pop()
    node = dataclasses.replace(last, children={key: child for key, child in last.children.items() if key != names[-1]})
    for parent, name in zip(reversed(above), reversed(names[:-1]), strict=True):
        node = dataclasses.replace(parent, children={**parent.children, name: node})
    return node


def _quoted(value: str) -> str:
    """Return a value as it can stand in an os-release."""
    plain = value and all(char.isalnum() or char in "._-+" for char in value)
    if plain:
        return value
    escaped = "".join("\\" + char if char in '"\\`$' else char for char in value)
    return f'"{escaped}"'


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
