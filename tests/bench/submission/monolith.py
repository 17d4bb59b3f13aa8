"""The peer: FastAPI, SQLAlchemy's ORM over asyncpg, and Celery's `.delay()`; as their documentation does it.

It knows no users, keys, credits, idempotency, events or limits: it validates, inserts one row and enqueues.

    python -m tests.bench.submission.monolith PORT
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import uvicorn
from celery import Celery
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field, HttpUrl
from sqlalchemy import DateTime, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["MONOLITH_DATABASE_URL"], pool_size=20, max_overflow=12)
sessions = async_sessionmaker(engine, expire_on_commit=False)
celery = Celery("monolith", broker=os.environ["MONOLITH_REDIS_URL"])
celery.conf.update(task_ignore_result=True, task_serializer="json", worker_prefetch_multiplier=1, task_acks_late=True)


@celery.task(name="render")  # type: ignore[untyped-decorator]
def render(job_id: str) -> None:
    """What a worker would do."""


class Base(DeclarativeBase):
    """Of the models."""


class Job(Base):
    """A row a job."""

    __tablename__ = "jobs"
    job_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    owner_id: Mapped[str] = mapped_column(Text, index=True)
    topic: Mapped[str] = mapped_column(Text)
    context: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    quality: Mapped[str] = mapped_column(Text)
    quality_levels: Mapped[list[str]] = mapped_column(JSONB)
    priority: Mapped[str] = mapped_column(Text)
    configuration: Mapped[dict[str, Any]] = mapped_column(JSONB)
    max_retries: Mapped[int]
    webhook_url: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, default="queued")
    progress: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC), index=True)


class VideoRequest(BaseModel):
    """The body."""

    topic: str = Field(min_length=1, max_length=500)
    context: str = Field(min_length=1, max_length=2000)
    model: str = "script"
    quality: Literal["low", "medium", "high"] = "medium"
    quality_levels: list[str] = Field(default_factory=list, max_length=4)
    priority: Literal["high_priority", "default", "low_priority"] = "default"
    configuration: dict[str, Any] = Field(default_factory=dict)
    max_retries: int = Field(default=3, ge=0, le=10)
    webhook_url: HttpUrl | None = None


class VideoAccepted(BaseModel):
    """The answer."""

    job_id: uuid.UUID
    status: str
    progress: float
    created_at: datetime


async def session() -> AsyncIterator[AsyncSession]:
    """A session for each request."""
    async with sessions() as opened:
        yield opened


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The tables, made at the start."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/api/v1/videos/generate", status_code=201)
async def generate(body: VideoRequest, database: Annotated[AsyncSession, Depends(session)]) -> VideoAccepted:
    """Store a job, enqueue its task."""
    values = body.model_dump(mode="json")
    job = Job(owner_id="somebody", **values)
    database.add(job)
    await database.commit()
    # On the event loop: a hop to a thread would cost more than what it waits for, a Redis next door.
    render.delay(str(job.job_id))
    return VideoAccepted(job_id=job.job_id, status=job.status, progress=job.progress, created_at=job.created_at)


if __name__ == "__main__":
    # Without an access log, which every other process here writes.
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
