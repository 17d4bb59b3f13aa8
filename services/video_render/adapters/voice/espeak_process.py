"""The process that speaks with espeak-ng: an order as JSON comes in, a WAV file and the times of its words go out.

A library in C is called here, and only here: what it breaks is this process.
"""

from __future__ import annotations

import ctypes
import json
import sys
import wave
from pathlib import Path
from typing import Any, ClassVar

import espeakng_loader

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS
_UTF8, _END_PAUSE = 1, 0x1000
_CHARACTERS = 1  # POS_CHARACTER
_LIST_TERMINATED, _WORD = 0, 1
_RATE, _WORDS_PER_MINUTE = 1, 160


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_: ClassVar[list[Any]] = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def speak(text: str, language: str, out: Path) -> dict[str, Any]:
    """Say it. Raises ValueError for a language without a voice."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if rate <= 0:
        raise ValueError("espeak-ng does not start")
    known = [language.lower(), language.lower().split("-")[0]]
    if not any(library.espeak_SetVoiceByName(name.encode()) == 0 for name in known):
        raise ValueError(f"espeak-ng has no voice for '{language}'")
    library.espeak_SetParameter(_RATE, _WORDS_PER_MINUTE, 0)
    samples, marks = bytearray(), list[tuple[int, float]]()

    def take(wav: Any, count: int, events: Any) -> int:
        if wav and count:
            samples.extend(ctypes.string_at(wav, count * 2))
        at = 0
        while events[at].type != _LIST_TERMINATED:
            if events[at].type == _WORD:
                marks.append((events[at].text_position - 1, events[at].audio_position / 1000))
            at += 1
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    spoken = text.encode() + b"\0"
    library.espeak_Synth(spoken, len(spoken), 0, _CHARACTERS, 0, _UTF8 | _END_PAUSE, None, None)
    library.espeak_Synchronize()
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(samples))
    return {"duration_s": len(samples) / 2 / rate, "marks": marks}


def main() -> int:
    """Exit code 0, and the answer as JSON; or 3, and the reason as text."""
    order = json.load(sys.stdin)
    try:
        answer = speak(order["text"], order["language"], Path(order["out"]))
    except ValueError as refused:
        sys.stdout.write(str(refused))
        return 3
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
