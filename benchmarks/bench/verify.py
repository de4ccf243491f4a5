"""Whether an image holds what its source holds: mounted by the kernel where that is possible, and compared entry by entry."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)


@contextlib.contextmanager
def contents(image: Path, scratch: Path, unpack: Callable[[Path], object]) -> Iterator[tuple[Path, str]]:
    """Give the directory in which the content of an image is, and how it came there; `unpack` is asked where no mount is."""
    place = scratch / "mounted"
    place.mkdir()
    try:
        mounted = os.geteuid() == 0 and _mount(image, place)
        if not mounted:
            place.rmdir()
            unpack(place)
        try:
            yield place, "mounted by the kernel" if mounted else "unpacked"
        finally:
            if mounted:
                subprocess.run(["umount", place], check=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _mount(image: Path, place: Path) -> bool:
    return subprocess.run(["mount", "-t", "squashfs", "-o", "loop,ro", image, place], capture_output=True).returncode == 0


def require_equal(source: Path, found: Path, what: str) -> int:
    """Return how many entries were compared; ends the benchmark when one differs, or is on one side only."""
    wrong = list(itertools.islice(differences(source, found), 10))
    if wrong:
        sys.exit("\n".join([f"{what}: the image is not what was packed", *wrong]))
    return sum(1 + len(names) for _, _, names in os.walk(found))


def differences(source: Path, found: Path) -> Iterator[str]:
    """Yield what is not the same below both directories."""
    same_owner = os.geteuid() == 0
    stack = [""]
    while stack:
        below = stack.pop()
        ours, theirs = ({entry.name: entry for entry in os.scandir(root / below)} for root in (source, found))
        for name in sorted(ours.keys() | theirs.keys()):
            path = os.path.join(below, name)
            if name not in ours or name not in theirs:
                yield f"{path}: only {'in the image' if name in theirs else 'in the source'}"
                continue
            one, two = ours[name].stat(follow_symlinks=False), theirs[name].stat(follow_symlinks=False)
            if difference := _difference(source / path, found / path, one, two, same_owner):
                yield f"{path}: {difference}"
            elif stat.S_ISDIR(one.st_mode):
                stack.append(path)


def _difference(ours: Path, theirs: Path, one: os.stat_result, two: os.stat_result, same_owner: bool) -> str:
    if one.st_mode != two.st_mode:
        return f"mode {one.st_mode:o} became {two.st_mode:o}"
    if same_owner and (one.st_uid, one.st_gid) != (two.st_uid, two.st_gid):
        return "has another owner"
    if int(one.st_mtime) != int(two.st_mtime):
        return f"time {int(one.st_mtime)} became {int(two.st_mtime)}"
    if stat.S_ISLNK(one.st_mode):
        return "" if os.readlink(ours) == os.readlink(theirs) else "leads elsewhere"
    if stat.S_ISREG(one.st_mode):
        if one.st_size != two.st_size or one.st_nlink < two.st_nlink:
            return f"size {one.st_size} became {two.st_size}, links {one.st_nlink} {two.st_nlink}"
        return "" if _same_bytes(ours, theirs, one.st_size) else "has other content"
    return "" if one.st_rdev == two.st_rdev else "is another device"


def _same_bytes(ours: Path, theirs: Path, size: int) -> bool:
    """Compare content; what is read of the image is dropped from the cache, so that the corpora stay there."""
    with open(ours, "rb", buffering=0) as one, open(theirs, "rb", buffering=0) as two:
        if size <= _CHUNK:
            return one.read(size) == two.read(size)
        for at in range(0, size, _CHUNK):
            want = os.pread(one.fileno(), _CHUNK, at) if _has_data(one.fileno(), at) else _ZEROS[: size - at]
            if os.pread(two.fileno(), _CHUNK, at) != want:
                return False
            if at % (64 * _CHUNK) == 0:
                os.posix_fadvise(two.fileno(), 0, at, os.POSIX_FADV_DONTNEED)
    return True


def _has_data(fd: int, at: int) -> bool:
    try:
        return os.lseek(fd, at, os.SEEK_DATA) < at + _CHUNK
    except OSError:
        return False
