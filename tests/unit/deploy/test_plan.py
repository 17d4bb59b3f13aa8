"""Which processes the stack consists of, and the command line around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.local import commands
from deploy.local.folder import DataFolder
from deploy.local.stack import plan


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.setenv("T2M_DATA_DIR", str(tmp_path / "data"))
    data = DataFolder.from_environment()
    data.create()
    return data


def test_with_servers_of_ones_own_only_t2m_itself_is_started(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T2M_DATABASE_URL", "postgresql://admin:pw@db.example/postgres")
    monkeypatch.setenv("T2M_REDIS_URL", "redis://queue.example/3")
    decided = plan(folder)
    assert [[spec.name for spec in stage.processes] for stage in decided.stages] == [
        [],
        ["auth"],
        ["storage", "video_render", "job", "worker"],
        ["gateway"],
    ]
    job = decided.stages[2].processes[2].environment
    assert job is not None
    assert job["T2M_DATABASE_URL"] == "postgresql+asyncpg://admin:pw@db.example/t2m_job"
    assert job["T2M_REDIS_URL"] == "redis://queue.example/3"
    assert not (folder.root / "postgres").exists()


def test_the_data_folder_is_the_one_of_the_environment_else_in_the_checkout(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder.root.name == "data"
    monkeypatch.delenv("T2M_DATA_DIR")
    assert DataFolder.from_environment().root == Path(__file__).parents[3] / ".t2m"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["down"], 0, "not running"),
        (["down", "--quiet"], 0, ""),
        (["status"], 3, "make up"),
        (["env"], 3, "make up"),
        (["restart", "job"], 3, "make up"),
        (["env", "nobody"], 2, "'nobody' is not one of"),
        (["sideways"], 2, "No such command"),
    ],
)
def test_commands_on_a_folder_where_nothing_runs(
    folder: DataFolder, arguments: list[str], code: int, text: str
) -> None:
    result = CliRunner().invoke(commands.cli, arguments)
    assert result.exit_code == code
    assert text in result.output
