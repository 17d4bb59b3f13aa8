"""`python -m services.auth` as an operator uses it: real processes on the real Postgres (rows A1, A4)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from sqlalchemy import text

from services.runtime.db import create_engine
from t2m.auth.v1 import (
    session_service_pb2,
    session_service_pb2_grpc,
    token_service_pb2,
    token_service_pb2_grpc,
    user_pb2,
)
from tests import stack

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


@dataclass
class Commands:
    """Runs commands of auth in one environment."""

    environment: dict[str, str]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """The running process."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.auth", *arguments),
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int | None, str, str]:
        """Exit status, standard output and standard error."""
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), DEADLINE_S)
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def commands(postgres: Callable[[], str], tmp_path: Path) -> Commands:
    """On an empty database."""
    url = await asyncio.to_thread(postgres)
    return Commands(
        {
            "T2M_ENVIRONMENT": "test",
            "T2M_DATABASE_URL": url,
            "T2M_KEYS_DIR": str(tmp_path / "keys"),
            "T2M_API_KEY_PEPPER": "a pepper of the test",
            "T2M_SERVICE_SECRETS": json.dumps({"job": "the secret of the job service"}),
            "T2M_BIND": "127.0.0.1:0",
            "T2M_MAIL_OUTBOX": str(tmp_path / "outbox"),
        }
    )


async def users_in(url: str) -> int:
    """How many accounts there are."""
    engine = create_engine(url)
    async with engine.connect() as connection:
        count = await connection.scalar(text("SELECT count(*) FROM users"))
    await engine.dispose()
    return int(count or 0)


async def test_first_admin_and_first_key_open_the_served_auth(commands: Commands) -> None:
    assert await commands.run("migrate") == (0, "", "")
    assert await users_in(commands.environment["T2M_DATABASE_URL"]) == 0
    status, password, said = await commands.run("create-admin", "--email", "Root@example.com")
    assert (status, said) == (0, "admin root@example.com created\n")
    status, key, said = await commands.run("create-key", "--email", "ci@example.com", "--role", "readonly")
    assert (status, said) == (0, "")
    assert key.startswith("t2m_")
    assert key.count("\n") == 1
    server = await commands.start()
    assert server.stdout is not None
    serving = json.loads(await asyncio.wait_for(server.stdout.readline(), DEADLINE_S))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{serving['port']}") as channel:
        by_key = await token_service_pb2_grpc.TokenServiceStub(channel).ExchangeCredential(
            token_service_pb2.ExchangeCredentialRequest(api_key=key.strip())
        )
        assert by_key.role == user_pb2.ROLE_READONLY
        login = await session_service_pb2_grpc.SessionServiceStub(channel).Login(
            session_service_pb2.LoginRequest(email="root@example.com", password=password.strip())
        )
        by_session = await token_service_pb2_grpc.TokenServiceStub(channel).ExchangeCredential(
            token_service_pb2.ExchangeCredentialRequest(access_token=login.tokens.access_token)
        )
        assert by_session.role == user_pb2.ROLE_ADMIN
    server.send_signal(signal.SIGTERM)
    logged, _ = await asyncio.wait_for(server.communicate(), DEADLINE_S)
    assert server.returncode == 0
    for secret in (password.strip(), key.strip(), login.tokens.refresh_token, by_key.internal_token):
        assert secret not in logged.decode()


async def test_a_given_password_is_read_and_not_printed(commands: Commands) -> None:
    await stack.migrate("auth", commands.environment["T2M_DATABASE_URL"])
    arguments = ("create-admin", "--email", "root@example.com", "--password-stdin")
    status, out, said = await commands.run(*arguments, stdin="short\n")
    assert (status, out, said) == (1, "", "Error: password must have at least 12 characters\n")
    status, out, _ = await commands.run(*arguments, stdin="correct horse battery\n")
    assert (status, out) == (0, "")
    status, out, said = await commands.run(*arguments, stdin="correct horse battery\n")
    assert (status, out, said) == (1, "", "Error: an account with this e-mail address exists\n")


async def test_a_database_that_is_away_is_named_without_a_traceback(commands: Commands) -> None:
    commands.environment["T2M_DATABASE_URL"] = "postgresql://t2m:hunter2@127.0.0.1:1/t2m_auth"
    status, out, said = await commands.run("create-key", "--email", "ci@example.com")
    assert (status, out) == (1, "")
    assert said.startswith("Error: database: ")
    assert said.count("\n") == 1
    assert "hunter2" not in said


async def test_missing_settings_are_named_without_a_traceback(commands: Commands) -> None:
    del commands.environment["T2M_API_KEY_PEPPER"]
    status, _, said = await commands.run()
    assert (status, said) == (2, "Error: settings: T2M_API_KEY_PEPPER: Field required\n")
