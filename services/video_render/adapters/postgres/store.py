"""`RenderStore` on Postgres.

A transition locks the render's row, and only then reads the clock and the steps: transitions of one render
take turns, those of different renders never wait for each other, and as every transaction locks that row first
there is no room for a deadlock. Steps are written back by fenced updates, which also protect them from a writer
outside of this module.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Select, bindparam, delete, exists, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.runtime import eventlog
from services.runtime.errors import is_dependency_away
from services.runtime.eventlog import EventStore
from services.video_render.adapters.postgres import rows
from services.video_render.adapters.postgres.tables import OUTBOX_CHANNEL, events, outbox, renders, scene_cache, steps
from services.video_render.application.ports import StoreUnavailable
from services.video_render.domain.errors import LeaseLost, RenderNotFound
from services.video_render.domain.events import Event
from services.video_render.domain.outcomes import RenderedScene
from services.video_render.domain.render import Render
from services.video_render.domain.request import Priority
from services.video_render.domain.steps import Step, StepState

_USED_EVERY = timedelta(hours=1)
_TIMEOUTS = {"57014", "25P03"}
"""A statement waited too long (for the lock of a frozen process), and: this process was frozen in a transaction."""

EncodeEvent = Callable[[str, int, datetime, Event], bytes]
"""(render id, seq, time, event) → the payload that is stored, relayed and sent to watchers."""


class PostgresChange:
    """A locked render; see the port `Change`."""

    def __init__(self, render: Render, now: datetime) -> None:
        self.render = render
        self.now = now
        self.before = {step_id: copy.copy(step) for step_id, step in render.steps.items()}
        self.remembered: dict[str, RenderedScene] = {}
        self.forgotten: set[str] = set()

    def remember(self, content_hash: str, scene: RenderedScene) -> None:
        """Save a scene under its content address for the render's owner."""
        self.remembered[content_hash] = scene

    def forget(self, content_hashes: Iterable[str]) -> None:
        """Drop scenes whose files are gone."""
        self.forgotten.update(content_hashes)


