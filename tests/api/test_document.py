"""schemathesis over the served document, a few cases per operation (O8); `make test-api` asks a hundred of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.stage import Stage, options, set_up
from tests.e2e.local_stack import LocalStack

LIMIT_S = 300
"""A busy machine takes many times what a quiet one does."""
EXAMPLES = 2


@pytest.fixture(scope="module")
def stage(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Something of every kind to ask about."""
    with set_up(stack, tmp_path_factory.mktemp("api"), "schemathesis", spare=3) as ready:
        yield ready


@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("who", ["user", "admin"])
def test_O8_the_stack_keeps_its_document(stage: Stage, who: str) -> None:
    """O8, O6: nothing fails with 5xx; what is refused and what is answered are what the document says."""
    done = stage.ask(who, *options(examples=EXAMPLES, phases=("examples", "fuzzing")), timeout_s=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
