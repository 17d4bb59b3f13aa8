"""What the operator's commands about signing keys do and say (A2)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.auth.__main__ import main
from services.auth.adapters.jose.keys import create_key, load_keys


class Commands:
    """Runs them on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, lead_s: float = 600) -> Result:
        """The command's end."""
        environment = {"T2M_KEYS_DIR": str(self.folder), "T2M_KEYS_LEAD_S": str(lead_s)}
        return CliRunner().invoke(main, list(arguments), env=environment)

    def kids(self) -> list[str]:
        """Of the keys that are there, oldest first."""
        return [each.kid for each in load_keys(self.folder)]


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """On a folder with a key of yesterday."""
    create_key(tmp_path, datetime.now(UTC) - timedelta(days=1))
    return Commands(tmp_path)


def test_a_key_is_rotated_and_the_old_one_retired_once_its_tokens_have_ended(commands: Commands) -> None:
    (old,) = commands.kids()
    said = commands.run("rotate-key")
    assert said.exit_code == 0
    assert commands.kids()[0] == old
    new = commands.kids()[1]
    assert said.output.startswith(f"{new} is published and signs from ")
    for path in commands.folder.glob("*.jwk"):
        assert path.stat().st_mode & 0o777 == 0o600
    again = commands.run("rotate-key")
    assert again.exit_code == 1
    assert "does not sign yet" in again.output
    assert commands.run("retire-keys").output == ""
    (path,) = commands.folder.glob(f"*-{new}.jwk")
    an_hour_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y%m%dT%H%M%S%fZ")
    path.rename(commands.folder / f"{an_hour_ago}-{new}.jwk")
    assert commands.run("retire-keys").output == f"{old}\n"
    assert commands.kids() == [new]


def test_a_key_is_withdrawn_and_another_takes_its_place(commands: Commands) -> None:
    (old,) = commands.kids()
    assert commands.run("withdraw-key", old).exit_code == 0
    assert commands.kids() != [old]
    assert len(commands.kids()) == 1
    unknown = commands.run("withdraw-key", old)
    assert unknown.exit_code == 1
    assert "there is no key" in unknown.output


def test_a_folder_elsewhere_may_be_named(commands: Commands, tmp_path: Path) -> None:
    """As where the keys are mounted from a secret: made here, copied there."""
    elsewhere = tmp_path / "elsewhere"
    assert commands.run("rotate-key", "--folder", str(elsewhere)).exit_code == 0
    (path,) = elsewhere.glob("*.jwk")
    assert json.loads(path.read_text())["crv"] == "Ed25519"
    assert commands.run("rotate-key", "--folder", "/proc/nowhere").exit_code == 1