class PostgresRenderStore:
    """Renders in Postgres; see the port `RenderStore`."""

    def __init__(self, engine: AsyncEngine, events: EventStore, encode_event: EncodeEvent) -> None:
        self._engine = engine
        self._events = events
        self._encode_event = encode_event

    async def add(self, render: Callable[[datetime], Render], render_id: str) -> tuple[Render, bool]:
        """Store a new render, or return the one that has the id."""
        async with _answering(), self._engine.begin() as connection:
            made = render((await connection.execute(select(func.clock_timestamp()))).scalar_one())
            statement = upsert(renders).values(rows.render_row(made)).on_conflict_do_nothing()
            created = (await connection.execute(statement)).rowcount == 1
            if created:
                await self._save(connection, PostgresChange(made, made.created_at), new=True)
                return made, True
        return await self.get(render_id), False

    async def get(self, render_id: str) -> Render:
        """The render as it is; raises `RenderNotFound`."""
        # One snapshot for both statements: the render's row and its steps can never disagree.
        async with _answering(), self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await _load(connection, render_id, lock=False)

    @asynccontextmanager
    async def change(self, render_id: str) -> AsyncIterator[PostgresChange]:
        """Lock a render for a transition and save it; raises `RenderNotFound`."""
        async with _answering(), self._engine.begin() as connection:
            render = await _load(connection, render_id, lock=True)
            now = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
            change = PostgresChange(render, now)
            yield change
            await self._save(connection, change)

    async def renew(self, step_id: str, fence: int, lease: timedelta) -> bool:
        """Prolong a lease; False when it is not held under this fence."""
        statement = (
            update(steps)
            .where(steps.c.step_id == step_id, steps.c.fence == fence, steps.c.state == StepState.RUNNING)
            .values(lease_until=func.clock_timestamp() + lease)
        )
        async with _answering(), self._engine.begin() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def expired(self, limit: int) -> list[str]:
        """Steps whose leases have run out, oldest first."""
        return await self._step_ids(
            select(steps.c.step_id)
            .where(steps.c.state == StepState.RUNNING, steps.c.lease_until < func.clock_timestamp())
            .order_by(steps.c.lease_until)
            .limit(limit)
        )

    async def held(self, limit: int) -> list[tuple[str, str]]:
        """Steps that are held, with their holders."""
        held = select(steps.c.step_id, steps.c.holder).where(steps.c.state == StepState.RUNNING, steps.c.holder != "")
        async with _answering(), self._engine.connect() as connection:
            return [(row.step_id, row.holder) for row in await connection.execute(held.limit(limit))]

    async def unclaimed(self, queue: Priority, older_than: timedelta, limit: int) -> list[str]:
        """Steps offered to the queue this long ago and not claimed."""
        pending = exists().where(outbox.c.step_id == steps.c.step_id)
        return await self._step_ids(
            select(steps.c.step_id)
            .where(steps.c.state == StepState.QUEUED, steps.c.queue == queue, ~pending)
            .where(steps.c.queued_at < func.clock_timestamp() - older_than)
            .order_by(steps.c.queued_at)
            .limit(limit)
        )

    async def of_job(self, owner_id: str, job_id: str) -> list[str]:
        """The ids of the renders that were made for a job."""
        statement = select(renders.c.render_id).where(renders.c.job_id == job_id, renders.c.owner_id == owner_id)
        async with _answering(), self._engine.connect() as connection:
            return list((await connection.execute(statement)).scalars())

    async def forget_job(self, owner_id: str, job_id: str) -> int:
        """Drop the renders of a job and the remembered scenes whose files are the job's."""
        mine = select(renders.c.render_id).where(renders.c.job_id == job_id, renders.c.owner_id == owner_id)
        async with _answering(), self._engine.begin() as connection:
            # The locks first, as every transition takes them, in one order.
            locked = (await connection.execute(mine.order_by(renders.c.render_id).with_for_update())).scalars()
            found = list(locked)
            of_them = select(steps.c.step_id).where(steps.c.render_id.in_(found))
            await connection.execute(delete(outbox).where(outbox.c.step_id.in_(of_them)))
            await connection.execute(delete(events).where(events.c.stream_id.in_(found)))
            await connection.execute(delete(renders).where(renders.c.render_id.in_(found)))
            theirs = (scene_cache.c.owner_id == owner_id, scene_cache.c.job_id == job_id)
            await connection.execute(delete(scene_cache).where(*theirs))
        return len(found)

    async def cached_scenes(self, owner_id: str, content_hashes: Sequence[str]) -> Mapping[str, RenderedScene]:
        """The owner's scenes among these addresses."""
        statement = select(scene_cache.c.content_hash, scene_cache.c.result).where(
            scene_cache.c.owner_id == owner_id, scene_cache.c.content_hash.in_(content_hashes)
        )
        mine = (scene_cache.c.owner_id == owner_id, scene_cache.c.content_hash.in_(content_hashes))
        stale = scene_cache.c.used_at < func.clock_timestamp() - _USED_EVERY
        async with _answering(), self._engine.begin() as connection:
            found = (await connection.execute(statement)).all()
            if found:
                await connection.execute(update(scene_cache).where(*mine, stale).values(used_at=func.clock_timestamp()))
        return {row.content_hash: rows.to_scene(row.result) for row in found}

    async def evict_scenes(self, unused: timedelta, most_bytes: int) -> int:
        """Drop remembered scenes that were of no use for so long, and an owner's least recently used beyond a size."""
        newer = func.sum(scene_cache.c.size_bytes).over(
            partition_by=scene_cache.c.owner_id, order_by=[scene_cache.c.used_at.desc(), scene_cache.c.content_hash]
        )
        ranked = select(scene_cache.c.owner_id, scene_cache.c.content_hash, newer.label("held")).subquery()
        beyond = select(ranked.c.owner_id, ranked.c.content_hash).where(ranked.c.held > most_bytes)
        old = scene_cache.c.used_at < func.clock_timestamp() - unused
        surplus = tuple_(scene_cache.c.owner_id, scene_cache.c.content_hash).in_(beyond)
        async with _answering(), self._engine.begin() as connection:
            return (await connection.execute(delete(scene_cache).where(or_(old, surplus)))).rowcount

    async def _step_ids(self, statement: Select[str]) -> list[str]:
        async with _answering(), self._engine.connect() as connection:
            return list((await connection.execute(statement)).scalars())

    async def _save(self, connection: AsyncConnection, change: PostgresChange, *, new: bool = False) -> None:
        """Everything that a transition did: steps, events with their seq, deliveries, cache, and the render's row."""
        render = change.render
        await _save_steps(connection, change, new=new)
        numbered = self._number_events(render, change.now)
        await self._events.append(connection, render.render_id, numbered)
        await _save_dispatches(connection, render)
        await _save_cache(connection, change)
        row = rows.render_row(render)
        await connection.execute(update(renders).where(renders.c.render_id == render.render_id).values(row))

    def _number_events(self, render: Render, now: datetime) -> list[eventlog.Event]:
        numbered = []
        for event in render.events:
            render.seq += 1
            payload = self._encode_event(render.render_id, render.seq, now, event)
            numbered.append(eventlog.Event(render.seq, payload))
        render.events.clear()
        return numbered


