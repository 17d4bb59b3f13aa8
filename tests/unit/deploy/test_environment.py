"""The environment contract of the processes, and the small parts of the data folder."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from deploy.local import environment, guardian
from deploy.local.environment import CLIENTS, SERVICES, Addresses, Environments, kept_secrets
from deploy.local.errors import ProcessFailedError, StackError
from deploy.local.folder import DataFolder
from deploy.local.ports import PortBook, is_free
from deploy.local.postgres import create_database


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environments:
    monkeypatch.setenv("T2M_DATABASE_URL", "postgresql://admin:pw@db/postgres")
    monkeypatch.setenv("T2M_LOG_LEVEL", "debug")
    folder = DataFolder(tmp_path)
    return Environments(
        folder,
        Addresses.of(folder),
        kept_secrets(folder),
        "postgresql://admin:pw@db:5433/postgres?ssl=on",
        "redis://r",
    )


def test_every_service_has_its_own_database_and_address(environments: Environments) -> None:
    for name in SERVICES:
        values = environments.of(name)
        assert values["T2M_DATABASE_URL"] == f"postgresql+asyncpg://admin:pw@db:5433/t2m_{name}?ssl=on"
        assert values["T2M_BIND"] == environments.addresses.services[name]
        assert values[f"T2M_{name.upper()}_ADDRESS"] == values["T2M_BIND"]
    assert len(set(environments.addresses.services.values())) == len(SERVICES)


def test_the_worker_shares_the_database_of_its_service_and_listens_nowhere(
    environments: Environments,
) -> None:
    values = environments.of("worker")
    assert values["T2M_DATABASE_URL"].endswith("/t2m_video_render?ssl=on")
    assert "T2M_BIND" not in values
    assert int(values["T2M_WORKER_CONCURRENCY"]) >= 1


def test_the_gateway_gets_no_database(environments: Environments) -> None:
    values = environments.of("gateway")
    assert "T2M_DATABASE_URL" not in values
    assert values["T2M_PUBLIC_URL"] == f"http://{values['T2M_BIND']}"


def test_auth_knows_the_secret_of_every_client_and_nobody_else_does(environments: Environments) -> None:
    known = json.loads(environments.of("auth")["T2M_SERVICE_SECRETS"])
    assert known == {name: environments.of(name)["T2M_SERVICE_SECRET"] for name in CLIENTS}
    assert len(set(known.values())) == len(CLIENTS)
    for name in CLIENTS:
        if name != "auth":
            assert not {"T2M_SERVICE_SECRETS", "T2M_API_KEY_PEPPER"} & environments.of(name).keys()


def test_mail_goes_into_the_folder_unless_the_shell_names_a_mail_server(
    environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A1."""
    assert environments.of("auth")["T2M_MAIL_OUTBOX"] == str(environments.folder.root / "outbox")
    assert "T2M_MAIL_OUTBOX" not in environments.of("job")
    monkeypatch.setenv("T2M_SMTP_HOST", "mail.example.com")
    assert "T2M_MAIL_OUTBOX" not in environments.of("auth")
    assert environments.of("auth")["T2M_SMTP_HOST"] == "mail.example.com"


def test_settings_of_the_shell_reach_the_processes(environments: Environments) -> None:
    assert environments.of("job")["T2M_LOG_LEVEL"] == "debug"


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    first = kept_secrets(folder)
    environment.remember_secret(folder, "demo_api_key", "t2m_x")
    assert kept_secrets(folder) == {**first, "demo_api_key": "t2m_x"}
    assert stat.S_IMODE(folder.secrets.stat().st_mode) == 0o600
    assert kept_secrets(DataFolder(tmp_path / "other")) != first


def test_a_port_is_kept_while_free_and_replaced_when_taken(tmp_path: Path) -> None:
    book = PortBook(tmp_path / "ports.json")
    port = book.port("job")
    assert PortBook(tmp_path / "ports.json").port("job") == port
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        other = book.port("job")
    assert other != port
    assert book.port("job") == other
    assert book.port("auth") != other


def test_the_preferred_port_is_only_a_preference(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        preferred = taken.getsockname()[1]
        assert PortBook(tmp_path / "a.json").port("gateway", preferred=preferred) != preferred
    assert PortBook(tmp_path / "b.json").port("gateway", preferred=preferred) == preferred


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    lock = folder.try_lock()
    assert lock is not None
    assert folder.try_lock() is None
    lock.close()
    again = folder.try_lock()
    assert again is not None
    again.close()


def test_a_state_file_of_a_dead_supervisor_is_not_a_running_stack(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.running() is None
    folder.state.write_text(json.dumps({"pid": 1, "process_started": 12.0}), encoding="utf-8")
    assert folder.running() is None


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (["+ 10", "+ 11", "- 10", "+ 12"], [12, 11]),
        (["+ 10", "bye"], []),
        ([], []),
    ],
)
def test_the_guardian_ends_what_is_left_newest_first(lines: list[str], left: list[int]) -> None:
    assert guardian.groups_left_by(lines) == left


def test_a_failed_process_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)), encoding="utf-8")
    text = str(ProcessFailedError("job", "ended with 1", log, lines=3))
    assert text.startswith("job ended with 1")
    assert str(log) in text
    assert "line 96" not in text
    assert text.endswith("  | line 99")
    assert "(no log)" in str(ProcessFailedError("job", "ended", tmp_path / "none.log"))
    assert isinstance(ProcessFailedError("job", "ended", log), StackError)


@pytest.mark.parametrize(
    ("given", "database", "url"),
    [
        ("postgres://u:p@h:1/postgres", "t2m_job", "postgresql+asyncpg://u:p@h:1/t2m_job"),
        ("postgresql+asyncpg://u@h", "t2m_job", "postgresql+asyncpg://u@h/t2m_job"),
        ("postgresql://h/x?sslmode=require&a=b", "t2m_auth", "postgresql+asyncpg://h/t2m_auth?ssl=require&a=b"),
    ],
)
def test_an_administrators_url_becomes_the_url_of_a_services_database(given: str, database: str, url: str) -> None:
    assert environment.with_database(environment.plain_url(given), database) == url


async def test_a_database_name_cannot_carry_sql() -> None:
    with pytest.raises(ValueError, match="not a database name"):
        await create_database("postgresql://nowhere", 't2m"; --')


def test_a_file_may_lay_variables_over_single_processes(
    environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2M_PROCESS_ENV: what it says of a process wins over what the stack decides, for that process only."""
    single = tmp_path / "single.json"
    single.write_text(json.dumps({"job": {"T2M_REDIS_URL": "redis://proxy", "T2M_DB_POOL_SIZE": 3}}))
    monkeypatch.setenv("T2M_PROCESS_ENV", str(single))
    assert environments.of("job")["T2M_REDIS_URL"] == "redis://proxy"
    assert environments.of("job")["T2M_DB_POOL_SIZE"] == "3"
    assert environments.of("auth")["T2M_REDIS_URL"] == "redis://r"


@pytest.mark.parametrize("content", [None, "nonsense", '["job"]', '{"job": "x"}'])
def test_a_bad_file_of_single_processes_is_named(
    environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    single = tmp_path / "single.json"
    if content is not None:
        single.write_text(content)
    monkeypatch.setenv("T2M_PROCESS_ENV", str(single))
    with pytest.raises(StackError, match=r"single\.json"):
        environments.of("job")
