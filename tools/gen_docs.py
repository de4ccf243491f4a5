#!/usr/bin/env python3
"""Write the documentation that the code itself knows: command line, man page, API, formats, on-disk layouts.

`tools/gen_docs.py` writes the files, `tools/gen_docs.py --check` says which of them are out of date (exit code 1).
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.update(COLUMNS="100", LC_ALL="C.UTF-8", NO_COLOR="1", TERM="dumb")

import click  # noqa: E402

import imgcore  # noqa: E402
from imgcore.cli.main import group  # noqa: E402
from imgcore.formats import FORMATS  # noqa: E402
from imgcore.formats.squashfs import layout  # noqa: E402
from imgcore.mkosi import SETTINGS  # noqa: E402
from tests.kit.peer_features import READING, WRITING  # noqa: E402

NOTE = "<!-- Written by tools/gen_docs.py; change the code, not this file. -->\n\n"


def verbs() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield (name, command, context) of each verb."""
    root = click.Context(group, info_name="imgcore", max_content_width=100, terminal_width=100)
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root, max_content_width=100, terminal_width=100)
        yield name, command, context
        if isinstance(command, click.Group):
            for action in command.list_commands(context):
                one = command.get_command(context, action)
                assert one is not None
                inner = click.Context(one, info_name=action, parent=context, max_content_width=100, terminal_width=100)
                yield f"{name} {action}", one, inner


def command_line() -> str:
    """Return the page of all verbs."""
    out = ["# The command line\n\n", NOTE]
    out.append("Data goes to stdout; progress, warnings and errors go to stderr. `-` is stdin or stdout.\n\n")
    for name, command, context in verbs():
        out.append(f"## imgcore {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n\n")
    return "".join(out).rstrip() + "\n"


def roff(text: str) -> str:
    """Return plain text as roff that keeps its lines."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in escaped.splitlines())


def man_page() -> str:
    """Return the man page."""
    out = [
        f'.TH IMGCORE 1 "" "imgcore {imgcore.__version__}"\n',
        ".SH NAME\nimgcore \\- write, read, check, compare and unpack filesystem images\n",
        ".SH SYNOPSIS\n.B imgcore\n.I VERB\n[flags] SRC... DEST\n",
    ]
    for name, command, context in verbs():
        out.append(f".SH {name.upper()}\n.nf\n{roff(command.get_help(context))}\n.fi\n")
    return "".join(out)


def first_lines(thing: object) -> str:
    """Return a docstring, unindented; empty for plain values."""
    return inspect.getdoc(thing) or "" if inspect.isclass(thing) or callable(thing) else ""


def signature(thing: object) -> str:
    """Return the signature as text, without the modules of its types; defaults only where they are plain values."""
    try:
        found = inspect.signature(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    empty = inspect.Parameter.empty
    words = []
    starred = False
    for name, parameter in found.parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        starred = starred or star == "*"
        text = star + name + ("" if parameter.annotation is empty else f": {type_text(parameter.annotation)}")
        if parameter.default is not empty:
            plain = isinstance(parameter.default, (int, str, bytes, float, tuple, type(None)))
            text += f" = {parameter.default!r}" if plain else " = ..."
        words.append(text)
    result = "" if found.return_annotation is empty else f" -> {type_text(found.return_annotation)}"
    return f"({', '.join(words)}){result}"


def type_text(annotation: object) -> str:
    """Return a type as the source says it, without the modules of names."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:imgcore|builtins|collections|typing)(?:\.\w+)*\.(?=\w)", "", text)


def members(kind: type) -> Iterator[str]:
    """Yield a line for each public method and property of a class."""
    for name, value in sorted(vars(kind).items()):
        if name.startswith("_") or not (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))):
            continue
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        shape = "" if isinstance(value, property) else signature(plain).replace("(self, ", "(").replace("(self)", "()")
        doc = (inspect.getdoc(plain) or "").splitlines()
        yield f"* `{name}{shape}`" + (f": {doc[0]}" if doc else "") + "\n"


def api() -> str:
    """Return the reference of everything in `imgcore.__all__`."""
    out = ["# API reference\n\n", NOTE, "Everything here is importable from `imgcore`. Examples are in `examples/`.\n\n"]
    modules = (imgcore.listings, imgcore.packages, imgcore.transforms)
    found = [(name, getattr(imgcore, name)) for name in sorted(imgcore.__all__)]
    for module in modules:
        prefix = module.__name__.removeprefix("imgcore.")
        found += [(f"{prefix}.{name}", getattr(module, name)) for name in module.__all__ if name not in imgcore.__all__]
    for name, thing in found:
        if inspect.ismodule(thing) or not callable(thing):
            continue
        is_class = inspect.isclass(thing)
        shape = "" if is_class and issubclass(thing, Exception) else signature(thing)
        doc = first_lines(thing)
        out.append(f"## {name}\n\n```python\n{name}{shape}\n```\n\n")
        out.append(f"```text\n{doc}\n```\n\n" if doc else "")
        lines = list(members(thing)) if is_class else []
        out.append("".join(lines) + "\n" if lines else "")
    return "".join(out).rstrip() + "\n"


