"""The offline voice: espeak-ng out of a package, in a process of its own that may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import sys
from functools import cached_property
from pathlib import Path

from services.video_render.application.voice import Speech, VoiceFailed
from services.video_render.domain.captions import Mark

_MODULE = "services.video_render.adapters.voice.espeak_process"
_REFUSED = 3


class EspeakVoice:
    """The `Voice` of espeak-ng."""

    @cached_property
    def name(self) -> str:
        """See `Voice.name`."""
        return f"espeak-ng-{importlib.metadata.version('espeakng-loader')}"

    async def speak(self, text: str, language: str, out: Path) -> Speech:
        """See `Voice.speak`."""
        order = json.dumps({"text": text, "language": language, "out": str(out)}).encode()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            answer, _ = await process.communicate(order)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode == _REFUSED:
            raise VoiceFailed(answer.decode(errors="replace"))
        if process.returncode != 0:
            raise VoiceFailed(f"espeak-ng ended with {process.returncode}")
        said = json.loads(answer)
        if not said["duration_s"]:
            raise VoiceFailed("there is nothing in it that can be said")
        return Speech(out, said["duration_s"], tuple(Mark(at, time_s) for at, time_s in said["marks"]))
