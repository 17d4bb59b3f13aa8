"""Joining segments into one file: video packets are copied, sound is encoded in one go so that no seam is heard."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from services.video_render.adapters.media import sound
from services.video_render.application.engine import MediaFailed, Sound


@contextmanager
def reading(path: Path) -> Iterator[InputContainer]:
    """An open file; FFmpeg's complaints, also those while reading, become `MediaFailed`."""
    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise MediaFailed(f"cannot read {path.name}: {error}") from error


def video_of(container: InputContainer, path: Path) -> av.VideoStream:
    """The video of a file; raises `MediaFailed` when it has none."""
    if not container.streams.video:
        raise MediaFailed(f"{path.name} holds no video")
    return container.streams.video[0]


def join(
    segments: Sequence[Path], out: Path, prepare: Callable[[OutputContainer], None], sounds: Sequence[Sound]
) -> None:
    """Write a faststart MP4 of all segments, in order; `prepare` is called before the first packet.

    Raises `MediaFailed`, and FFmpeg's errors of writing.
    """
    with reading(segments[0]) as first:
        reference = _parameters(first)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        options["video_track_timescale"] = str(reference[-1].denominator)
        with av.open(str(out), "w", format="mp4", options=options) as target:
            stream = target.add_stream_from_template(first.streams.video[0])
            stream.time_base = reference[-1]
            packets = _video_packets(segments, stream, reference)
            if sounds:
                # Players read both tracks at once: packets lie in the order of their times.
                track = sound.encoded(sound.add_track(target), _track(sounds))
                packets = heapq.merge(packets, track, key=_time)
            prepare(target)
            for packet in packets:
                target.mux(packet)


Parameters = tuple[str, int, int, bytes, Fraction]


def _parameters(container: InputContainer) -> Parameters:
    """What has to be equal for packets of two files to be shown by one decoder."""
    stream = video_of(container, Path(container.name))
    context = stream.codec_context
    assert stream.time_base is not None
    return context.name, context.width, context.height, bytes(context.extradata or b""), stream.time_base


def _video_packets(segments: Sequence[Path], stream: av.VideoStream, reference: Parameters) -> Iterator[Any]:
    """Every packet, moved to where its segment starts."""
    start = 0
    for path in segments:
        with reading(path) as source:
            if _parameters(source) != reference:
                raise MediaFailed(f"{path.name} was encoded differently from {segments[0].name}")
            end = start
            for packet in source.demux(source.streams.video[0]):
                if packet.pts is None or packet.dts is None:
                    continue
                packet.pts += start
                packet.dts += start
                packet.time_base = reference[-1]
                packet.stream = stream
                end = max(end, packet.pts + (packet.duration or 0))
                yield packet
            if end == start:
                raise MediaFailed(f"{path.name} holds no frames")
            start = end


def _track(sounds: Sequence[Sound]) -> sound.Samples:
    """All sounds, each where its scene starts."""
    track = np.zeros(round(sum(each.duration_s for each in sounds) * sound.RATE), np.float32)
    start = 0.0
    for each in sounds:
        if each.audio is not None:
            at = round(start * sound.RATE)
            heard = sound.read(each.audio)[: round(each.duration_s * sound.RATE)]
            track[at : at + len(heard)] = heard[: len(track) - at]
        start += each.duration_s
    return track


def _time(packet: Any) -> Any:
    return packet.dts * packet.time_base
