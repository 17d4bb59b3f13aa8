"""A real auth with users, credits and a ledger that is checked, for tests of what other services do with money."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from click.testing import CliRunner
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.__main__ import main as auth_main
from services.auth.adapters.jose.keys import load_or_create_keys
from services.auth.adapters.postgres.credits import PostgresCredits
from services.auth.adapters.postgres.ledger import PostgresLedger
from services.auth.adapters.postgres.tables import USERS
from services.auth.application.credits import Credits
from services.auth.bootstrap import build_server as build_auth
from services.auth.domain.plans import Plans
from services.auth.settings import AuthSettings
from services.runtime.clock import SystemClock
from services.runtime.db import create_engine
from services.runtime.tokens import TokenSigner
from tests import stack
from tests.fakes.auth import START
from tests.integration.video_render_harness import eventually

SECRET = "the secret of the job service"
PLANS = {
    "free": {"metered": True, "in_flight": 1},
    "pro": {"metered": True, "in_flight": 3, "price": 1500, "credits": 10},
    "max": {"metered": True, "in_flight": 9, "price": 9000, "credits": 90},
}


@dataclass
class Money:
    """The database of an auth, and what its servers are started with."""

    url: str
    folder: Path
    engine: AsyncEngine

    def settings(self, **more: Any) -> AuthSettings:
        """Of a server on a free port, quick to see what is due."""
        values: dict[str, Any] = {
            "environment": "test",
            "database_url": self.url,
            "keys_dir": self.folder / "keys",
            "api_key_pepper": "p" * 16,
            "service_secrets": {"job": SECRET},
            "service_id": "auth",
            "plans": PLANS,
            "billing_poll_s": 0.1,
            **more,
        }
        return AuthSettings(**values)

    async def command(self, *arguments: str) -> tuple[int, str]:
        """An operator's command; its status and what it says."""
        environment = {
            "T2M_DATABASE_URL": self.url,
            "T2M_KEYS_DIR": str(self.folder / "keys"),
            "T2M_API_KEY_PEPPER": "p" * 16,
            "T2M_PLANS": json.dumps(PLANS),
        }
        result = await asyncio.to_thread(CliRunner().invoke, auth_main, arguments, env=environment)
        return result.exit_code, result.output

    async def key_of(self, email: str) -> str:
        """An API key of a user who is made with it."""
        status, output = await self.command("create-key", "--email", email)
        assert status == 0, output
        # Servers of the test log to the same standard output.
        return next(line for line in output.splitlines() if line.startswith("t2m_"))

    def signer(self) -> TokenSigner:
        """Signs as this auth does."""
        return TokenSigner(load_or_create_keys(self.folder / "keys")[-1].key)

    async def add_user(self, credits: int) -> str:  # noqa: A002 - that is what they are
        """A user who was granted so many."""
        user_id = str(uuid4())
        row = {"user_id": user_id, "email": f"{user_id}@b.example", "display_name": "", "role": "user", "plan": "free"}
        async with self.engine.begin() as connection:
            await connection.execute(insert(USERS), [{**row, "created_at": START, "updated_at": START}])
        cases = Credits(PostgresCredits(self.engine), Plans(), SystemClock())
        await cases.grant(user_id, credits, "test", f"test {user_id}")
        return user_id

    async def balance(self, user_id: str) -> tuple[int, int, int]:
        """Available, reserved, spent."""
        query = text("SELECT available, reserved, spent FROM credit_accounts WHERE user_id = :user")
        async with self.engine.connect() as connection:
            row = (await connection.execute(query, {"user": user_id})).one()
        return (row[0], row[1], row[2])

    async def until(self, user_id: str, expected: tuple[int, int, int]) -> None:
        """Wait for a balance."""

        async def reached() -> bool:
            return await self.balance(user_id) == expected

        await eventually(reached, f"balance {expected}", 20)

    async def end_claims(self) -> None:
        """As if the two minutes were over that whoever asks the provider has for it."""
        async with self.engine.begin() as connection:
            await connection.execute(text("UPDATE charges SET claimed_until = now() WHERE claimed_until IS NOT NULL"))

    async def kinds(self, user_id: str) -> list[str]:
        """The kinds of the user's transactions, in order."""
        entries = await PostgresLedger(self.engine).entries(user_id, None, 1000)
        return [entry.kind for entry in reversed(entries) if entry.book == "available"]

    @asynccontextmanager
    async def process(self, **more: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
        """`python -m services.auth` as a process of its own, and its address."""
        environment = {
            **os.environ,
            "T2M_ENVIRONMENT": "test",
            "T2M_BIND": "127.0.0.1:0",
            "T2M_DATABASE_URL": self.url,
            "T2M_KEYS_DIR": str(self.folder / "keys"),
            "T2M_API_KEY_PEPPER": "p" * 16,
            "T2M_SERVICE_SECRETS": json.dumps({"job": SECRET}),
            "T2M_SERVICE_ID": "auth",
            "T2M_PLANS": json.dumps(PLANS),
            "T2M_BILLING_POLL_S": "0.1",
            **more,
        }
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.auth"), env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        draining: asyncio.Task[bytes] | None = None
        try:
            async with asyncio.timeout(60):
                async for line in child.stdout:
                    if found := re.search(rb'"port": ?(\d+)', line):
                        break
                else:
                    raise AssertionError("the process ended before it served")
            draining = asyncio.create_task(child.stdout.read())
            yield child, f"127.0.0.1:{int(found[1])}"
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()
            if draining is not None:
                await draining


@asynccontextmanager
async def new_money(folder: Path) -> AsyncGenerator[Money]:
    """A database of its own; its books are in order at the end."""
    url = stack.postgres_url("money")
    await stack.migrate("auth", url)
    engine = create_engine(url)
    try:
        yield Money(url, folder, engine)
        assert await PostgresLedger(engine).faults() == []
    finally:
        await engine.dispose()


@asynccontextmanager
async def running_auth(money: Money, **more: Any) -> AsyncGenerator[str]:
    """Auth in this process; its address."""
    server = build_auth(money.settings(**more))
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()
