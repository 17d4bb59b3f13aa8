"""t2m's side: gateway, job and auth as they are deployed, and users with keys and credits.

The queue is drained (`POST /api/v1/admin/queue/drain`), so that nothing is rendered: what is measured ends with a job
that is stored, paid for and queued. What a job leaves to be done later belongs to its cost: `settled` waits until its
credits are confirmed, its event is relayed and its entry of the audit trail has reached auth.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from services.auth.bootstrap import build_operator
from services.auth.domain.user import Role
from services.auth.settings import AuthSettings
from tests import stack
from tests.bench.submission.load import ORDER
from tests.bench.submission.servers import Side

CREDITS = 1_000_000
NO_END = "10000000/minute"
_LIMITS = {
    "plans": {"free": {"standard": NO_END, "generate": NO_END}},
    "address": {"standard": NO_END, "generate": NO_END, "credential": NO_END},
    "deployment": {"standard": NO_END, "generate": NO_END},
}
_COMPLETED = """
    UPDATE jobs SET status = 'completed', completed_at = now(), video = '{"frame_count": 300}',
        stage_seconds = '{"planning": 1, "rendering": 10, "assembling": 1, "publishing": 1}'
"""
_LEFT = """
    SELECT (SELECT count(*) FROM job_outbox) + (SELECT count(*) FROM audit_outbox)
        + (SELECT count(*) FROM job_events WHERE NOT relayed)
"""


class Ours(Side):
    """The deployment."""

    def __init__(self, folder: Path) -> None:
        super().__init__("t2m", folder)
        self.gateway_port = stack.free_port()
        self._databases: dict[str, str] = {}
        self._auth: dict[str, str] = {}
        self.credentials: Sequence[str] = ()

    async def start(self, users: int) -> None:
        """Start everything; a key and a balance for each user."""
        await asyncio.to_thread(self.start_servers)
        for name in ("auth", "job"):
            self._databases[name] = await asyncio.to_thread(self.postgres.create_database, f"t2m_{name}")
            await stack.migrate(name, self._databases[name])
        await asyncio.to_thread(self._run)
        await self._prepare(users)

    def _run(self) -> None:
        ports = {name: stack.free_port() for name in ("auth", "job", "storage", "video_render")}
        tokens = {name: secrets.token_urlsafe(32) for name in ("gateway", "job")}
        plans = json.dumps({"free": {"metered": True}})
        common = {
            "T2M_ENVIRONMENT": "dev",
            "T2M_REDIS_URL": self.redis.url,
            "T2M_PLANS": plans,
            **{f"T2M_{name.upper()}_ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()},
        }
        self._auth = {
            "T2M_DATABASE_URL": self._databases["auth"],
            "T2M_KEYS_DIR": str(self.folder / "keys"),
            "T2M_API_KEY_PEPPER": secrets.token_urlsafe(32),
            "T2M_SERVICE_SECRETS": json.dumps(tokens),
            "T2M_SERVICE_ID": "auth",
            "T2M_MAIL_OUTBOX": str(self.folder / "outbox"),
        }
        job = {"T2M_DATABASE_URL": self._databases["job"], "T2M_WEBHOOK_KEY": secrets.token_urlsafe(32)}
        for name, own in (("auth", self._auth), ("job", {**job, **_client("job", tokens)})):
            bind = {"T2M_BIND": f"127.0.0.1:{ports[name]}"}
            self.run(name, ["-m", f"services.{name}"], ports[name], {**common, **own, **bind})
        gateway = {"T2M_GATEWAY_PORT": str(self.gateway_port), "T2M_RATE_LIMITS": json.dumps(_LIMITS)}
        self.run("gateway", ["-m", "gateway"], self.gateway_port, {**common, **gateway, **_client("gateway", tokens)})

    async def _prepare(self, users: int) -> None:
        names = ("database_url", "keys_dir", "api_key_pepper")
        settings: dict[str, Any] = {name: self._auth[f"T2M_{name.upper()}"] for name in names}
        operator, engine = build_operator(AuthSettings(**settings))
        _, admin = await operator.create_key("admin@bench.example", Role.ADMIN, "bench", ())
        made = [await operator.create_key(f"{n}@bench.example", Role.USER, "bench", ()) for n in range(users)]
        await engine.dispose()
        url = f"http://127.0.0.1:{self.gateway_port}/api/v1/admin"
        async with httpx.AsyncClient(headers={"X-API-Key": admin}, trust_env=False, timeout=30) as client:
            (await client.post(f"{url}/queue/drain", json={})).raise_for_status()
            for user, _ in made:
                grant = {"amount": CREDITS, "reason": "bench"}
                key = {"Idempotency-Key": f"bench-{user.user_id}"}
                answer = await client.post(f"{url}/users/{user.user_id}/credits", json=grant, headers=key)
                answer.raise_for_status()
            await self._remember(client, made[0][1])
        self.credentials = [f"X-API-Key: {key}\r\n" for _, key in made]

    async def _remember(self, client: httpx.AsyncClient, key: str) -> None:
        """A past: with a completed job, every order is promised a time, for which its place in the queue is needed."""
        url = f"http://127.0.0.1:{self.gateway_port}/api/v1/videos/generate"
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        (await client.post(url, content=ORDER, headers=headers)).raise_for_status()
        connection = await asyncpg.connect(self._databases["job"])
        await connection.execute(_COMPLETED)
        await connection.close()

    async def settled(self) -> None:
        """Return when nothing is left to be done for the jobs that were accepted."""
        connection = await asyncpg.connect(self._databases["job"])
        try:
            async with asyncio.timeout(120):
                while await connection.fetchval(_LEFT):  # noqa: ASYNC110 - other processes tell nobody
                    await asyncio.sleep(0.1)
        finally:
            await connection.close()

    async def check(self, jobs: int) -> None:
        """Every accepted job is there once, with its event and its confirmed credits. Raises AssertionError."""
        counts = {}
        for name, query in (
            ("job", "SELECT count(*), count(e.*) FROM jobs j LEFT JOIN job_events e ON j.job_id::text = e.stream_id"),
            ("auth", "SELECT count(*), sum(amount) FROM credit_reservations WHERE state = 'confirmed'"),
        ):
            connection = await asyncpg.connect(self._databases[name])
            counts[name] = tuple(await connection.fetchrow(query) or ())
            await connection.close()
        jobs += 1  # of `_remember`
        assert counts == {"job": (jobs, jobs), "auth": (jobs, jobs)}, (jobs, counts)


def _client(name: str, tokens: dict[str, str]) -> dict[str, str]:
    return {"T2M_SERVICE_ID": name, "T2M_SERVICE_SECRET": tokens[name]}
