"""What the kernel says about killing for memory (J6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.video_render.adapters.process import memory


@pytest.mark.parametrize(
    ("cgroup", "place", "text", "kills"),
    [
        ("0::/pods/a\n", "pods/a/memory.events", "low 0\noom 9\noom_kill 3\noom_group_kill 0\n", 3),
        ("0::/elsewhere\n", "memory.events", "oom_kill 2\n", 2),
        ("7:cpu,memory:/a\n0::/\n", "memory/a/memory.oom_control", "oom_kill_disable 0\noom_kill 5\n", 5),
        ("7:cpu:/a\n", "memory/a/memory.oom_control", "oom_kill 5\n", 0),
        ("0::/\n", "other", "", 0),
    ],
)
def test_J6_kills_for_memory_are_counted(tmp_path: Path, cgroup: str, place: str, text: str, kills: int) -> None:
    """J6: in both kinds of control groups; unknown is none."""
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "fs" / place).parent.mkdir(parents=True)
    (tmp_path / "fs" / place).write_text(text)
    assert memory.oom_kills(tmp_path / "cgroup", tmp_path / "fs") == kills
    assert memory.oom_kills(tmp_path / "missing", tmp_path / "fs") == 0
