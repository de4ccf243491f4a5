"""`check`: what is wrong with a cpio. Headers have no redundancy; of crc archives every content is summed up."""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.blob import Blob
from imgcore.errors import Corrupt, FormatError, NotThisFormat
from imgcore.events import Control
from imgcore.formats.archive import finding_of
from imgcore.formats.base import Finding
from imgcore.formats.cpio.reader import CpioImage
from imgcore.limits import Limits

__all__ = ["check_blob"]


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no cpio at all, LimitExceeded, SourceError, Cancelled."""
    control.check()
    try:
        image = CpioImage(blob, limits)
    except NotThisFormat:
        raise
    except FormatError as error:
        yield finding_of(error, "member" if isinstance(error, Corrupt) else "unsupported")
        return
    image._close_spools()  # the blob is the caller's
    if image.garbage is not None:
        message = "bytes behind the last archive, at which Linux stops"
        yield Finding("garbage", "warning", message, offset=image.garbage)
    for part in image.parts:
        if part.stream is None and part.first % 4:
            message = "archive at a position that Linux does not look at"
            yield Finding("position", "error", message, offset=part.first, allowed="a multiple of 4")
