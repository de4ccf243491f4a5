"""What the resolver knows: a package that could be installed, and where packages come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

from imgcore.formats.rpm import RpmImage
from imgcore.formats.rpm.package import Dependency, Package
from imgcore.packages.versions import Evr
from imgcore.values import value_class

__all__ = ["ARCHITECTURES", "Candidate", "PackageSource", "compatible"]

ARCHITECTURES: Final = {
    "x86_64": ("x86_64", "amd64", "noarch"),
    "aarch64": ("aarch64", "noarch"),
    "armv7hl": ("armv7hl", "armv7l", "armv6hl", "noarch"),
    "i686": ("i686", "i586", "i486", "i386", "noarch"),
    "ppc64le": ("ppc64le", "noarch"),
    "riscv64": ("riscv64", "noarch"),
    "s390x": ("s390x", "noarch"),
}
"""Which packages a system of an architecture takes, the best first; of one that is not here its own and noarch."""


def compatible(arch: str) -> tuple[str, ...]:
    """Return the architectures of packages that a system takes, the best first."""
    return ARCHITECTURES.get(arch, (arch, "noarch"))


@value_class(eq=False)
class Candidate:
    """A package that a source has. `package` may lack its files: `source.owners` knows whose they are.

    Attributes:
        location: the path or URL of the package, for people.
        checksum: (algorithm, hexadecimal) of the whole package where the source says it, else None.
        size: bytes of the package, None where the source does not say it.
    """

    package: Package
    source: PackageSource
    location: str
    checksum: tuple[str, str] | None = None
    size: int | None = None

    @property
    def name(self) -> str:
        """The package's name."""
        return self.package.name

    @property
    def evr(self) -> Evr:
        """Its epoch, version and release."""
        return Evr(self.package.epoch or 0, self.package.version, self.package.release)

    def provides(self) -> list[Dependency]:
        """Return what it provides, itself too."""
        own = Dependency(self.name, "=", self.package.evr)
        return [*self.package.provides, own]

    def __str__(self) -> str:
        return self.package.nevra


@runtime_checkable
class PackageSource(Protocol):
    """Where packages come from."""

    @property
    def name(self) -> str:
        """What it is called, for people."""
        ...

    def candidates(self) -> Sequence[Candidate]:
        """Return all packages, in an order that does not depend on the file system."""
        ...

    def owners(self, path: bytes) -> list[Candidate]:
        """Return the packages that have a file; asked only where nothing provides it by name."""
        ...

    def open(self, candidate: Candidate) -> RpmImage:
        """Return one of the packages, open and verified; the caller closes it."""
        ...
