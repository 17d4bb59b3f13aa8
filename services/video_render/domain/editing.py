"""Changes of a storyboard, and the plain scene that stands in for one that cannot be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from services.video_render.domain import storyboard_rules as rules
from services.video_render.domain.kinds.text import MAX_TEXT
from services.video_render.domain.storyboard import Paragraph, Scene, Storyboard, TitleCard
from services.video_render.domain.violations import StoryboardInvalid, Violation

_NOT_WORDS = {"id", "math", "expression", "data", "language", "source", "target", "ids", "show", "hide", "highlight"}
"""Fields of kinds that hold something else than words to be read."""


@dataclass(frozen=True, slots=True)
class Edits:
    """What changes. Empty: it stays."""

    title: str = ""
    language: str = ""
    theme: str = ""
    scenes: tuple[Scene, ...] = ()
    """They take the place of those with the same id; new ones are added at the end."""
    remove_scene_ids: tuple[str, ...] = ()
    scene_order: tuple[str, ...] = ()
    """The ids of all scenes in their new order, those that were added included."""

    def apply(self, board: Storyboard) -> Storyboard:
        """The changed storyboard; raises `StoryboardInvalid` with the paths of these fields, or of the result's."""
        scenes = self._scenes({scene.id: scene for scene in board.scenes})
        return replace(
            board,
            title=self.title or board.title,
            language=self.language or board.language,
            theme=self.theme or board.theme,
            scenes=scenes,
        ).validated()

    def _scenes(self, scenes: dict[str, Scene]) -> tuple[Scene, ...]:
        unknown = [
            Violation(f"edits.remove_scene_ids[{index}]", f"there is no scene '{name[:64]}'")
            for index, name in enumerate(self.remove_scene_ids)
            if name not in scenes
        ]
        changed = {**scenes, **{scene.id: scene for scene in self.scenes}}
        for name in self.remove_scene_ids:
            changed.pop(name, None)
        if self.scene_order and not unknown and sorted(self.scene_order) != sorted(changed):
            unknown.append(Violation("edits.scene_order", f"must name each scene once: {', '.join(changed)}"))
        if unknown:
            raise StoryboardInvalid(unknown)
        return tuple(changed[name] for name in self.scene_order or changed)


def plain(scene: Scene) -> Scene:
    """The same words without anything that could fail: what is shown when a scene cannot be drawn."""
    words = " ".join(dict.fromkeys(part.strip() for part in _words(scene.content) if part.strip()))
    text = words or scene.narration
    if text:
        return replace(scene, content=Paragraph(text[:MAX_TEXT].strip()))
    return replace(scene, heading="", content=TitleCard(scene.heading[: rules.MAX_TITLE] or scene.kind))


def _words(value: Any) -> Iterator[str]:
    """The texts in a content, in reading order."""
    if isinstance(value, str) and not isinstance(value, type):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _words(item)
    elif is_dataclass(value):
        for field in fields(value):
            member = getattr(value, field.name)
            if (field.name not in _NOT_WORDS and type(member) in (str, tuple)) or is_dataclass(member):
                yield from _words(member)
