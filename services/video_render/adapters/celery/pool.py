"""The worker process: Celery's parent with its pool of children, and what each child needs.

The parent imports the engine before it forks. Right after its fork, before anything starts a thread, a child ties its
life to the parent's and starts its own zygote, the process from which scenes are forked (see `adapters.process`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog
from celery import Celery, signals

from services.runtime import collector
from services.video_render.adapters.celery.app import register_run_step
from services.video_render.adapters.process.lifeline import die_with_parent
from services.video_render.adapters.process.zygote import Zygote
from services.video_render.application.engine import SceneRenderer
from services.video_render.domain.request import Priority

RunStep = Callable[[str, str, Zygote, "PipeShutdown"], Coroutine[Any, Any, None]]
"""Runs one step: (step id, task id, where scenes are drawn, when to hand back)."""

_log = structlog.get_logger(__name__)


class PipeShutdown:
    """Tells all children at once that the worker stops: the parent holds the only writing end, and closes it.

    A byte would reach one child; the end of file reaches all, also when the parent dies. See the port `Shutdown`.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._reader, self._writer = os.pipe()

    def begin(self) -> None:
        """In the parent: the grace period starts. Idempotent."""
        writer, self._writer = self._writer, -1
        if writer >= 0:
            os.close(writer)

    def in_child(self) -> None:
        """In a child: give up the writing end."""
        self.begin()

    async def wait(self) -> None:
        """Return when the grace period is over."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._reader, stopping.set)
        try:
            await stopping.wait()
        finally:
            loop.remove_reader(self._reader)
        await asyncio.sleep(self._grace_s)


class WorkerPool:
    """A Celery worker whose children run steps by `run`.

    `clean` removes what killed children have left behind; each child begins with it, as it may replace one.
    """

    def __init__(
        self,
        app: Celery,
        renderer: SceneRenderer,
        run: RunStep,
        clean: Callable[[], None],
        *,
        concurrency: int,
        grace_s: float,
        scene_memory_bytes: int,
    ) -> None:
        self._app = app
        self._renderer = renderer
        self._run = run
        self._clean = clean
        self._concurrency = concurrency
        self._scene_memory_bytes = scene_memory_bytes
        self._shutdown = PipeShutdown(grace_s)
        self._zygote: Zygote | None = None
        self._parent = os.getpid()
        register_run_step(app, self._run_step)

    def serve(self, ready_file: Path | None) -> int:
        """Work until told to stop; the exit status. `ready_file` is touched when tasks are taken."""
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        self._renderer.preload()
        collector.settle()  # before the pool forks
        signals.worker_process_init.connect(self._in_child, weak=False)
        signals.worker_shutting_down.connect(lambda **_: self._shutdown.begin(), weak=False)
        if ready_file is not None:
            signals.worker_ready.connect(lambda **_: ready_file.touch(), weak=False)
        worker = self._app.Worker(
            hostname=f"render-{os.getpid()}@{socket.gethostname()}",
            pool_cls="prefork",
            concurrency=self._concurrency,
            queues=[queue.value for queue in Priority],
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        return int(worker.exitcode or 0)

    def _in_child(self, **_: object) -> None:
        die_with_parent(self._parent)
        self._shutdown.in_child()
        self._zygote = Zygote.start(self._renderer, self._scene_memory_bytes)
        self._clean()

    def _run_step(self, step_id: str, task_id: str) -> None:
        if self._zygote is None:
            raise RuntimeError("a task runs only in a child of the pool")
        asyncio.run(self._run(step_id, task_id, self._zygote, self._shutdown))
        if not self._zygote.alive:
            _log.error("the zygote is gone: this process ends and is replaced")
            os._exit(1)
