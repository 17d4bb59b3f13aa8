"""Media files by PyAV: encode a segment, join segments, measure, take stills."""

from services.video_render.adapters.media.tools import AvMediaTools

__all__ = ["AvMediaTools"]
