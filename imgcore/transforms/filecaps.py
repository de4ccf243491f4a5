"""File capabilities put on files of a tree; what their text and their value mean is `model.filecaps`."""

from __future__ import annotations

from imgcore.model import File, Tree
from imgcore.model.filecaps import CAPABILITY_NAMES, capability_text, capability_value
from imgcore.transforms.metadata import Where, set_xattrs

__all__ = ["CAPABILITY_NAMES", "capability_text", "capability_value", "set_capabilities"]


def set_capabilities(tree: Tree, text: str, where: Where, *, root_id: int | None = None, required: str | None = None) -> Tree:
    """Return `tree` with file capabilities on the chosen regular files. Raises ValueError, and PathError as `change_meta`."""
    value = capability_value(text, root_id)
    return set_xattrs(
        tree,
        {b"security.capability": value},
        where=lambda path, node: isinstance(node, File) and where(path, node),
        required=required,
    )
