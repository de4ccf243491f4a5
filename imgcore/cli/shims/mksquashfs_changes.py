"""What mksquashfs's options change in a tree: attributes, pseudo files, owners, permissions, times, the root."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Callable

from imgcore.blob import BytesBlob, FileBlob
from imgcore.build.host_files import HostFiles
from imgcore.cli.shims.arguments import Arguments, ShimError
from imgcore.cli.shims.mksquashfs_filters import Change
from imgcore.cli.shims.values import group, number, time_of, user
from imgcore.cli.system import source_date_epoch
from imgcore.errors import context
from imgcore.events import Control, Warned
from imgcore.limits import Limits
from imgcore.listings import PseudoEntry, apply_pseudo, parse_pseudo, read_pseudo_file
from imgcore.listings.text import xattr_value
from imgcore.model import Meta, Node, Tree
from imgcore.transforms import (
    Clock,
    ModeRule,
    Owners,
    Policy,
    change_meta,
    change_modes,
    change_root,
    set_xattrs,
    strip_xattrs,
)

__all__ = ["changes"]

_NS = 10**9


def changes(arguments: Arguments, control: Control, stack: contextlib.ExitStack) -> list[Change]:
    """Return what is changed in the tree, in mksquashfs's order."""
    made: list[Change] = []
    if not arguments.last("xattrs", True):
        made.append(lambda tree: strip_xattrs(tree, lambda name: True))
    made += _xattr_changes(arguments)
    made.append(_root(arguments))  # first: what is for everything is for the root too
    pseudo = _pseudo(arguments, control, stack)
    owners = _owners(arguments)
    override = arguments.has("pseudo_override")
    if pseudo is not None and not override:
        made.append(pseudo)
    made.append(Policy(owners, Clock.keep(), "all").apply)
    if pseudo is not None and override:
        made.append(pseudo)
    file_mode, dir_mode = (
        ModeRule.parse(text) if (text := arguments.text(key)) is not None else None for key in ("file_mode", "dir_mode")
    )
    if file_mode or dir_mode:
        made.append(lambda tree: change_modes(tree, files=file_mode, dirs=dir_mode, links=file_mode))
    clock = _clock(arguments)
    if clock is not None:
        made.append(lambda tree: Policy(Owners.keep(), clock(tree), "all").apply(tree))
    made.append(_whole_seconds)  # mksquashfs cuts them without a word
    return made


def _whole_seconds(tree: Tree) -> Tree:
    def change(node: Node) -> Meta:
        fraction = node.meta.mtime_ns % _NS
        return dataclasses.replace(node.meta, mtime_ns=node.meta.mtime_ns - fraction) if fraction else node.meta

    return change_meta(tree, change)


def _xattr_changes(arguments: Arguments) -> list[Change]:
    made: list[Change] = []
    include, leave_out = arguments.text("xattrs_include"), arguments.text("xattrs_exclude")
    try:
        for text, keep in ((include, True), (leave_out, False)):
            if text is not None:
                compiled = re.compile(os.fsencode(text))
                made.append(lambda tree, c=compiled, k=keep: strip_xattrs(tree, lambda name: bool(c.search(name)) != k))  # type: ignore[misc]
    except re.error as error:
        raise ShimError(f"not a regular expression: {error}") from None
    added = {}
    for text in arguments.texts("xattrs_add"):
        name, equals, value = os.fsencode(text).partition(b"=")
        if not equals or b"." not in name:
            raise ShimError(f"-xattrs-add: `{text}` is not NAME=VALUE")
        added[name] = xattr_value(value)
    if added:
        made.append(lambda tree: set_xattrs(tree, added))
    return made


def _pseudo(arguments: Arguments, control: Control, stack: contextlib.ExitStack) -> Change | None:
    entries: list[PseudoEntry] = []
    for text in arguments.texts("pseudo"):
        with context(image="-p"):
            entry = parse_pseudo(os.fsencode(text))
        entries += [entry] if entry is not None else []
    for path in arguments.texts("pseudo_file"):
        with context(image=path):
            blob = BytesBlob(sys.stdin.buffer.read()) if path == "-" else stack.enter_context(FileBlob(path))
            entries += read_pseudo_file(blob, Limits.trusted())
    if not entries:
        return None
    missing = None
    if (default := arguments.text("pseudo_dir")) is not None:
        # A default directory has no name of its own: it is parsed as that of the root.
        entry = parse_pseudo(b"/ " + os.fsencode(default))
        if entry is None or entry.kind not in "dD" or entry.mode is None:
            raise ShimError(f"-pd: `{default}` is neither d MODE UID GID nor D TIME MODE UID GID")
        missing = Meta(entry.mode, user(entry.user), group(entry.group), -1 if entry.time_ns is None else entry.time_ns)
    alone = arguments.words[:-1] == ["-"] and not (arguments.has("tar") or arguments.has("cpio"))

    def apply(tree: Tree) -> Tree:
        return apply_pseudo(
            None if alone else tree,
            entries,
            files=HostFiles(control=control),
            missing=missing if missing is None or missing.mtime_ns >= 0 else _as_old_as(tree, missing),
            conflict=lambda error: control.emit(Warned(f"{error}; ignored")),
        )

    return apply


def _as_old_as(tree: Tree, meta: Meta) -> Meta:
    return dataclasses.replace(meta, mtime_ns=tree.root.meta.mtime_ns)


def _owners(arguments: Arguments) -> Owners:
    uid = 0 if arguments.has("all_root") else None
    gid = uid
    if arguments.has("force_uid"):
        uid = user(arguments.text("force_uid"))
    if arguments.has("force_gid"):
        gid = group(arguments.text("force_gid"))
    offset = number(arguments.text("id_offset") or "0", "-uid-gid-offset")
    return Owners(None if uid is None and gid is None else (uid, gid), offset=offset)


def _clock(arguments: Arguments) -> Callable[[Tree], Clock] | None:
    """Return what says the times of a tree: all one time, none later than SOURCE_DATE_EPOCH, or None to keep them."""
    text = arguments.text("inode_time") or arguments.text("repro_time")
    if text is not None:
        if text == "inode":
            return lambda tree: Clock.fixed(max(node.meta.mtime_ns for _, node in tree.walk()))
        fixed = Clock.fixed(time_of(text))
        return lambda tree: fixed
    epoch = source_date_epoch()
    return None if epoch is None else lambda tree: Clock.clamp(epoch * _NS)


def _root(arguments: Arguments) -> Change:
    mode = ModeRule.parse(str(arguments.last("root_mode"))) if arguments.has("root_mode") else None
    uid = user(arguments.text("root_uid")) if arguments.has("root_uid") else None
    gid = group(arguments.text("root_gid")) if arguments.has("root_gid") else None
    text = arguments.text("root_time")

    def root(tree: Tree) -> Tree:
        time = None
        if text == "inode":
            time = max(node.meta.mtime_ns for _, node in tree.walk())
        elif text is not None:
            time = time_of(text)

        def change(meta: Meta) -> Meta:
            return Meta(
                meta.mode if mode is None else mode.apply(meta.mode, True),
                meta.uid if uid is None else uid,
                meta.gid if gid is None else gid,
                meta.mtime_ns if time is None else time,
                meta.xattrs,
            )

        return change_root(tree, change)

    return root
