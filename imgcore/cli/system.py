"""What the command line asks the machine: the CPUs that may be used, the environment's clock, the user's directories."""

from __future__ import annotations

import os
import re
import sys

import click

__all__ = ["allowed_cpus", "birth_time", "source_date_epoch", "user_cache"]


def allowed_cpus() -> int:
    """Return how many CPUs this process may use, by its affinity and its control group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        pass
    return max(1, count)


def birth_time(path: bytes) -> int | None:
    """Return when a file was made, in microseconds since 1970; None where the system does not say (statx, Linux)."""
    import ctypes

    buffer = ctypes.create_string_buffer(256)
    wanted, at = 0x800, 80  # STATX_BTIME, and where stx_btime is in struct statx
    try:
        failed = ctypes.CDLL(None, use_errno=True).statx(-100, path, 0, wanted, buffer)
    except (OSError, AttributeError):
        return None
    if failed or not int.from_bytes(buffer.raw[:4], sys.byteorder) & wanted:
        return None
    seconds = int.from_bytes(buffer.raw[at : at + 8], sys.byteorder, signed=True)
    return seconds * 1_000_000 + int.from_bytes(buffer.raw[at + 8 : at + 12], sys.byteorder) // 1000


def source_date_epoch() -> int | None:
    """Return SOURCE_DATE_EPOCH in seconds, None where it is not set. Raises click.UsageError for another text."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise click.UsageError(f"SOURCE_DATE_EPOCH is `{text}`, which is not a number of seconds")
    return int(text)


def user_cache() -> str | None:
    """Return the user's directory for caches (XDG_CACHE_HOME, ~/.cache), None where there is no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):  # the specification has others ignored
        return named
    home = os.path.expanduser("~")
    return os.path.join(home, ".cache") if os.path.isabs(home) else None
