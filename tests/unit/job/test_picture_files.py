"""Pictures of a storyboard that are files: refused with their path before anything is ordered (S5, V9)."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from services.job.adapters.picture_files import MAX_BYTES, WithPictureFiles
from services.job.adapters.storyboard_client import storyboard_of
from services.job.application.neighbours import RenderAway
from services.job.application.storyboards import SceneForecast, Storyboard
from services.job.domain.errors import FieldsRefused
from services.job.domain.values import Quality
from t2m.storage.v1 import object_pb2
from t2m.storage.v1 import object_service_pb2 as pb
from t2m.video_render.v1 import scene_diagrams_pb2, storyboard_pb2

FILE = "01890000-0000-7000-8000-00000000000"


class Refused(grpc.aio.AioRpcError):
    """An answer with a code."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code, grpc.aio.Metadata(), grpc.aio.Metadata())


class Files:
    """Storage's stub with files of ada's."""

    def __init__(self, **facts: Any) -> None:
        values = {"kind": object_pb2.ARTIFACT_KIND_FILE, "content_type": "image/png", "size_bytes": 10, **facts}
        self.file = object_pb2.Object(**values)
        self.away = False

    async def GetObject(self, request: pb.GetObjectRequest, timeout: float) -> pb.GetObjectResponse:
        """One file, of one owner."""
        if self.away:
            raise Refused(grpc.StatusCode.UNAVAILABLE)
        if (request.owner_id, request.object_id) != ("ada", f"{FILE}1"):
            raise Refused(grpc.StatusCode.NOT_FOUND)
        return pb.GetObjectResponse(object=self.file)


class Tools:
    """Forecasts nothing in particular."""

    async def forecast(self, *_: Any, **__: Any) -> list[SceneForecast]:
        """Nothing."""
        return []


def board(*files: str) -> Storyboard:
    """A picture for each id; none for an empty one."""
    images = [scene_diagrams_pb2.Image(file_id=file) if file else None for file in files]
    return storyboard_of(storyboard_pb2.Storyboard(scenes=[storyboard_pb2.Scene(image=image) for image in images]))


async def refusals(files: Files, owner: str, *ids: str) -> list[tuple[str, str]]:
    """The fields that are refused."""
    tools = WithPictureFiles(Tools(), files)  # type: ignore[arg-type]
    try:
        await tools.forecast(owner, board(*ids), Quality.LOW)
    except FieldsRefused as refused:
        return list(refused.field_violations)
    return []


async def test_S5_a_file_of_the_owner_is_taken() -> None:
    """S5: and scenes without one need none."""
    assert await refusals(Files(), "ada", "", f"{FILE}1") == []


@pytest.mark.parametrize(
    ("owner", "facts", "why"),
    [
        ("bob", {}, "there is no such file"),
        ("ada", {"kind": object_pb2.ARTIFACT_KIND_VIDEO}, "there is no such file"),
        ("ada", {"content_type": "image/webp"}, "must be a PNG or JPEG file, is image/webp"),
        ("ada", {"size_bytes": MAX_BYTES + 1}, f"must have at most {MAX_BYTES} bytes, has {MAX_BYTES + 1}"),
    ],
)
async def test_S5_what_cannot_be_shown_is_refused_with_its_path(owner: str, facts: dict[str, Any], why: str) -> None:
    """S5, A5, O6: somebody else's file does not exist."""
    found = await refusals(Files(**facts), owner, "", f"{FILE}1")
    assert found == [("storyboard.scenes[1].image.file_id", why)]


async def test_S5_every_missing_file_is_named() -> None:
    """O6: all at once."""
    found = await refusals(Files(), "ada", f"{FILE}2", f"{FILE}1", f"{FILE}3")
    assert [path for path, _ in found] == [f"storyboard.scenes[{at}].image.file_id" for at in (0, 2)]


async def test_S5_a_storage_that_is_away_is_not_a_missing_file() -> None:
    """S5: the caller may try again."""
    files = Files()
    files.away = True
    with pytest.raises(RenderAway):
        await WithPictureFiles(Tools(), files).forecast("ada", board(f"{FILE}1"), Quality.LOW)  # type: ignore[arg-type]
