"""The matrix of decisions: what we say is what each version of systemd did."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imgcore.hosts import scan
from imgcore.model import Tree
from imgcore.sysext.mutable import parse_mode
from imgcore.sysext.plan import Options, Plan, plan
from imgcore.sysext.policy import ImagePolicy
from imgcore.sysext.version import SystemdVersion
from tests.kit.sysext import Root
from tests.kit.sysext_matrix_disks import CASES, VERSIONS, Case


def options_of(case: Case, version: int, prefix: int) -> Options:
    words = dict(word.partition("=")[::2] for word in case.arguments)
    return Options(
        systemd=SystemdVersion(version),
        force="--force" in words,
        mutable=parse_mode(words["--mutable"]) if "--mutable" in words else None,
        image_policy=ImagePolicy.parse(words["--image-policy"], SystemdVersion(version)) if "--image-policy" in words else None,
        root_prefix=prefix,
    )


def answer(case: Case, tree: Tree, version: int, prefix: int) -> str:
    """Return what we say as the matrix has it; options that a version does not know are the end, too."""
    try:
        options = options_of(case, version, prefix)
    except ValueError:
        return "ABORT"
    with plan(tree, kind=case.kind, options=options) as made:  # type: ignore[arg-type]
        for one in made.decisions:
            assert one.outcome == "accepted" or (one.found and one.wanted and one.fix), one.rule
        for block in made.blocks:
            assert block.found, block.rule
            assert block.wanted, block.rule
            assert block.fix, block.rule
        return said(made)


def said(made: Plan) -> str:
    if made.blocked:
        return "ABORT"
    return " ".join(os.fsdecode(one.name) for one in made.accepted) or "none"


@pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and trusted attributes need root")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_case(case: Case, tmp_path: Path) -> None:
    root = Root(tmp_path, case.kind)
    case.setup(root)
    tree = scan(root.path)
    for version, expected in zip(VERSIONS, case.expected, strict=True):
        if expected == "-":
            continue
        assert (version, answer(case, tree, version, len(str(tmp_path)))) == (version, expected)
