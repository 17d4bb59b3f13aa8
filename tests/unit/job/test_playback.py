"""Playlists of HTTP Live Streaming (V5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.job.application import hls
from services.job.application.hls import Segment
from services.job.application.neighbours import Playable, PlayableScene
from services.job.application.playback import Playback
from services.job.domain.errors import ArtifactNotFound, JobNotFound, RendersUnavailable, StateConflict
from tests.unit.job.world import ADA, BOB, World


def segment(rung: str, object_id: str, fps: int = 10, frames: int = 45) -> Segment:
    sizes = (1000, 500, 250)
    return Segment(rung, object_id, frames, 700, sizes, 2 * fps, 1280, 720, float(fps), "avc1.64001f")


SCENES = tuple(
    PlayableScene((segment("720p", f"a{number}"), segment("480p", f"b{number}", 5, 23))) for number in range(3)
)


def test_v5_the_master_playlist_names_every_rung_with_what_it_takes() -> None:
    text = hls.master([[scene.segments[at] for scene in SCENES] for at in (0, 1)])
    assert text == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=4000,AVERAGE-BANDWIDTH=3111,CODECS="avc1.64001f",'
        "RESOLUTION=1280x720,FRAME-RATE=10.000\n"
        "stream/720p\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=4000,AVERAGE-BANDWIDTH=3043,CODECS="avc1.64001f",'
        "RESOLUTION=1280x720,FRAME-RATE=5.000\n"
        "stream/480p\n"
    )


def test_v5_a_media_playlist_has_each_fragment_as_a_byte_range() -> None:
    text = hls.media([(SCENES[0].segments[0], "https://f/a"), (SCENES[1].segments[0], "https://f/b")], complete=False)
    assert text.splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="https://f/a",BYTERANGE="700@0"',
        *("#EXTINF:2.00000,", "#EXT-X-BYTERANGE:1000@700", "https://f/a"),
        *("#EXTINF:2.00000,", "#EXT-X-BYTERANGE:500@1700", "https://f/a"),
        *("#EXTINF:0.50000,", "#EXT-X-BYTERANGE:250@2200", "https://f/a"),
        "#EXT-X-DISCONTINUITY",
        '#EXT-X-MAP:URI="https://f/b",BYTERANGE="700@0"',
        *("#EXTINF:2.00000,", "#EXT-X-BYTERANGE:1000@700", "https://f/b"),
        *("#EXTINF:2.00000,", "#EXT-X-BYTERANGE:500@1700", "https://f/b"),
        *("#EXTINF:0.50000,", "#EXT-X-BYTERANGE:250@2200", "https://f/b"),
    ]


def test_v5_a_complete_playlist_begins_as_the_growing_one_did() -> None:
    located = [(scene.segments[0], f"https://f/{scene.segments[0].object_id}") for scene in SCENES]
    growing, whole = hls.media(located[:1], complete=False), hls.media(located, complete=True)
    assert whole.endswith("#EXT-X-ENDLIST\n")
    assert whole.startswith(growing)


def test_v5_a_short_first_scene_promises_no_shorter_fragments() -> None:
    long = SCENES[0].segments[0]
    short = replace(long, frames=10, fragment_bytes=(300,))
    growing, whole = hls.media([(short, "a")], complete=False), hls.media([(short, "a"), (long, "b")], complete=False)
    assert whole.startswith(growing)


async def test_v5_what_is_finished_can_be_played_while_the_rest_is_drawn() -> None:
    world = World()
    playback = Playback(world.queries, world.renders, world.objects, world.clock)
    job = await world.create()
    for call in (playback.master(ADA, job.job_id), playback.media(ADA, job.job_id, "720p")):
        with pytest.raises(StateConflict, match="queued"):
            await call
    await world.dispatcher.admit()
    await world.deliveries.deliver()
    with pytest.raises(StateConflict, match="no scene is finished"):
        await playback.master(ADA, job.job_id)
    render_id = f"{job.job_id}-1"
    world.renders.segments[render_id] = Playable(SCENES[:2], complete=False)
    world.objects.owners |= {each.object_id: "ada" for scene in SCENES for each in scene.segments}
    assert (await playback.master(ADA, job.job_id)).count("stream/") == 2
    growing = await playback.media(ADA, job.job_id, "480p")
    assert growing.count("#EXT-X-MAP") == 2
    assert "https://files.example/b1" in growing
    world.renders.segments[render_id] = Playable(SCENES, complete=True)
    whole = await playback.media(ADA, job.job_id, "480p")
    assert whole.startswith(growing)
    assert whole.endswith("#EXT-X-ENDLIST\n")


async def test_v5_urls_stay_as_they_are_while_the_playlist_grows() -> None:
    """Players that see other URLs for what they have loaded give up (RFC 8216 §6.2.1)."""
    world = World()
    playback = Playback(world.queries, world.renders, world.objects, world.clock)
    job = await world.processing()
    world.renders.segments[f"{job.job_id}-1"] = Playable(SCENES[:1], complete=False)
    world.objects.owners |= {each.object_id: "ada" for scene in SCENES for each in scene.segments}
    ends: dict[datetime, list[timedelta]] = {}
    for _ in range(13):
        world.objects.located.clear()
        await playback.media(ADA, job.job_id, "720p")
        (request,) = world.objects.located
        assert request.expires_at is not None
        ends.setdefault(request.expires_at, []).append(request.expires_at - world.clock.now())
        world.clock.advance(hours=1)
    assert [len(each) for each in ends.values()] == [6, 6, 1]
    assert all(timedelta(hours=2) <= left <= timedelta(hours=8) for each in ends.values() for left in each)


async def test_v5_what_cannot_be_played_says_why() -> None:
    world = World()
    playback = Playback(world.queries, world.renders, world.objects, world.clock)
    job = await world.processing()
    world.renders.segments[f"{job.job_id}-1"] = Playable(SCENES, complete=True)
    with pytest.raises(JobNotFound):
        await playback.master(BOB, job.job_id)
    with pytest.raises(ArtifactNotFound, match="only in 720p, 480p"):
        await playback.media(ADA, job.job_id, "1080p")
    with pytest.raises(ArtifactNotFound, match="not kept any more"):
        await playback.media(ADA, job.job_id, "720p")
    world.renders.away = True
    with pytest.raises(RendersUnavailable):
        await playback.master(ADA, job.job_id)
