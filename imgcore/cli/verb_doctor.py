"""`imgcore doctor`: what this installation is made of."""

from __future__ import annotations

import dataclasses
import platform
import sys

import imgcore
from imgcore.cli.command import Run, verb
from imgcore.cli.output import table
from imgcore.cli.system import allowed_cpus
from imgcore.codec import codec_infos
from imgcore.engine import get_engine, native_available

__all__ = ["command"]


@verb("doctor", "show codecs, engine and versions", examples=("imgcore doctor", "imgcore doctor --json | jq .engine"))
def command(run: Run) -> int | None:
    """Show versions, the engine that will be used and why, and each codec with the library that does its work."""
    native, reason = native_available()
    engine = get_engine("auto").name
    infos = codec_infos()
    if run.output.as_json:
        values = {
            "verb": "doctor",
            "version": imgcore.__version__,
            "engine": engine,
            "native": native,
            "native_reason": reason,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": allowed_cpus(),
            "codecs": [dataclasses.asdict(info) for info in infos],
        }
        run.output.event("summary", values)
        return None
    head = [
        ("imgcore", imgcore.__version__),
        ("engine", engine if native else f"{engine} (slower, same images): {reason}"),
        ("python", f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"),
        ("platform", platform.platform()),
        ("cpus", str(allowed_cpus())),
    ]
    for line in table(head):
        run.output.line(line)
    run.output.line("")
    rows = [("codec", "provider", "version", "levels", "available")]
    for info in infos:
        levels = f"{info.levels[0]}-{info.levels[-1]}" if info.levels else "-"
        default = "" if info.default_level is None else f" ({info.default_level})"
        available = "yes" if info.available else f"no: {info.reason}"
        rows.append((info.name, info.provider, info.version, levels + default, available))
    for line in table(rows):
        run.output.line(line)
    return None
