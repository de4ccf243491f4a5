"""`check`: what is wrong with a tar. Its structure has no redundancy but the headers' checksums, so one error ends it."""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.blob import Blob
from imgcore.errors import Corrupt, FormatError, NotThisFormat
from imgcore.events import Control
from imgcore.formats.archive import finding_of
from imgcore.formats.base import Finding
from imgcore.formats.tar.reader import TarImage
from imgcore.limits import Limits

__all__ = ["check_blob"]

_READ = 1 << 20


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no tar at all, LimitExceeded, SourceError, Cancelled."""
    control.check()
    try:
        image = TarImage(blob, limits)
    except NotThisFormat:
        raise
    except FormatError as error:
        yield finding_of(error, "member" if isinstance(error, Corrupt) else "unsupported")
        return
    end, ending = image.end, image.ending
    if ending != "zeros":
        message = "archive ends without two blocks of zeros"
        yield Finding("end", "warning", message, offset=end, structure="end of archive", found=ending)
        return
    for at in range(end, blob.size, _READ):
        control.check()
        data = blob.read_at(at, _READ)
        if data.count(0) != len(data):
            behind = at + len(data) - len(data.lstrip(b"\0"))
            yield Finding("garbage", "warning", "bytes behind the end, which readers ignore", offset=behind)
            return
