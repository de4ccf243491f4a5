"""Whiteouts of OCI layers as those of overlayfs: `.wh.NAME` files become character devices 0:0, `.wh..wh..opq` an attribute.

A layer of a container image is a tar whose files with such names remove what lower layers have (OCI image-spec, layer.md).
An image that overlayfs is to use as a layer says the same in another way (kernel, Documentation/filesystems/overlayfs.rst).
"""

from __future__ import annotations

import dataclasses
from typing import Final, Literal

from imgcore.errors import PathError
from imgcore.model import Device, Dir, Meta, Node, Tree, join

__all__ = ["oci_to_overlay"]

_PREFIX: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"


def oci_to_overlay(tree: Tree, namespace: Literal["trusted", "user"] = "trusted") -> Tree:
    """Return `tree` with overlayfs's whiteouts in place of OCI's; `namespace` is that of the opaque attribute.

    `user` is for mounts with `userxattr`. Raises PathError for a name that is removed and there in one layer, and for a
    whiteout without a name; ValueError for another namespace.
    """
    if namespace not in ("trusted", "user"):
        raise ValueError(f"namespace={namespace!r} is none of 'trusted', 'user'")
    attribute = f"{namespace}.overlay.opaque".encode()
    root = Dir(_opaque(tree.root, attribute), {}, tree.root.opaque)
    todo = [(b"/", tree.root, root)]
    while todo:
        path, source, target = todo.pop()
        assert isinstance(target.children, dict)
        for name, node in source.children.items():
            if name == _OPAQUE or not name.startswith(_PREFIX):
                continue
            removed = name[len(_PREFIX) :]
            if removed in (b"", b".", b"..") or removed in source.children:
                raise PathError("a whiteout of a name that is there, or of none", path=join(path, name))
            target.children[removed] = Device(node.meta, "char", 0, 0)
        for name, node in source.children.items():
            if name.startswith(_PREFIX):
                continue
            child: Node = node
            if isinstance(node, Dir):
                child = Dir(_opaque(node, attribute), {}, node.opaque)
                todo.append((join(path, name), node, child))
            target.children[name] = child
    return Tree(root, tree.limits, time_step_ns=tree.time_step_ns, is_layer=True)


def _opaque(node: Dir, attribute: bytes) -> Meta:
    """Return the metadata of a directory, with the attribute where it is opaque."""
    if _OPAQUE not in node.children:
        return node.meta
    return dataclasses.replace(node.meta, xattrs={**node.meta.xattrs, attribute: b"y"})
