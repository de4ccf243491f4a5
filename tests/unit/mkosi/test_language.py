"""Each rule of the configuration language, from the table of cases that mkosi itself is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgcore.errors import ConfigError
from tests.kit.mkosi import ours, write_files
from tests.kit.mkosi_cases import CASES, EXAMPLES, Case


def _filled(value: object, directory: Path) -> object:
    if isinstance(value, str):
        return value.replace("{D}", str(directory))
    if isinstance(value, list):
        return [_filled(one, directory) for one in value]
    if isinstance(value, dict):
        return {name: _filled(one, directory) for name, one in value.items()}
    return value


@pytest.mark.parametrize("case", [*CASES, *EXAMPLES], ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    directory = write_files(tmp_path.resolve() / "c", case.files)
    if case.expected is None:
        with pytest.raises(ConfigError):
            ours(directory, case.arguments)
        return
    images = {str(one["Image"] or ""): one for one in ours(directory, case.arguments)}
    for name, value in case.expected.items():
        image, _, setting = name.rpartition(".")
        found, wanted = images[image][setting.rstrip("+")], _filled(value, directory)
        if setting.endswith("+") and isinstance(found, dict):
            assert isinstance(wanted, dict)
            assert {key: found.get(key) for key in wanted} == wanted, name
        elif setting.endswith("+"):
            assert wanted in found, name
        else:
            assert found == wanted, name
