"""The settings of [Runtime]: how an image is run, which says nothing of what is in it."""

from __future__ import annotations

from typing import Final

from imgcore.mkosi.host import Value
from imgcore.mkosi.paths import credential_files, drive, one_path, tree_item
from imgcore.mkosi.setting import Setting, accepted, supported
from imgcore.mkosi.values import Parse, boolean, choice, feature, listed, mapped, number, pair, single, size, text, vsock_cid

__all__ = ["RUNTIME"]

_RUNNING: Final = "images are not run here"
_FIRMWARE: Final = ("auto", "linux", "uefi", "uefi-secure-boot", "bios")


def _row(
    name: str,
    parse: Parse = text,
    *,
    default: Value = None,
    paths: tuple[str, ...] = (),
    option: str = "",
    qemu: str = "",
) -> Setting:
    aliases = (f"Qemu{qemu}",) if qemu else ()
    return accepted(_RUNNING, name, "Runtime", parse, default=default, paths=paths, option=option, aliases=aliases)


RUNTIME: Final[tuple[Setting, ...]] = (
    supported("NSpawnSettings", "Runtime", one_path(), paths=("mkosi.nspawn",), option="--settings"),
    _row("Ephemeral", boolean),
    _row(
        "Credentials",
        mapped(" ", pair, unescape=True, paths=credential_files),
        paths=("mkosi.credentials",),
        option="--credential",
    ),
    _row("KernelCommandLineExtra", listed(" ")),
    _row("RuntimeTrees", listed(",", tree_item(absolute=False)), option="--runtime-tree"),
    _row("RuntimeSize", size),
    _row("RuntimeScratch", feature),
    _row("RuntimeNetwork", single(choice(("interface", "user", "none"), "network")), default="user"),
    _row("RuntimeBuildSources", boolean),
    _row("RuntimeHome", boolean),
    _row("UnitProperties", listed(" ", unescape=True), option="--unit-property"),
    _row("SshKey", one_path(secret=True), paths=("mkosi.key",)),
    _row("SshCertificate", one_path(), paths=("mkosi.crt",)),
    _row("VirtualMachineMonitor", single(choice(("qemu", "vmspawn"), "monitor")), default="qemu", option="--vmm"),
    _row("Machine"),
    _row("ForwardJournal", one_path(required=False)),
    _row("SysupdateDirectory", one_path(), paths=("mkosi.sysupdate",)),
    _row("Console", single(choice(("interactive", "read-only", "native", "gui"), "console")), default="native"),
    _row("CPUs", number, default=1, qemu="Smp"),
    _row("RAM", size, default=2 << 30, qemu="Mem"),
    _row("KVM", feature, qemu="Kvm"),
    _row("VSock", feature, qemu="Vsock"),
    _row("VSockCID", vsock_cid, default=-1, qemu="VsockConnectionId"),
    _row("TPM", feature, qemu="Swtpm"),
    _row("CDROM", boolean, qemu="Cdrom"),
    _row("Removable", boolean, qemu="Removable"),
    _row("Firmware", single(choice(_FIRMWARE, "firmware")), default="auto", qemu="Firmware"),
    _row("FirmwareVariables", one_path(constants=("custom", "microsoft", "microsoft-mok")), qemu="FirmwareVariables"),
    _row("Linux", one_path(), qemu="Kernel"),
    _row("Drives", listed(" ", drive), option="--drive", qemu="Drives"),
    _row("QemuArgs", listed(" ", unescape=True)),
    _row("Register", feature, default="auto"),
)
