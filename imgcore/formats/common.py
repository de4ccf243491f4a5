"""What the formats' readers and options have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from imgcore.blob import Blob

__all__ = ["BlobImage", "values_from_text"]


class BlobImage:
    """An image that lies in a blob, and closes that."""

    blob: Blob

    def close(self) -> None:
        """Close the blob, if it can be closed."""
        close = getattr(self.blob, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def values_from_text(
    format_name: str, known: Mapping[str, Callable[[str], object]], settings: Mapping[str, str]
) -> dict[str, Any]:
    """Return the values of settings that are text, each by its own function in `known`. Raises ValueError."""
    values: dict[str, Any] = {}
    for key, text in settings.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ValueError(f"{format_name} has no option `{key}`; known: {', '.join(sorted(known))}")
        try:
            values[name] = known[name](text)
        except ValueError as error:
            raise ValueError(f"`{key}={text}`: {error}") from None
    return values
