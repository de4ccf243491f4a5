"""Files of a made-up host, for listings."""

from __future__ import annotations

from imgcore.errors import SourceUnreadable
from imgcore.model import Node, Tree, tree

USERS = {"root": 0, "ann": 1001}
GROUPS = {"root": 0, "staff": 50}


class TreeFiles:
    """A tree as the host; relative paths count from its root."""

    def __init__(self, host: Tree | None = None) -> None:
        self.host = host or tree({"/a": b"host a", "/sub/w": b"host w"})
        self.asked: list[tuple[bytes, bool]] = []

    def node(self, path: bytes, *, follow: bool) -> Node:
        self.asked.append((path, follow))
        if path not in self.host:
            raise SourceUnreadable("cannot open: No such file or directory", path=path)
        return self.host.lookup(path, follow=follow)

    def directory(self, path: bytes, *, one_file_system: bool) -> Tree:
        self.asked.append((path, one_file_system))
        return self.host.subtree(path)

    def user(self, name: str) -> int | None:
        return USERS.get(name)

    def group(self, name: str) -> int | None:
        return GROUPS.get(name)
