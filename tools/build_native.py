#!/usr/bin/env python3
"""Build imgcore/_core.abi3.so in place with plain `cc`, for work on a checkout; installing uses CMake instead.

Extra arguments go to the compiler: `tools/build_native.py -g -O1 -fsanitize=address`. CC is respected.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", "-fPIC", "-fvisibility=hidden", "-shared", "-pthread"]


def main() -> int:
    """Compile and link; return the compiler's exit code."""
    sources = sorted(str(path) for path in (ROOT / "native").glob("*.c") if path.name != "core.csrc.c")
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        *FLAGS,
        # Python's and cffi's own code does not keep to our warnings.
        "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",
        "-isystem",
        sysconfig.get_path("include"),
        *sys.argv[1:],
        *sources,
        "-o",
        str(ROOT / "imgcore" / "_core.abi3.so"),
    ]
    print(shlex.join(command))
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
