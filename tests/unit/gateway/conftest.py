"""The test contracts in tests/fakes/protos."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.fakes.contracts import modules


@pytest.fixture(scope="session")
def contracts() -> dict[str, ModuleType]:
    """The generated modules `kitchen`, `broken` and `transcoding`."""
    return modules()


@pytest.fixture
def kitchen(contracts: dict[str, ModuleType]) -> Any:
    """The module with every kind of field."""
    return contracts["kitchen"]
