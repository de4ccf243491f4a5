"""What of a tree goes into a DDI, and what its root directory says of the partition.

An extension holds its hierarchies only: /usr and /opt, or /etc. Whatever else is in the tree systemd-repart would not copy
(the definitions behind `--make-ddi=` name these directories), so it is left out, and said.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from imgcore.build.extension_name import extension_name
from imgcore.errors import MergeConflict, show
from imgcore.events import Control, Warned
from imgcore.model import Dir, File, Tree
from imgcore.sysext.chase import directory_at
from imgcore.sysext.kinds import KINDS, KindName
from imgcore.sysext.release import PREFIX, find_os_release, find_release
from imgcore.sysext.version import NEWEST

__all__ = ["DdiKind", "ddi_tree", "validate_xattrs"]

DdiKind: TypeAlias = Literal["sysext", "confext", "portable"]
_MARK: Final = b"user.validatefs."


def ddi_tree(
    tree: Tree, kind: DdiKind, file_name: bytes, marks: tuple[Sequence[str], Sequence[uuid.UUID]] | None, control: Control
) -> Tree:
    """Return what of `tree` goes into an image of this kind called `file_name`.

    `marks` are the labels and types of the partition and those that belong to it, for `validate_xattrs`. Raises MergeConflict
    without the release file that the kind asks for, and where nothing would be in the image.
    """
    if kind != "portable":
        wanted = [path.strip(b"/") for path in KINDS[kind].hierarchies]
        outside = sorted(name for name in tree.root.children if name not in wanted)
        if outside:
            shown = ", ".join(f"`/{show(name)}`" for name in outside)
            control.emit(Warned(f"not in the image, since {kind} images hold {_directories(wanted)} only: {shown}"))
        kept = {name: node for name, node in tree.root.children.items() if name in wanted}
        tree = tree.with_root(dataclasses.replace(tree.root, children=kept))
    if not tree.root.children:
        raise MergeConflict("nothing of the tree goes into the image", hint="the tree is the root of what will be merged")
    _require_release(tree, kind, file_name, control)
    if marks is None:
        return tree
    meta = tree.root.meta
    xattrs = {**meta.xattrs, **validate_xattrs(*marks, mount_point="/")}
    return tree.with_root(dataclasses.replace(tree.root, meta=dataclasses.replace(meta, xattrs=xattrs)))


def validate_xattrs(labels: Sequence[str], types: Sequence[uuid.UUID], *, mount_point: str) -> Mapping[bytes, bytes]:
    """Return the xattrs of a root directory by which systemd 258 and later know a file system in a wrong place.

    Source: systemd, src/repart/repart.c: partition_populate; src/validatefs.
    """

    def strings(values: Sequence[str]) -> bytes:
        return b"".join(value.encode() + b"\0" for value in sorted(set(values)))

    return {
        _MARK + b"gpt_label": strings(labels),
        _MARK + b"gpt_type_uuid": strings([str(one) for one in types]),
        _MARK + b"mount_point": strings([mount_point]),
    }


def _require_release(tree: Tree, kind: DdiKind, file_name: bytes, control: Control) -> None:
    if kind == "portable":
        found = any(find_os_release(tree, path).present for path in (b"/usr/lib/os-release", b"/etc/os-release"))
        if not found and not _release_files(tree, "sysext"):
            raise MergeConflict(
                "neither an os-release nor a release file: systemd would not attach it", path=b"/usr/lib/os-release"
            )
        return
    name = extension_name(show(file_name), kind)
    where = KINDS[kind].release_dir + b"/" + PREFIX + name
    if find_release(tree, name, KINDS[kind], NEWEST).path is not None:
        return
    others = _release_files(tree, kind)
    if others:
        control.emit(
            Warned(
                f"systemd will ignore the image: its release file has to be called `{show(where)}`;"
                f" there is {', '.join(f'`{show(one)}`' for one in others)}"
            )
        )
        return
    raise MergeConflict(
        "no release file, without which systemd ignores the image", path=where, hint=f"`imgcore {kind} build` writes one"
        if kind == "sysext" else "`imgcore sysext build --kind confext` writes one",
    )  # fmt: skip


def _release_files(tree: Tree, kind: KindName) -> list[bytes]:
    place = directory_at(tree, KINDS[kind].release_dir)
    if place is None or not isinstance(place.node, Dir):
        return []
    return sorted(name for name, node in place.node.children.items() if name.startswith(PREFIX) and isinstance(node, File))


def _directories(names: Sequence[bytes]) -> str:
    return " and ".join(f"/{show(name)}" for name in names)
