"""Playlists of HTTP Live Streaming (RFC 8216): text out of segments, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONTENT_TYPE = "application/vnd.apple.mpegurl"
AUDIO = "audio"
"""What stands in place of a rung's name for what is heard."""
_VERSION = 7
"""The first with fragmented MP4 (`EXT-X-MAP`) in media playlists that are no I-frame playlists."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A scene at one rung: `head_bytes` of initialization section, then fragments without gaps."""

    rung: str
    object_id: str
    frames: int
    head_bytes: int
    fragment_bytes: tuple[int, ...]
    fragment_frames: int
    width: int
    height: int
    frame_rate: float
    codec: str

    def fragments(self) -> Iterator[tuple[int, int, float]]:
        """(offset, bytes, seconds) of each fragment."""
        offset, left = self.head_bytes, self.frames
        for size in self.fragment_bytes:
            frames = min(self.fragment_frames, left)
            yield offset, size, frames / self.frame_rate
            offset, left = offset + size, left - frames


def master(rungs: Sequence[Sequence[Segment]], audio: Sequence[Segment] = ()) -> str:
    """The master playlist of some rungs, each with its segments so far, and of what is heard with each of them; media
    playlists are at `stream/{rung}`.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    heard, (audio_peak, audio_mean) = "", _bits_per_s(audio)
    if audio:
        lines.append(f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{AUDIO}",NAME="Narration",DEFAULT=YES,URI="stream/{AUDIO}"')
        heard = f',AUDIO="{AUDIO}"'
    for segments in rungs:
        (peak, mean), first = _bits_per_s(segments), segments[0]
        codecs = ",".join([first.codec, *(part.codec for part in audio[:1])])
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={peak + audio_peak},AVERAGE-BANDWIDTH={mean + audio_mean},"
            f'CODECS="{codecs}",RESOLUTION={first.width}x{first.height},FRAME-RATE={first.frame_rate:.3f}{heard}'
        )
        lines.append(f"stream/{first.rung}")
    return "\n".join([*lines, ""])


def _bits_per_s(segments: Sequence[Segment]) -> tuple[int, int]:
    """At the peak, over a fragment, and on the average."""
    parts = [part for segment in segments for part in segment.fragments()]
    peak = max((size * 8 / seconds for _, size, seconds in parts), default=0.0)
    length = sum(seconds for _, _, seconds in parts)
    return round(peak), round(sum(size * 8 for _, size, _ in parts) / length) if length else 0


def media(segments: Sequence[tuple[Segment, str]], *, complete: bool) -> str:
    """The media playlist of one rung: segments with their URLs, in order. Each scene has a clock of its own.

    It grows at its end and nowhere else (RFC 8216 §6.2.1).
    """
    # Of whole fragments, not of those so far: it must not grow with the playlist.
    longest = max(segment.fragment_frames / segment.frame_rate for segment, _ in segments)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{max(round(longest), 1)}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",  # to the end: only lines may be added to what a player has read
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    for number, (segment, url) in enumerate(segments):
        if number:
            lines.append("#EXT-X-DISCONTINUITY")
        lines.append(f'#EXT-X-MAP:URI="{url}",BYTERANGE="{segment.head_bytes}@0"')
        for offset, size, seconds in segment.fragments():
            lines += [f"#EXTINF:{seconds:.5f},", f"#EXT-X-BYTERANGE:{size}@{offset}", url]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if complete else []), ""])
