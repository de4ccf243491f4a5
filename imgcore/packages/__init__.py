"""RPM packages installed into a tree, without rpm: which ones are needed, where they come from, what they make together.

    from imgcore import packages

    source = packages.PackageDirectory("mkosi.packages")
    chosen = packages.resolve(["strace"], [source], arch="x86_64", base=base)
    with packages.install(chosen.packages, base=base) as installed:
        imgcore.pack(installed.tree, "out.raw")

`versions` compares versions, `resolve` computes the closure of dependencies, `directory` and `repository` are where packages
come from, `install` joins their trees. No scriptlet is run, and no database of packages is written.
"""

from imgcore.formats.rpm.package import Dependency, Package, PackageFile, Scriptlet
from imgcore.packages.directory import PackageDirectory
from imgcore.packages.install import Installed, InstalledScriptlet, install
from imgcore.packages.model import Candidate, PackageSource
from imgcore.packages.repository import Repository
from imgcore.packages.resolve import Resolution, parse_dependency, resolve
from imgcore.packages.versions import Evr, overlap, rpmvercmp

__all__ = [
    "Candidate",
    "Dependency",
    "Evr",
    "Installed",
    "InstalledScriptlet",
    "Package",
    "PackageDirectory",
    "PackageFile",
    "PackageSource",
    "Repository",
    "Resolution",
    "Scriptlet",
    "install",
    "overlap",
    "parse_dependency",
    "resolve",
    "rpmvercmp",
]
