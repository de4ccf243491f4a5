"""Fixtures of the engine's tests: every engine."""

from __future__ import annotations

import pytest

from imgcore.engine import Engine, get_engine
from tests.unit.engine.runs import require_native


@pytest.fixture
def native() -> Engine:
    """The native engine."""
    require_native()
    return get_engine("native")


@pytest.fixture
def pure() -> Engine:
    """The pure engine."""
    return get_engine("pure")


@pytest.fixture(params=["pure", "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    if request.param == "native":
        require_native()
        return get_engine("native")
    return get_engine("pure")
