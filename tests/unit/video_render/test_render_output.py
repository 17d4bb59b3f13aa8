"""What a render child printed: captured, cut, and without folders of the machine (J4)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.video_render.adapters.process.output import scrub, tail


def test_J4_output_of_native_code_is_captured_too(tmp_path: Path) -> None:
    """J4: whatever writes to the standard descriptors; the last lines only."""
    script = (
        "import os; from pathlib import Path;"
        "from services.video_render.adapters.process.output import capture;"
        f"capture(Path({str(tmp_path)!r}));"
        "[print('line', number, flush=True) for number in range(50)];"
        "os.write(2, b'native \\xff end\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env={**os.environ})
    assert done.stdout == done.stderr == b""
    lines = tail(tmp_path)
    assert len(lines) == 20
    assert lines[0] == "line 31"
    assert lines[-1].startswith("native")


def test_J4_nothing_was_printed(tmp_path: Path) -> None:
    assert tail(tmp_path) == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('  File "/home/ada/t2m/engine.py", line 3, in draw', '  File "engine.py", line 3, in draw'),
        ("half of 3/4 and a/b stay", "half of 3/4 and a/b stay"),
        ("see https://example.com/a/b", "see https://example.com/a/b"),
        ("bell \x07 and tab\tend", "bell   and tab end"),
        ("x" * 3000, "x" * 2000),
    ],
)
def test_J4_lines_say_nothing_of_the_machine(line: str, expected: str) -> None:
    """J4."""
    assert scrub(line) == expected
