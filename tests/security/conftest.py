"""Who takes part: Ada, who owns things; Eve, a user like her; a reader; an admin; nobody."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.local_stack import LocalStack
from tests.security.belongings import Belongings, furnish


@pytest.fixture(scope="session")
def ada(stack: LocalStack) -> Iterator[httpx.Client]:
    """The owner, by API key."""
    with stack.client(stack.api_key("ada.owner@t2m.example")) as client:
        yield client


@pytest.fixture(scope="session")
def eve(stack: LocalStack) -> Iterator[httpx.Client]:
    """Another user."""
    with stack.client(stack.api_key("eve@t2m.example")) as client:
        yield client


@pytest.fixture(scope="session")
def reader(stack: LocalStack) -> Iterator[httpx.Client]:
    """A user who may only read."""
    with stack.client(stack.api_key("reader@t2m.example", "readonly")) as client:
        yield client


@pytest.fixture(scope="session")
def admin(stack: LocalStack) -> Iterator[httpx.Client]:
    """An admin."""
    with stack.client(stack.api_key("root.security@t2m.example", "admin")) as client:
        yield client


@pytest.fixture(scope="session")
def nobody(stack: LocalStack) -> Iterator[httpx.Client]:
    """Without a credential."""
    with stack.client() as client:
        yield client


@pytest.fixture(scope="session")
def belongings(stack: LocalStack, ada: httpx.Client) -> Belongings:
    """One of everything that a user can own; Ada's."""
    return furnish(stack, ada)
