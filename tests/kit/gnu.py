"""Programs that change one file, asked what they would do: chmod, setcap, getcap."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def chmod_says(chmod: str, where: Path, cases: list[tuple[str, int, bool]]) -> list[int | None]:
    """Return the mode after `chmod RULE` under umask 0 for each (rule, mode before, is a directory), None if refused."""
    found: list[int | None] = []
    for number, (rule, mode, is_dir) in enumerate(cases):
        path = where / f"{number}"
        path.mkdir() if is_dir else path.touch()
        os.chmod(path, mode)
        done = subprocess.run([chmod, "--", rule, path], capture_output=True, umask=0, check=False)
        found.append(path.stat().st_mode & 0o7777 if done.returncode == 0 else None)
        path.rmdir() if is_dir else path.unlink()
    return found
