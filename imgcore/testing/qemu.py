"""Boots an image in QEMU, and compares what Linux sees of it with what is in it.

    python -m imgcore.testing.qemu new.iso --bios --uefi --cd --usb

The image has to hold the boot probe (`tools/make-boot-tree` makes such a tree): an initrd that mounts the medium, prints
the SHA-256 and the metadata of every file on the serial line, and powers off. `boot` runs one such boot and returns what was
printed, `differences` compares it with the image as imgcore reads it. Needs `qemu-system-x86_64`, and OVMF for UEFI. QEMU
emulates the processor unless `accel` says otherwise: a /dev/kvm that is there may still fail in firmware's code.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from imgcore.blob import read_chunks
from imgcore.build.source import open_source
from imgcore.model import Device, Dir, File, Node, Pipe, Socket, Symlink, Tree
from imgcore.values import value_class

__all__ = ["BootReport", "Firmware", "Medium", "Seen", "boot", "differences", "main", "missing"]

Firmware: TypeAlias = Literal["bios", "uefi"]
Medium: TypeAlias = Literal["cd", "usb", "ide", "virtio"]

_QEMU: Final = "qemu-system-x86_64"
_OVMF: Final = ("/usr/share/OVMF", "/usr/share/edk2/x64", "/usr/share/edk2/ovmf", "/usr/share/qemu")
_LINE: Final = re.compile(r"@@([A-Z]+) ?(.*)")
_KINDS: Final = {
    Dir: stat.S_IFDIR,
    File: stat.S_IFREG,
    Symlink: stat.S_IFLNK,
    Pipe: stat.S_IFIFO,
    Socket: stat.S_IFSOCK,
}


@value_class
class Seen:
    """What Linux saw of one path: `mode` with the type, `mtime` in seconds, `target` of a link, `sha256` of a file."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: str = ""
    sha256: str = ""


@value_class
class BootReport:
    """What a boot printed. `done` says that the probe came to its end; `log` is the whole of the serial line."""

    firmware: Firmware
    medium: Medium
    done: bool
    seconds: float
    marks: tuple[str, ...]
    seen: dict[str, Seen]
    dmesg: tuple[str, ...]
    log: str


def missing(firmware: Firmware) -> str | None:
    """Return what is not installed and would be needed, None when all is there."""
    if shutil.which(_QEMU) is None:
        return f"{_QEMU} is not installed"
    if firmware == "uefi" and _ovmf() is None:
        return "OVMF is not installed"
    return None


def _ovmf() -> tuple[Path, Path] | None:
    """Return OVMF's code and its variables."""
    for folder in map(Path, _OVMF):
        for code, variables in (("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"), ("OVMF_CODE.fd", "OVMF_VARS.fd")):
            if (folder / code).exists() and (folder / variables).exists():
                return folder / code, folder / variables
    return None


def boot(
    image: str | os.PathLike[str],
    firmware: Firmware = "bios",
    medium: Medium = "cd",
    *,
    timeout: float = 180,
    accel: str = "tcg",
) -> BootReport:
    """Boot an image, which is not changed, and return what its probe printed before it powered off.

    Raises FileNotFoundError when QEMU or the firmware is not there.
    """
    why = missing(firmware)
    if why is not None:
        raise FileNotFoundError(why)
    path = os.fspath(image).replace(",", ",,")
    with tempfile.TemporaryDirectory() as scratch:
        log = os.path.join(scratch, "log")
        words = [_QEMU, "-M", "q35", "-m", "512", "-accel", accel, "-nographic", "-serial", f"file:{log}", "-monitor", "none"]
        words += ["-vga", "none", "-net", "none", "-no-reboot"]
        if firmware == "uefi":
            found = _ovmf()
            assert found is not None
            variables = shutil.copy(found[1], os.path.join(scratch, "vars.fd"))
            words += ["-drive", f"if=pflash,format=raw,readonly=on,file={found[0]}"]
            words += ["-drive", f"if=pflash,format=raw,file={variables}"]
        drive = f"file={path},format=raw,if={{}},snapshot=on"
        words += {
            "cd": ["-cdrom", path, "-boot", "d"],
            "ide": ["-drive", drive.format("ide"), "-boot", "c"],
            "virtio": ["-drive", drive.format("virtio")],
            "usb": [
                *("-device", "qemu-xhci", "-drive", drive.format("none,id=stick")),
                *("-device", "usb-storage,drive=stick,bootindex=0"),
            ],
        }[medium]
        started = time.monotonic()
        _run(words, log, timeout)
        seconds = time.monotonic() - started
        text = Path(log).read_bytes().replace(b"\r", b"").decode("utf-8", "surrogateescape") if os.path.exists(log) else ""
    return _parse(text, firmware, medium, seconds)


def _run(words: Sequence[str], log: str, timeout: float) -> None:
    """Run QEMU until it ends; a machine that cannot boot is ended as soon as its firmware says so, or at the timeout."""
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + timeout
        while process.poll() is None and time.monotonic() < end:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                if os.path.exists(log) and _is_hopeless(Path(log)):
                    break
        process.kill()


