"""Sound: a scene's speech as an AAC track of the scene's length, at one loudness (ITU-R BS.1770)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 48_000
FRAME = 1024
"""Samples of an AAC frame."""
FRAGMENT_SECONDS = 2
LOUDNESS = -16.0
"""LUFS, as is usual for speech on the web (AES TD1008)."""
_PEAK = 10 ** (-1.5 / 20)
_QUIETEST = -69.0
_BITS_PER_S = 96_000

Samples = np.ndarray[Any, np.dtype[np.float32]]
"""Mono, at `RATE`, within ±1."""


def voice_track(speech: Path | None, lead_s: float, duration_s: float, out: Path) -> int:
    """Write an AAC track as fragmented MP4: silence, the speech from `lead_s` on, silence up to `duration_s`; its AAC
    frames. The file appears only when it is complete.
    """
    track = np.zeros(round(duration_s * RATE), np.float32)
    if speech is not None:
        said = normalised(read(speech))
        start = round(lead_s * RATE)
        said = said[: max(len(track) - start, 0)]
        track[start : start + len(said)] = said
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    options = {
        "movflags": "+empty_moov+default_base_moof",
        "frag_duration": str(FRAGMENT_SECONDS * 1_000_000),
        "fflags": "+bitexact",
    }
    try:
        with av.open(str(unfinished), "w", format="mp4", options=options) as container:
            stream = add_track(container)
            frames = 0
            for packet in encoded(stream, track):
                frames += 1
                container.mux(packet)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return frames


def add_track(container: av.container.OutputContainer) -> av.AudioStream:
    """A mono AAC track."""
    stream = container.add_stream("aac", rate=RATE, options={"b": str(_BITS_PER_S), "flags": "+bitexact"})
    stream.codec_context.layout = "mono"
    stream.codec_context.format = "fltp"
    stream.codec_context.time_base = Fraction(1, RATE)
    return stream


def encoded(stream: av.AudioStream, samples: Samples) -> Iterator[Any]:
    """The packets of a track, in order."""
    for at in range(0, len(samples), FRAME):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + FRAME], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def read(path: Path) -> Samples:
    """The sound of a file, mixed down and resampled. What an encoder adds at the start is taken away."""
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        skip = FRAME if stream.codec_context.name == "aac" else 0
        frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
        parts = [part.to_ndarray()[0] for part in [*frames, *resampler.resample(None)]]
    return np.concatenate(parts).astype(np.float32, copy=False)[skip:] if parts else np.zeros(0, np.float32)


def normalised(samples: Samples) -> Samples:
    """At `LOUDNESS`, peaks held below -1.5 dB by a limiter; what is nearly silent stays."""
    measured = loudness(samples)
    if measured < _QUIETEST:
        return samples
    louder = (samples * 10 ** ((LOUDNESS - measured) / 20)).astype(np.float32)
    limiter = f"limit={_PEAK:.4f}:attack=5:release=50:level=false:latency=true"
    held = [frame.to_ndarray()[0] for frame in _filtered(louder, "alimiter", limiter)]
    return np.concatenate(held)[: len(samples)].astype(np.float32, copy=False)


def loudness(samples: Samples) -> float:
    """Integrated loudness in LUFS; -70 for silence."""
    measured = -70.0
    padded = np.concatenate([samples, np.zeros(RATE // 2, np.float32)])
    for frame in _filtered(padded, "ebur128", "metadata=1:framelog=quiet"):
        value = frame.metadata.get("lavfi.r128.I")
        if value is not None and math.isfinite(float(value)):
            measured = float(value)
    return measured


def _filtered(samples: Samples, name: str, options: str) -> Iterator[Any]:
    """The frames that come out of one of FFmpeg's audio filters."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="fltp", layout="mono", time_base=Fraction(1, RATE))
    nodes = [source, graph.add(name, options), graph.add("aformat", "sample_fmts=fltp"), graph.add("abuffersink")]
    graph.link_nodes(*nodes).configure()
    for at in range(0, len(samples), RATE // 10):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + RATE // 10], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        source.push(frame)
        yield from _pulled(nodes[-1])
    source.push(None)
    yield from _pulled(nodes[-1])


def _pulled(sink: Any) -> Iterator[Any]:
    while True:
        try:
            yield sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
