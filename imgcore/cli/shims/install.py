"""Writes the scripts that stand for the programs of squashfs-tools."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Final

from imgcore.errors import OutputError, TargetExists

__all__ = ["ISO", "PROGRAMS", "SQUASHFS", "install"]

SQUASHFS: Final = ("mksquashfs", "unsquashfs", "sqfscat", "sqfstar")
ISO: Final = ("xorriso", "xorrisofs", "mkisofs", "genisoimage")
PROGRAMS: Final = (*SQUASHFS, *ISO)


def install(directory: str | os.PathLike[str], *, force: bool = False, iso: bool = False) -> list[Path]:
    """Write the scripts into a directory, which is made; return their paths. Raises TargetExists, OutputError.

    Without `iso` they are those of squashfs-tools.

    They run the Python that runs this, and nothing from the directory they are called in.
    """
    place = Path(directory)
    try:
        place.mkdir(parents=True, exist_ok=True)
        paths = [place / name for name in (PROGRAMS if iso else SQUASHFS)]
        for path in paths:
            if os.path.lexists(path) and not force:
                raise TargetExists("target exists", path=os.fsencode(path), hint="--force replaces it")
        for path in paths:
            path.unlink(missing_ok=True)
            command = f"{shlex.quote(sys.executable)} -P -m imgcore.cli.shims {path.name}"
            path.write_text(f'#!/bin/sh\n# Written by `imgcore shims`.\nexec {command} "$@"\n', encoding="utf-8")
            path.chmod(0o755)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=os.fsencode(str(error.filename or place))) from None
    return paths
