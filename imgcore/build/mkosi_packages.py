"""Packages of a mkosi configuration, from directories and repositories: what `Packages=` asks for, and all that it requires.

RPMs only, and of distributions that are made of them; nothing is fetched that the caller did not name. Scriptlets are not
run: they are told of, and so is that no database of packages is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from imgcore import packages
from imgcore.build.mkosi_image import PackageRequest
from imgcore.errors import Unsupported
from imgcore.events import Control, Warned
from imgcore.limits import Limits
from imgcore.model import Tree
from imgcore.values import value_class

__all__ = ["Installer"]

_ARCHITECTURES: Final = {
    "x86-64": "x86_64",
    "x86": "i686",
    "arm64": "aarch64",
    "arm": "armv7hl",
    "ppc64-le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
    "loongarch64": "loongarch64",
}
"""The architectures of mkosi, as RPM calls them."""

_NOT_RPM: Final = ("debian", "kali", "ubuntu", "arch", "postmarketos")


@value_class(eq=False)
class Installer:
    """Installs packages of an image's directories and of `repositories`; see `InstallPackages`.

    `network` allows repositories at https://, `keys` are OpenPGP certificates by which repositories have to be signed.
    """

    repositories: tuple[str, ...] = ()
    network: bool = False
    keys: tuple[bytes, ...] = ()
    limits: Limits | None = None

    def refuses(self, request: PackageRequest) -> str | None:
        """Return why these packages cannot be installed at all."""
        if request.distribution in _NOT_RPM:
            return f"those of {request.distribution} are no RPMs"
        if not request.directories and not self.repositories:
            return "there is no place to take them from: PackageDirectories=, mkosi.packages, --repository"
        return None

    def __call__(self, base: Tree, request: PackageRequest, *, stack: contextlib.ExitStack, control: Control) -> Tree:
        """Return what the packages bring; raises DependencyError, MergeConflict, Unsupported, and what reading raises."""
        why = self.refuses(request)
        if why is not None:
            raise Unsupported(why)
        sources = self._sources(request, control)
        arch = _ARCHITECTURES.get(request.architecture, request.architecture)
        chosen = packages.resolve(list(request.names), sources, arch=arch, base=base, control=control)
        made = stack.enter_context(packages.install(chosen.packages, base=base, limits=self.limits, control=control))
        for one in made.scriptlets:
            control.emit(Warned(f"a scriptlet of {one.package} was not run: {one.scriptlet.name}"))
        return made.tree

    def _sources(self, request: PackageRequest, control: Control) -> Sequence[packages.PackageSource]:
        found: list[packages.PackageSource] = [
            packages.PackageDirectory(path, limits=self.limits, control=control) for path in request.directories
        ]
        for place in self.repositories:
            found.append(packages.Repository(place, network=self.network, keys=self.keys, limits=self.limits, control=control))
        return found
