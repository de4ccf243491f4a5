"""UUIDs from a seed, against what systemd-repart 257 and 262 gave for the seed of its own test."""

from __future__ import annotations

import uuid

import pytest

from imgcore.disk.seeds import disk_uuid, file_system_uuid, partition_uuid, verity_salt, verity_uuid
from imgcore.disk.types import type_by_name

SEED = uuid.UUID("750b6cd5-c4ae-4012-a15e-7be3c29e6a47")
PARTITIONS = {
    "root-x86-64": (
        "60f33797-1d71-4dcb-aa6f-20564f036cd0",
        "73a4ccd2-eaf5-44da-a366-f99188210fdc",
        "e1383626-af3c-4fb4-87fa-8ffa8f306aa8",
    ),
    "home": (
        "4980595d-d74a-483a-aa9e-9903879a0ee5",
        "9cbf3acf-4490-4880-8199-843191de79b0",
        "ec41120e-8a70-4399-a919-581e7fc44904",
    ),
    "swap": (
        "78c92db8-3d2b-4823-b0dc-792b78f66f1e",
        "eaf65521-2c1b-461f-ac81-e74be8a0d839",
        "27c6c923-3691-405e-a674-d4ccba0c7bed",
    ),
    "esp": (
        "39107b09-615d-48fb-ba37-c663885fce67",
        "6e7a1bf0-f9e5-41f9-a8a6-c65881d729a0",
        "b4e01dbe-6849-4b8a-8239-718893c1a5f3",
    ),
    "usr-x86-64": (
        "7e3369dd-d653-4513-adf5-b993a9f20c16",
        "fd1902fe-26ef-411f-922f-c2007b1826a7",
        "c108326a-e6d4-4a23-b0fc-bcd889640b4b",
    ),
}


@pytest.mark.parametrize("name", PARTITIONS)
def test_partitions(name: str) -> None:
    kind = type_by_name(name).guid
    assert tuple(str(partition_uuid(SEED, kind, earlier)) for earlier in range(3)) == PARTITIONS[name]


def test_the_others() -> None:
    assert str(disk_uuid(SEED)) == "1d2ce291-7cce-4f7d-bc83-fdb49ad74ebd"
    assert verity_salt(SEED).hex() == "aece282c3c2def3554654f2e7295e770a8ba079339ff8818bd2dcd9a6817f99c"
    assert str(verity_uuid(SEED)) == "5b4cf557-8269-4aa1-8669-41f3431271c8"
    own = file_system_uuid(uuid.UUID(PARTITIONS["home"][0]))
    assert own.version == 4 and own != file_system_uuid(SEED)
