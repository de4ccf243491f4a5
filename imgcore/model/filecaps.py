"""File capabilities: `cap_net_raw=ep` to the value of `security.capability` that Linux reads, and back.

The text is what setcap and getcap speak (cap_from_text): clauses parted by blanks, each a list of names, or `all` or
nothing for all, and operators `=`, `+`, `-` with flags e, i, p. The value is a vfs_cap_data of revision 2, or of revision 3
where a root user id of a namespace is given (linux/capability.h).
"""

from __future__ import annotations

import re
import struct
from typing import Final

__all__ = ["CAPABILITY_NAMES", "capability_text", "capability_value"]

# In the order of their numbers in linux/capability.h.
CAPABILITY_NAMES: Final = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    "checkpoint_restore",
)

_ALL: Final = (1 << len(CAPABILITY_NAMES)) - 1
_REVISION_2: Final = 0x02000000
_REVISION_3: Final = 0x03000000
_EFFECTIVE: Final = 1
_CLAUSE: Final = re.compile(r"([a-z0-9_,]*)((?:[=+-][eip]*)+)")


def capability_value(text: str, root_id: int | None = None) -> bytes:
    """Return the value of `security.capability`; `root_id` makes it one for the namespace of that root. Raises ValueError.

    A file has one effective bit for all: a text in which only some of the permitted ones are effective is refused, as
    setcap does.
    """
    flags = dict.fromkeys("eip", 0)
    if not text.strip():
        raise ValueError("an empty list of capabilities")
    for clause in text.split():
        match = _CLAUSE.fullmatch(clause.lower())
        if match is None:
            raise ValueError(f"`{clause}` is no capability clause; write one such as cap_net_raw=ep")
        named = _named(match[1], clause)
        for step in re.finditer(r"([=+-])([eip]*)", match[2]):
            if step[1] == "=":
                flags = {flag: mask & ~named for flag, mask in flags.items()}
            for flag in step[2]:
                flags[flag] = flags[flag] & ~named if step[1] == "-" else flags[flag] | named
    held = flags["p"] | flags["i"]
    if flags["e"] and held & ~flags["e"]:
        raise ValueError(f"`{text}`: a file's effective bit is for all capabilities that it has")
    parts = [flags["p"] & 0xFFFFFFFF, flags["i"] & 0xFFFFFFFF, flags["p"] >> 32, flags["i"] >> 32]
    effective = _EFFECTIVE if flags["e"] else 0
    if root_id is None:
        return struct.pack("<5I", _REVISION_2 | effective, *parts)
    return struct.pack("<6I", _REVISION_3 | effective, *parts, root_id)


def _named(names: str, clause: str) -> int:
    """Return the bits of a comma list of names, of all without one."""
    if names in ("", "all"):
        return _ALL
    bits = 0
    for name in names.split(","):
        short = name.removeprefix("cap_")
        if short in CAPABILITY_NAMES and name.startswith("cap_"):
            bits |= 1 << CAPABILITY_NAMES.index(short)
        elif name.isdigit() and int(name) < 64:
            bits |= 1 << int(name)
        else:
            raise ValueError(f"`{name}` in `{clause}` is no capability")
    return bits


def capability_text(value: bytes) -> str:
    """Return what getcap would print of a value of `security.capability`. Raises ValueError."""
    if len(value) not in (20, 24):
        raise ValueError("neither 20 nor 24 bytes of file capabilities")
    head, low_p, low_i, high_p, high_i = struct.unpack_from("<5I", value)
    if head & 0xFF000000 != (_REVISION_2 if len(value) == 20 else _REVISION_3):
        raise ValueError(f"file capabilities of an unknown revision {head >> 24}")
    permitted, inheritable = low_p | high_p << 32, low_i | high_i << 32
    groups: dict[str, list[str]] = {}
    for bit in range(64):
        flags = ("e" if head & _EFFECTIVE and (permitted | inheritable) >> bit & 1 else "") + (
            ("i" if inheritable >> bit & 1 else "") + ("p" if permitted >> bit & 1 else "")
        )
        if flags:
            name = f"cap_{CAPABILITY_NAMES[bit]}" if bit < len(CAPABILITY_NAMES) else str(bit)
            groups.setdefault(flags, []).append(name)
    return " ".join(f"{','.join(names)}={flags}" for flags, names in groups.items()) or "="
