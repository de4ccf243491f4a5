"""The results of all runs, in one JSON file: a case is saved as soon as it is there, and replaces an older one of its name.

So a long benchmark may be stopped and taken up again (`--resume`), or some of it run anew. Every case says when, on what
and with which versions it was measured.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Case = dict[str, Any]


class Results:
    """Cases by name, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cases: dict[str, Case] = {}
        if path.exists():
            told = json.loads(path.read_text())
            if told.get("schema") != 2:
                raise SystemExit(f"{path} was written by another version of the benchmark; name another file with --json")
            self.cases = told["cases"]

    def put(self, name: str, case: Case, surroundings: Case) -> None:
        """Keep a case, and save all."""
        self.cases[name] = {**case, "measured": surroundings}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(json.dumps({"schema": 2, "cases": self.cases}, indent=1) + "\n")
        os.replace(fresh, self.path)

    def of(self, kind: str) -> list[Case]:
        """Return the cases of one kind, in the order in which they came first."""
        return [case for case in self.cases.values() if case["kind"] == kind]
