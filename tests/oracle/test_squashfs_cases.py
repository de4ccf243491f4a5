"""The kernel says whether the table of edge and hostile images is true, and whether `check` is."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgcore.blob import BytesBlob
from imgcore.errors import ImgcoreError
from imgcore.events import Control
from imgcore.formats.squashfs import open_image
from imgcore.formats.squashfs.check import check_blob
from imgcore.limits import Limits
from tests.kit.oracles import differences, host_records, mounted, tree_records
from tests.kit.squashfs_cases import Case, all_cases

CASES = all_cases()


def kernel_reads_like_us(case: Case, image: Path, at: Path) -> tuple[bool, str]:
    """Return (whether the kernel mounts the image and reads all of it as imgcore does, what is different)."""
    with mounted(image, at) as taken:
        if not taken:
            return False, "does not mount"
        try:
            theirs = host_records(at)
        except OSError as error:
            return False, f"kernel: {error}"
        try:
            ours = tree_records(open_image(BytesBlob(case.image)).tree)
        except ImgcoreError as error:
            return False, f"imgcore: {error}"
        found = differences(theirs, ours, ignore=("links", "group"))
        return not found, "\n".join(found)


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_agrees(case: Case, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(case.image)
    with mounted(image, tmp_path / "probe") as taken:
        assert taken == case.mounts
    right, why = kernel_reads_like_us(case, image, tmp_path / "mnt")
    assert right == case.right, why


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_check_says_so(case: Case) -> None:
    findings = list(check_blob(BytesBlob(case.image), Limits.default(), Control()))
    assert {finding.rule for finding in findings if finding.severity == "error"} == case.rules
    assert any(finding.fatal for finding in findings) != case.mounts
    for finding in findings:
        assert finding.offset is not None or finding.path is not None, finding
