"""What listings may ask the host for: files by path, directories, users and groups by name."""

from __future__ import annotations

import os

from imgcore.events import Control
from imgcore.hosts import node_at, scan
from imgcore.model import Node, Tree

__all__ = ["HostFiles"]


class HostFiles:
    """Files of the host; relative paths count from `base`."""

    def __init__(self, base: bytes = b"", control: Control | None = None) -> None:
        self._base = base
        self._control = control or Control()

    def node(self, path: bytes, *, follow: bool) -> Node:
        """Return the file, link or device at a path. Raises SourceUnreadable."""
        return node_at(os.path.join(self._base, path), follow=follow)

    def directory(self, path: bytes, *, one_file_system: bool) -> Tree:
        """Return the tree of a directory. Raises SourceUnreadable."""
        return scan(os.path.join(self._base, path), mounts="empty" if one_file_system else "cross", control=self._control)

    def user(self, name: str) -> int | None:
        """Return the number of a user, None where there is none."""
        import pwd

        try:
            return pwd.getpwnam(name).pw_uid
        except (KeyError, ValueError):
            return None

    def group(self, name: str) -> int | None:
        """Return the number of a group, None where there is none."""
        import grp

        try:
            return grp.getgrnam(name).gr_gid
        except (KeyError, ValueError):
            return None
