"""What can go wrong with a render, in the domain's own words."""

from __future__ import annotations

from collections.abc import Sequence


class RenderNotFound(Exception):
    """No render has this id."""

    def __init__(self, render_id: str) -> None:
        super().__init__(f"no render {render_id}")
        self.render_id = render_id


class RenderIdTaken(Exception):
    """The render id was used for another request."""

    def __init__(self, render_id: str) -> None:
        super().__init__(f"render {render_id} was started with a different request")
        self.render_id = render_id


class PositionAhead(Exception):
    """A watcher asked for events after one that has not happened."""

    def __init__(self, render_id: str, after_seq: int, newest: int) -> None:
        super().__init__(f"after_seq {after_seq} is beyond the newest event {newest} of render {render_id}")
        self.metadata = {"newest_seq": str(newest)}


class ConfigurationInvalid(Exception):
    """An option of the request has a value that no planner or template knows."""

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in violations))
        self.field_violations = list(violations)


class NotPlanned(Exception):
    """The render has no storyboard yet."""

    def __init__(self, render_id: str) -> None:
        super().__init__(f"render {render_id} is not planned yet")


class LeaseLost(Exception):
    """The caller no longer holds the step: it expired, was taken over, cancelled or finished.

    Whatever the caller has made of the step must be thrown away.
    """

    def __init__(self, step_id: str, fence: int) -> None:
        super().__init__(f"step {step_id} is no longer held under fence {fence}")
        self.step_id = step_id
        self.fence = fence
