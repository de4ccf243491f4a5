"""The cases of systemd's own test of extensions (TEST-50): which case of the matrix each one is, or why it is none.

The matrix is asked of three versions of systemd (`tests/oracle/test_sysext_matrix.py`); this holds that nothing of the list
is forgotten.
"""

from __future__ import annotations

from tests.kit.sysext_matrix_more import CASES

COVERED: dict[int, list[str]] = {
    1: ["mutable no: plain"],
    3: ["mutable no: plain"],
    4: ["hierarchy is missing on the host", "mutable no: missing_host"],
    5: ["hierarchy is empty on the host", "mutable no: empty_host"],
    6: ["mutable no: with_directory"],
    7: ["mutable auto: with_directory"],
    9: ["mutable auto: missing_host"],
    10: ["mutable auto: empty_host"],
    11: ["mutable auto: linked"],
    12: ["mutable auto: itself", "mutable yes: itself"],
    14: ["mutable auto: dangling"],
    15: ["mutable no: with_directory", "mutable no: linked"],
    16: ["mutable import: with_directory"],
    17: ["mutable yes: plain"],
    19: ["mutable auto: plain"],
    20: ["configured: auto"],
    21: ["configured: import"],
    22: ["configured: nonsense"],
    26: ["mutable ephemeral: plain"],
    27: ["mutable ephemeral: with_directory"],
    28: ["mutable ephemeral-import: with_directory"],
    29: ["mutable ephemeral-import: plain"],
    30: ["mutable import: itself"],
    31: ["mutable ephemeral-import: itself"],
    32: ["modes and owners"],
    33: ["levels"],
    34: ["ID_LIKE"],
    35: ["mutable auto: other_mode", "mutable yes: other_mode"],
    36: ["root is an initrd", "directories of an initrd"],
    37: ["configured: auto", "configured: policy", "configured: policy, and a flag"],
    39: ["link to a directory"],
    40: ["link to a directory"],
    41: ["absolute link to an image"],
    42: ["absolute link to an image"],
    43: ["versions"],
    44: ["versions of images"],
    45: ["versions behind a link"],
    46: ["versions behind a link"],
    47: ["versions behind a link"],
    48: ["versions behind a link"],
    49: ["versions that are links"],
    50: ["versions that are relative links"],
    51: ["versions, one of them a link to a file"],
    52: ["versions, others of other types"],
}
ELSEWHERE: dict[int, str] = {
    2: "mount options of the environment: the caller's; tests/unit/sysext/test_plan.py has those of each mode",
    8: "the same, for mutable hierarchies",
    13: "a host that is mounted read-only: a mount, not a tree",
    18: "unmerging cleans directories that a mount left: there is no mount",
    23: "the environment against a flag: the caller has one value, `Options.mutable`",
    24: "as 23",
    25: "as 23",
    38: "a certificate for dm-verity: images with verity are not read yet (exit 3)",
    53: "refresh keeps a mount that is the same: there is no mount",
    54: "the same, of an image with verity",
    55: "units that are restarted: nothing is started",
    56: "units that are reloaded: nothing is started",
    57: "mounts below a hierarchy: `plan` says which versions keep them (docs/sysext.md)",
}


def test_every_case_is_in_the_matrix_or_has_its_reason() -> None:
    labels = {case.label for case in CASES}
    assert {*COVERED, *ELSEWHERE} == set(range(1, 58))
    assert not COVERED.keys() & ELSEWHERE.keys()
    assert not {label for found in COVERED.values() for label in found} - labels
    assert all(ELSEWHERE.values())
