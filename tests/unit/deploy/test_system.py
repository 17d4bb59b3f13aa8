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
    monkeypatch.setattr(system, "missing", lambda *, with_browser: ["cairo"])
    monkeypatch.setattr(system, "install", lambda parts: pytest.fail("installed something"))
    assert system.main(["--check"]) == 1


def only(monkeypatch: pytest.MonkeyPatch, *present: str) -> None:
    """A machine that has these programs and no others."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in present else None)


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_V5_the_browser_is_found_by_any_of_its_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("T2M_CHROMIUM", raising=False)
    only(monkeypatch, name)
    assert system.browser() == f"/usr/bin/{name}"
    assert "Chromium" not in system.missing(with_browser=True)


def test_V5_a_named_browser_is_taken_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2M_CHROMIUM", "my-chromium")
    only(monkeypatch, "chromium", "my-chromium")
    assert system.browser() == "/usr/bin/my-chromium"
    only(monkeypatch, "chromium")
    assert system.browser() is None


def test_V5_the_browser_is_installed_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("T2M_CHROMIUM", raising=False)
    monkeypatch.setattr(system, "BROWSERS", ("no-such-browser",))
    assert system.missing() == []
    installed: list[list[str]] = []

    def install(parts: list[str]) -> bool:
        installed.append(parts)
        monkeypatch.setattr(system, "BROWSERS", (sys.executable,))
        return True

    monkeypatch.setattr(system, "install", install)
    assert system.main([]) == 0
    assert installed == []
    assert system.main(["--browser"]) == 0
    assert installed == [["Chromium"]]


def test_V5_where_it_cannot_be_installed_the_package_of_the_browser_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(system, "missing", lambda *, with_browser: ["Chromium"] if with_browser else [])
    monkeypatch.setattr(system, "install", lambda parts: False)
    only(monkeypatch)
    assert system.main(["--browser"]) == 1
    assert "apt-get install -y --no-install-recommends chromium\n" in capsys.readouterr().err
