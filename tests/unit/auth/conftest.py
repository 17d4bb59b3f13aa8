"""Fixtures of auth's unit tests."""

from __future__ import annotations

import pytest

from tests.unit.auth.world import World


@pytest.fixture
def world() -> World:
    """An empty deployment."""
    return World()
