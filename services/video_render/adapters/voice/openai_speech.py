"""A voice over HTTP: any server with the `POST /audio/speech` of the OpenAI API."""

from __future__ import annotations

import wave
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.video_render.application.voice import Speech, VoiceFailed

_TIMEOUT = httpx.Timeout(50.0, connect=5.0)
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OpenAiVoice:
    """The `Voice` of a server at `base_url` (such as `https://api.openai.com/v1`). It tells no times of words."""

    base_url: str
    key: str = field(repr=False)
    model: str
    voice: str

    @property
    def name(self) -> str:
        """See `Voice.name`."""
        return f"openai:{self.model}:{self.voice}"

    async def speak(self, text: str, language: str, out: Path) -> Speech:
        """See `Voice.speak`."""
        order = {"model": self.model, "voice": self.voice, "input": text, "response_format": "wav"}
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            async with (
                httpx.AsyncClient(timeout=_TIMEOUT) as client,
                client.stream("POST", f"{self.base_url}/audio/speech", json=order, headers=headers) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise VoiceFailed(f"the voice server answered {answer.status_code}")
                await _save(answer, out)
        except httpx.HTTPError as error:
            raise VoiceFailed(f"the voice server cannot be reached ({type(error).__name__})") from error
        return Speech(out, _length(out))


async def _save(answer: httpx.Response, out: Path) -> None:
    taken = 0
    with out.open("wb") as file:
        async for chunk in answer.aiter_bytes():
            taken += len(chunk)
            if taken > _MOST_BYTES:
                raise VoiceFailed("the voice server answered more than can be used")
            file.write(chunk)


def _length(path: Path) -> float:
    """Seconds of a WAV file. Servers that stream write a length of 2^32 - 1: the file's own counts then."""
    try:
        with wave.open(str(path), "rb") as file:
            bytes_a_second = file.getframerate() * file.getnchannels() * file.getsampwidth()
            held = path.stat().st_size - 44
            seconds = min(file.getnframes() / file.getframerate(), held / bytes_a_second)
    except (wave.Error, EOFError, ZeroDivisionError) as error:
        raise VoiceFailed("the voice server did not answer a WAV file") from error
    if seconds <= 0:
        raise VoiceFailed("the voice server answered silence")
    return seconds
