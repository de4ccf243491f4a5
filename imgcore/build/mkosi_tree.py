"""The steps of a mkosi build that change the tree: trees copied in, release files, what is removed again.

Each is a function from Tree to Tree. Where mkosi takes the time of the build, these take SourceDateEpoch=, and where nobody
sets that, the time that the source says: so that two builds are the same.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from imgcore.blob import BytesBlob
from imgcore.errors import MergeConflict, PathError, context
from imgcore.mkosi import Image
from imgcore.model import Dir, File, Meta, Node, Symlink, Tree, normalize, split, type_name
from imgcore.sysext.envfile import parse_env_file
from imgcore.transforms import Globs, exclude

__all__ = [
    "API_FILE_SYSTEMS",
    "as_copied",
    "clean_metadata",
    "configure_release",
    "copy_in",
    "empty_tree",
    "newest",
    "put",
    "remove_files",
]

API_FILE_SYSTEMS: Final = Globs([f"/{name}/*" for name in ("dev", "proc", "sys", "tmp", "run", "var/tmp")])
"""What mkosi leaves out of archives, read and written."""

_MAX_LINKS: Final = 40
_CLEANED: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("rpm", ("/var/lib/rpm", "/usr/lib/sysimage/rpm")),
    ("dnf5", ("/usr/lib/sysimage/libdnf5", "/var/lib/libdnf5", "/var/cache/libdnf5")),
    ("dpkg", ("/var/lib/dpkg",)),
)
_MANAGERS: Final[Mapping[str, tuple[str, str]]] = {
    **dict.fromkeys(("debian", "kali", "ubuntu"), ("apt", "apt")),
    "opensuse": ("zypper", "zypp"),
    "arch": ("pacman", "pacman"),
    "custom": ("custom", "custom"),
}


def empty_tree(mtime_ns: int = 0) -> Tree:
    """Return a tree of nothing but its root."""
    return Tree(Dir(Meta(0o755, mtime_ns=mtime_ns)))


def newest(tree: Tree) -> int:
    """Return the latest time in a tree, in nanoseconds."""
    return max((node.meta.mtime_ns for _, node in tree.walk()), default=0)


def as_copied(tree: Tree, epoch: int | None) -> Tree:
    """Return `tree` as mkosi copies extra and skeleton trees: of root, without attributes; modes and links stay.

    `epoch` is SourceDateEpoch=, in seconds: the time of everything; None: each its own.
    """

    def change(path: bytes, node: Node) -> Node:
        mtime = node.meta.mtime_ns if epoch is None else epoch * 10**9
        return dataclasses.replace(node, meta=Meta(node.meta.mode, 0, 0, mtime))

    return tree.map(change)


def copy_in(tree: Tree, other: Tree, place: str | None = None, *, keep_directories: bool = True) -> Tree:
    """Return `tree` with `other` copied over it, at `place`: files take the place of files.

    A directory that is there keeps its metadata with `keep_directories`, and a link to one inside of the tree is followed, as
    by `cp`. Raises MergeConflict for a directory where there is something else, and the other way round.
    """
    work = _Edit(tree, newest(other))
    top = work.directory([work.root], b"/", normalize(place or "/"))
    if not keep_directories and place is None:
        work.metas[id(work.root)] = other.root.meta
    # Each level: the directories from the root down to the one that is written to, what is copied, its path.
    todo: list[tuple[list[Dir], Dir, bytes]] = [(top, other.root, normalize(place or "/"))]
    while todo:
        way, source, path = todo.pop()
        for name in sorted(source.children):
            node, there = source.children[name], way[-1].children.get(name)
            full = path.rstrip(b"/") + b"/" + name
            if isinstance(node, Dir):
                if there is not None and not isinstance(there, (Dir, Symlink)):
                    raise MergeConflict(f"a directory, where a {type_name(there)} is already", path=full)
                kept = there is not None and (keep_directories or isinstance(there, Symlink))
                todo.append((work.directory(way, path, name, None if kept else node.meta), node, full))
            elif isinstance(there, Dir):
                raise MergeConflict(f"a {type_name(node)}, where a directory is already", path=full)
            else:
                work.set(way, name, node)
    return work.result()


class _Edit:
    """A tree that is changed: directories are copied when they are first written to, and only then."""

    def __init__(self, tree: Tree, mtime_ns: int) -> None:
        self._tree = tree
        self._mtime = mtime_ns
        self.root = Dir(tree.root.meta, dict(tree.root.children), tree.root.opaque)
        self.metas: dict[int, Meta] = {}
        self._owned = {id(self.root): self.root}

    def result(self) -> Tree:
        """Return the changed tree."""
        made, metas = self._tree.with_root(self.root), self.metas
        return made.map(lambda path, node: dataclasses.replace(node, meta=metas.get(id(node), node.meta))) if metas else made

    def set(self, way: Sequence[Dir], name: bytes, node: Node) -> None:
        """Put a node into the last directory of a way that `directory` returned."""
        assert isinstance(way[-1].children, dict)
        way[-1].children[name] = node

    def directory(self, way: Sequence[Dir], at: bytes, path: bytes, meta: Meta | None = None) -> list[Dir]:
        """Return the directories down to `path` below the last of `way`; links are followed inside of the tree.

        What is missing is made; the last directory gets `meta`, where that is given. Raises MergeConflict.
        """
        found = list(way)
        todo = split(path)[::-1]
        links = 0
        while todo:
            name = todo.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                found = found[:-1] or [self.root]
                continue
            child = found[-1].children.get(name)
            if isinstance(child, Symlink):
                links += 1
                if links > _MAX_LINKS:
                    raise MergeConflict("links in a circle, where a directory is to go", path=at)
                todo += split(child.target)[::-1]
                found = [self.root] if child.target.startswith(b"/") else found
                continue
            if child is not None and not isinstance(child, Dir):
                raise MergeConflict(f"a {type_name(child)}, where a directory is to go", path=at)
            if child is None or id(child) not in self._owned:
                old = Dir(Meta(0o755, mtime_ns=self._mtime)) if child is None else child
                child = Dir(old.meta, dict(old.children), old.opaque)
                self._owned[id(child)] = child
                self.set(found, name, child)
            found.append(child)
            if not todo and meta is not None:
                self.metas[id(child)] = meta
        return found


def put(tree: Tree, path: bytes, node: Node) -> Tree:
    """Return `tree` with a node at `path`; what was there goes, directories on the way are made."""
    cut = path.rfind(b"/")
    work = _Edit(tree, node.meta.mtime_ns)
    work.set(work.directory([work.root], path, path[:cut] or b"/"), path[cut + 1 :], node)
    return work.result()


def _text(tree: Tree, path: bytes) -> bytes | None:
    """Return the text of a file, links followed; None where there is none."""
    try:
        node = tree.lookup(path, follow=True)
    except PathError:
        return None
    return node.content.read_at(0, node.content.size) if isinstance(node, File) else None


def configure_release(tree: Tree, image: Image) -> Tree:
    """Return `tree` with the release file of an extension, or the image's name and version in that of a whole system."""
    form = image.text("Format")
    epoch = image.number("SourceDateEpoch")
    time = newest(tree) if epoch is None else epoch * 10**9
    if form in ("sysext", "confext"):
        return _extension_release(tree, image, form, time)
    if image.flag("Overlay"):
        return tree
    for path in (b"/usr/lib/os-release", b"/usr/lib/initrd-release", b"/etc/os-release"):
        node = tree.lookup(path) if path in tree else None
        if isinstance(node, File):
            text = node.content.read_at(0, node.content.size)
            made = _with_lines(text, {"IMAGE_ID": image.text("ImageId"), "IMAGE_VERSION": image.text("ImageVersion")})
            if made != text:
                tree = put(tree, path, File(dataclasses.replace(node.meta, mtime_ns=time), BytesBlob(made)))
    if "/usr/lib" in tree and "/usr/lib/clock-epoch" not in tree:
        tree = put(tree, b"/usr/lib/clock-epoch", File(Meta(0o644, mtime_ns=time)))
    return tree


