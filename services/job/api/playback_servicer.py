"""`PlaybackService`: decode, use case, encode."""

from __future__ import annotations

from google.api.httpbody_pb2 import HttpBody

from services.job.api import codec
from services.job.api.servicer import Context, current_viewer
from services.job.application import hls
from services.job.application.playback import Playback
from t2m.job.v1 import playback_service_pb2 as pb
from t2m.job.v1 import playback_service_pb2_grpc


class PlaybackServicer(playback_service_pb2_grpc.PlaybackServiceServicer):
    """Videos for players."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback

    async def GetMasterPlaylist(
        self, request: pb.GetMasterPlaylistRequest, context: Context
    ) -> pb.GetMasterPlaylistResponse:
        """Which rungs there are."""
        text = await self._playback.master(current_viewer(), codec.canonical_id(request.job_id))
        return pb.GetMasterPlaylistResponse(playlist=_playlist(text))

    async def GetMediaPlaylist(
        self, request: pb.GetMediaPlaylistRequest, context: Context
    ) -> pb.GetMediaPlaylistResponse:
        """What a rung is made of."""
        text = await self._playback.media(current_viewer(), codec.canonical_id(request.job_id), request.quality)
        return pb.GetMediaPlaylistResponse(playlist=_playlist(text))


def _playlist(text: str) -> HttpBody:
    return HttpBody(content_type=hls.CONTENT_TYPE, data=text.encode())
