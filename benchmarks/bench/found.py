"""What the machine has that corpora can be made of: large programs, small texts, and the packages that are installed.

Everything is looked at in a fixed order, so the same machine gives the same list. What Debian's packages hold comes from
dpkg's lists; elsewhere `/usr` is walked.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

MIB = 1 << 20

# Compilers and language runtimes first; of each pattern the first match counts.
_PROGRAMS = [
    *("/usr/bin/node", "/usr/lib/gcc/*/*/cc1plus", "/usr/lib/gcc/*/*/cc1", "/usr/lib/gcc/*/*/lto1", "/usr/lib/gcc/*/*/f951"),
    *("/usr/lib/*/libLLVM-*.so*", "/usr/lib/llvm-*/lib/libLLVM*.so*", "/usr/lib/*/libclang-cpp.so*", "/usr/bin/python3.*"),
    *("/usr/lib/jvm/*/lib/server/libjvm.so", "/usr/local/go/bin/go", "/usr/lib/go-*/pkg/tool/*/compile", "/usr/bin/gdb"),
    *("/usr/bin/perl", "/usr/lib/*/libruby*.so*", "/usr/bin/php*", "/usr/lib/*/libQt*WebEngineCore.so*", "/usr/bin/git"),
]
_LIBRARIES = ["/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local/bin", "/usr/local/lib", "/usr/lib"]
_TEXTS = [
    ("/usr/include", 16000),
    ("/usr/lib/python3", 8000),
    ("/usr/lib/python3.*", 8000),
    ("/usr/share/doc", 8000),
    ("/usr/lib/node_modules", 8000),
    ("/usr/share/nodejs", 8000),
    ("/usr/share/perl*", 4000),
    ("/usr/share", 1 << 30),
    ("/usr/lib", 1 << 30),
    ("/usr/src", 1 << 30),
]
MOST_TEXT = 32 << 10
_PRIORITIES = {"required": 0, "important": 1, "standard": 2}


def walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and status of all that is below `root` on its file system, in order of the names; links are not followed."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        yield entry.path, found
        if stat.S_ISDIR(found.st_mode) and not os.path.ismount(entry.path):
            yield from walk(entry.path)


def _is_program(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(4) == b"\x7fELF"
    except OSError:
        return False


def programs() -> Iterator[tuple[str, int]]:
    """Yield paths and sizes of large binaries: compilers and runtimes, then other programs and libraries of 1 to 40 MiB."""
    seen: set[tuple[int, int]] = set()

    def is_new(path: str) -> int:
        try:
            found = os.stat(path)
        except OSError:
            return 0
        key = found.st_dev, found.st_ino
        if key in seen or not stat.S_ISREG(found.st_mode) or found.st_size < MIB or not _is_program(path):
            return 0
        seen.add(key)
        return found.st_size

    for pattern in _PROGRAMS:
        for path in sorted(glob.glob(pattern)):
            if size := is_new(path):
                yield path, size
                break
    rest = [(path, found.st_size) for root in _LIBRARIES for path, found in walk(root) if stat.S_ISREG(found.st_mode)]
    # Not largest first: those of one kind have one size, and the corpus is to have many kinds.
    rest = [(path, size) for path, size in rest if MIB <= size <= 40 * MIB]
    for path, size in sorted(rest, key=lambda item: (os.path.basename(item[0])[::-1], item[0])):
        if is_new(path):
            yield path, size


def texts() -> Iterator[str]:
    """Yield paths of small files: headers, modules, documents; not more of each kind than its share."""
    for pattern, share in _TEXTS:
        for root in sorted(glob.glob(pattern)):
            left = share
            for path, found in walk(root):
                if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= MOST_TEXT:
                    yield path
                    left -= 1
                    if not left:
                        break


def packages() -> Iterator[tuple[str, list[str]]]:
    """Yield names of installed packages and what they have below /usr: what every system needs first, then by name."""
    try:
        blocks = Path("/var/lib/dpkg/status").read_text(errors="replace").split("\n\n")
    except OSError:
        blocks = []
    found = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            found.append((_PRIORITIES.get(fields.get("Priority", ""), 3), fields["Package"], fields.get("Architecture", "")))
    for _, name, architecture in sorted(found):
        for listed in (f"{name}.list", f"{name}:{architecture}.list"):
            try:
                lines = Path("/var/lib/dpkg/info", listed).read_text(errors="surrogateescape").split("\n")
            except OSError:
                continue
            yield name, [line for line in lines if line.startswith("/usr/")]
            break
    if not found:
        for entry in sorted(os.listdir("/usr")):
            yield entry, [f"/usr/{entry}", *(path for path, _ in walk(f"/usr/{entry}"))]


def size_of(paths: Sequence[str]) -> int:
    """Return how many bytes the regular files among `paths` have."""
    total = 0
    for path in paths:
        try:
            found = os.lstat(path)
        except OSError:
            continue
        total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total
