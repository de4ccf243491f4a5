"""systemd's names of architectures, and the one that a machine's own name stands for."""

from __future__ import annotations

from typing import Final

__all__ = ["ARCHITECTURES", "architecture_of_machine", "near_misses"]

_MACHINES: Final = {
    "x86_64": "x86-64",
    **dict.fromkeys(("i386", "i486", "i586", "i686"), "x86"),
    "ppc64": "ppc64",
    "ppc64le": "ppc64-le",
    "ppc": "ppc",
    "ppcle": "ppc-le",
    "ia64": "ia64",
    "parisc": "parisc",
    "parisc64": "parisc64",
    "s390x": "s390x",
    "s390": "s390",
    "sparc": "sparc",
    "sparc64": "sparc64",
    "mips": "mips",
    "mips64": "mips64",
    "alpha": "alpha",
    "aarch64": "arm64",
    "aarch64_be": "arm64-be",
    **dict.fromkeys(("armv4l", "armv4tl", "armv5tl", "armv5tel", "armv5tejl", "armv6l", "armv7l", "armv8l"), "arm"),
    "sh5": "sh64",
    "sh4": "sh",
    "loongarch64": "loongarch64",
    "m68k": "m68k",
    "tilegx": "tilegx",
    "crisv32": "cris",
    "arc": "arc",
    "riscv32": "riscv32",
    "riscv64": "riscv64",
    "nios2": "nios2",
}

ARCHITECTURES: Final = frozenset(_MACHINES.values()) | {"arm-be", "mips-le", "mips64-le", "arc-be"}
"""Every name that systemd knows."""

_NEAR: Final = {"amd64": "x86-64", "armhf": "arm", "ppc64el": "ppc64-le"}


def architecture_of_machine(machine: str) -> str:
    """Return systemd's name of what `uname -m` prints; raises ValueError for one that it has no name for."""
    if machine not in _MACHINES:
        raise ValueError(f"systemd has no name for the architecture `{machine}`")
    return _MACHINES[machine]


def near_misses(word: str) -> str | None:
    """Return systemd's name of an architecture that `word` is another project's name of, None where it is none."""
    return _NEAR.get(word.lower()) or _MACHINES.get(word.lower())