def _is_hopeless(log: Path) -> bool:
    text = log.read_bytes()[-4096:]
    return b"No bootable device" in text or b"UEFI Interactive Shell" in text or b"grub rescue>" in text


def _parse(text: str, firmware: Firmware, medium: Medium, seconds: float) -> BootReport:
    marks: list[str] = []
    dmesg: list[str] = []
    sums: dict[str, str] = {}
    stats: dict[str, list[str]] = {}
    targets: dict[str, str] = {}
    done = False
    for match in _LINE.finditer(text):
        kind, rest = match[1], match[2]
        if kind == "SHA":
            digest, _, path = rest.partition(" ")
            sums[path] = digest
        elif kind == "STAT":
            *words, path = rest.split(" ", 6)
            stats[path] = words
        elif kind == "LINK":
            path, _, target = rest.partition(" -> ")
            targets[path] = target
        elif kind == "DMESG":
            dmesg.append(rest)
        elif kind == "DONE":
            done = True
        else:
            marks.append(f"{kind} {rest}")
    seen = {}
    for path, words in stats.items():
        mode, uid, gid, size, mtime = (int(word, base) for word, base in zip(words, (16, 10, 10, 10, 10), strict=False))
        seen[path] = Seen(mode, uid, gid, size, mtime, targets.get(path, ""), sums.get(path, ""))
    return BootReport(firmware, medium, done, seconds, tuple(marks), seen, tuple(dmesg), text)


def differences(report: BootReport, tree: Tree) -> Iterator[str]:
    """Yield, as sentences, what Linux saw otherwise than it is in `tree`, and what its log complains of."""
    if not report.done:
        yield f"the boot did not come to its end: {report.log[-300:]!r}"
        return
    expected = {}
    for path, node in tree.walk():
        expected["." if path == b"/" else "." + os.fsdecode(path)] = node
    for name in sorted(expected.keys() - report.seen.keys()):
        yield f"{name}: Linux does not see it"
    for name in sorted(report.seen.keys() - expected.keys()):
        yield f"{name}: only Linux sees it"
    for name in sorted(report.seen.keys() & expected.keys()):
        yield from _compare(name, report.seen[name], expected[name])
    for line in report.dmesg:
        if "GPT:" in line or "Alternate" in line:
            yield f"Linux says: {line}"


def _compare(name: str, seen: Seen, node: Node) -> Iterator[str]:
    meta = node.meta
    kind = (stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK) if isinstance(node, Device) else _KINDS[type(node)]
    wanted: dict[str, int | str] = {"mode": kind | meta.mode, "uid": meta.uid, "gid": meta.gid, "mtime": meta.mtime_ns // 10**9}
    if isinstance(node, File):
        digest = hashlib.sha256()
        for data in read_chunks(node.content):
            digest.update(data)
        wanted |= {"size": node.content.size, "sha256": digest.hexdigest()}
    elif isinstance(node, Symlink):
        wanted["target"] = os.fsdecode(node.target)
    for field, value in wanted.items():
        if getattr(seen, field) != value:
            yield f"{name}: {field} is {getattr(seen, field)!r} to Linux, {value!r} in the image"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the module says: 0 when every boot came to its end and saw what is in the image, else 1."""
    parser = argparse.ArgumentParser(prog="python -m imgcore.testing.qemu", description=__doc__.splitlines()[0])
    parser.add_argument("image")
    for name in ("bios", "uefi", "cd", "usb", "ide", "virtio"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--timeout", type=float, default=180, help="seconds for one boot")
    parser.add_argument("--accel", default="tcg", help="what QEMU runs the processor with: tcg, kvm")
    parser.add_argument("--log", action="store_true", help="print the serial line of boots that differ")
    said = parser.parse_args(arguments)
    firmwares: list[Firmware] = [name for name in ("bios", "uefi") if getattr(said, name)] or ["bios", "uefi"]
    media: list[Medium] = [name for name in ("cd", "usb", "ide", "virtio") if getattr(said, name)] or ["cd", "usb"]
    failed = False
    with open_source(said.image) as source:
        for firmware in firmwares:
            for medium in media:
                why = missing(firmware)
                if why is not None:
                    sys.exit(why)
                report = boot(said.image, firmware, medium, timeout=said.timeout, accel=said.accel)
                wrong = list(differences(report, source.tree))
                failed |= bool(wrong)
                hashed = sum(1 for seen in report.seen.values() if seen.sha256)
                verdict = "differs" if wrong else "equal"
                print(
                    f"{firmware} {medium}: {verdict}, {hashed} files hashed, {len(report.seen)} names, {report.seconds:.0f} s"
                )
                for mark in report.marks:
                    print(f"  {mark}")
                for line in wrong[:20]:
                    print(f"  {line}")
                if wrong and said.log:
                    print(report.log)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
