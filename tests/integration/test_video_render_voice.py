"""Voices that really speak, and what becomes of a scene whose voice does not (V11)."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from services.video_render.adapters.media import AvMediaTools, fmp4, sound
from services.video_render.adapters.voice.espeak import EspeakVoice
from services.video_render.adapters.voice.openai_speech import OpenAiVoice
from services.video_render.application import voice as module
from services.video_render.application.engine import Sound
from services.video_render.application.voice import LEAD_S, TAIL_S, Speech, Voice, VoiceFailed, narrated
from services.video_render.domain.storyboard import Quote, Scene
from tests.integration.test_engine_media import segment

TEXT = "The square of the hypotenuse is the sum of two squares."
SCENE = Scene("a", Quote("x"), narration="The square of the **hypotenuse** is $c^2$.", duration_s=1.0)


def tone(seconds: float, rate: int = 24_000) -> bytes:
    """A WAV file."""
    samples = (np.sin(np.arange(round(seconds * rate)) * 0.1) * 3000).astype("<i2")
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return data.getvalue()


async def test_v11_espeak_speaks_and_says_when(tmp_path: Path) -> None:
    """V11, V8: words come in order, within the length of what is heard."""
    speech = await EspeakVoice().speak(TEXT, "en-GB", tmp_path / "speech.wav")
    assert 2.0 < speech.duration_s < 6.0
    assert len(sound.read(speech.audio)) / sound.RATE == pytest.approx(speech.duration_s, abs=0.01)
    said, words = [TEXT[mark.at :].split(maxsplit=1)[0] for mark in speech.marks], iter(TEXT.split())
    assert all(word in words for word in said), "in order; little words may be said as one with the next"
    assert len(said) > 6
    times = [mark.time_s for mark in speech.marks]
    assert times == sorted(times)
    assert times[-1] < speech.duration_s


@pytest.mark.parametrize("language", ["de", "fr-FR", "ar", "cmn", "ru"])
async def test_v11_espeak_speaks_other_languages(tmp_path: Path, language: str) -> None:
    texts = {"de": "Guten Tag", "fr-FR": "Bonjour", "ar": "مرحبا", "cmn": "你好", "ru": "привет"}
    speech = await EspeakVoice().speak(texts[language], language, tmp_path / "speech.wav")
    assert np.abs(sound.read(speech.audio)).max() > 0.01


async def test_v11_a_language_without_a_voice_is_named(tmp_path: Path) -> None:
    with pytest.raises(VoiceFailed, match="no voice for 'xx'"):
        await EspeakVoice().speak("hello", "xx", tmp_path / "speech.wav")


@asynccontextmanager
async def voice_server(
    answer: bytes, status: int = 200, *, hang: bool = False
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An HTTP server that gives one answer to everything, or none."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        asked.append(head + await reader.readexactly(length))
        if hang:
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(answer)) + answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", asked


async def test_v11_a_voice_over_http(tmp_path: Path) -> None:
    """V11: the API that many servers speak."""
    async with voice_server(tone(1.5)) as (url, asked):
        speech = await OpenAiVoice(url, "secret", "tts", "alloy").speak(TEXT, "en", tmp_path / "speech.wav")
    assert speech == Speech(tmp_path / "speech.wav", 1.5)
    assert b"POST /v1/audio/speech" in asked[0]
    assert b"Bearer secret" in asked[0]
    assert b'"voice":"alloy"' in asked[0].replace(b" ", b"")
    assert "secret" not in repr(OpenAiVoice(url, "secret", "tts", "alloy"))


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [(b"no", 401, "answered 401"), (b"not a WAV", 200, "not answer a WAV"), (tone(0), 200, "silence")],
)
async def test_v11_what_is_no_speech_is_a_failure(tmp_path: Path, answer: bytes, status: int, reason: str) -> None:
    async with voice_server(answer, status) as (url, _):
        with pytest.raises(VoiceFailed, match=reason):
            await OpenAiVoice(url, "", "tts", "alloy").speak(TEXT, "en", tmp_path / "speech.wav")
    with pytest.raises(VoiceFailed, match="cannot be reached"):
        await OpenAiVoice(url, "", "tts", "alloy").speak(TEXT, "en", tmp_path / "speech.wav")


async def test_v11_the_scene_lasts_as_long_as_its_words(tmp_path: Path) -> None:
    """V11, V8: timing is locked to the speech; markup and mathematics are not read out."""
    found = await narrated(EspeakVoice(), SCENE, "en", tmp_path)
    assert found.speech is not None
    assert found.text == "The square of the hypotenuse is c^2."
    assert found.scene.duration_s == pytest.approx(LEAD_S + found.speech.duration_s + TAIL_S)
    cues = found.captions(found.scene.duration_s)
    assert cues[0].start_s == LEAD_S
    assert cues[-1].end_s == pytest.approx(LEAD_S + found.speech.duration_s, abs=0.001)


async def test_v11_a_voice_that_hangs_leaves_silence_and_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V11: a failing voice never fails the video, and the scene says so."""
    monkeypatch.setattr(module, "_PATIENCE_S", 0.2)
    async with voice_server(b"", hang=True) as (url, _):
        found = await narrated(OpenAiVoice(url, "", "tts", "alloy"), SCENE, "en", tmp_path)
    assert found.speech is None
    assert "could not be spoken: it took more than 0.2 s" in found.warning
    assert found.scene == SCENE
    assert [cue.text for cue in found.captions(5.0)] == ["The square of the hypotenuse is c^2."]


