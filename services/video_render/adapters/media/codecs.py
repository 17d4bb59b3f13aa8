"""How players are told what a file needs (RFC 6381)."""

from __future__ import annotations

from pathlib import Path

import av


def of_stream(stream: av.VideoStream) -> str:
    """`avc1.PPCCLL` from the decoder configuration (ISO/IEC 14496-15); empty for another codec."""
    configuration = stream.codec_context.extradata or b""
    if stream.codec_context.name != "h264" or len(configuration) < 4 or configuration[0] != 1:
        return ""
    return f"avc1.{configuration[1:4].hex()}"


def of_file(path: Path) -> str:
    """The same for the video of a file that was just written."""
    with av.open(str(path)) as container:
        return of_stream(container.streams.video[0])
