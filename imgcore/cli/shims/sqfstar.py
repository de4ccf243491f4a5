"""sqfstar's command line: `sqfstar [OPTIONS] FILESYSTEM [EXCLUDES…]`, an archive on standard input.

It is `mksquashfs - FILESYSTEM -tar`, but the archive may be compressed, and there is no table for NFS by default.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from imgcore.cli.shims import mksquashfs
from imgcore.cli.shims.arguments import ShimError, parse
from imgcore.cli.shims.mksquashfs_options import OPTIONS

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    try:
        arguments = parse("sqfstar", argv, OPTIONS)
    except ShimError as error:
        print(f"sqfstar: {error}", file=sys.stderr)
        return 1
    if not arguments.words:
        return mksquashfs.main(argv)
    dest, *excludes = arguments.words
    export = [] if arguments.has("export") else ["-no-exports"]
    return mksquashfs.main(["-", dest, "-tar", *export, *arguments.options, *(["-e", *excludes] if excludes else [])])
