"""Narration: a scene's words as speech, and the time that they take (V8, V11)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from services.video_render.application.planning import prose
from services.video_render.domain.captions import Caption, Mark, captions
from services.video_render.domain.storyboard import Scene

LEAD_S = 0.4
"""Silence before a scene's first word."""
TAIL_S = 0.6
"""Silence after its last one."""
_PATIENCE_S = 60.0
_log = structlog.get_logger(__name__)


class VoiceFailed(Exception):
    """The voice did not speak; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What was said: a WAV file, its length, and when the words begin where the voice tells."""

    audio: Path
    duration_s: float
    marks: tuple[Mark, ...] = ()


class Voice(Protocol):
    """Speaks."""

    @property
    def name(self) -> str:
        """Part of every content address: changes whenever the same text might sound different."""
        ...

    async def speak(self, text: str, language: str, out: Path) -> Speech:
        """Say a text into a WAV file at `out`; `language` is a BCP 47 tag. Raises VoiceFailed. Cancelling stops it."""
        ...


@dataclass(frozen=True, slots=True)
class Narration:
    """A scene with the time that its words take, and what is heard and read in it."""

    scene: Scene
    speech: Speech | None
    text: str
    warning: str = ""

    def captions(self, duration_s: float) -> tuple[Caption, ...]:
        """Of a scene that turned out so long, in seconds from its beginning."""
        if not self.text:
            return ()
        end = LEAD_S + self.speech.duration_s if self.speech else max(duration_s - TAIL_S, LEAD_S)
        return captions(self.text, self.speech.marks if self.speech else (), LEAD_S, min(end, duration_s))


def spoken_text(scene: Scene) -> str:
    """What is to be said in a scene, without markup."""
    return " ".join(prose.plain(scene.narration).split())


async def narrated(voice: Voice | None, scene: Scene, language: str, folder: Path) -> Narration:
    """The scene, at least as long as its words. A voice that fails or hangs leaves silence, and a warning.

    `voice` None: nobody wants to hear it.
    """
    text = spoken_text(scene)
    if not text or voice is None:
        return Narration(scene, None, text)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            speech = await voice.speak(text, language, folder / "speech.wav")
    except (VoiceFailed, TimeoutError) as failed:
        reason = str(failed) or f"it took more than {_PATIENCE_S:g} s"
        _log.warning("the voice failed", voice=voice.name, reason=reason)
        return Narration(scene, None, text, f"the narration could not be spoken: {reason}")
    needed = LEAD_S + speech.duration_s + TAIL_S
    return Narration(replace(scene, duration_s=max(scene.duration_s, needed)), speech, text)
