"""The gate on instruction counts: how a profile is read, and what fails."""

from __future__ import annotations

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
_loader = SourceFileLoader("native_counts", str(ROOT / "tools" / "native_counts"))
_spec = spec_from_loader("native_counts", _loader)
assert _spec is not None
counts = module_from_spec(_spec)
_loader.exec_module(counts)

PROFILE = """\
events: Ir

ob=(1) /tmp/kernels
fl=(1) /native/zero.c
fn=(1) bytes_are_zero
12 100
+1 20
cfi=(2) /native/counts/kernels.c
cfn=(2) fill
calls=3 40
* 5000
-2 3
fi=(3) /native/bytes.h
7 1
fe=(1)
8 2

fl=(2)
fn=(2)
40 5000
fl=(4) /libc/memcmp.c
fn=(3) memcmp
1 77

totals: 5203
"""


def test_a_profile() -> None:
    lines = PROFILE.splitlines(keepends=True)
    assert counts.instructions(lines, {"zero.c", "bytes.h"}) == 100 + 20 + 3 + 1 + 2
    assert counts.instructions(lines, {"kernels.c"}) == 5000
    assert counts.instructions(lines, set()) == 0


def test_what_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert counts.compare({"a": 1029, "b": 971}, {"a": 1000, "b": 1000}) == []
    assert counts.compare({"a": 1031}, {"a": 1000}) == ["a takes 1,031 instructions instead of 1,000 (+3.1%)"]
    assert counts.compare({"a": 900, "c": 1}, {"a": 1000, "b": 1}) == [
        "a takes 900 instructions instead of 1,000 (-10.0%)",
        "b is gone",
        "c is new",
    ]
    assert "+2.90%" in capsys.readouterr().out


def test_the_file_names_what_it_depends_on() -> None:
    told = json.loads(counts.COUNTS.read_text())
    assert set(told) == {"compiler", "machine", "instructions"} and min(told["instructions"].values()) > 0
    assert set(counts.surroundings()) == {"compiler", "machine"}
