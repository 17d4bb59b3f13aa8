"""From a request to an order, and page tokens."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.job.application.page_tokens import PageTokens
from services.job.application.ports import JobQuery, PageKey
from services.job.application.request import OrderRequest
from services.job.domain.errors import FieldsRefused, Unsupported
from services.job.domain.values import JobStatus, Priority, Quality
from services.runtime.ids import new_id
from tests.fakes.job import START

PLAIN = OrderRequest("T", "C")


def test_v1_defaults() -> None:
    order = PLAIN.to_order("ada")
    assert (order.quality, order.priority, order.model) == (Quality.MEDIUM, Priority.DEFAULT, "script")
    assert (order.thumbnails, order.max_retries, order.configuration) == (True, 3, {})


@pytest.mark.parametrize(
    ("fields", "quality"),
    [
        ({"quality_levels": ("720p",)}, Quality.MEDIUM),
        ({"quality_levels": ("1080p",)}, Quality.HIGH),
        ({"quality_levels": ("480p",), "quality": Quality.LOW}, Quality.LOW),
        ({"quality": Quality.HIGH}, Quality.HIGH),
        ({"model": "script"}, Quality.MEDIUM),
    ],
)
def test_v1_one_level_selects_the_quality(fields: dict[str, Any], quality: Quality) -> None:
    assert replace(PLAIN, **fields).to_order("ada").quality is quality


@pytest.mark.parametrize(
    ("levels", "quality", "ladder"),
    [
        (("480p", "1080p"), None, ("1080p", "480p")),
        (("720p", "480p"), Quality.MEDIUM, ("720p", "480p")),
        (("480p", "720p", "1080p"), None, ("1080p", "720p", "480p")),
        ((), Quality.HIGH, ("1080p",)),
    ],
)
def test_v4_levels_are_a_ladder(levels: tuple[str, ...], quality: Quality | None, ladder: tuple[str, ...]) -> None:
    assert replace(PLAIN, quality_levels=levels, quality=quality).to_order("ada").levels == ladder


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"model": "openai/gpt"}, ["model"]),
        ({"use_rag": True}, ["use_rag"]),
        ({"model": "x", "use_rag": True}, ["model", "use_rag"]),
    ],
)
def test_v1_what_is_not_served_is_refused_by_name(fields: dict[str, Any], paths: list[str]) -> None:
    with pytest.raises(Unsupported) as caught:
        replace(PLAIN, **fields).to_order("ada")
    assert [path for path, _ in caught.value.field_violations] == paths


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"topic": "a\0b"}, "topic"),
        ({"context": "\0"}, "context"),
        ({"configuration": {"a": {"b": [1.0, float("nan")]}}}, "configuration.a.b[1]"),
        ({"configuration": {"a": float("inf")}}, "configuration.a"),
        ({"configuration": {"a": "\0"}}, "configuration.a"),
        ({"configuration": {"\0": 1}}, "configuration"),
        ({"quality_levels": ("480p",), "quality": Quality.HIGH}, "quality_levels"),
        ({"quality_levels": ("480p", "720p"), "quality": Quality.LOW}, "quality_levels"),
    ],
)
def test_values_that_cannot_be_kept_are_refused(fields: dict[str, Any], path: str) -> None:
    """Bad input is a 4xx, never a failure of the database."""
    with pytest.raises(FieldsRefused) as caught:
        replace(PLAIN, **fields).to_order("ada")
    assert not isinstance(caught.value, Unsupported)
    assert [found for found, _ in caught.value.field_violations] == [path]


def test_v1_fingerprint_tells_bodies_apart() -> None:
    """V1: equal bodies have equal hashes whatever the order of their keys; every field counts."""
    one = replace(PLAIN, configuration={"a": 1.0, "b": [True, None]})
    assert one.fingerprint() == replace(PLAIN, configuration={"b": [True, None], "a": 1.0}).fingerprint()
    different: list[dict[str, Any]] = [
        {"topic": "U"},
        {"context": "D"},
        {"model": "script"},
        {"quality": Quality.MEDIUM},
        {"quality_levels": ("720p",)},
        {"use_rag": True},
        {"priority": Priority.DEFAULT},
        {"narration": True},
        {"thumbnails": True},
        {"configuration": {"a": 1.0}},
        {"max_retries": 3},
        {"webhook_url": "https://example.com"},
    ]
    hashes = {PLAIN.fingerprint(), *(replace(PLAIN, **fields).fingerprint() for fields in different)}
    assert len(hashes) == len(different) + 1


TOKENS = PageTokens(b"secret")
QUERY = JobQuery("ada", statuses=frozenset({JobStatus.QUEUED}), topic="x")


@given(micros=st.integers(-(10**15), 10**15))
def test_j2_token_brings_back_its_position(micros: int) -> None:
    key = PageKey(START + timedelta(microseconds=micros), new_id())
    assert TOKENS.open_list(TOKENS.seal_list(key, QUERY), QUERY) == key


@pytest.mark.parametrize(
    "other",
    [
        replace(QUERY, owner_id="bob"),
        replace(QUERY, owner_id=None),
        replace(QUERY, statuses=frozenset()),
        replace(QUERY, priority=Priority.HIGH),
        replace(QUERY, batch_id="b"),
        replace(QUERY, created_after=START),
        replace(QUERY, created_before=START),
        replace(QUERY, topic=""),
        replace(QUERY, topic="", batch_id="x"),
        replace(QUERY, by_update=True),
    ],
)
def test_j2_token_opens_only_its_own_list(other: JobQuery) -> None:
    token = TOKENS.seal_list(PageKey(START, new_id()), QUERY)
    with pytest.raises(FieldsRefused):
        TOKENS.open_list(token, other)


@given(token=st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,80}", fullmatch=True))
def test_j2_forged_token_is_refused(token: str) -> None:
    with pytest.raises(FieldsRefused) as caught:
        TOKENS.open_list(token, QUERY)
    assert caught.value.field_violations[0][0] == "page_token"


def test_j2_token_of_another_key_or_kind_is_refused() -> None:
    token = TOKENS.seal_list(PageKey(START, new_id()), QUERY)
    with pytest.raises(FieldsRefused):
        PageTokens(b"other").open_list(token, QUERY)
    with pytest.raises(FieldsRefused):
        TOKENS.open_history(token, "job")
    history = TOKENS.seal_history(7, "job")
    assert TOKENS.open_history(history, "job") == 7
    assert len(history) <= 64
    with pytest.raises(FieldsRefused):
        TOKENS.open_history(history, "other")
