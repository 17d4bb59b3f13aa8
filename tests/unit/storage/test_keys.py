"""S1: names of buckets and keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.domain.errors import InvalidInput
from services.storage.domain.keys import BucketNames, make_key
from services.storage.domain.objects import ArtifactKind, Bucket, Placement

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SCENE = Placement("u1", "j1", Bucket.VIDEOS, ArtifactKind.SEGMENT, scene_index=7, fence=12)


def test_buckets_are_named_by_environment_region_and_account() -> None:
    names = BucketNames("prod", "eu-west-1", "123456789012")
    assert [names.of(bucket) for bucket in Bucket] == [
        "prod-t2m-videos-eu-west-1-123456789012",
        "prod-t2m-code-eu-west-1-123456789012",
        "prod-t2m-thumbnails-eu-west-1-123456789012",
        "prod-t2m-temp-eu-west-1-123456789012",
    ]


@pytest.mark.parametrize("parts", [("Prod", "r", "a"), ("prod", "a/b", "a"), ("prod", "..", "a"), ("p", "r", "x" * 60)])
def test_illegal_bucket_names_are_refused(parts: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="not a bucket name"):
        BucketNames(*parts)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({}, "users/u1/jobs/j1/segment/scene_007/000012-o1.mp4"),
        ({"scene_index": 1234}, "users/u1/jobs/j1/segment/scene_1234/000012-o1.mp4"),
        (
            {"scene_index": None, "kind": ArtifactKind.VIDEO, "fence": 0},
            "users/u1/jobs/j1/video/000000-o1.mp4",
        ),
        ({"job_id": "", "scene_index": None}, "users/u1/files/segment/000012-o1.mp4"),
        ({"bucket": Bucket.TEMP}, "temp/u1.j1/20300102T030405Z/segment/scene_007/000012-o1.mp4"),
        ({"bucket": Bucket.TEMP, "job_id": ""}, "temp/u1/20300102T030405Z/segment/scene_007/000012-o1.mp4"),
    ],
)
def test_keys(change: dict[str, Any], key: str) -> None:
    assert make_key(replace(SCENE, **change), "o1", "video/mp4", NOW) == key


def test_an_unknown_media_type_has_a_neutral_extension() -> None:
    assert make_key(SCENE, "o1", "application/x-sh", NOW).endswith("-o1.bin")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"owner_id": ""}, "owner_id"),
        ({"owner_id": ".."}, "owner_id"),
        ({"owner_id": "u" * 65}, "owner_id"),
        ({"job_id": "../../etc"}, "job_id"),
        ({"job_id": "Ä"}, "job_id"),
        ({"scene_index": -1}, "scene_index"),
        ({"scene_index": 10_000}, "scene_index"),
        ({"fence": -1}, "fence"),
    ],
)
def test_unsafe_parts_name_their_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_key(replace(SCENE, **change), "o1", "video/mp4", NOW)
    assert [name for name, _ in caught.value.field_violations] == [field]


@given(owner=st.text(max_size=70), job=st.text(max_size=70))
def test_a_key_never_leaves_its_owners_folder(owner: str, job: str) -> None:
    try:
        key = make_key(replace(SCENE, owner_id=owner, job_id=job), "o1", "video/mp4", NOW)
    except InvalidInput:
        return
    assert key.isascii()
    assert key.startswith(f"users/{owner}/")
    assert not {"", ".", ".."} & set(key.split("/"))
