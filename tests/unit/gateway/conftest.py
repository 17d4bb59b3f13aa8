"""Compiles the test contracts in tests/fakes/protos, in this process."""

from __future__ import annotations

import importlib
import importlib.resources
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from google.api import annotations_pb2
from grpc_tools import protoc

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModuleType]:
    """The generated modules `kitchen` and `broken`."""
    out = tmp_path_factory.mktemp("stubs")
    common = Path(annotations_pb2.__file__).parents[2]
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT / 'tests/fakes/protos'}",
            f"--proto_path={ROOT / 'protos'}",
            f"--proto_path={common}",
            f"--proto_path={well_known}",
            f"--python_out={out}",
            "kitchen.proto",
            "broken.proto",
        ]
    )
    assert code == 0
    sys.path.insert(0, str(out))
    try:
        return {name: importlib.import_module(f"{name}_pb2") for name in ("kitchen", "broken")}
    finally:
        sys.path.remove(str(out))


@pytest.fixture
def kitchen(contracts: dict[str, ModuleType]) -> Any:
    """The module with every kind of field."""
    return contracts["kitchen"]
