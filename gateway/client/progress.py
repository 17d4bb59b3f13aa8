"""A job as its events tell it: what a screen shows, without a screen."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.client.core.streams import Event

_WINDOW_S = 30.0
_TOO_SHORT_S = 3.0
ENDED = frozenset({"completed", "failed", "cancelled"})


@dataclass
class SceneView:
    """A scene as it is known."""

    index: int
    title: str = ""
    status: str = "queued"
    frames_done: int = 0
    frames_total: int = 0
    attempts: int = 0
    cached: bool = False
    fallback: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass
class JobView:
    """A job as it is known; `take` brings it up to date."""

    job_id: str
    topic: str = ""
    status: str = "queued"
    stage: str = "queued"
    progress: float = 0.0
    attempt: int = 0
    max_retries: int = 0
    queue_position: int | None = None
    next_attempt_at: str = ""
    waits_for: str = ""
    error: dict[str, Any] = field(default_factory=dict)
    expected_at: datetime | None = None
    scenes: dict[int, SceneView] = field(default_factory=dict)
    _samples: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen."""
        return self.status in ENDED

    def take(self, event: Event, now_s: float) -> None:
        """What has happened; `now_s` is a monotonic clock."""
        body = event.body
        match event.kind:
            case "snapshot":
                self._state(body)
                self.queue_position = body.get("queue_position")
                self.max_retries = int(body.get("max_retries", 0))
                expected = body.get("estimated_completion")
                self.expected_at = datetime.fromisoformat(expected) if expected else None
                self._planned(body)
            case "status":
                self._state(body)
            case "planned":
                self.topic = body.get("title") or self.topic
                self._planned(body)
            case "progress":
                scene = self._scene(int(body.get("scene_index", 0)))
                scene.frames_done = int(body.get("frames_done", 0))
                scene.frames_total = int(body.get("frames_total", 0))
            case "scene":
                self._put(body.get("scene") or {})
        if "progress" in body:
            self._advance(float(body["progress"]), now_s)

    def remaining_s(self, now_s: float, now: datetime) -> float | None:
        """Seconds to the end, by the pace of the last half minute, else by what the server expects; None if unknown."""
        if self.ended or self.status != "processing" or self.next_attempt_at:
            return None
        if self._samples:
            (began, first), (_, last) = self._samples[0], self._samples[-1]
            if now_s - began >= _TOO_SHORT_S and last > first:
                return (100 - last) * (now_s - began) / (last - first)
        if self.expected_at is not None and self.expected_at > now:
            return (self.expected_at - now).total_seconds()
        return None

    def _state(self, body: dict[str, Any]) -> None:
        attempt = int(body.get("attempt", self.attempt))
        if attempt != self.attempt:
            self._samples.clear()
        self.attempt = attempt
        self.status = str(body.get("status", self.status))
        self.stage = str(body.get("current_stage", self.stage))
        self.error = body.get("error") or {}
        self.next_attempt_at = body.get("next_attempt_at") or ""
        self.waits_for = body.get("waits_for") or ""
        if self.status != "queued":
            self.queue_position = None

    def _planned(self, body: dict[str, Any]) -> None:
        for scene in body.get("scenes") or ():
            self._put(scene)

    def _put(self, scene: dict[str, Any]) -> None:
        known = self._scene(int(scene.get("index", 0)))
        for name in ("title", "status", "frames_done", "frames_total", "attempts", "cached", "fallback", "warnings"):
            if name in scene:
                setattr(known, name, scene[name])

    def _scene(self, index: int) -> SceneView:
        return self.scenes.setdefault(index, SceneView(index))

    def _advance(self, progress: float, now_s: float) -> None:
        if progress < self.progress:
            self._samples.clear()
        self.progress = progress
        self._samples.append((now_s, progress))
        while now_s - self._samples[0][0] > _WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()
