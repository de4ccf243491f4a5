"""sqfscat's command line: `sqfscat [OPTIONS] FILESYSTEM FILES…`, which is `unsquashfs -cat`."""

from __future__ import annotations

from collections.abc import Sequence

from imgcore.cli.shims import unsquashfs

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Run one command line; return its exit code."""
    return unsquashfs.main(["-cat", *argv], "sqfscat")
