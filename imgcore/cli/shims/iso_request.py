"""An ISO as the command lines of mkisofs and xorriso ask for it: gathered word by word, then written."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.cli.shims.arguments import ShimError, UsageFault
from imgcore.cli.system import source_date_epoch
from imgcore.formats.iso9660 import Options
from imgcore.formats.iso9660.boot import Appended, Boot, BootImage
from imgcore.hosts import node_at
from imgcore.model import Dir, File, FileHints, Meta, Node, Tree, normalize, split
from imgcore.transforms import Clock, ModeRule, Owners, Policy, change_modes, dereference, exclude, join_trees, place_tree

__all__ = ["Image", "IsoRequest"]


class Image:
    """A boot image, while options about it come in: a path in the image, or the number of a partition."""

    def __init__(self, source: str | int, platform: int) -> None:
        self.source, self.platform = source, platform
        self.sectors: int | None = None
        self.info_table = self.grub2_info = False
        self.name = b""

    def value(self) -> BootImage:
        """Return it as the writer takes it."""
        source = self.source if isinstance(self.source, int) else normalize(self.source)
        return BootImage(
            source, self.platform, self.sectors, info_table=self.info_table, grub2_info=self.grub2_info, name=self.name
        )


class IsoRequest:
    """What was asked for."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.maps: list[tuple[str, str]] = []  # (path on the host, path in the image)
        self.out: str | None = None
        self.options: dict[str, Any] = {}
        self.boot: dict[str, Any] = {}
        self.images: list[Image] = []
        self.platform: int | None = None
        self.appended: dict[int, Appended] = {}
        self.as_gpt = self.is_isohybrid = self.isohybrid_gpt = False
        self.loader = b""
        self.loader_kind = "none"
        self.catalog: str | None = None
        self.hides_catalog = False
        self.grafts = self.follow = self.rational = False
        self.excludes: list[str] = []
        self.weights: list[tuple[int, str]] = []
        self.all_dates: int | None = None
        self.uid: str | None = None
        self.gid: str | None = None
        self.file_mode: str | None = None
        self.dir_mode: str | None = None
        self.modes: list[tuple[int, str]] = []

    def add_source(self, word: str) -> None:
        """Take a path, or TARGET=SOURCE where grafts are on."""
        self.sources.append(word)

    def _table(self) -> str:
        if self.as_gpt:
            return "gpt"
        if self.is_isohybrid and not self.appended:
            return "isohybrid-gpt" if self.isohybrid_gpt else "isohybrid"
        return "mbr" if self.appended or self.loader or self.boot.get("partition_offset") else "none"

    def _mbr_kind(self) -> int:
        """Return the type of the partition with the file system, where none was asked for."""
        return {"isolinux": 0x17, "grub2": 0x83}.get(self.loader_kind, 0xCD)

    def boot_value(self) -> Boot | None:
        """Return what makes the image boot, None for nothing."""
        if not (self.images or self.appended or self.loader or self.boot):
            return None
        shown = "/boot.catalog" if self.catalog is None else self.catalog
        catalog = None if self.hides_catalog or not self.images else normalize(shown)
        return Boot(
            images=tuple(image.value() for image in self.images),
            catalog=catalog,
            loader=self.loader,
            loader_kind=self.loader_kind,  # type: ignore[arg-type]
            table=self._table(),  # type: ignore[arg-type]
            appended=self.appended,
            **{"mbr_kind": self._mbr_kind(), **self.boot},
        )

    def tree(self, stack: contextlib.ExitStack) -> Tree:
        """Return the tree of all sources. Raises ShimError, SourceError."""
        trees = []
        for word in self.sources:
            target, source = _graft(word) if self.grafts else ("/", word)
            trees.append(self._placed(source, target, stack))
        trees += [self._placed(source, target, stack) for source, target in self.maps]
        if not trees:
            raise UsageFault("nothing to put into the image")
        tree = trees[0] if len(trees) == 1 else join_trees(trees, overwrite=True)
        if self.follow:
            tree = dereference(tree)
        return self._changed(tree)

    def _placed(self, source: str, target: str, stack: contextlib.ExitStack) -> Tree:
        if os.path.isdir(source):
            tree = stack.enter_context(open_source(source, xattrs=False)).tree
            if self.excludes:
                tree = exclude(tree, _excluded(self.excludes, os.path.abspath(source)))
            return tree if target == "/" else place_tree(tree, os.fsencode(target))
        node = node_at(source)
        path = target if target not in ("", "/") and not target.endswith("/") else target + os.path.basename(source)
        names = split(os.fsencode(path))
        for name in reversed(names):
            node = Dir(Meta(0o755), {name: node})
        assert isinstance(node, Dir)
        return Tree(node)

    def _changed(self, tree: Tree) -> Tree:
        """Apply what was said of owners, modes and dates."""
        if self.rational:
            tree = tree.map(lambda path, node: _rational(node))
        if self.file_mode is not None or self.dir_mode is not None:
            files = None if self.file_mode is None else ModeRule.parse(self.file_mode)
            tree = change_modes(tree, files=files, dirs=None if self.dir_mode is None else ModeRule.parse(self.dir_mode))
        for mode, path in self.modes:
            wanted = normalize(path)
            tree = _with_mode_at(tree, wanted, mode)
        return tree

    def policy(self) -> Policy:
        """Return owners and dates."""
        epoch = source_date_epoch()
        clock = Clock() if epoch is None else Clock.clamp(epoch * 10**9)
        if self.all_dates is not None:
            clock = Clock.fixed(self.all_dates * 10**9)
        owners = Owners.keep()
        if self.uid is not None or self.gid is not None:
            if not (self.uid or "0").isdigit() or not (self.gid or "0").isdigit():
                raise ShimError("-uid and -gid: write numbers")
            owners = Owners.fixed(int(self.uid or 0), int(self.gid or 0))
        return Policy(owners=owners, clock=clock)

    def _hints(self, path: bytes, node: File) -> FileHints | None:
        text = os.fsdecode(path)
        found = None
        for weight, pattern in self.weights:
            whole = "/" + pattern.strip("/")
            if fnmatch.fnmatchcase(text, whole) or text.startswith(whole + "/"):
                found = weight
        return None if found is None else FileHints(priority=found)

    def write(self) -> None:
        """Write the image. Raises ShimError, ImgcoreError."""
        if self.out is None:
            raise UsageFault("no target: -o FILE")
        target: Any = sys.stdout.buffer if self.out == "-" else self.out.removeprefix("stdio:")
        with contextlib.ExitStack() as stack:
            values = {"system_id": "LINUX", "volume_id": "ISOIMAGE", **self.options}
            if "time" not in values and (epoch := source_date_epoch()) is not None:
                values["time"] = epoch
            options = Options(
                **values,
                boot=self.boot_value(),
                hints=self._hints if self.weights else None,
                allow_loss=("link", "xattr", "time"),
            )
            pack(self.tree(stack), target, format="iso9660", options=options, policy=self.policy(), force=True)


