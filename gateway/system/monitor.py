"""The state of every part that the gateway depends on, looked at when somebody wants to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.feed import Feed
from gateway.frames import Frame
from gateway.health import Health

MAX_AGE_S = 1.0
"""How long a look serves everybody who asks: services are not asked more often, whoever asks here."""
_FINE = frozenset({"serving", "followed", "unused"})

PartState = Callable[[], str]
"""What a part says of itself that is known here without asking."""


class Monitor:
    """Looks at the services and at `parts`, what the gateway keeps itself, by name."""

    def __init__(self, health: Health, parts: dict[str, PartState]) -> None:
        self._health = health
        self._parts = parts
        self._look: asyncio.Task[dict[str, Any]] | None = None
        self._looked_at = 0.0

    async def look(self) -> dict[str, Any]:
        """`status` (healthy, degraded), `checked_at`, and `parts` with status and, of services, `latency_ms`."""
        now = time.monotonic()
        if self._look is None or now - self._looked_at > MAX_AGE_S:
            self._looked_at = now
            self._look = asyncio.create_task(self._ask())
        # Shielded: who leaves must not fail the others that wait for the same look.
        return await asyncio.shield(self._look)

    async def _ask(self) -> dict[str, Any]:
        parts: dict[str, dict[str, object]] = dict(await self._health.check_all())
        parts |= {name: {"status": state()} for name, state in self._parts.items()}
        healthy = all(part["status"] in _FINE for part in parts.values())
        checked_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"status": "healthy" if healthy else "degraded", "checked_at": checked_at, "parts": parts}

    async def supply(self, feed: Feed, every_s: float) -> None:
        """Publish the state, and again whenever a status differs; latencies differ always, and are no change."""
        known: dict[str, object] | None = None
        while True:
            state = await self.look()
            statuses = {name: part["status"] for name, part in state["parts"].items()}
            if statuses != known:
                known = statuses
                feed.publish(Frame((feed.last or 0) + 1, "health", orjson.dumps(state)))
            await asyncio.sleep(every_s)
