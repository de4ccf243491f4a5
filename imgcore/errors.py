"""Every error that imgcore raises, as one tree.

    ImgcoreError
    ├─ FormatError              the bytes of an image break its format
    │   ├─ NotThisFormat        the magic is another one
    │   ├─ Corrupt              a number or a structure that cannot be right
    │   └─ Unsupported          legal, but not something this program (or Linux) can read
    ├─ LimitExceeded            a bound of `Limits` was hit; names the field of `Limits`
    ├─ TreeError                the tree, not the bytes
    │   ├─ NotRepresentable     the target format cannot hold it; `losses` lists all of it
    │   ├─ MergeConflict        two sources disagree about one path
    │   ├─ DependencyError      packages that cannot be installed together; `problems` lists all of it
    │   ├─ OverlayError         what Linux's overlayfs answers with an error, whose number it has
    │   └─ PathError            no such path, or not what the caller asked for
    ├─ SourceError              the input could not be read as it was found
    │   ├─ SourceChanged        it changed while it was read
    │   └─ SourceUnreadable     the operating system refused
    ├─ OutputError              the operating system refused to write, or the target exists
    │   └─ TargetExists
    ├─ ConfigError              a file of settings or definitions cannot be followed
    ├─ VerificationFailed       a digest, signature or read-back does not match
    └─ Cancelled                the caller asked to stop

Each says where (`path`, byte `offset` or `line` of a text, `structure` and `field`), what was `found`, what was
`allowed`, and may carry a `hint`. Inner code knows offsets, outer code knows paths: `with context(path=...)` fills what
is still empty while the exception passes by. A mistake of the calling program stays a TypeError, ValueError or
AssertionError.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence

__all__ = [
    "Cancelled",
    "ConfigError",
    "Corrupt",
    "DependencyError",
    "FormatError",
    "ImgcoreError",
    "LimitExceeded",
    "MergeConflict",
    "NotRepresentable",
    "NotThisFormat",
    "OutputError",
    "OverlayError",
    "PathError",
    "SourceChanged",
    "SourceError",
    "SourceUnreadable",
    "TargetExists",
    "TreeError",
    "Unsupported",
    "VerificationFailed",
    "context",
    "show",
]


def show(path: bytes | str) -> str:
    """Return a path or name as printable text: UTF-8 as it is, every other byte and control character as \\xNN."""
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    if text.isascii() and text.isprintable():
        return text
    out = []
    for char in text:
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x20 or 0x7F <= code < 0xA0:
            out.append(f"\\x{code:02x}")
        elif 0xD800 <= code <= 0xDFFF or code in (0x2028, 0x2029) or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
            out.append(f"\\u{code:04x}")
        else:
            out.append(char)
    return "".join(out)


class ImgcoreError(Exception):
    """Base of all errors of imgcore; never raised itself.

    `where()` gives the place as one line, `str()` the message with that place. Numbers in `offset` are bytes from the
    start of the image; `line` counts from 1 in a text such as a manifest.
    """

    def __init__(
        self,
        message: str,
        *,
        image: str | None = None,
        path: bytes | str | None = None,
        offset: int | None = None,
        line: int | None = None,
        structure: str | None = None,
        field: str | None = None,
        found: object = None,
        allowed: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.image = image
        self.path = path
        self.offset = offset
        self.line = line
        self.structure = structure
        self.field = field
        self.found = found
        self.allowed = allowed
        self.hint = hint

    def where(self) -> str:
        """Return the place as text, empty when nothing is known of it."""
        parts = []
        if self.image is not None:
            parts.append(f"in `{show(self.image)}`")
        if self.offset is not None:
            parts.append(f"at {self.offset:#010x}")
        if self.line is not None:
            parts.append(f"line {self.line}")
        if self.structure is not None:
            parts.append(self.structure + (f".{self.field}" if self.field else ""))
        elif self.field is not None:
            parts.append(self.field)
        if self.path is not None:
            parts.append(f"path `{show(self.path)}`")
        return ", ".join(parts)

    def __str__(self) -> str:
        text = self.message
        if self.found is not None:
            text += f": found {self.found}"
        if self.allowed is not None:
            text += f"{',' if self.found is not None else ':'} allowed {self.allowed}"
        place = self.where()
        return f"{text} ({place})" if place else text

    def as_dict(self) -> dict[str, object]:
        """Return the error as plain values, for JSON; keys without a value are left out."""
        raw: dict[str, object] = {
            "kind": type(self).__name__,
            "message": self.message,
            "image": None if self.image is None else show(self.image),
            "path": None if self.path is None else show(self.path),
            "offset": self.offset,
            "line": self.line,
            "structure": self.structure,
            "field": self.field,
            "found": None if self.found is None else str(self.found),
            "allowed": None if self.allowed is None else str(self.allowed),
            "hint": self.hint,
        }
        return {key: value for key, value in raw.items() if value is not None}


class FormatError(ImgcoreError):
    """The bytes of an image break its format."""


class NotThisFormat(FormatError):
    """The image is of another format."""


class Corrupt(FormatError):
    """A number or structure of the image cannot be right."""


class Unsupported(FormatError):
    """The image uses something that cannot be read here."""


class LimitExceeded(ImgcoreError):
    """A bound of `Limits` was hit; `field` names it."""


class TreeError(ImgcoreError):
    """The tree is the problem, not the bytes."""


class NotRepresentable(TreeError):
    """The target format cannot hold the tree; `losses` lists everything it would lose."""

    def __init__(
        self, message: str, *, losses: Sequence[object] = (), path: bytes | str | None = None, hint: str | None = None
    ):
        super().__init__(message, path=path, hint=hint)
        self.losses = tuple(losses)


class MergeConflict(TreeError):
    """Two sources disagree about one path."""


class DependencyError(TreeError):
    """Packages cannot be installed together: something is missing, could be several, or is in conflict; `problems` are all."""

    def __init__(self, message: str, *, problems: Sequence[str] = (), hint: str | None = None):
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class OverlayError(TreeError):
    """What Linux's overlayfs would answer with an error; `errno` is its number (`errno.EIO`, …)."""

    def __init__(self, message: str, code: int = errno.EIO, *, path: bytes | str | None = None, hint: str | None = None):
        super().__init__(message, path=path, hint=hint)
        self.errno = code


