"""`check`: what is wrong with a Debian package: its archives, and contents that are not those of its md5sums."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

from imgcore.blob import Blob, read_chunks
from imgcore.errors import Corrupt, FormatError, NotThisFormat, PathError
from imgcore.events import Control
from imgcore.formats.archive import finding_of
from imgcore.formats.base import Finding
from imgcore.formats.deb.layout import members
from imgcore.formats.deb.reader import DebImage
from imgcore.limits import Limits
from imgcore.model import File

__all__ = ["check_blob"]


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no package at all, LimitExceeded, SourceError, Cancelled."""
    control.check()
    try:
        image = DebImage(blob, limits)
    except NotThisFormat:
        raise
    except FormatError as error:
        yield finding_of(error, "control" if isinstance(error, Corrupt) else "unsupported")
        return
    try:
        for _ in members(blob):
            pass
    except Corrupt as error:  # behind what is a package: dpkg does not look there
        yield dataclasses.replace(finding_of(error, "behind"), severity="warning", fatal=False)
    try:
        try:
            tree = image.tree
        except FormatError as error:
            yield finding_of(error, "data" if isinstance(error, Corrupt) else "unsupported")
            return
        for path, wanted in sorted(image.package.md5sums.items()):
            control.check()
            try:
                node = tree.lookup(path)
            except PathError:
                node = None
            if not isinstance(node, File):
                yield Finding("md5sums", "warning", "sum of a file that is not there", path=b"/" + path)
                continue
            total = hashlib.new("md5", usedforsecurity=False)
            for data in read_chunks(node.content):
                total.update(data)
            if total.hexdigest() != wanted:
                message = "content does not fit its sum"
                yield Finding("md5sums", "error", message, path=b"/" + path, found=total.hexdigest(), allowed=wanted)
    finally:
        image._close_spools()  # the blob is the caller's
