"""Compiles the contracts of tests/fakes/protos, once per process."""

from __future__ import annotations

import functools
import importlib
import importlib.resources
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from google.api import annotations_pb2
from grpc_tools import protoc

_ROOT = Path(__file__).parents[2]


@functools.cache
def modules() -> dict[str, ModuleType]:
    """The generated modules by the name of their proto: `kitchen`, `broken`, `transcoding`."""
    protos = _ROOT / "tests/fakes/protos"
    common = Path(annotations_pb2.__file__).parents[2]
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    names = sorted(path.stem for path in protos.glob("*.proto"))
    with tempfile.TemporaryDirectory(prefix="t2m-contracts-") as out:
        paths = [f"--proto_path={path}" for path in (protos, _ROOT / "protos", common, well_known)]
        code = protoc.main(["protoc", *paths, f"--python_out={out}", *(f"{name}.proto" for name in names)])
        assert code == 0
        sys.path.insert(0, out)
        try:
            return {name: importlib.import_module(f"{name}_pb2") for name in names}
        finally:
            sys.path.remove(out)