async def test_v11_nothing_to_say_or_nobody_to_say_it(tmp_path: Path) -> None:
    voice: Voice = EspeakVoice()
    silent = await narrated(voice, Scene("a", Quote("x")), "en", tmp_path)
    assert (silent.speech, silent.warning, silent.captions(3.0)) == (None, "", ())
    unheard = await narrated(None, SCENE, "en", tmp_path)
    assert (unheard.speech, unheard.warning) == (None, "")
    assert unheard.captions(4.0)


def test_v11_the_track_is_as_long_as_its_scene_and_as_loud_as_others(tmp_path: Path) -> None:
    speech = tmp_path / "speech.wav"
    speech.write_bytes(tone(3.0))
    track = AvMediaTools().voice_track(speech, 0.5, 5.0, tmp_path / "audio.mp4")
    found = fmp4.layout(track.path)
    assert (track.head_bytes, track.fragment_bytes) == (found.head_bytes, found.sizes)
    assert track.frames / track.frame_rate == pytest.approx(5.0, abs=0.05)
    assert len(track.fragment_bytes) == -(-track.frames // track.fragment_frames)
    heard = sound.read(track.path)
    assert len(heard) / sound.RATE == pytest.approx(5.0, abs=0.03)
    assert np.flatnonzero(np.abs(heard) > 0.05)[0] / sound.RATE == pytest.approx(0.5, abs=0.01)
    assert sound.loudness(heard) == pytest.approx(sound.LOUDNESS, abs=1.5)


def test_v11_a_joined_video_has_each_sound_in_its_scene(tmp_path: Path) -> None:
    """V11, V4: no drift over scenes, both tracks end together, the file still starts with its index."""
    tools = AvMediaTools()
    speech = tmp_path / "speech.wav"
    speech.write_bytes(tone(0.5))
    segments = [segment(tmp_path / f"{number}.mp4", number, 20) for number in range(1, 9)]
    heard = tools.voice_track(speech, 1.0, 2.0, tmp_path / "audio.mp4").path
    sounds = [Sound(heard if number % 2 else None, 2.0) for number in range(8)]
    out = tmp_path / "video.mp4"
    tools.assemble(segments, out, [], sounds)
    info = tools.probe(out)
    assert (info.audio_codec, info.duration_s, info.frames) == ("aac", 16.0, 160)
    data = out.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat"), "faststart"
    with av.open(str(out), "r") as container:  # players leave out what the edit list says, which is the encoder's lead
        samples = np.abs(np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])) > 0.05
    assert len(samples) / sound.RATE == pytest.approx(16.0, abs=0.05)
    for number in range(8):
        loud = np.flatnonzero(samples[number * 2 * sound.RATE : (number + 1) * 2 * sound.RATE]) / sound.RATE
        if number % 2:
            assert (loud[0], loud[-1]) == (pytest.approx(1.0, abs=0.02), pytest.approx(1.5, abs=0.05))
        else:
            assert not len(loud)