class PathError(TreeError):
    """No such path in the tree, or it is not what was asked for."""


class NoSuchPath(PathError):
    """There is no such path in the tree, though all above it may be there."""


class SourceError(ImgcoreError):
    """The input could not be read as it was found."""


class SourceChanged(SourceError):
    """A file changed, grew, shrank or vanished while it was read."""


class SourceUnreadable(SourceError):
    """The operating system refused to read something."""


class OutputError(ImgcoreError):
    """The operating system refused to write something."""


class TargetExists(OutputError):
    """The target exists, and replacing it was not asked for."""


class VerificationFailed(ImgcoreError):
    """Something read back does not match what it has to be."""


class ConfigError(ImgcoreError):
    """A file of definitions or settings says something that cannot be followed; `structure` names file and line."""


class Cancelled(ImgcoreError):
    """The caller asked to stop."""

    def __init__(self, message: str = "cancelled", *, hint: str | None = None):
        super().__init__(message, hint=hint)


@contextlib.contextmanager
def context(
    *,
    image: str | None = None,
    path: bytes | str | None = None,
    offset: int | None = None,
    line: int | None = None,
    structure: str | None = None,
) -> Iterator[None]:
    """Fill the empty places of an ImgcoreError that passes through the block."""
    try:
        yield
    except ImgcoreError as error:
        if error.image is None:
            error.image = image
        if error.path is None:
            error.path = path
        if error.offset is None:
            error.offset = offset
        if error.line is None:
            error.line = line
        if error.structure is None:
            error.structure = structure
        raise
