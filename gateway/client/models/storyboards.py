"""Storyboards, what they cost, and the orders made of them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, Required, TypedDict

from gateway.client.models.jobs import Job

Theme = Literal["", "dark", "light", "contrast"]


class SceneAnimation(TypedDict, total=False):
    """How the parts of a scene come and go. Everything that is not set is left to the kind."""

    entrance: Literal["fade", "write", "slide", "grow", "none"]
    order: Literal["one_by_one", "together"]
    transition: Literal["fade", "cut", "slide"]
    speed: float


class Scene(TypedDict, total=False):
    """One scene: an `id`, what is common to all, and exactly one kind of content, by the JSON Schema that the server
    has at `/schemas/storyboard.json`.
    """

    id: Required[str]
    heading: str
    narration: str
    duration_s: float
    theme: Theme
    animation: SceneAnimation
    title: dict[str, Any]
    bullets: dict[str, Any]
    paragraph: dict[str, Any]
    equation: dict[str, Any]
    derivation: dict[str, Any]
    function_plot: dict[str, Any]
    table: dict[str, Any]
    code: dict[str, Any]
    data_chart: dict[str, Any]
    recap: dict[str, Any]
    section: dict[str, Any]
    parametric_plot: dict[str, Any]
    scatter_chart: dict[str, Any]
    matrix: dict[str, Any]
    image: dict[str, Any]
    geometry: dict[str, Any]
    number_line: dict[str, Any]
    network: dict[str, Any]
    timeline: dict[str, Any]
    quote: dict[str, Any]
    compare: dict[str, Any]


class Storyboard(TypedDict, total=False):
    """A whole video as a value: what is shown, scene by scene, before anything is drawn."""

    title: Required[str]
    language: str
    theme: Theme
    scenes: Required[list[Scene]]


class StoryboardEdits(TypedDict, total=False):
    """Changes of a storyboard. What is not set stays.

    `scenes` take the place of those with the same id; new ones are added at the end.
    """

    title: str
    language: str
    theme: Theme
    scenes: list[Scene]
    remove_scene_ids: list[str]
    scene_order: list[str]


class SceneForecast(TypedDict):
    """What is known of a scene before it is rendered."""

    id: str
    title: str
    kind: str
    duration: NotRequired[str]
    frame_count: int
    rendered: bool


class StoryboardEstimate(TypedDict):
    """What a storyboard costs before it is rendered."""

    duration: NotRequired[str]
    frame_count: int
    processing_time: NotRequired[str]
    credits: int
    scene_count: int
    rendered_scene_count: int
    scenes: list[SceneForecast]


class PlanStoryboardResponse(TypedDict):
    """The plan."""

    storyboard: Storyboard
    warnings: list[str]
    estimate: StoryboardEstimate


class ValidateStoryboardResponse(TypedDict):
    """It can be rendered."""

    estimate: StoryboardEstimate


class RenderStoryboardResponse(TypedDict):
    """The accepted order."""

    job: Job
    estimate: StoryboardEstimate


class RemixJobResponse(TypedDict):
    """The accepted order."""

    job: Job
    estimate: StoryboardEstimate
