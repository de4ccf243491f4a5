"""Where the system lacks what Linux has, importing, scanning, packing and reading still work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CODE = """
import os, sys
for name in (
    "listxattr getxattr setxattr SEEK_HOLE SEEK_DATA O_NOFOLLOW O_DIRECTORY O_TMPFILE O_PATH O_NONBLOCK O_CLOEXEC"
    " sched_getaffinity mknod mkfifo chown fchown lchown geteuid pwritev preadv posix_fadvise"
).split():
    if hasattr(os, name):
        delattr(os, name)
os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks = set(), set(), set()
import imgcore
from imgcore.cli.main import run
from imgcore.testing import trees
source, image = sys.argv[1:]
imgcore.pack(source, image, engine="pure")
for arguments in (["ls", "-lR", image], ["manifest", image], ["check", image], ["doctor"], ["diff", source, image]):
    assert run(arguments) == 0, arguments
try:
    imgcore.unpack(image, image + ".d")
except imgcore.Unsupported as error:
    print("refused:", error.message)
"""


def test_without_the_functions_of_linux(tmp_path: Path) -> None:
    (tmp_path / "s" / "d").mkdir(parents=True)
    (tmp_path / "s" / "d" / "f").write_bytes(b"hello" * 10_000)
    (tmp_path / "s" / "l").symlink_to("d/f")
    result = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path / "s", tmp_path / "o.raw"], capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
    assert "refused:" in result.stdout