def formats() -> str:
    """Return the table of formats and of what they can hold."""
    out = ["# Formats\n\n", NOTE]
    for known in FORMATS:
        caps = known.capabilities
        rows = [
            ("suffixes", " ".join(known.suffixes)),
            ("written", "yes" if known.writable else "no"),
            ("node types", ", ".join(sorted(caps.types))),
            ("hard links", "yes" if caps.hardlinks else "no"),
            ("extended attributes", ", ".join(prefix.decode() + "*" for prefix in caps.xattr_prefixes) or "none"),
            ("time", f"steps of {caps.time_step_ns} ns, {caps.min_time_ns // 10**9} to {caps.max_time_ns // 10**9} s"),
            ("longest name, link target", f"{caps.max_name}, {caps.max_target} bytes"),
            ("different owners and groups", str(caps.max_ids or "no limit")),
            ("holes", "kept" if caps.sparse else "not kept"),
        ]
        out.append(f"## {known.name}\n\n{known.title}.\n\n| | |\n|---|---|\n")
        out += [f"| {key} | {value} |\n" for key, value in rows]
        out.append("\nLimitations:\n\n" + "".join(f"* {line}\n" for line in known.limitations) + "\n")
    return "".join(out).rstrip() + "\n"


def squashfs_layout() -> str:
    """Return the tables of squashfs's structures."""
    out = ["# squashfs on disk\n\n", NOTE, "Numbers are little-endian and packed. Widths and offsets are bytes.\n\n"]
    for record in layout.RECORDS:
        doc = (inspect.getdoc(record) or "").splitlines()[0]
        out.append(f"## {record.__name__}\n\n{doc} (`{record.SPEC}`, {record.SIZE} bytes)\n\n")
        out.append("| offset | width | field | allowed |\n|---|---|---|---|\n")
        out += [f"| {item.offset} | {item.width} | {item.name} | {item.allowed} |\n" for item in record.LAYOUT]
        out.append("\n")
    return "".join(out).rstrip() + "\n"


def peer_features() -> str:
    """Return the table of what squashfs-tools can do, and how imgcore does it; the tests prove each row."""
    out = ["# imgcore beside squashfs-tools and squashfs-tools-ng\n\n", NOTE]
    out.append(
        "Every row is proved by a test: where both sides are options, mksquashfs 4.7.5 and imgcore run with them on the same"
        " directory, and\nboth images hold the same tree (`tests/oracle/test_peer_features.py`). Command lines of"
        " squashfs-tools themselves run with\n[shims](shims.md).\n\n"
    )
    for title, rows in (("Writing", WRITING), ("Reading", READING)):
        out.append(f"## {title}\n\n| what | squashfs-tools 4.7 | squashfs-tools-ng 1.2 | imgcore |\n|---|---|---|---|\n")
        for row in rows:
            cells = (row.what, row.squashfs_tools, row.ng, row.imgcore)
            out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
        out.append("\n")
    return "".join(out).rstrip() + "\n"


def mkosi_settings() -> str:
    """Return the table of mkosi's settings, and what is done with each."""
    out = ["# The settings of mkosi\n\n", NOTE]
    out.append(
        "All settings of mkosi 25.3, and what `imgcore mkosi` does with each ([mkosi.md](mkosi.md)). A *refused* setting is an"
        " error with\nfile and line when an image is built that sets it, within what is said of it; one that is *accepted* has"
        " no effect on what is in\nan image. All are read and shown by `--json summary`.\n\n"
    )
    when = {
        "packages": " (with packages)",
        "scripts": " (with scripts)",
        "whole": " (not for extensions, portable services, overlays)",
    }
    sections = dict.fromkeys(one.section for one in SETTINGS)
    for section in sections:
        out.append(f"## [{section}]\n\n| setting | scope | default | |\n|---|---|---|---|\n")
        for one in (row for row in SETTINGS if row.section == section):
            names = ", ".join(f"`{name}`" for name in (*one.paths, *one.globs))
            limits = when.get(one.when, "") if one.support == "refused" else ""
            said = one.support + limits + (f": {one.why}" if one.why else "")
            note = f"; set by {names}" if names else ""
            default = "depends" if one.factory is not None else "" if one.default is None else f"`{default_text(one.default)}`"
            out.append(f"| {one.name} | {one.scope} | {default} | {said}{note} |\n")
        out.append("\n")
    return "".join(out).rstrip() + "\n"


def default_text(value: object) -> str:
    """Return a default as it is written in a configuration."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value["Type"]) if isinstance(value, dict) else str(value)


PAGES = {
    "docs/mkosi-settings.md": mkosi_settings,
    "docs/squashfs-tools.md": peer_features,
    "docs/command-line.md": command_line,
    "docs/man/imgcore.1": man_page,
    "docs/api.md": api,
    "docs/formats.md": formats,
    "docs/formats/squashfs-layout.md": squashfs_layout,
}


def main() -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")
    check = parser.parse_args().check
    stale = False
    for name, make in PAGES.items():
        page, text = ROOT / name, make()
        old = page.read_text() if page.exists() else ""
        if old == text:
            continue
        if check:
            stale = True
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), text.splitlines(True), name, "what the code says"))
        else:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text)
            print(f"wrote {name}")
    if stale:
        sys.exit("documentation is out of date: run tools/gen_docs.py")


if __name__ == "__main__":
    main()
