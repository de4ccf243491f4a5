"""What a listing may ask the host for. The build layer makes one; a test makes another."""

from __future__ import annotations

from typing import Protocol

from imgcore.model import Node, Tree

__all__ = ["Files"]


class Files(Protocol):
    """Files of the host, and the names of its users. A relative path counts from the listing's own directory."""

    def node(self, path: bytes, *, follow: bool) -> Node:
        """Return the file, link or device at a path of the host. Raises SourceUnreadable."""
        ...

    def directory(self, path: bytes, *, one_file_system: bool) -> Tree:
        """Return the tree of a directory of the host. Raises SourceUnreadable."""
        ...

    def user(self, name: str) -> int | None:
        """Return the number of the user called `name`, None where the host has none."""
        ...

    def group(self, name: str) -> int | None:
        """Return the number of the group called `name`, None where the host has none."""
        ...
