"""The oracles: the kernel's own squashfs, and the tools of squashfs-tools and squashfs-tools-ng.

A test that needs an oracle that is not here is skipped with the reason, and fails instead when IMGCORE_REQUIRE_ORACLES=1.
What the kernel and the tools say is read by plain system calls, not by the code under test.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from imgcore.blob import read_chunks
from imgcore.model import Device, Dir, File, Symlink, Tree, type_name

Record = dict[str, object]


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it where oracles are required."""
    if os.environ.get("IMGCORE_REQUIRE_ORACLES") == "1":
        pytest.fail(f"oracle required: {reason}")
    pytest.skip(reason)


def tool(name: str, *, newest: bool = False) -> str:
    """Return the path of a program; `newest` is the one that `tools/oracles newest DIR` unpacked."""
    if newest:
        place = os.environ.get("IMGCORE_NEWEST_ORACLES")
        if place is None:
            missing("IMGCORE_NEWEST_ORACLES does not name the directory of `tools/oracles newest`")
        found = shutil.which(name, path=f"{place}/bin")
    else:
        found = shutil.which(name)
    return found if found is not None else missing(f"{name} is not installed")


def run(*command: str | Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program; with `ok` it has to succeed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=300, check=False
    )
    if ok and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


@functools.cache
def _why_no_mount() -> str:
    if os.geteuid() != 0:
        return "mounting needs root"
    if "squashfs" not in Path("/proc/filesystems").read_text():
        return "this kernel has no squashfs"
    if shutil.which("mount") is None:
        return "mount is not installed"
    return ""


def needs_mount() -> None:
    """Skip the test where nothing can be mounted, or fail it where oracles are required."""
    if reason := _why_no_mount():
        missing(reason)


@contextlib.contextmanager
def mounted(image: Path, at: Path) -> Iterator[bool]:
    """Mount `image` read-only at `at`, which is made; give whether the kernel took it."""
    if reason := _why_no_mount():
        missing(reason)
    at.mkdir(parents=True, exist_ok=True)
    done = run("mount", "-t", "squashfs", "-o", "loop,ro", image, at, ok=False)
    if "failed to setup loop device" in done.stderr or "No such device" in done.stderr:
        missing(f"no loop device: {done.stderr.strip()}")
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            run("umount", at)


@contextlib.contextmanager
def tmpfs(at: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory, with these mount options."""
    if reason := _why_no_mount():
        missing(reason)
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", at)
    try:
        yield
    finally:
        # A loop device on it is let go of by a thread of the kernel, and whoever makes namespaces holds it for a moment.
        for _ in range(20):
            if run("umount", at, ok=False).returncode == 0:
                break
            time.sleep(0.25)
        else:
            run("umount", at)


_TYPES = {
    stat.S_IFDIR: "dir",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def _file_digest(path: bytes) -> str:
    total = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            total.update(chunk)
    return total.hexdigest()


def _visible(kind: str, xattrs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the attributes that Linux hands out: user.* only of files and directories (xattr_permission)."""
    return {name: value for name, value in xattrs.items() if kind in ("file", "dir") or not name.startswith(b"user.")}


def _xattrs(path: bytes, kind: str) -> dict[bytes, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # what Linux says of every file of an image without an xattr table
            return {}
        raise
    shown = _visible(kind, dict.fromkeys(map(os.fsencode, names), b""))
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in shown}


def _record(path: bytes) -> Record:
    """Return what the kernel says of one name; the file is opened by its name, not by what readdir said."""
    found = os.lstat(path)
    kind = _TYPES[stat.S_IFMT(found.st_mode)]
    record: Record = {
        "type": kind,
        "mode": stat.S_IMODE(found.st_mode),
        "owner": (found.st_uid, found.st_gid),
        "time": found.st_mtime_ns // 10**9,
        "xattrs": _xattrs(path, kind),
    }
    if kind == "file":
        record["size"] = found.st_size
        record["sha256"] = _file_digest(path)
    elif kind == "symlink":
        record["target"] = os.readlink(path)
    elif kind in ("char", "block"):
        record["device"] = (os.major(found.st_rdev), os.minor(found.st_rdev))
    if kind != "dir":
        record["links"] = found.st_nlink
    return record


def host_records(root: Path) -> dict[bytes, Record]:
    """Return what the kernel says of every name below `root`; raises OSError where it fails."""
    base = os.fsencode(root)
    out = {b"/": _record(base)}
    inodes: dict[int, bytes] = {}
    todo = [b""]
    while todo:
        parent = todo.pop()
        for name in os.listdir(base + parent):
            path = parent + b"/" + name
            record = out[path] = _record(base + path)
            if record["type"] == "dir":
                todo.append(path)
            else:
                found = os.lstat(base + path)
                if found.st_nlink > 1:
                    first = inodes.setdefault(found.st_ino, path)
                    inodes[found.st_ino] = min(first, path)
    for path, record in out.items():
        if record["type"] != "dir" and os.lstat(base + path).st_nlink > 1:
            record["group"] = inodes[os.lstat(base + path).st_ino]
    return out


def tree_records(tree: Tree) -> dict[bytes, Record]:
    """Return the same of a Tree, as a file system with times of whole seconds shows it."""
    groups = {path: paths for paths in tree.links().values() for path in paths}
    out: dict[bytes, Record] = {}
    for path, node in tree.walk():
        meta = node.meta
        record: Record = {
            "type": type_name(node),
            "mode": meta.mode,
            "owner": (meta.uid, meta.gid),
            "time": meta.mtime_ns // 10**9,
            "xattrs": _visible(type_name(node), meta.xattrs),
        }
        if isinstance(node, File):
            total = hashlib.sha256()
            for chunk in read_chunks(node.content):
                total.update(chunk)
            record["size"], record["sha256"] = node.content.size, total.hexdigest()
        elif isinstance(node, Symlink):
            record["target"] = node.target
        elif isinstance(node, Device):
            record["device"] = (node.major, node.minor)
        if not isinstance(node, Dir):
            record["links"] = len(groups.get(path, (path,)))
            if path in groups:
                record["group"] = min(groups[path])
        out[path] = record
    return out


def differences(one: dict[bytes, Record], two: dict[bytes, Record], *, ignore: tuple[str, ...] = ()) -> list[str]:
    """Return what differs between two sets of records, at most twenty lines."""
    out = []
    for path in sorted(one.keys() | two.keys()):
        if path not in one or path not in two:
            out.append(f"{path!r}: only in {'first' if path in one else 'second'}")
            continue
        for key in sorted((one[path].keys() | two[path].keys()) - set(ignore)):
            if one[path].get(key) != two[path].get(key):
                out.append(f"{path!r}.{key}: {one[path].get(key)!r} / {two[path].get(key)!r}")
    return out[:20]