def _with_lines(text: bytes, wanted: Mapping[str, str]) -> bytes:
    for key, value in wanted.items():
        if value:
            line = f'{key}="{value}"\n'.encode()
            text, count = re.subn(rb"(?m)^" + key.encode() + rb"=.*\n?", lambda match, line=line: line, text)  # type: ignore[misc]
            text += b"" if count else line
    return text


def _extension_release(tree: Tree, image: Image, form: str, time: int) -> Tree:
    prefix = form.upper()
    directory = "/usr/lib" if form == "sysext" else "/etc"
    path = f"{directory}/extension-release.d/extension-release.{image.text('Output')}".encode()
    said = _assignments(tree, path)
    system = _assignments(tree, b"/usr/lib/os-release")
    scope = image.mapping("Environment").get(f"{prefix}_SCOPE", "initrd system portable")
    wanted = {
        "ID": system.get("ID", "_any"),
        f"{prefix}_LEVEL": system.get(f"{prefix}_LEVEL"),
        "VERSION_ID": system.get("VERSION_ID"),
        f"{prefix}_ID": image.text("ImageId"),
        f"{prefix}_VERSION_ID": image.text("ImageVersion"),
        f"{prefix}_SCOPE": scope,
        "ARCHITECTURE": image.text("Architecture"),
    }
    always = ("ID", f"{prefix}_SCOPE", "ARCHITECTURE")
    lines = said | {key: value or "" for key, value in wanted.items() if key not in said and (value or key in always)}
    text = "".join(f"{key}={value}\n" for key, value in lines.items()).encode()
    return put(tree, path, File(Meta(0o644, mtime_ns=time), BytesBlob(text)))


def _assignments(tree: Tree, path: bytes) -> dict[str, str]:
    with context(path=path):
        return parse_env_file(_text(tree, path) or b"")


def _has_program(tree: Tree, name: str) -> bool:
    return any(f"/{place}/{name}" in tree for place in ("usr/bin", "usr/sbin", "bin", "sbin"))


def clean_metadata(tree: Tree, image: Image) -> Tree:
    """Return `tree` without what package managers know of it, as CleanPackageMetadata= asks for."""
    wanted = image.text("CleanPackageMetadata")
    if wanted == "disabled" or (wanted == "auto" and image.text("Format") in ("directory", "tar")):
        return tree
    program, directory = _MANAGERS.get(image.text("Distribution"), ("dnf", "dnf"))
    rows = (*_CLEANED, (program, (f"/var/lib/{directory}", f"/var/cache/{directory}")))
    gone = [place for tool, places in rows if wanted == "enabled" or not _has_program(tree, tool) for place in places]
    return exclude(tree, Globs(gone))


def remove_files(tree: Tree, image: Image) -> Tree:
    """Return `tree` without what RemoveFiles= names. Raises ConfigError for a pattern that names the root, or nothing."""
    globs = []
    for pattern in image.words("RemoveFiles"):
        parts = [part for part in Path(pattern).parts if part != "/"]
        if not parts or ".." in parts:
            place = image.where("RemoveFiles")
            assert place is not None
            raise place.fail(f"RemoveFiles=: `{pattern}` names no file of the image")
        globs.append("/" + "/".join(parts) + ("/" if pattern.endswith("/") else ""))
    return exclude(tree, Globs(globs)) if globs else tree
