"""The matrix of decisions, asked of systemd 252, 257 and 262: the expectations are true, and so is all that we say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgcore.hosts import scan
from tests.kit.sysext import Answer, Job, Root, ask
from tests.kit.sysext_matrix_disks import CASES, VERSIONS
from tests.oracle.test_sysext import check

PARTS = 4


def said(answer: Answer) -> str:
    """Return an answer as the matrix has it."""
    if answer.names is not None:
        return " ".join(answer.names) or "none"
    return "ABORT" if answer.aborted else "none"


@pytest.mark.parametrize("part", range(PARTS))
def test_systemd_agrees(part: int, tmp_path: Path) -> None:
    asked = []
    for number, case in enumerate(CASES[part::PARTS]):
        for version, expected in zip(VERSIONS, case.expected, strict=True):
            if expected != "-":
                root = Root(tmp_path / f"{number}-{version}", case.kind)  # a root each: systemd makes directories in it
                case.setup(root)
                asked.append((case, version, expected, root, scan(root.path)))
    jobs = [Job(root.path, version, root.kind, case.arguments, list=True) for case, version, _, root, _ in asked]
    answers = ask(jobs, tmp_path / "scratch")
    wrong = []
    for (case, version, expected, root, tree), answer in zip(asked, answers, strict=True):
        if said(answer) != expected:
            wrong.append(f"{case.label} ({version}): systemd says {said(answer)!r}, expected {expected!r}")
        wrong += [f"{case.label} ({version}): {line}" for line in check(root, tree, version, list(case.arguments), answer)]
    assert not wrong, "\n".join(wrong)
