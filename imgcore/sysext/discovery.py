"""Which extensions there are: the entries of the search directories, each with the name that it is known by.

Of several entries of one name the first counts, in the order of the search directories; within a directory it is the
first that the file system lists, which `Candidate.rivals` tells of. That order is known of a directory of this machine
(`listing`); of a tree it is that of the names, and on another file system it may be another one.

What cannot be looked up, such as a link that leads to itself, ends the discovery, and with it every verb of systemd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from imgcore.errors import PathError
from imgcore.model import Device, Dir, File, Node, Symlink, Tree, join, type_name
from imgcore.sysext.chase import Place, chase
from imgcore.sysext.image import ImageType
from imgcore.sysext.kinds import Kind
from imgcore.sysext.version import SystemdVersion
from imgcore.sysext.vpick import parse_candidate, pick

__all__ = ["Candidate", "Discovery", "Listing", "Skipped", "Stop", "discover", "is_extension_name", "nameless"]

Listing: TypeAlias = Callable[[bytes], Sequence[bytes] | None]

_RAW: Final = b".raw"
_NOT_A_NAME: Final = "a name that no image can have"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An extension that was found.

    Attributes:
        name: that it is known and sorted by.
        image_type: what it is stored as.
        path: in the root, of the entry, or of what was chosen in a `.v/` directory; links are not resolved in its last part.
        place: where that leads.
        node: what is there.
        rivals: other entries of that name in the same directory.
    """

    name: bytes
    image_type: ImageType
    path: bytes
    place: bytes
    node: Node
    rivals: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry of a search directory that is no extension, or hidden by another one: a rule and a reason."""

    path: bytes
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """What ends the discovery: a path of the root, and why it cannot be looked up."""

    path: bytes
    reason: str


@dataclass(slots=True)
class Discovery:
    """What was found: `candidates` in the order of finding; `stop` is the first thing that makes systemd give up."""

    candidates: list[Candidate] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class _Search:
    tree: Tree
    kind: Kind
    systemd: SystemdVersion
    architecture: str
    follow: bool


def discover(
    tree: Tree,
    kind: Kind,
    *,
    systemd: SystemdVersion,
    architecture: str,
    initrd: bool,
    booted: bool = False,
    listing: Listing | None = None,
) -> Discovery:
    """Return the extensions in the root `tree`.

    `booted`: as the system itself sees them, not as with `--root`. `listing`: returns the names in a directory of the root
    in the file system's own order, None where that is not known.
    """
    out = Discovery()
    found: dict[bytes, int] = {}
    search = _Search(tree, kind, systemd, architecture, systemd.follows_links or booted)
    for asked in kind.search_directories(systemd, initrd):
        place = _search_directory(tree, asked, out)
        if place is None:
            continue
        assert isinstance(place.node, Dir)
        first = len(out.candidates)
        for entry in _ordered(place, listing):
            if entry.startswith(b".sysupdate.") and systemd.skips_sysupdate:
                out.skipped.append(Skipped(join(place.path, entry), "temporary", "a file that systemd-sysupdate works on"))
                continue
            one = _candidate(search, place.path, entry, place.node.children[entry])
            if isinstance(one, Stop):
                out.stop = out.stop or one
            elif isinstance(one, Skipped):
                out.skipped.append(one)
            elif one.name not in found:
                found[one.name] = len(out.candidates)
                out.candidates.append(one)
            else:
                _second(out, one, found[one.name], first, by_chance=listing is None)
    return out


def _search_directory(tree: Tree, asked: bytes, out: Discovery) -> Place | None:
    """Return the search directory at a path, None where there is none; one that cannot be opened ends the discovery."""
    try:
        place = chase(tree, asked)
        if place is not None and not isinstance(place.node, Dir):
            raise PathError("not a directory", path=asked)
    except PathError as error:
        out.stop = out.stop or Stop(asked, error.message)
        return None
    return place


def _ordered(place: Place, listing: Listing | None) -> Iterable[bytes]:
    """Return the names in a directory in the order that systemd reads them in."""
    assert isinstance(place.node, Dir)
    known = () if listing is None else listing(place.path) or ()
    first = dict.fromkeys(name for name in known if name in place.node.children)
    return first | dict.fromkeys(place.node.children)


def _second(out: Discovery, one: Candidate, index: int, first: int, *, by_chance: bool) -> None:
    """Note an entry whose name is taken."""
    other = out.candidates[index]
    if index < first:
        out.skipped.append(Skipped(one.path, "masked", f"hidden by `{_text(other.path)}`, in an earlier directory"))
        return
    rivals = (*other.rivals, one.path)
    out.candidates[index] = Candidate(other.name, other.image_type, other.path, other.place, other.node, rivals)
    where = ", by chance" if by_chance else ""
    reason = f"`{_text(other.path)}` has the same name, and stands before it in the directory{where}"
    out.skipped.append(Skipped(one.path, "rival", reason))


def _candidate(search: _Search, directory: bytes, entry: bytes, node: Node) -> Candidate | Skipped | Stop:
    """Return the extension that an entry is, or why it is none."""
    path = join(directory, entry)
    place = path
    if isinstance(node, Symlink):
        if not search.follow:
            return Skipped(path, "symlink", f"systemd {search.systemd.number} follows no symbolic link there with --root")
        try:
            led = chase(search.tree, path)
        except PathError as error:
            return Stop(path, error.message)
        if led is None:
            return Skipped(path, "symlink", "leads nowhere")
        place, node = led
    if isinstance(node, Dir) and entry.endswith(b".v") and search.systemd.versioned_directories:
        return _versioned(search, path, place, entry, node)
    if isinstance(node, Dir):
        name = _name(search, entry, b"")
        image_type: ImageType = "directory"
        if search.systemd.mstack and entry.endswith(b".mstack"):
            name, image_type = _name(search, entry, b".mstack"), "mstack"
    elif isinstance(node, File):
        if not entry.endswith(_RAW):
            return Skipped(path, "suffix", "a file whose name does not end in .raw")
        name, image_type = _name(search, entry, _RAW), "raw"
    elif isinstance(node, Device) and node.kind == "block":
        name, image_type = _name(search, entry, b""), "block"
    else:
        return Skipped(path, "type", f"a {type_name(node)}, where a file, directory or block device is needed")
    if name is None:
        return nameless(path)
    return Candidate(name, image_type, path, place, node)


def _name(search: _Search, entry: bytes, suffix: bytes) -> bytes | None:
    """Return the name that an entry stands for, None where it stands for none."""
    name = entry.removesuffix(suffix) if suffix else entry
    if search.systemd.class_suffixes:
        name = name.removesuffix(b"." + search.kind.name.encode())
    return name if is_extension_name(name) else None


def nameless(path: bytes) -> Skipped:
    """Return that systemd passes over an entry for its name."""
    return Skipped(path, "name", _NOT_A_NAME)


def is_extension_name(name: bytes) -> bool:
    """Return whether an image can be called so: a file name in UTF-8 without control characters, not a temporary one."""
    if not name or name in (b".", b"..") or len(name) > 255 or name.startswith(b".#"):
        return False
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(byte >= 0x20 and byte != 0x7F for byte in name)


def _versioned(search: _Search, path: bytes, place: bytes, entry: bytes, node: Dir) -> Candidate | Skipped:
    """Return the best version in a `.v/` directory."""
    suite = entry.removesuffix(b".v")
    raw = suite.endswith(_RAW)
    name = _name(search, suite, _RAW if raw else b"")
    if name is None:
        return nameless(path)
    suffix = suite[len(name) :]  # versions have the suffixes of the directory, `.sysext` too
    parsed = []
    for file_name, inner in node.children.items():
        led = _led(search, join(place, file_name), inner)
        # A dangling link counts: that it leads nowhere is found out when it was chosen.
        if led is None or not search.systemd.versions_by_type or _type_in_suite(led.node, raw) is not None:
            one = parse_candidate(file_name, name, suffix, systemd=search.systemd, architecture=search.architecture)
            parsed += [one] if one is not None else []
    best = pick(parsed)
    if best is None:
        wanted = f"{_text(name)}_VERSION{_text(suffix)}"
        return Skipped(path, "no-version", f"no entry called {wanted} for {search.architecture}")
    inner_path = join(place, best.file_name)
    led = _led(search, inner_path, node.children[best.file_name])
    image_type = None if led is None else _type_in_suite(led.node, raw)
    if led is None or image_type is None:
        reason = f"`{_text(best.file_name)}` is the best by its name, and no {'image' if raw else 'directory'}"
        return Skipped(path, "version-type", reason)
    return Candidate(name, image_type, inner_path, led.path, led.node)


def _led(search: _Search, path: bytes, node: Node) -> Place | None:
    """Return where the entry of a `.v/` directory leads, None for nowhere."""
    if isinstance(node, Symlink) and node.target.startswith(b"/") and not search.follow:
        return None  # with --root, the root is put before an absolute target twice
    try:
        return chase(search.tree, path)
    except PathError:
        return None


def _type_in_suite(node: Node, raw: bool) -> ImageType | None:
    if isinstance(node, Dir):
        return None if raw else "directory"
    if not raw:
        return None
    if isinstance(node, File):
        return "raw"
    return "block" if isinstance(node, Device) and node.kind == "block" else None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
