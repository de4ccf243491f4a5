"""Directories for what is made on the way: removed at the end, and, where the end did not come, by the next one.

Such a directory is locked as long as somebody works in it (flock), so that what a killed process left is told from what another
one needs: the lock went with the process.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imgcore import hosts
from imgcore.errors import ImgcoreError, OutputError
from imgcore.events import Control
from imgcore.model import Tree

if sys.platform != "win32":
    import fcntl

__all__ = ["discard", "scratch_directory", "unpack_to_scratch"]


@contextlib.contextmanager
def scratch_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a directory in `parent`, whose name begins with `prefix`; it is removed when the block is left.

    Those of the same prefix that processes of this user left when they were killed are removed too. Raises OutputError.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_left(parent, prefix)
        path, lock = _make(parent, prefix)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=str(parent)) from None
    try:
        yield path
    finally:
        discard(path)
        os.close(lock)


def _make(parent: Path, prefix: str) -> tuple[Path, int]:
    """Return a new directory, and the descriptor that holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # it was taken for one that was left, before it had its lock
            continue
        if _lock(lock, wait=True) and not path.exists():
            os.close(lock)
            continue
        return path, lock


def _remove_left(parent: Path, prefix: str) -> None:
    """Remove the directories of this user that nobody holds."""
    for path in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid() and _lock(lock, wait=False):
                    discard(path)
            finally:
                os.close(lock)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Return whether the directory is locked now; some file systems have no locks."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def unpack_to_scratch(tree: Tree, target: Path, control: Control) -> None:
    """Unpack a tree into a scratch directory; raises as `hosts.unpack`, without the hint at what is left: nothing will be."""
    try:
        hosts.unpack(tree, target, control=control)
    except ImgcoreError as error:
        error.hint = None
        raise


def discard(directory: Path) -> None:
    """Remove a scratch directory, also what is in directories that nobody may write to, however deep it goes.

    Directories are moved up to the topmost one and removed there, so no path is longer than two names.
    """
    with contextlib.suppress(OSError):
        os.chmod(directory, 0o700)
        todo = _emptied(directory, directory)
        while todo:
            path = todo.pop()
            todo += _emptied(path, directory)
            with contextlib.suppress(OSError):
                path.rmdir()
        directory.rmdir()


def _emptied(place: Path, top: Path) -> list[Path]:
    """Remove the files of a directory, and move its directories to `top`; return what they are called there."""
    with os.scandir(place) as found:
        entries = list(found)
    moved: list[Path] = []
    for entry in entries:
        with contextlib.suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry)
                continue
            os.chmod(entry, 0o700)  # whoever moves a directory to another one writes to it
            if place == top:
                moved.append(Path(entry.path))
                continue
            moved.append(Path(tempfile.mkdtemp(prefix="", dir=top)))
            os.rename(entry, moved[-1])
    return moved
