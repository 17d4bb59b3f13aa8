"""Videos: ordering them, by topic, storyboard or in batches, and what comes of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

from gateway.client.api.jobs import VIDEOS, query
from gateway.client.core.calls import Call, Flow, Session, Task, get, paged, post, quoted
from gateway.client.core.downloads import Progress, downloading
from gateway.client.core.effects import Program, Request
from gateway.client.core.retries import Repeat
from gateway.client.core.streams import Event, followed
from gateway.client.models.batches import Batch, CreateBatchResponse, ListBatchesResponse
from gateway.client.models.jobs import Job
from gateway.client.models.orders import GenerateOptions, PlanOptions, RemixOptions, RenderOptions, VideoOrder
from gateway.client.models.storyboards import (
    PlanStoryboardResponse,
    RemixJobResponse,
    RenderStoryboardResponse,
    Storyboard,
    StoryboardEdits,
    StoryboardEstimate,
)
from gateway.client.models.videos import Video

BATCHES = "/api/v1/videos/batch"


def generate(topic: str, context: str, *, idempotency_key: str = "", **options: Unpack[GenerateOptions]) -> Call[Job]:
    """Order a video and get the queued job. Repeating is safe: the order carries an idempotency key, its own or
    yours.
    """
    body = {"topic": topic, "context": context, **options}
    return post("/api/v1/videos/generate", body, Repeat.ONCE, key=idempotency_key or uuid.uuid4().hex)


def plan(topic: str, context: str, **options: Unpack[PlanOptions]) -> Call[PlanStoryboardResponse]:
    """The storyboard that the planner makes of a topic, and what it would cost. Nothing is stored or charged."""
    return post("/api/v1/storyboards:plan", {"topic": topic, "context": context, **options}, Repeat.SAFE)


def validate(storyboard: Storyboard | Mapping[str, Any], quality: str = "") -> Call[StoryboardEstimate]:
    """What a storyboard would cost. InvalidRequestError names every field that breaks a rule."""
    body = {"storyboard": storyboard, **({"quality": quality} if quality else {})}
    call = post("/api/v1/storyboards:validate", body, Repeat.SAFE)
    return Call(call.request, call.repeat, lambda answer: answer["estimate"])


def render(
    storyboard: Storyboard | Mapping[str, Any], *, idempotency_key: str = "", **options: Unpack[RenderOptions]
) -> Call[RenderStoryboardResponse]:
    """Order the video of a storyboard."""
    body = {"storyboard": storyboard, **options}
    return post("/api/v1/videos/render", body, Repeat.ONCE, key=idempotency_key or uuid.uuid4().hex)


def remix(
    job_id: str,
    edits: StoryboardEdits | Mapping[str, Any] | None = None,
    *,
    idempotency_key: str = "",
    **options: Unpack[RemixOptions],
) -> Call[RemixJobResponse]:
    """Order another video of a job's storyboard; scenes that are as they were are not drawn again."""
    body = {**({"edits": edits} if edits else {}), **options}
    return post(f"{VIDEOS}/{quoted(job_id)}:remix", body, Repeat.ONCE, key=idempotency_key or uuid.uuid4().hex)


def storyboard(job_id: str) -> Call[Storyboard]:
    """The storyboard of a job, once it is planned."""
    return get(f"{VIDEOS}/{quoted(job_id)}/storyboard")


def metadata(job_id: str) -> Call[Video]:
    """What the finished file is, measured from it."""
    return get(f"{VIDEOS}/{quoted(job_id)}/metadata")


def batch(
    orders: Sequence[VideoOrder | Mapping[str, Any]], *, webhook_url: str = "", idempotency_key: str = ""
) -> Call[CreateBatchResponse]:
    """Order up to 50 videos; each item of the answer is a job or a refusal."""
    body = {"requests": list(orders), **({"webhook_url": webhook_url} if webhook_url else {})}
    return post(BATCHES, body, Repeat.ONCE, key=idempotency_key or uuid.uuid4().hex)


def get_batch(batch_id: str) -> Call[Batch]:
    """The batch as it is now."""
    return get(f"{BATCHES}/{quoted(batch_id)}")


def list_batches(page_token: str = "", page_size: int = 0) -> Call[ListBatchesResponse]:
    """A page of the caller's batches, newest first."""
    return get(BATCHES, query({"page_size": page_size}, page_token))


def batches() -> Flow[Batch]:
    """All of the caller's batches, newest first."""
    return paged(list_batches, "batches")


def cancel_batch(batch_id: str) -> Call[Batch]:
    """Stop every job of it that has not ended."""
    return post(f"{BATCHES}/{quoted(batch_id)}/cancel", {}, Repeat.SAFE)


def watch_batch(batch_id: str, after: int | None = None) -> Flow[Event]:
    """Every event of a batch until all its jobs have ended; resumes by itself."""
    return followed(f"{BATCHES}/{quoted(batch_id)}/events", after, _batch_ended)


def download(job_id: str, target: Path, quality: str = "", progress: Progress | None = None) -> Task[Path]:
    """Write the MP4 to `target`, continuing after a lost connection; the name appears when every byte is there and
    has been checked. `quality` is a rung such as `720p`, the best one without. ChecksumError.
    """

    def steps(session: Session) -> Program[Path]:
        video = yield from metadata(job_id).program(session)
        sha256 = video["checksum_sha256"] if quality in ("", _best(video)) else ""
        request = Request("GET", f"{VIDEOS}/{quoted(job_id)}/download", {"quality": quality} if quality else {})
        return (yield from downloading(request, target, session, sha256=sha256, progress=progress))

    return Task(steps)


def captions(job_id: str, target: Path, format: Literal["vtt", "srt"] = "vtt") -> Task[Path]:  # noqa: A002  # the API's
    """Write the captions to `target`. NotFoundError when nothing is said in the video."""
    request = Request("GET", f"{VIDEOS}/{quoted(job_id)}/captions", {"format": format})
    return Task(lambda session: downloading(request, target, session))


def thumbnail(
    job_id: str, target: Path, *, scene: int | None = None, size: Literal["small", "medium", "full"] = "full"
) -> Task[Path]:
    """Write a still to `target`: that of a scene, or the one that tells most."""
    params = {"size": size, **({} if scene is None else {"scene": scene})}
    request = Request("GET", f"{VIDEOS}/{quoted(job_id)}/thumbnail", params)
    return Task(lambda session: downloading(request, target, session))


def _best(video: Video) -> str:
    """The rung whose checksum the metadata has."""
    for rendition in video["renditions"]:
        if (rendition["width"], rendition["height"]) == (video["width"], video["height"]):
            return rendition["quality"]
    return ""


def _batch_ended(event: Event) -> bool:
    return event.kind == "ended" or (event.kind == "snapshot" and event.body.get("status") != "processing")
