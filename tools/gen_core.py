#!/usr/bin/env python3
"""Generate native/core.gen.c, the Python module around the C core, from native/core.cdef.txt.

The result is committed, so that installing needs neither cffi's generator nor a parser of headers. `--check` writes
nothing and fails when the committed file is not what this would write (with the same version of cffi).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

NATIVE = Path(__file__).resolve().parent.parent / "native"
TARGET = NATIVE / "core.gen.c"


def generate() -> bytes:
    """Return the text of core.gen.c."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / TARGET.name
        sources = ["imgcore._core", str(NATIVE / "core.cdef.txt"), str(NATIVE / "core.csrc.c"), str(out)]
        subprocess.run([sys.executable, "-m", "cffi.gen_src", "read-sources", *sources], check=True)
        return out.read_bytes()


def main() -> int:
    """Write or compare; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    text = generate()
    if check:
        if TARGET.read_bytes() != text:
            print(f"{TARGET} is out of date; run tools/gen_core.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_bytes(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
