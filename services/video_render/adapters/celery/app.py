"""The Celery application and its one task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from celery import Celery, Task
from kombu.entity import Queue

from services.video_render.domain.request import Priority

RUN_STEP = "t2m.video_render.run_step"
_VISIBILITY_MARGIN_S = 600
_CONNECT_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """`hard_s`: a pool process that works longer on one task is killed. `drain_s`: longest wait on SIGTERM.

    `memory_bytes`: a pool process that has taken more is replaced after its task; 0 for never.
    """

    hard_s: float
    drain_s: float
    memory_bytes: int = 0


def create_app(broker_url: str, limits: WorkerLimits) -> Celery:
    """The application, for publishers and workers alike."""
    app = Celery("t2m.video_render", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_queues=[_queue(name) for name in Priority],
        task_default_queue=Priority.DEFAULT.value,
        task_create_missing_queues=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # The soft limit is kept by the step itself: Celery's would raise inside the event loop at any point.
        task_time_limit=limits.hard_s,
        worker_max_memory_per_child=limits.memory_bytes // 1024 or None,
        worker_soft_shutdown_timeout=limits.drain_s,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_publish_retry=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_transport_options={
            "visibility_timeout": int(limits.hard_s) + _VISIBILITY_MARGIN_S,
            "queue_order_strategy": "priority",
            "priority_steps": [0],
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app


def register_run_step(app: Celery, run: Callable[[str, str], None]) -> None:
    """Make the task, whose body is `run(step id, task id)`."""

    @app.task(name=RUN_STEP, bind=True)  # type: ignore[untyped-decorator]
    def run_step(task: Task, step_id: str) -> None:
        run(step_id, task.request.id)


def _queue(name: str) -> Queue:
    """A queue that is published to by its name alone, so that no binding is needed that a flush of Redis would lose."""
    return Queue(name, routing_key=name)  # type: ignore[no-untyped-call]
