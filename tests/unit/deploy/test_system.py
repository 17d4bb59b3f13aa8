"""What the machine must bring: found, named per distribution, and only then installed."""

from __future__ import annotations

import shutil
import sys

import pytest

from deploy.local import system


def test_this_machine_lacks_nothing() -> None:
    """These tests run in the environment that the check has prepared."""
    assert system.missing() == []
    assert system.main([]) == 0


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 8, 20), (3, 10, 14)])
def test_an_old_python_is_refused_by_name(version: tuple[int, ...]) -> None:
    complaint = system.check_python(version)
    assert complaint is not None
    assert "needs Python 3.11 or newer" in complaint
    assert sys.executable in complaint


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 14, 0), (4, 0, 0)])
def test_a_new_python_is_fine(version: tuple[int, ...]) -> None:
    assert system.check_python(version) is None


def test_every_manager_knows_every_part() -> None:
    parts = {frozenset(table) for table in system.PACKAGES.values()}
    assert len(parts) == 1
    assert system.PACKAGES.keys() == system.INSTALL.keys()


def test_the_explanation_names_packages_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(system, "_is_root", lambda: False)
    text = system.explanation(["cairo", "pango"])
    assert "sudo apt-get install -y --no-install-recommends libcairo2-dev libpango1.0-dev" in text
    assert "sudo dnf install -y cairo-devel pango-devel" in text
    assert "  brew install cairo pango" in text


def test_a_machine_without_a_known_manager_is_told_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert system.main([]) == 1
    assert "a C compiler" in capsys.readouterr().err


def test_apt_refreshes_its_lists_once_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str]) -> bool:
        commands.append(command)
        return len(commands) > 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(system, "_run", run)
    monkeypatch.setattr(system, "_is_root", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "apt-get" else None)
    assert system.install(["cairo"])
    assert [command[1] for command in commands] == ["install", "update", "install"]


def test_check_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "missing", lambda: ["cairo"])
    monkeypatch.setattr(system, "install", lambda parts: pytest.fail("installed something"))
    assert system.main(["--check"]) == 1
