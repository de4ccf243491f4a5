"""sqfstar's command line: `sqfstar [OPTIONS] FILESYSTEM [EXCLUDES…]`, an archive on standard input.

It is `mksquashfs - FILESYSTEM -tar`, but the archive may be compressed, and there is no table for NFS by default.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from imgcore.cli.shims import mksquashfs
from imgcore.cli.shims.arguments import Option, ShimError, parse
from imgcore.cli.shims.mksquashfs_options import OPTIONS

__all__ = ["main"]


_OPTIONS = {**OPTIONS, "-force": Option("noappend"), "-f": Option("noappend")}


def main(argv: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    try:
        arguments = parse("sqfstar", argv, _OPTIONS)
    except ShimError as error:
        print(f"sqfstar: {error}", file=sys.stderr)
        return 1
    if not arguments.words:
        return mksquashfs.main(argv, "sqfstar")
    dest, *excludes = arguments.words
    words = ["-", dest, "-tar", *(["-noappend"] if arguments.has("noappend") else [])]
    words += [] if arguments.has("export") else ["-no-exports"]
    words += [] if arguments.has("regex") else ["-wildcards"]  # what excludes are, unless told otherwise
    words += [word for word in arguments.options if word not in ("-force", "-f", "-noappend")]
    return mksquashfs.main([*words, *(["-e", *excludes] if excludes else [])], "sqfstar")
