"""A TypeScript client made from the served document compiles, and does a client's work (O8)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.local_stack import SAMPLE, LocalStack

HERE = Path(__file__).parent
NODE = Path(sys.executable).with_name("node")
MODULES = HERE / "node_modules"
LIMIT_S = 120
SOURCES = ("package.json", "tsconfig.json", "program.ts", "strictness.ts")


def run(folder: Path, *command: str, **environment: str) -> str:
    """What a program of node prints; its failure is the test's."""
    done = subprocess.run(
        [str(NODE), *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, stack: LocalStack) -> Path:
    """The program beside the types that openapi-typescript makes of the document, in a folder of its own."""
    assert MODULES.is_dir(), "npm ci --prefix tests/typescript"
    folder = tmp_path_factory.mktemp("typescript")
    for name in SOURCES:
        shutil.copy(HERE / name, folder)
    (folder / "node_modules").symlink_to(MODULES)
    with stack.client() as client:
        (folder / "openapi.json").write_bytes(client.get("/openapi.json").content)
    run(folder, "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "--output", "api.d.ts")
    return folder


def test_O8_the_client_compiles_strictly(project: Path) -> None:
    """O8: `tsc --strict --noEmit`; what the document does not have is an error (`strictness.ts`)."""
    run(project, "node_modules/typescript/bin/tsc", "--project", ".")


def test_O8_the_client_orders_watches_lists_and_downloads(project: Path, stack: LocalStack) -> None:
    """O8, O6, J7, J2, V1, V4: the program as it is, by node, against the stack."""
    key = stack.api_key("grace.typescript@t2m.example")
    order = {**SAMPLE, "topic": "A lesson for TypeScript"}
    said = json.loads(run(project, "program.ts", T2M_URL=stack.url, T2M_API_KEY=key, T2M_ORDER=json.dumps(order)))
    assert said["refused"] == {"reason": "VALIDATION_FAILED", "fields": ["topic"]}
    seqs = said["watched"]["seqs"]
    assert seqs == list(range(1, len(seqs) + 1)), "each event once, over a break"
    assert said["watched"]["status"] == "completed"
    assert said["listed"] == said["ordered"][::-1], "newest first, a page of one at a time"
    assert said["downloaded"]["type"] == "video/mp4"
    assert said["downloaded"]["bytes"] > 1000
