"""Types of partitions: names, roles, architectures."""

from __future__ import annotations

import uuid

import pytest

from imgcore.disk.types import ARCHITECTURES, type_by_name, type_of


def test_a_name_a_role_and_a_uuid_are_the_same_type() -> None:
    guid = uuid.UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
    for text in ("root-x86-64-verity", "root-verity", str(guid), str(guid).upper()):
        found = type_by_name(text, "x86-64")
        assert (found.guid, found.name, found.role, found.architecture) == (guid, "root-x86-64-verity", "root-verity", "x86-64")
    assert type_of(guid) == type_by_name("root-verity", "x86-64")
    assert type_by_name("root-verity", "arm64").name == "root-arm64-verity"


def test_all_types_differ() -> None:
    roles = ("root", "root-verity", "root-verity-sig", "usr", "usr-verity", "usr-verity-sig")
    found = [type_by_name(role, one) for one in ARCHITECTURES for role in roles]
    assert len({one.guid for one in found}) == len({one.name for one in found}) == 6 * 21
    assert [one.is_verity for one in found[:6]] == [False, True, False, False, True, False]
    assert [one.is_signature for one in found[:6]] == [False, False, True, False, False, True]


def test_what_is_no_type() -> None:
    other = uuid.UUID(int=5)
    assert type_of(other) is None
    assert type_by_name(str(other)).role == ""
    with pytest.raises(ValueError, match="no type of a partition"):
        type_by_name("roots", "x86-64")
    with pytest.raises(ValueError, match="of an architecture, and `vax`"):
        type_by_name("root", "vax")
