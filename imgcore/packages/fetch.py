"""Files of a repository: from a directory of the host, or by HTTPS where the caller allowed the network.

What is fetched is never more than its announced size, or a bound; it goes into a temporary file, and its checksum is
compared before anybody reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Final, Protocol

from imgcore.blob import Blob, FileBlob, Spool, read_chunks
from imgcore.errors import Corrupt, PathError, SourceUnreadable, Unsupported, VerificationFailed, show
from imgcore.events import Control

__all__ = ["Files", "HttpsFiles", "LocalFiles", "checked_blob", "files_at"]

_CHUNK: Final = 256 << 10
_TIMEOUT: Final = 60  # seconds without a byte
_ALGORITHMS: Final = ("sha256", "sha384", "sha512", "sha224")


class Files(Protocol):
    """Where the files of a repository are."""

    def fetch(self, name: str, most: int) -> Blob:
        """Return a file of at most `most` bytes; whoever asked closes it. Raises PathError where there is none."""
        ...

    def place(self, name: str) -> str:
        """Return the whole path or URL of a file, for people."""
        ...


def _clean(name: str) -> str:
    """Return a name that leads nowhere but below the repository. Raises Corrupt."""
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or "\0" in name or ":" in parts[0]:
        raise Corrupt(
            "name of a file that leads out of the repository", structure="repository", field="location", found=show(name)
        )
    return name


class LocalFiles:
    """A directory of the host."""

    def __init__(self, path: str) -> None:
        self._path = path

    def place(self, name: str) -> str:
        """Return the path."""
        return os.path.join(self._path, name)

    def fetch(self, name: str, most: int) -> Blob:
        """Return the file, open. Raises PathError, SourceUnreadable, Corrupt."""
        path = self.place(_clean(name))
        if not os.path.lexists(path):
            raise PathError("no such file in the repository", path=os.fsencode(path))
        blob = FileBlob(path)
        if blob.size > most:
            blob.close()
            raise Corrupt("file is larger than it has to be", path=os.fsencode(path), found=blob.size, allowed=most)
        return blob


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections (to mirrors), but to no other protocol."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise SourceUnreadable("redirected away from HTTPS", path=newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class HttpsFiles:
    """A directory below a URL. `proxies` are as urllib has them (`{"https": URL}`); no environment is asked."""

    def __init__(
        self,
        url: str,
        *,
        proxies: Mapping[str, str] | None = None,
        context: ssl.SSLContext | None = None,
        control: Control | None = None,
    ) -> None:
        self._url = url.rstrip("/") + "/"
        self._control = control or Control()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler(dict(proxies or {})), _HttpsOnly(), urllib.request.HTTPSHandler(context=context)
        )

    def place(self, name: str) -> str:
        """Return the URL."""
        return urllib.parse.urljoin(self._url, urllib.parse.quote(name, safe="/+~^,=@%:"))

    def fetch(self, name: str, most: int) -> Blob:
        """Return the file, fetched whole. Raises PathError, SourceUnreadable, Corrupt, OutputError, Cancelled."""
        url = self.place(_clean(name))
        spool = Spool()
        try:
            with self._errors(url), self._opener.open(url, timeout=_TIMEOUT) as stream:
                while data := stream.read(_CHUNK):
                    self._control.check()
                    spool.append(data)
                    if spool.size > most:
                        raise Corrupt("file is larger than it has to be", path=url, allowed=most)
            return spool.seal()
        except BaseException:
            spool.close()
            raise

    @contextlib.contextmanager
    def _errors(self, url: str) -> Iterator[None]:
        try:
            yield
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise PathError("no such file in the repository", path=url) from None
            raise SourceUnreadable(f"cannot fetch: HTTP {error.code}", path=url) from None
        except (OSError, ValueError) as error:
            raise SourceUnreadable(f"cannot fetch: {getattr(error, 'reason', error)}", path=url) from None


def files_at(
    location: str, *, network: bool, proxies: Mapping[str, str] | None = None, control: Control | None = None
) -> Files:
    """Return the files at a path, a `file://` URL, or, with `network`, an `https://` URL. Raises Unsupported."""
    scheme, colon, _ = location.partition("://")
    if not colon:
        return LocalFiles(location)
    parts = urllib.parse.urlsplit(location)
    if scheme == "file" and parts.netloc in ("", "localhost"):
        return LocalFiles(urllib.parse.unquote(parts.path))
    if scheme != "https":
        raise Unsupported(
            f"repositories by `{show(scheme)}` are not read", path=location, allowed="a path, file:// or https://"
        )
    if not network:
        raise Unsupported(
            "a repository of the network, which was not allowed", path=location, hint="--network, or network=True, allows it"
        )
    return HttpsFiles(location, proxies=proxies, control=control)


def checked_blob(fetch: Callable[[], Blob], checksum: tuple[str, str], size: int | None, place: str, control: Control) -> Blob:
    """Return what `fetch` gives, whose checksum was compared. Raises VerificationFailed, Unsupported; then it is closed."""
    algorithm, wanted = checksum
    if algorithm not in _ALGORITHMS:
        raise Unsupported(
            "checksum of a weak or unknown kind", path=place, found=show(algorithm), allowed=", ".join(_ALGORITHMS)
        )
    blob = fetch()
    try:
        total = hashlib.new(algorithm)
        for data in read_chunks(blob):
            control.check()
            total.update(data)
        if size is not None and size != blob.size:
            raise VerificationFailed("file has another size", path=place, found=blob.size, allowed=size)
        if total.hexdigest() != wanted.lower():
            raise VerificationFailed("file does not fit its checksum", path=place, found=total.hexdigest(), allowed=wanted)
        return blob
    except BaseException:
        close = getattr(blob, "close", None)
        if close is not None:
            close()
        raise
