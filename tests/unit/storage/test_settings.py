"""Settings that cannot work are refused at the start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from services.storage.__main__ import main
from services.storage.bootstrap import build
from services.storage.settings import StorageSettings

GOOD: dict[str, Any] = {
    "storage_root": Path("/nowhere"),
    "public_url": "http://127.0.0.1:8080",
    "url_signing_key": "k" * 32,
    "environment": "test",
}


def test_keys_are_split_at_commas() -> None:
    settings = StorageSettings(**{**GOOD, "url_signing_key": f"{'a' * 32}, {'b' * 32}"})
    assert settings.signing_keys() == [b"a" * 32, b"b" * 32]


def test_S5_plans_of_files() -> None:
    """S5: what a plan does not say is as in the default one, which itself may be changed."""
    settings = StorageSettings(**{**GOOD, "file_plans": {"pro": {"max_files": 7}, "free": {"max_file_bytes": 5}}})
    plans = settings.known_file_plans()
    assert (plans.of("pro").max_files, plans.of("pro").max_file_bytes) == (7, 25 * 1024 * 1024)
    assert (plans.of("").max_file_bytes, plans.of("gold").max_files) == (5, 100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"public_url": "videos.example"},
        {"public_url": "ftp://videos.example"},
        {"pending_grace_s": 1800},
        {"storage_region": "EU West"},
        {"max_object_bytes": 0},
        {"url_signing_key": "short"},
        {"clamd_address": "clamd"},
        {"clamd_address": "clamd:port"},
        {"file_plans": {"pro": {"max_files": -1}}},
        {"file_plans": {"pro": {"max_megabytes": 1}}},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StorageSettings(**{**GOOD, **wrong})


def test_the_command_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(f"T2M_{name.upper()}", str(value))
    monkeypatch.setenv("T2M_PUBLIC_URL", "not a url")
    monkeypatch.setenv("T2M_URL_SIGNING_KEY", "hush")
    done = CliRunner().invoke(main, [])
    assert done.exit_code == 2
    printed = done.stderr
    assert "T2M_PUBLIC_URL" in printed
    assert "T2M_URL_SIGNING_KEY" in printed
    assert "hush" not in printed


@pytest.mark.parametrize("arguments", [["bogus"], ["serve", "now"]])
def test_unknown_commands(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert "Usage" in done.stderr


def test_building_touches_neither_disk_nor_network(tmp_path: Path) -> None:
    wanted = {"storage_root": tmp_path / "objects", "database_url": "postgresql://nobody@127.0.0.1:1/none"}
    service = build(StorageSettings(**{**GOOD, **wanted}))
    assert not list(tmp_path.iterdir())
    asyncio.run(service.close())
