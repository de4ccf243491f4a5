"""What the command line asks the machine: the CPUs that may be used, the environment's clock, the user's directories."""

from __future__ import annotations

import os
import re

import click

__all__ = ["allowed_cpus", "source_date_epoch", "user_cache"]


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
