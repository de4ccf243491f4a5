"""Scratch directories: removed whatever is in them, and after a process that was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgcore.build.scratch import discard, scratch_directory
from imgcore.errors import OutputError


def deep(place: Path, levels: int) -> None:
    """Make a chain of directories, of which the last one's path is longer than the kernel takes."""
    here = os.open(place, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 100, dir_fd=here)
        there = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_paths_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    with scratch_directory(tmp_path, "scratch-") as place:
        deep(place, 1200)
    assert not list(tmp_path.iterdir())


def test_what_nobody_may_write_to(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/c").write_text("x")
    (top / "link").symlink_to("/etc")
    for name in ("a/b", "a", ""):
        (top / name).chmod(0o500)
    discard(top)
    assert not list(tmp_path.iterdir())
    assert os.path.isdir("/etc")


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), scratch_directory(tmp_path, "s-") as place:
        (place / "a").write_text("x")
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), scratch_directory(tmp_path / "file", "s-"):
        pass


def test_what_a_killed_process_left(tmp_path: Path) -> None:
    left = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom imgcore.build.scratch import scratch_directory\n"
        "with scratch_directory(Path(sys.argv[1]), 's-') as place:\n"
        "    (place / 'a').mkdir()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", left, str(tmp_path)], check=False)
    assert done.returncode < 0 and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "s-file").touch()  # nobody's directory
    (tmp_path / "other").mkdir()
    with scratch_directory(tmp_path, "s-") as place:
        assert {path.name for path in tmp_path.iterdir()} == {place.name, "s-file", "other"}
        with scratch_directory(tmp_path, "s-"):  # the first is held, so it stays
            assert place.is_dir()


def test_two_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    work = (
        "import sys\nfrom pathlib import Path\nfrom imgcore.build.scratch import scratch_directory\n"
        "for _ in range(150):\n"
        "    with scratch_directory(Path(sys.argv[1]), 's-') as place:\n        (place / 'a').write_text('x')\n"
        "        assert (place / 'a').read_text() == 'x'\n"
    )
    runs = [subprocess.Popen([sys.executable, "-c", work, str(tmp_path)]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert not list(tmp_path.iterdir())
