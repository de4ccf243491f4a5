"""Directories of the host read by the C core (native/scan.h), as columns."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection
from itertools import compress
from typing import Any

from imgcore._core import ffi, lib
from imgcore.engine.protocol import ScanFailed, Scanned
from imgcore.events import Control

__all__ = ["scan"]

_WHAT = {
    lib.IMGCORE_SCAN_DIRECTORY: "directory",
    lib.IMGCORE_SCAN_REPLACED: "directory",
    lib.IMGCORE_SCAN_STATUS: "status",
    lib.IMGCORE_SCAN_TARGET: "link target",
    lib.IMGCORE_SCAN_XATTRS: "extended attributes",
}


def scan(top: bytes, skip: Collection[tuple[int, int, bytes]], xattrs: bool, control: Control, jobs: int = 0) -> Scanned | None:
    """Return what `Engine.scan` says; `jobs` threads do it, as many as there are CPUs unless said."""
    if b"\0" in top:
        return None
    names = [ffi.new("char[]", name) for _, _, name in skip]
    left_out = ffi.new("imgcore_skip[]", [(dev, ino, name) for (dev, ino, _), name in zip(skip, names, strict=True)])
    jobs = jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    handle = lib.imgcore_scan_open(top, jobs, xattrs, left_out, len(names))
    if handle == ffi.NULL:
        raise MemoryError("no threads could be started to read the directory")
    try:
        found = ffi.new("imgcore_scanned *")
        while not (found.done or found.error):
            control.check()
            lib.imgcore_scan_wait(handle, found)
        if found.error == lib.IMGCORE_SCAN_LONG:
            return None
        if found.error == lib.IMGCORE_SCAN_MEMORY:
            raise MemoryError("not enough memory for the list of files")
        if found.error:
            path = ffi.string(found.path) if found.path != ffi.NULL else top
            raise ScanFailed(_WHAT[found.error], found.system_error, path)
        return _columns(found)
    finally:
        lib.imgcore_scan_close(handle)


def _columns(found: Any) -> Scanned:
    def column(pointer: Any, count: int, code: str) -> array[int]:
        made = array(code)
        made.frombytes(ffi.buffer(ffi.cast("char *", pointer), count * made.itemsize))
        return made

    def texts(pointer: Any, size: int) -> list[bytes]:
        return ffi.buffer(pointer, size)[:].split(b"\0")[:-1] if size else []

    rows, dirs = found.rows, found.dir_count
    has_xattrs: list[int] = []
    if found.any_xattrs:
        has_xattrs = list(compress(range(rows), ffi.buffer(ffi.cast("char *", found.has_xattrs), rows)[:]))
    return Scanned(
        names=texts(found.names, found.names_size),
        targets=texts(found.targets, found.targets_size),
        dirs=column(found.dirs, dirs, "I"),
        children=column(found.children, dirs, "I"),
        modes=column(found.mode, rows, "I"),
        nlinks=column(found.nlink, rows, "I"),
        uids=column(found.uid, rows, "I"),
        gids=column(found.gid, rows, "I"),
        sizes=column(found.size, rows, "Q"),
        devs=column(found.dev, rows, "Q"),
        inos=column(found.ino, rows, "Q"),
        rdevs=column(found.rdev, rows, "Q"),
        blocks=column(found.blocks, rows, "q"),
        mtimes=column(found.mtime_ns, rows, "q"),
        ctimes=column(found.ctime_ns, rows, "q"),
        xattr_rows=has_xattrs,
    )
