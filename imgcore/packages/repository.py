"""A repository as createrepo makes them (`repodata/repomd.xml`), in a directory or, where that is allowed, at an HTTPS URL.

repomd.xml is verified by a key where one is given; it has the checksums of the lists, and these have those of the packages.
So everything that is read was compared with something that the key signed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from imgcore.blob import Blob, read_all, read_chunks
from imgcore.codec.bounded import bounded_stream
from imgcore.codec.stream_detect import HEAD_SIZE, detect_stream
from imgcore.errors import Corrupt, PathError, Unsupported, VerificationFailed, context, show
from imgcore.events import Control, Warned
from imgcore.formats.rpm import RpmImage, open_image
from imgcore.limits import Limits
from imgcore.packages.fetch import HttpsFiles, checked_blob, files_at
from imgcore.packages.model import Candidate
from imgcore.packages.openpgp import verify_detached
from imgcore.packages.repodata import Entry, Part, find_files, read_primary, read_repomd

__all__ = ["Repository"]

_REPOMD: Final = "repodata/repomd.xml"
_MOST_REPOMD: Final = 16 << 20
_MOST_SIGNATURE: Final = 1 << 20


class Repository:
    """The packages of a repository; its lists are read once, when it is first asked.

    `location` is a path, a `file://` URL, or with `network` an `https://` URL. `keys` are OpenPGP certificates, armored or
    binary: with any, repomd.xml has to be signed by one of them, which needs the extra `openpgp`. Without, what it says is
    taken as it is, and of one of the network there is a warning. `proxies` are as urllib has them.

    Raises Unsupported, PathError, SourceUnreadable, Corrupt, LimitExceeded, VerificationFailed, Cancelled.
    """

    def __init__(
        self,
        location: str,
        *,
        network: bool = False,
        keys: Sequence[bytes] = (),
        proxies: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        control: Control | None = None,
    ) -> None:
        self._location = location
        self._limits = limits or Limits.default()
        self._control = control or Control()
        self._keys = tuple(keys)
        self._source = files_at(location, network=network, proxies=proxies, control=control)
        self._parts: dict[str, Part] | None = None
        self._found: list[Candidate] | None = None
        self._owners: dict[bytes, list[Candidate]] = {}
        self._asked: dict[bytes, list[Candidate]] = {}

    @property
    def name(self) -> str:
        """Where it is."""
        return self._location

    def _repomd(self) -> dict[str, Part]:
        if self._parts is None:
            data = self._small(_REPOMD, _MOST_REPOMD)
            if self._keys:
                try:
                    signature = self._small(f"{_REPOMD}.asc", _MOST_SIGNATURE)
                except PathError:
                    raise VerificationFailed("repository is not signed", path=self._source.place(f"{_REPOMD}.asc")) from None
                with context(path=self._source.place(_REPOMD)):
                    verify_detached(data, signature, self._keys, "repomd.xml")
            elif isinstance(self._source, HttpsFiles):
                self._control.emit(Warned(f"repository {show(self._location)} is verified by no key"))
            with context(path=self._source.place(_REPOMD)):
                self._parts = read_repomd(data, self._limits)
        return self._parts

    def _small(self, name: str, most: int) -> bytes:
        with _closing(self._source.fetch(name, most)) as blob:
            return read_all(blob)

    @contextlib.contextmanager
    def _list(self, kind: str) -> Iterator[Iterator[bytes]]:
        """Give the pieces of a list, which was verified."""
        part = self._repomd().get(kind)
        if part is None:
            raise Corrupt(f"repository without {kind}", path=self._source.place(_REPOMD), structure="repomd.xml", field="data")
        place = self._source.place(part.location)
        with _closing(self._checked(part.location, part.checksum, part.size)) as blob, context(path=place):
            name = detect_stream(blob.read_at(0, HEAD_SIZE))
            chunks = read_chunks(blob)
            yield chunks if name is None else bounded_stream(name, chunks, self._limits)

    def _checked(self, name: str, checksum: tuple[str, str], size: int | None) -> Blob:
        most = self._limits.max_stream if size is None else size
        place = self._source.place(name)
        return checked_blob(lambda: self._source.fetch(name, most), checksum, size, place, self._control)

    def candidates(self) -> Sequence[Candidate]:
        """Return all packages, in the order of the list."""
        if self._found is None:
            found: list[Candidate] = []
            owners: dict[bytes, list[Candidate]] = {}

            def take(entry: Entry) -> None:
                self._control.check()
                one = Candidate(entry.package, self, entry.location, entry.checksum, entry.size)
                found.append(one)
                for path in entry.files:
                    owners.setdefault(path, []).append(one)

            with self._list("primary") as chunks:
                read_primary(chunks, take, self._limits)
            self._owners, self._found = owners, found
        return self._found

    def owners(self, path: bytes) -> list[Candidate]:
        """Return the packages that have a file: by the first list, else by filelists.xml, which is read anew each time."""
        every = self.candidates()
        if path in self._owners:
            return self._owners[path]
        if path not in self._asked:
            ids: set[str] = set()
            if "filelists" in self._repomd():
                with self._list("filelists") as chunks:
                    ids = find_files(chunks, path, self._limits)
            self._asked[path] = [one for one in every if one.checksum is not None and one.checksum[1] in ids]
        return self._asked[path]

    def open(self, candidate: Candidate) -> RpmImage:
        """Return one of the packages, fetched if need be, and verified by its checksum."""
        if candidate.checksum is None:
            raise Unsupported("package without a checksum", path=candidate.location)
        blob = self._checked(candidate.location, candidate.checksum, candidate.size)
        try:
            with context(image=self._source.place(candidate.location)):
                image = open_image(blob, self._limits)
                if image.package.nevra != candidate.package.nevra:
                    raise VerificationFailed(
                        "package is another one than the repository says",
                        found=show(image.package.nevra),
                        allowed=show(candidate.package.nevra),
                    )
                return image
        except BaseException:
            _close(blob)
            raise


def _close(blob: Blob) -> None:
    close = getattr(blob, "close", None)
    if close is not None:
        close()


@contextlib.contextmanager
def _closing(blob: Blob) -> Iterator[Blob]:
    try:
        yield blob
    finally:
        _close(blob)
