"""`imgcore formats`: what each format can hold."""

from __future__ import annotations

import dataclasses

from imgcore.cli.command import Run, verb
from imgcore.cli.output import table
from imgcore.formats import FORMATS
from imgcore.formats.base import Format

__all__ = ["command"]


@verb("formats", "show what each format can hold", examples=("imgcore formats", "imgcore formats --json"))
def command(run: Run) -> int | None:
    """Show each format's name, suffixes, options, and what it can hold."""
    if run.output.as_json:
        run.output.event("summary", {"verb": "formats", "formats": [_values(known) for known in FORMATS]})
        return None
    for position, known in enumerate(FORMATS):
        if position:
            run.output.line("")
        run.output.line(f"{known.name}: {known.title}")
        values = _values(known)
        values["xattr_prefixes"] = [prefix.decode() + "*" for prefix in known.capabilities.xattr_prefixes]
        rows = [(f"  {key}", _text(value)) for key, value in values.items() if key not in ("name", "title")]
        for line in table(rows):
            run.output.line(line)
    return None


def _values(known: Format) -> dict[str, object]:
    """Return a format as plain values."""
    caps = known.capabilities
    held = {field.name: getattr(caps, field.name) for field in dataclasses.fields(caps)}
    held["types"] = sorted(caps.types)
    held["xattr_prefixes"] = [prefix.decode() for prefix in caps.xattr_prefixes]
    options = dataclasses.fields(known.default_options)  # type: ignore[arg-type]
    return {
        "name": known.name,
        "title": known.title,
        "suffixes": list(known.suffixes),
        "writable": known.writable,
        "options": {field.name: getattr(known.default_options, field.name) for field in options},
        **held,
        "limitations": list(known.limitations),
    }


def _text(value: object) -> str:
    """Return a value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        texts = [str(item) for item in value]
        return ("; " if any(" " in text for text in texts) else " ").join(texts) or "-"
    return "default" if value is None else str(value)
