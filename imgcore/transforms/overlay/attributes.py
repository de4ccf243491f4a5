"""Extended attributes of a merged tree, set and removed: which names there are, and what goes up before one is refused.

A mount's own names are stored escaped. Linux hands all others to the file system of the upper layer, after the copy: so a
name that this refuses has brought the file up already (Linux, `fs/overlayfs/xattrs.c`).
"""

from __future__ import annotations

import errno

from imgcore.model import Dir, File, Node, Symlink
from imgcore.transforms.overlay import acl
from imgcore.transforms.overlay.arguments import CAPABILITY, MAX_ATTRIBUTE, require_capability
from imgcore.transforms.overlay.copyup import Spot, Upper, fail

__all__ = ["remove", "store"]

_PREFIXES = (b"user.", b"trusted.", b"security.")
_LISTS = (acl.ACCESS, acl.DEFAULT)


def store(upper: Upper, spot: Spot | None, name: bytes, value: bytes) -> None:
    """Give what is at `spot`, None for the root, an attribute. Raises OverlayError."""
    node = _node(upper, spot)
    if name == CAPABILITY:
        require_capability(value)
    _require_fitting(upper, node, name)
    if name == acl.ACCESS:
        raise fail(errno.EOPNOTSUPP, "an access control list: chmod it instead")
    if name == acl.DEFAULT and not isinstance(node, Dir):
        raise fail(errno.EACCES, "only directories have such lists")
    stored = _stored(upper, name)
    if spot is not None:
        node = upper.node(spot, data=False)
    _require_known(name)
    upper.set_xattr(node, stored, value)


def remove(upper: Upper, spot: Spot | None, name: bytes) -> None:
    """Take an attribute from what is at `spot`; nothing is copied up where it is not there. Raises OverlayError."""
    node = _node(upper, spot)
    _require_fitting(upper, node, name)
    stored = _stored(upper, name)
    _require_known(name)
    if stored not in node.meta.xattrs:
        in_upper = spot is None or (spot.found is not None and spot.found.merged is not None and bool(spot.found.merged.upper))
        if name in _LISTS and (in_upper or not isinstance(node, Dir)):
            return  # what Linux says of lists that are not there; of a lower directory it says ENODATA
        raise fail(errno.ENODATA, "no such attribute")
    if spot is not None:
        node = upper.node(spot, data=False)
    upper.drop_xattr(node, stored)


def _node(upper: Upper, spot: Spot | None) -> Node:
    if spot is None:
        return upper.root
    assert spot.found is not None
    return spot.found.hit.node


def _require_fitting(upper: Upper, node: Node, name: bytes) -> None:
    """Raise OverlayError for what a node of this kind, or an overlay, has no attributes of."""
    if name in _LISTS and isinstance(node, Symlink):
        raise fail(errno.EOPNOTSUPP, "a symbolic link has no lists")
    if name.startswith(b"user.") and not isinstance(node, (File, Dir)):
        raise fail(errno.EPERM, "only files and directories have such attributes")
    if name == upper.prefix:
        raise fail(errno.EINVAL, "an attribute without a name of its own")


def _require_known(name: bytes) -> None:
    """Raise OverlayError for a name that file systems do not take."""
    if name in _PREFIXES:
        raise fail(errno.EINVAL, "an attribute without a name of its own")
    if not name.startswith(_PREFIXES) and name not in _LISTS:
        raise fail(errno.EOPNOTSUPP, "no such kind of attribute")


def _stored(upper: Upper, name: bytes) -> bytes:
    """Return the name that an attribute has in the upper layer. Raises OverlayError where it would be too long."""
    prefix = upper.prefix
    if not name.startswith(prefix):
        return name
    escaped = prefix + b"overlay." + name[len(prefix) :]
    if len(escaped) > MAX_ATTRIBUTE:
        raise fail(errno.EOPNOTSUPP, f"an attribute whose name has {len(escaped)} bytes once it is escaped")
    return escaped
