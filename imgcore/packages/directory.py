"""A directory of packages: every `*.rpm` in it and below, of which only the headers are read."""

from __future__ import annotations

import os
from collections.abc import Sequence

from imgcore.blob import FileBlob
from imgcore.errors import SourceUnreadable, context
from imgcore.events import Control
from imgcore.formats.rpm import RpmImage, open_image
from imgcore.limits import Limits
from imgcore.packages.model import Candidate

__all__ = ["PackageDirectory", "open_package"]


def open_package(path: str | bytes | os.PathLike[str], limits: Limits) -> RpmImage:
    """Return the package in a file; the caller closes it. Raises SourceUnreadable and what reading it raises."""
    blob = FileBlob(path)
    try:
        with context(image=os.fsdecode(path)):
            return open_image(blob, limits)
    except BaseException:
        blob.close()
        raise


class PackageDirectory:
    """The packages in a directory of the host; source packages are left out. Read once, when it is first asked.

    Raises SourceUnreadable for a directory that cannot be read, and what opening a package raises.
    """

    def __init__(
        self, path: str | bytes | os.PathLike[str], *, limits: Limits | None = None, control: Control | None = None
    ) -> None:
        self._path = os.fsdecode(path)
        self._limits = limits or Limits.default()
        self._control = control or Control()
        self._found: list[Candidate] | None = None
        self._owners: dict[bytes, list[Candidate]] | None = None

    @property
    def name(self) -> str:
        """The directory."""
        return self._path

    def candidates(self) -> Sequence[Candidate]:
        """Return all packages, by their paths."""
        if self._found is None:
            self._found = [one for path in self._paths() if (one := self._candidate(path)) is not None]
        return self._found

    def _paths(self) -> list[str]:
        def refuse(error: OSError) -> None:
            raise SourceUnreadable(f"cannot read directory: {error.strerror}", path=os.fsencode(error.filename or self._path))

        found = []
        for folder, _, names in os.walk(self._path, onerror=refuse):
            found += [os.path.join(folder, name) for name in names if name.endswith(".rpm")]
            self._limits.require("max_entries", len(found))
        return sorted(found, key=os.fsencode)

    def _candidate(self, path: str) -> Candidate | None:
        self._control.check()
        with open_package(path, self._limits) as image:
            package = image.package
        return None if package.arch == "src" else Candidate(package, self, path, size=os.path.getsize(path))

    def owners(self, path: bytes) -> list[Candidate]:
        """Return the packages that have a file."""
        if self._owners is None:
            self._owners = {}
            for one in self.candidates():
                for file in one.package.files:
                    self._owners.setdefault(file.path, []).append(one)
        return self._owners.get(path, [])

    def open(self, candidate: Candidate) -> RpmImage:
        """Return one of the packages, open."""
        return open_package(candidate.location, self._limits)
