"""What commands print: data on stdout, all else on stderr; as text for people or as JSON for programs.

Every JSON object but a manifest's line carries "event" (plan progress warning finding error summary) and "schema".
Names of files are printed as `errors.show` gives them in text, so that no name can send control characters to a
terminal; JSON gives them exactly.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from imgcore.errors import ImgcoreError, NotRepresentable, OutputError, show
from imgcore.events import Warned

__all__ = ["Output", "human", "path_fields", "table"]

_SCHEMA = 1
_LOSSES = 20


def human(size: int) -> str:
    """Return a number of bytes as people read it; units are powers of 1024."""
    value, units = float(size), "KMGTP"
    if size < 1024:
        return f"{size} B"
    for unit in units:
        value /= 1024
        if value < 1024 or unit == units[-1]:
            return f"{value:.1f} {unit}iB"
    raise AssertionError


def path_fields(path: bytes, key: str = "path") -> dict[str, object]:
    """Return a path for JSON: as text and, where it is not UTF-8, exactly as base64 too."""
    try:
        return {key: path.decode("utf-8")}
    except UnicodeDecodeError:
        text = path.decode("utf-8", "surrogateescape")
        return {key: text, f"{key}_b64": base64.b64encode(path).decode("ascii")}


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with aligned columns."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)] if lines else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


class Output:
    """Where a command prints to, and how."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self._warnings: dict[str, tuple[bytes | None, int]] = {}

    # Data

    def line(self, text: str) -> None:
        """Print a line of data."""
        self._write(sys.stdout, text + "\n")

    def raw(self, data: bytes) -> None:
        """Print bytes of data."""
        stream = _open_stream(sys.stdout)
        stream.buffer.write(data)

    def event(self, name: str, values: Mapping[str, object], *, on_stderr: bool = False) -> None:
        """Print an object of data."""
        text = json.dumps({"event": name, "schema": _SCHEMA, **values}, ensure_ascii=True, separators=(",", ":"))
        self._write(sys.stderr if on_stderr else sys.stdout, text + "\n")

    # All else

    def note(self, text: str) -> None:
        """Print a line for people, unless they asked for quiet."""
        if not self.quiet:
            self._write(sys.stderr, text + "\n")

    def warn(self, event: Warned) -> None:
        """Remember a warning; those with the same words become one line, unless everything is to be told."""
        if self.verbose and not self.as_json:
            self.note(f"warning: {event.message}" + ("" if event.path is None else f": `{show(event.path)}`"))
            return
        path, count = self._warnings.get(event.message, (event.path, 0))
        self._warnings[event.message] = (path, count + 1)

    def flush_warnings(self) -> None:
        """Print the warnings that were remembered."""
        for message, (path, count) in self._warnings.items():
            if self.as_json and not self.quiet:
                values = {"message": message, **({} if path is None else path_fields(path)), "count": count}
                self.event("warning", values, on_stderr=True)
                continue
            where = "" if path is None else f": `{show(path)}`" + (f" and {count - 1} more" if count > 1 else "")
            self.note(f"warning: {message}{where}")
        self._warnings.clear()

    def error(self, error: BaseException, code: int) -> None:
        """Print an error: what, where, and a hint."""
        self.flush_warnings()
        if self.as_json:
            values: dict[str, object] = {"kind": "Error", "message": _os_text(error)}
            if isinstance(error, ImgcoreError):
                values = error.as_dict()
                if isinstance(error.path, bytes):
                    values |= path_fields(error.path)
            if isinstance(error, NotRepresentable):
                values["losses"] = [
                    {"kind": getattr(loss, "kind", ""), **path_fields(loss.path), "message": loss.message}
                    for loss in error.losses
                    if hasattr(loss, "path") and hasattr(loss, "message")
                ]
            self.event("error", {**values, "exit": code}, on_stderr=True)
            return
        for text in _error_lines(error):
            self._write(sys.stderr, text + "\n")

    def finish(self) -> None:
        """Print what is left and push everything out. Raises BrokenPipeError, OutputError."""
        self.flush_warnings()
        if sys.stdout is not None:
            try:
                sys.stdout.flush()
            except BrokenPipeError:
                raise
            except OSError as error:
                raise OutputError(f"cannot write to standard output: {error.strerror}") from None

    @staticmethod
    def _write(stream: TextIO | None, text: str) -> None:
        """Write text; what the terminal's encoding does not have is escaped."""
        if stream is None and stream is sys.stderr:
            return
        stream = _open_stream(stream)
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode(stream.encoding or "ascii", "backslashreplace").decode(stream.encoding or "ascii"))


def _open_stream(stream: TextIO | None) -> TextIO:
    if stream is None:
        raise OutputError("standard output is closed")
    return stream


def _os_text(error: BaseException) -> str:
    if isinstance(error, OSError):
        name = "" if error.filename is None else f": `{show(os.fsencode(error.filename))}`"
        return f"{error.strerror or error}{name}"
    return str(error)


def _error_lines(error: BaseException) -> list[str]:
    """Return `error: …`, where it is, and `hint: …`."""
    if not isinstance(error, ImgcoreError):
        return [f"error: {_os_text(error)}"]
    text = error.message if error.image is None else f"{error.message}: `{show(error.image)}`"
    lines = [f"error: {text}"]
    if any(place is not None for place in (error.offset, error.line, error.structure, error.field)):
        place = [] if error.offset is None else [f"at {error.offset:#010x}"]
        place += [] if error.line is None else [f"line {error.line}"]
        inside = ".".join(part for part in (error.structure, error.field) if part)
        lines.append("  " + ", ".join(place + ([inside] if inside else [])))
    if error.found is not None or error.allowed is not None:
        said = [] if error.found is None else [f"found {error.found}"]
        lines.append("  " + ", ".join(said + ([] if error.allowed is None else [f"allowed: {error.allowed}"])))
    if isinstance(error, NotRepresentable) and error.losses:
        lines += [f"  {loss}" for loss in error.losses[:_LOSSES]]
        if len(error.losses) > _LOSSES:
            lines.append(f"  and {len(error.losses) - _LOSSES} more")
    elif error.path is not None:
        lines.append(f"  path `{show(error.path)}`")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return lines
