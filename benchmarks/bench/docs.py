"""Writes docs/performance.md: the tables of the results in the middle of what is said about them.

What stands between the markers is replaced, the rest of the page is written by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import report
from bench.results import Results

BEGIN, END = "<!-- results: written by benchmarks/run.py --write-docs -->", "<!-- end of results -->"


def _machines(results: Results) -> str:
    """Return what the results were measured on, a line for each set of versions."""
    seen: dict[str, tuple[str, str]] = {}
    for case in results.cases.values():
        told: dict[str, Any] = case["measured"]
        doctor = told["imgcore"] if isinstance(told["imgcore"], dict) else {}
        codecs = ", ".join(f"{codec['name']} {codec['version']}" for codec in doctor.get("codecs", []) if codec.get("version"))
        line = (
            f"{told['processor']}, {told['processors']} processors, {told['memory_mib'] / 1024:.0f} GiB, "
            f"Linux {told['kernel']}, Python {told['python']}; imgcore {told['commit']}"
            + (f" ({codecs})" if codecs else "")
            + f"; {told['mksquashfs']}"
        )
        first, last = seen.get(line, (told["date"], told["date"]))
        seen[line] = min(first, told["date"]), max(last, told["date"])
    return "\n".join(
        f"* {first[:10]}{'' if first[:10] == last[:10] else ' to ' + last[:10]}: {line}."
        for line, (first, last) in seen.items()
    )


def _corpora(results: Results) -> str:
    """Return what the corpora hold."""
    found = {}
    for case in results.cases.values():
        held = case.get("corpus_holds", {})
        if held.get("files") and "corpus" in case:  # trees of growth are none
            made_up = f", {held['made_up']} of the files made up" if held["made_up"] else ""
            found[case.get("corpus", "")] = f"{held['files']:,} files, {held['bytes'] / 1e6:,.0f} MB{made_up}"
    return "\n".join(f"* **{name}**: {text}" for name, text in found.items())


def _verified(results: Results) -> str:
    ways = [how for case in results.of("pack") for how in case["verified"]]
    mounted = sum("mounted" in how for how in ways)
    return f"{len(ways)} images were compared with their sources, {mounted} of them mounted by the kernel; all are equal."


def _commands(results: Results) -> str:
    lines = []
    for case in results.of("pack"):
        if case["corpus"] == results.of("pack")[0]["corpus"]:
            lines += [line.replace(str(Path.cwd()), ".") for line in case["commands"]]
    return "```\n" + "\n".join(_short(line) for line in lines) + "\n```"


def _short(line: str) -> str:
    """Return a command line with no directories of this machine."""
    return " ".join(word.rpartition("/")[2] if word.startswith("/") else word for word in line.split(" "))


def write(results: Results, page: Path) -> None:
    """Replace what is between the markers."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has no place for the results")
    parts = [f"## Measured\n\n{_machines(results)}\n\n{_corpora(results)}\n\n{_verified(results)}"]
    parts += [report.as_markdown(table).rstrip("\n") for table in report.tables(results)]
    if results.of("pack"):
        parts.append(f"### The command lines\n\n{_commands(results)}")
    page.write_text(before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + after)
