"""`t2m-admin` has the commands of the services (S7)."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.admin.__main__ import main

COMMANDS = ["create-buckets", "import-redis", "migrate-files", "sweep-orphans"]


def test_S7_every_command_is_listed_and_explains_itself() -> None:
    listed = CliRunner().invoke(main, ["--help"])
    assert listed.exit_code == 0
    assert [name for name in COMMANDS if f"  {name} " in listed.output] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_S7_a_command_without_settings_names_what_is_missing(command: str) -> None:
    arguments = ["--source", "redis://127.0.0.1:9/0"] if command == "import-redis" else []
    result = CliRunner().invoke(main, [command, *arguments], env={"T2M_DATABASE_URL": None, "T2M_STORAGE_ROOT": None})
    assert result.exit_code == 2
    assert "settings: T2M_" in result.output


def test_S7_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(main, ["wibble"]).exit_code == 2


def test_S7_the_script_is_installed_under_its_name() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["t2m-admin"] == "services.admin.__main__:main"
