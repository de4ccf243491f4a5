"""The words that mkosi 25.3 knows: distributions, architectures, formats, and what follows from each."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "ARCHITECTURES",
    "ARTIFACTS",
    "BUILTIN_CONFIGS",
    "COMPRESSIONS",
    "DISTRIBUTIONS",
    "EXTENSIONS",
    "FORMATS",
    "VERSION",
    "Distribution",
    "architecture_of_machine",
    "package_architecture",
]

VERSION: Final = "25.3"
"""The version of mkosi whose language this is."""

BUILTIN_CONFIGS: Final = ("mkosi-tools", "mkosi-initrd", "mkosi-vm", "mkosi-addon")
"""What `Include=` takes for a configuration that comes with mkosi."""


class Distribution(NamedTuple):
    """What a distribution sets.

    Attributes:
        release: the default release.
        filesystem: what the specifier %F stands for.
        tools: the distribution of its tools tree, "" for itself.
        packages: rpm, deb, pkg or none.
    """

    release: str
    filesystem: str = "ext4"
    tools: str = ""
    packages: str = "rpm"


DISTRIBUTIONS: Final = {
    "fedora": Distribution("41", "btrfs"),
    "debian": Distribution("testing", packages="deb"),
    "kali": Distribution("kali-rolling", tools="kali", packages="deb"),
    "ubuntu": Distribution("noble", tools="debian", packages="deb"),
    "arch": Distribution("rolling", packages="pkg"),
    "opensuse": Distribution("tumbleweed", "btrfs"),
    "mageia": Distribution("cauldron"),
    "centos": Distribution("10", "xfs", "fedora"),
    "rhel": Distribution("10", "xfs", "fedora"),
    "rhel-ubi": Distribution("10", "xfs", "fedora"),
    "openmandriva": Distribution("cooker"),
    "rocky": Distribution("10", "xfs", "fedora"),
    "alma": Distribution("10", "xfs", "fedora"),
    "azure": Distribution("3.0"),
    "custom": Distribution("", packages="none"),
}

ARCHITECTURES: Final = (
    *("alpha", "arc", "arm", "arm64", "ia64", "loongarch64", "mips-le", "mips64-le", "parisc", "ppc", "ppc64"),
    *("ppc64-le", "riscv32", "riscv64", "s390", "s390x", "tilegx", "x86", "x86-64"),
)

FORMATS: Final = (*("confext", "cpio", "directory", "disk", "esp", "none", "portable", "sysext", "tar", "uki", "oci", "addon"),)
EXTENSIONS: Final = {
    **dict.fromkeys(("confext", "disk", "esp", "portable", "sysext"), ".raw"),
    "cpio": ".cpio",
    "tar": ".tar",
    "uki": ".efi",
    "addon": ".efi",
}
"""What the file of a format is called after its name; nothing for the others."""

COMPRESSIONS: Final = {name: name for name in ("none", "zstd", "xz", "bz2", "gz", "lz4", "lzma")} | {
    "zst": "zstd",
    "gzip": "gz",
}
ARTIFACTS: Final = ("uki", "kernel", "initrd", "partitions")

_MACHINES: Final = {
    **dict.fromkeys(("aarch64", "aarch64_be"), "arm64"),
    **{f"armv{one}": "arm" for one in ("8l", "8b", "7ml", "7mb", "7l", "7b", "6l", "6b")},
    **{f"armv{one}": "arm" for one in ("5tl", "5tel", "5tejl", "5tejb", "5teb", "5tb", "4tl", "4tb", "4l", "4b")},
    **dict.fromkeys(("i386", "i486", "i586", "i686"), "x86"),
    **{
        name: name
        for name in ("alpha", "arc", "ia64", "parisc", "loongarch64", "riscv64", "riscv32", "s390x", "s390", "tilegx")
    },
    **{"x86_64": "x86-64", "arceb": "arc", "parisc64": "parisc", "mips64": "mips64-le", "mips": "mips-le", "riscv": "riscv64"},
    **{"ppc64le": "ppc64-le", "ppc64": "ppc64", "ppc": "ppc"},
}

_RPM: Final = {
    "x86-64": "x86_64",
    "arm64": "aarch64",
    "mips64-le": "mips64el",
    "mips-le": "mipsel",
    "ppc64-le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
_DEB: Final = {
    **{"arm64": "arm64", "arm": "armhf", "alpha": "alpha", "x86-64": "amd64", "x86": "i386", "ia64": "ia64"},
    **{"loongarch64": "loong64", "mips64-le": "mips64el", "mips-le": "mipsel", "parisc": "hppa", "ppc64-le": "ppc64el"},
    **{"ppc64": "ppc64", "riscv64": "riscv64", "s390x": "s390x", "s390": "s390"},
}
_PKG: Final = {"x86-64": "x86_64", "arm64": "aarch64", "arm": "armv7h"}


def architecture_of_machine(machine: str) -> str:
    """Return mkosi's name of what `uname -m` prints. Raises ValueError for one that it has none for."""
    if machine not in _MACHINES:
        raise ValueError(f"mkosi has no name for the architecture `{machine}`")
    return _MACHINES[machine]


def package_architecture(distribution: str, architecture: str) -> str | None:
    """Return what the distribution's packages call the architecture, None where it has none for it."""
    kind = DISTRIBUTIONS[distribution].packages
    table = {"rpm": _RPM, "deb": _DEB, "pkg": _PKG}.get(kind)
    return architecture if table is None else table.get(architecture)
