"""A wish as it came in, and how it becomes an order: checks that go beyond one field, defaults, the body's hash."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

from services.job.domain.errors import FieldsRefused, Unsupported
from services.job.domain.order import DEFAULT_MAX_RETRIES, DEFAULT_PLAN, SCRIPT_MODEL, Order
from services.job.domain.values import Priority, Quality

_LATER = ("storyboard", "scene_fallback", "origin_job_id")
"""Left out of the fingerprint unless set: requests from before these existed keep theirs."""
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
"""Requests of the last 24 hours were hashed in this form."""


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client sent, without the name it gave the request. None and empty mean: not said."""

    topic: str
    context: str
    model: str = ""
    quality: Quality | None = None
    quality_levels: tuple[str, ...] = ()
    use_rag: bool = False
    priority: Priority | None = None
    narration: bool = False
    thumbnails: bool | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int | None = None
    webhook_url: str = ""
    storyboard: str = ""
    """Name of the storyboard to render; the topic is then its title, and the context empty."""
    scene_fallback: bool = False
    origin_job_id: str = ""

    def fingerprint(self) -> bytes:
        """The hash of the body: equal for equal requests, whatever order their keys came in."""
        body = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in _LATER:
            if not body[name]:
                del body[name]
        return sha256(_canonical(body).encode()).digest()

    def to_order(self, owner_id: str, plan: str = DEFAULT_PLAN) -> Order:
        """The order.

        Raises FieldsRefused for values that cannot be kept, Unsupported for wishes that are not served here.
        """
        if refused := list(self._unfit()):
            raise FieldsRefused(refused)
        if unserved := list(self._unserved()):
            raise Unsupported(unserved)
        return Order(
            owner_id=owner_id,
            topic=self.topic,
            context=self.context,
            quality=self._wanted_quality(),
            lower_qualities=tuple(self._ladder()[1:]),
            priority=self.priority or Priority.DEFAULT,
            model=self.model or SCRIPT_MODEL,
            thumbnails=self.thumbnails is not False,
            max_retries=DEFAULT_MAX_RETRIES if self.max_retries is None else self.max_retries,
            configuration=dict(self.configuration),
            plan=plan,
            webhook_url=self.webhook_url,
            storyboard=self.storyboard,
            scene_fallback=self.scene_fallback,
            narration=self.narration,
            origin_job_id=self.origin_job_id,
        )

    def _wanted_quality(self) -> Quality:
        return self.quality or next(iter(self._ladder()), Quality.MEDIUM)

    def _ladder(self) -> list[Quality]:
        """The qualities of the rungs asked for, best first."""
        wanted = {Quality.of_level(level) for level in self.quality_levels}
        return [quality for quality in reversed(Quality) if quality in wanted]

    def _unfit(self) -> Iterator[tuple[str, str]]:
        for path, value in (("topic", self.topic), ("context", self.context)):
            if "\0" in value:
                yield path, "must not contain the character U+0000"
        yield from _unfit_json("configuration", self.configuration)
        if self.quality_levels and self._ladder()[:1] != [self._wanted_quality()]:
            level = self._wanted_quality().level
            yield "quality_levels", f"must have {level}, the level of quality `{self.quality}`, as the highest"

    def _unserved(self) -> Iterator[tuple[str, str]]:
        if self.model not in ("", SCRIPT_MODEL):
            yield "model", f"only `{SCRIPT_MODEL}` is configured here"
        if self.use_rag:
            yield "use_rag", "the planner cannot read documents here"


def _unfit_json(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Values that JSON (NaN, infinities) or Postgres (U+0000) cannot hold."""
    match value:
        case float() if not math.isfinite(value):
            yield path, "must be a finite number"
        case str() if "\0" in value:
            yield path, "must not contain the character U+0000"
        case Mapping():
            for key, item in value.items():
                if "\0" in key:
                    yield path, "must not contain the character U+0000"
                yield from _unfit_json(f"{path}.{key}", item)
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _unfit_json(f"{path}[{index}]", item)
