"""Users and groups by name, as a tree's own files know them: what turns the owners of a package's files into numbers.

`etc/passwd` and `etc/group` come first, then those below `usr/lib` (nss-altfiles), then the files of sysusers.d, of which
one in `etc` hides those of the same name in `run`, `usr/local/lib` and `usr/lib`. A user whose number systemd-sysusers would
choose when it runs is not known: the number is another on each machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from imgcore.blob import read_all
from imgcore.errors import LimitExceeded, PathError
from imgcore.model.node import Dir, File
from imgcore.model.tree import Tree
from imgcore.values import field, value_class

__all__ = ["Accounts"]

_MOST_BYTES: Final = 16 << 20
_MOST_ID: Final = (1 << 32) - 2
_SYSUSERS: Final = ("/etc/sysusers.d", "/run/sysusers.d", "/usr/local/lib/sysusers.d", "/usr/lib/sysusers.d")


@value_class
class Accounts:
    """Names to numbers. `root` is 0 in both, whatever is said."""

    users: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)

    def uid(self, name: str) -> int | None:
        """Return the number of a user, None for one that is not known."""
        return 0 if name == "root" else self.users.get(name)

    def gid(self, name: str) -> int | None:
        """Return the number of a group, None for one that is not known."""
        return 0 if name == "root" else self.groups.get(name)

    def over(self, other: Accounts) -> Accounts:
        """Return these accounts, and those of `other` that these do not know."""
        return Accounts({**other.users, **self.users}, {**other.groups, **self.groups})

    @classmethod
    def of_tree(cls, tree: Tree) -> Accounts:
        """Return what the files of a tree say. Lines that say nothing clear are passed over.

        Raises LimitExceeded for a file of more than 16 MiB, and what reading its content raises.
        """
        users: dict[str, int] = {}
        groups: dict[str, int] = {}
        for place in ("/etc", "/usr/lib"):
            for name, known in (("passwd", users), ("group", groups)):
                for line in _lines(tree, f"{place}/{name}"):
                    parts = line.split(":")
                    if len(parts) > 2 and (number := _number(parts[2])) is not None:
                        known.setdefault(parts[0], number)
        seen: set[bytes] = set()
        files: dict[bytes, str] = {}
        for place in _SYSUSERS:
            for file in _names(tree, place):
                if file.endswith(b".conf") and file not in seen:
                    seen.add(file)
                    files[file] = f"{place}/{file.decode('utf-8', 'surrogateescape')}"
        for _, path in sorted(files.items()):
            for line in _lines(tree, path):
                _sysusers_line(line, users, groups)
        return cls(users, groups)


def _number(text: str) -> int | None:
    """Return the number that a text is, None for another; -1 and what does not fit 32 bits are none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or int(text) > _MOST_ID:
        return None
    return int(text)


def _sysusers_line(line: str, users: dict[str, int], groups: dict[str, int]) -> None:
    """Take a line of sysusers.d: `u NAME ID`, `u NAME UID:GID`, `u NAME UID:GROUP`, `g NAME ID`."""
    parts = [part.strip("\"'") for part in line.split(None, 3)[:3]]
    if len(parts) < 3 or parts[0] not in ("u", "u!", "g"):
        return
    kind, name, number = parts
    if kind == "g":
        if (gid := _number(number)) is not None:
            groups.setdefault(name, gid)
        return
    user, colon, group = number.partition(":")
    uid = _number(user)
    if uid is not None:
        users.setdefault(name, uid)
    gid = _number(group) if colon else uid
    if gid is not None:
        groups.setdefault(name, gid)


def _names(tree: Tree, path: str) -> Iterator[bytes]:
    """Yield the names in a directory of the tree, none where there is no such directory."""
    try:
        node = tree.lookup(path, follow=True)
    except PathError:
        return
    if isinstance(node, Dir):
        yield from node.children


def _lines(tree: Tree, path: str) -> Iterator[str]:
    """Yield the lines of a file of the tree but comments and empty ones, none where there is no such file."""
    try:
        node = tree.lookup(path, follow=True)
    except PathError:
        return
    if not isinstance(node, File):
        return
    if node.content.size > _MOST_BYTES:
        raise LimitExceeded("file of accounts is too large", path=path, found=node.content.size, allowed=f"{_MOST_BYTES} bytes")
    for line in read_all(node.content).decode("utf-8", "surrogateescape").split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            yield line
