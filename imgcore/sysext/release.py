"""The release file of an extension: finding it under the extension's name, and reading it.

It is `extension-release.NAME` in the class's directory. Where there is none of that name, one file of another name may
stand for it: its ending is the extension's name without the version (`b` for `b_1.0` and `b+3`), or it says by the
attribute `user.extension-release.strict` that its name does not matter. Two such files are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt, PathError
from imgcore.model import Dir, File, Tree, join
from imgcore.sysext.chase import chase, directory_at
from imgcore.sysext.envfile import parse_env_file
from imgcore.sysext.kinds import Kind
from imgcore.sysext.version import SystemdVersion

__all__ = ["PREFIX", "OsRelease", "Release", "find_os_release", "find_release", "image_name", "read_assignments", "short_name"]

PREFIX: Final = b"extension-release."
_STRICT: Final = b"user.extension-release.strict"
_FALSE: Final = frozenset({"0", "no", "n", "false", "f", "off"})
_MOST: Final = 64 << 20  # bytes that systemd reads of such a file


@dataclass(frozen=True, slots=True)
class Release:
    """A release file that was found, or why there is none.

    Attributes:
        path: in the extension, None where no file was taken.
        values: its assignments; empty where there is no file, or none that can be read.
        why: why there are none, for people; empty where there are.
        others: release files that were there under other names.
        lost: it cannot be said whether there is one, since the path cannot be followed.
    """

    path: bytes | None = None
    values: dict[str, str] = field(default_factory=dict)
    why: str = ""
    others: tuple[bytes, ...] = ()
    lost: bool = False


def short_name(name: bytes) -> bytes:
    """Return an extension's name without image suffixes, version and tries: what its release file may be called after."""
    for suffix in (b".sysext.raw", b".confext.raw", b".raw"):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    cut = min((at for at in (name.find(b"_"), name.find(b"+")) if at >= 0), default=len(name))
    return name[:cut]


def image_name(file_name: bytes, systemd: SystemdVersion) -> bytes:
    """Return what the release file of the raw image `file_name` is called after, by a version that goes by the file's name."""
    name = file_name
    while True:
        before = name
        for suffix in systemd.image_suffixes:
            name = name.removesuffix(suffix)
        if name == before:
            return name


def find_release(tree: Tree, name: bytes, kind: Kind, systemd: SystemdVersion) -> Release:
    """Return the release file of the extension `tree`, called `name`."""
    wanted = join(kind.release_dir, PREFIX + name)
    try:
        found = chase(tree, wanted)
    except PathError as error:
        return Release(why=f"{_text(wanted)}: {error.message}", lost=True)
    if found is not None:
        if not isinstance(found.node, File):
            return Release(why=f"{_text(wanted)} is no regular file")
        return _read(found.path, found.node.content, systemd)
    place = directory_at(tree, kind.release_dir)
    if place is None:
        return Release(why=f"there is no {_text(wanted)}")
    assert isinstance(place.node, Dir)
    files = {
        entry: node
        for entry, node in place.node.children.items()
        if entry.startswith(PREFIX) and len(entry) > len(PREFIX) and isinstance(node, File)
    }
    others = tuple(sorted(join(place.path, entry) for entry in files))
    fitting = [entry for entry, node in files.items() if _fits(entry, node, name, systemd)]
    if len(fitting) == 1:
        read = _read(join(place.path, fitting[0]), files[fitting[0]].content, systemd)
        return Release(read.path, read.values, read.why, others)
    if fitting:
        return Release(why=f"there is no {_text(wanted)}, and several files could stand for it", others=others)
    return Release(why=f"there is no {_text(wanted)}", others=others)


def _fits(entry: bytes, node: File, name: bytes, systemd: SystemdVersion) -> bool:
    if systemd.basename_match and entry.removeprefix(PREFIX) == short_name(name):
        return True
    strict = node.meta.xattrs.get(_STRICT)
    return strict is not None and strict.decode("latin-1").rstrip("\0").lower() in _FALSE


def _read(path: bytes, content: Blob, systemd: SystemdVersion) -> Release:
    try:
        values = read_assignments(content, systemd)
    except Corrupt as error:
        return Release(path, why=f"{_text(path)} cannot be read: {error}")
    return Release(path, values, "" if values else f"{_text(path)} says nothing")


def read_assignments(content: Blob, systemd: SystemdVersion) -> dict[str, str]:
    """Return the assignments in a file. Raises Corrupt."""
    if content.size > _MOST:
        raise Corrupt("a text that is too long", found=content.size, allowed=f"at most {_MOST} bytes")
    return parse_env_file(content.read_at(0, content.size), comments_continue=systemd.comments_continue)


@dataclass(frozen=True, slots=True)
class OsRelease:
    """Whether there is a system's release file in an extension; `trouble`: why that cannot be said, else empty."""

    path: bytes
    present: bool = False
    trouble: str = ""


def find_os_release(tree: Tree, path: bytes = b"/usr/lib/os-release") -> OsRelease:
    """Return whether the extension brings an os-release; the one in /usr/lib would hide the host's."""
    try:
        return OsRelease(path, chase(tree, path) is not None)
    except PathError as error:
        return OsRelease(path, trouble=f"{_text(path)} cannot be looked up: {error.message}")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
