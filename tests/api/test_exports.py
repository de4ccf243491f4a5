"""The API is `__all__`: a name that comes or goes changes the snapshot below, and the changelog."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import imgcore
import imgcore.testing

SNAPSHOT = Path(__file__).with_name("exports.txt")


def test_snapshot() -> None:
    assert sorted(imgcore.__all__) == SNAPSHOT.read_text().split()


@pytest.mark.parametrize("name", imgcore.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(imgcore, name) is not None


def test_names_for_type_checkers_are_the_names_at_run_time() -> None:
    source = ast.parse(Path(imgcore.__file__).read_text())
    block = next(node for node in source.body if isinstance(node, ast.If))
    imported = {alias.asname or alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(imgcore.__all__)


def test_no_other_names() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = imgcore.nonsense
    with pytest.raises(AttributeError, match="nonsense"):
        _ = imgcore.testing.nonsense
    assert dir(imgcore) == sorted(imgcore.__all__)


def test_importing_costs_next_to_nothing() -> None:
    code = "import sys, imgcore; print(*[m for m in sys.modules if m.startswith(('imgcore', 'click', 'rich', 'hypothesis'))])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["imgcore"]


def test_typed() -> None:
    assert Path(imgcore.__file__).with_name("py.typed").exists()


def test_testing_exports() -> None:
    for name in imgcore.testing.__all__:
        assert callable(getattr(imgcore.testing, name))