def _graft(word: str) -> tuple[str, str]:
    """Return (path in the image, path on the host) of TARGET=SOURCE; `\\=` is no separator."""
    parts = re.split(r"(?<!\\)((?:\\\\)*)=", word, maxsplit=1)
    if len(parts) < 3:
        return "/", _unescaped(word)
    return _unescaped(parts[0] + parts[1]) or "/", _unescaped(parts[2])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\=])", r"\1", text)


def _excluded(words: Sequence[str], source: str) -> Callable[[bytes, Node], bool]:
    """Return whether an entry of the directory `source` is left out.

    A word without a slash is a pattern of names; any other is one of paths of the host, where no `*` is a slash.
    """
    names = [re.compile(fnmatch.translate(word)) for word in words if "/" not in word]
    paths = [
        [re.compile(fnmatch.translate(part)) for part in os.path.abspath(word).split("/")] for word in words if "/" in word
    ]

    def is_out(path: bytes, node: Node) -> bool:
        text = os.fsdecode(path)
        if any(one.match(text.rpartition("/")[2]) for one in names):
            return True
        parts = (source.rstrip("/") + text).split("/")
        return any(
            len(one) == len(parts) and all(pattern.match(part) for pattern, part in zip(one, parts, strict=True))
            for one in paths
        )

    return is_out


def _rational(node: Node) -> Node:
    """Return a node as -r has it: root's, readable by all, not writable, executable by all where it is by anyone."""
    mode = 0o444 | (0o111 if isinstance(node, Dir) or node.meta.mode & 0o111 else 0)
    return dataclasses.replace(node, meta=dataclasses.replace(node.meta, mode=mode, uid=0, gid=0))


def _with_mode_at(tree: Tree, wanted: bytes, mode: int) -> Tree:
    def change(path: bytes, node: Node) -> Node:
        return dataclasses.replace(node, meta=dataclasses.replace(node.meta, mode=mode)) if path == wanted else node

    return tree.map(change)