def _sqlstate(exc: Exception) -> str:
    return str(getattr(getattr(exc, "orig", None), "sqlstate", None) or "")


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Raises `StoreUnavailable` where Postgres cannot be reached, or did not answer in time."""
    try:
        yield
    except Exception as exc:
        if is_dependency_away(exc) or _sqlstate(exc) in _TIMEOUTS:
            raise StoreUnavailable(f"{type(exc).__name__}: {exc}") from exc
        raise


async def _load(connection: AsyncConnection, render_id: str, *, lock: bool) -> Render:
    statement = select(renders).where(renders.c.render_id == render_id)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).mappings().first()
    if row is None:
        raise RenderNotFound(render_id)
    mine = select(steps).where(steps.c.render_id == render_id)
    return rows.to_render(row, (await connection.execute(mine)).mappings().all())


async def _save_steps(connection: AsyncConnection, change: PostgresChange, *, new: bool) -> None:
    render = change.render
    added = [step for step_id, step in render.steps.items() if new or step_id not in change.before]
    if added:
        await connection.execute(insert(steps), [rows.step_row(render, step) for step in added])
    for step_id, before in change.before.items():
        step = render.steps[step_id]
        if not new and step != before:
            await _save_step(connection, render, before, step)


async def _save_step(connection: AsyncConnection, render: Render, before: Step, step: Step) -> None:
    row = rows.step_row(render, step)
    if step.fence == before.fence and step.lease_until == before.lease_until:
        del row["lease_until"]  # a heartbeat does not take the render's lock: what it wrote in between stays
    statement = (
        update(steps)
        .where(steps.c.step_id == bindparam("held_id"), steps.c.fence == bindparam("held_fence"))
        .where(steps.c.state == bindparam("held_state"))
        .values({name: bindparam(name) for name in row})
    )
    held = {"held_id": step.step_id, "held_fence": before.fence, "held_state": before.state}
    if (await connection.execute(statement, row | held)).rowcount != 1:
        raise LeaseLost(step.step_id, before.fence)


async def _save_dispatches(connection: AsyncConnection, render: Render) -> None:
    if not render.dispatches:
        return
    queue = str(render.request.priority)
    pending = [
        {"step_id": step_id, "queue": queue, "available_at": render.steps[step_id].queued_at}
        for step_id in render.dispatches
    ]
    await connection.execute(insert(outbox), pending)
    await connection.execute(select(func.pg_notify(OUTBOX_CHANNEL, "")))
    render.dispatches.clear()


async def _save_cache(connection: AsyncConnection, change: PostgresChange) -> None:
    owner_id, job_id = change.render.request.owner_id, change.render.request.job_id
    for content_hash, scene in change.remembered.items():
        entry = {"owner_id": owner_id, "content_hash": content_hash, "result": asdict(scene), "job_id": job_id}
        statement = upsert(scene_cache).values(entry | {"size_bytes": scene.size_bytes})
        replaced = statement.on_conflict_do_update(
            index_elements=["owner_id", "content_hash"],
            set_={name: statement.excluded[name] for name in ("result", "job_id", "size_bytes")},
        )
        await connection.execute(replaced)
    if change.forgotten:
        gone = scene_cache.c.content_hash.in_(change.forgotten)
        await connection.execute(delete(scene_cache).where(scene_cache.c.owner_id == owner_id, gone))
