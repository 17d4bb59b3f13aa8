"""The gateway beside a real Envoy: the same descriptors, the same backend, the same requests (O6).

Every row of tests/integration/transcoding says what both do. Where they differ it names the difference, which must then
be there; where it names none there must be none.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message

from gateway.app import Gateway
from gateway.codec import DecoderSet, Violation
from gateway.settings import Settings
from tests.fakes.contracts import modules
from tests.fakes.echo_backend import EchoBackend
from tests.integration.envoy_harness import running_envoy
from tests.integration.gateway_harness import serving
from tests.integration.transcoding.answers import EMPTY, EMPTY_OF_ENVOY
from tests.integration.transcoding.differences import DIFFERENCES, ERROR_BODY
from tests.integration.transcoding.dishes import dishes, json_of
from tests.integration.transcoding.page import PAGE, ROWS, SECTIONS, render
from tests.integration.transcoding.row import Outcome, Row

CONTRACT: Any = modules()["transcoding"]
DISHES = 60


@dataclass(frozen=True)
class Answer:
    """What came of a row."""

    outcome: Outcome
    o6: bool
    """Whether it is an error in the gateway's form."""


@dataclass(frozen=True)
class Served:
    """A message of chance, what both have bound of it, and what both have answered when it came back."""

    dish: Message
    bound: list[httpx.Response]
    shown: list[httpx.Response]


@dataclass(frozen=True)
class Both:
    """What the gateway and Envoy said, in this order."""

    rows: dict[int, tuple[Answer, Answer]]
    """By the row's identity."""
    dishes: list[Served]


@pytest.fixture(scope="module")
def both() -> Both:
    """All of it, asked once."""
    return asyncio.run(_ask_both())


async def _ask_both() -> Both:
    backend = EchoBackend()
    await backend.start()
    values: dict[str, Any] = {"environment": "test", "gateway_port": 0, "rate_limits": "off"}
    settings = Settings(**values, job_address=backend.address)
    try:
        async with (
            serving(settings, Gateway(settings, [CONTRACT])) as ours,
            running_envoy(CONTRACT.DESCRIPTOR, backend.port) as envoy,
        ):
            rows = {id(row): (await _ask(ours, row, EMPTY), await _ask(envoy, row, EMPTY_OF_ENVOY)) for row in ROWS}
            return Both(rows, [await _serve(dish, ours, envoy) for dish in dishes(DISHES)])
    finally:
        await backend.stop()


async def _serve(dish: Message, *clients: httpx.AsyncClient) -> Served:
    body = json_of(dish)
    bound = [await client.post("/v1/dishes", json=body) for client in clients]
    return Served(dish, bound, [await client.post("/v1/shown", json=body) for client in clients])


async def _ask(client: httpx.AsyncClient, row: Row, empty: Mapping[str, object]) -> Answer:
    method, target = row.request.split(" ", 1)
    headers = dict(row.headers)
    if method == "HEAD":
        headers["connection"] = "close"  # Envoy sends content all the same, which the next answer would begin with.
    answer = await client.request(
        method, "/", content=row.body, headers=headers, extensions={"target": target.encode()}
    )
    content = _looked_at(answer, row.looks_at) if row.looks_at else _content(answer, empty)
    return Answer((answer.status_code, content), _is_o6(answer))


def _looked_at(answer: httpx.Response, name: str) -> object:
    """A header, or something in the JSON."""
    if "." not in name:
        return answer.headers.get(name)
    value: Any = answer.json()
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _content(answer: httpx.Response, empty: Mapping[str, object]) -> object:
    if answer.status_code >= 400 or not answer.content:
        return None
    if answer.headers["content-type"] != "application/json":
        return answer.headers["content-type"], answer.text
    value = answer.json()
    if isinstance(value, dict) and set(value) == {"rpc", "message"}:
        return value["rpc"], _fields(_request_of(value["rpc"]).FromString(bytes.fromhex(value["message"])))
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if name not in empty or empty[name] != item}
    return value


def _is_o6(answer: httpx.Response) -> bool:
    if answer.status_code < 400 or answer.headers.get("content-type") != "application/json":
        return False
    return list(answer.json()) == ["error"]


def _request_of(rpc: str) -> type[Message]:
    method = CONTRACT.DESCRIPTOR.services_by_name["BindService"].methods_by_name[rpc]
    return message_factory.GetMessageClass(method.input_type)


def _fields(message: Message) -> dict[str, Any]:
    """Not the bytes: an Any may hold a zero that others leave out."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _expected(outcome: Outcome) -> Outcome:
    """With the message in one spelling."""
    status, content = outcome
    if not (isinstance(content, tuple) and isinstance(content[1], dict)):
        return outcome
    rpc, fields = content
    message = json_format.ParseDict(copy.deepcopy(fields), _request_of(rpc)())  # Which takes `@type` out of it.
    return status, (rpc, _fields(message))


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{title}: {row.name}") for title, rows in SECTIONS.items() for row in rows]
)
def test_O6_a_row_holds_here_and_in_envoy(row: Row, both: Both) -> None:
    """O6: what is bound, what is answered, and how it fails; differences are there exactly where they are named."""
    here, envoy = both.rows[id(row)]
    assert here.outcome == _expected(row.here), "the gateway"
    assert envoy.outcome == _expected(row.envoy), "Envoy"
    assert (here.outcome != envoy.outcome) == bool(row.why)
    assert not row.why or row.why in DIFFERENCES
    assert here.o6 == (row.here[0] >= 400)
    assert not envoy.o6, ERROR_BODY


def test_O6_both_bind_the_same_of_any_json(both: Both) -> None:
    """O6: of proto3 JSON by another hand; in time, in 64 bits, in every alphabet."""
    for served in both.dishes:
        messages = [bytes.fromhex(answer.json()["message"]) for answer in served.bound]
        assert [type(served.dish).FromString(message) for message in messages] == [served.dish, served.dish]


def test_O6_both_answers_mean_the_same(both: Both) -> None:
    """O6: the gateway's is read by its own rules, Envoy's by those of proto3 JSON."""
    dish_type: Any = modules()["kitchen"].Dish
    decoder = DecoderSet().message(dish_type.DESCRIPTOR)
    for served in both.dishes:
        here, envoy = served.shown
        violations: list[Violation] = []
        assert decoder.convert(here.json(), "", violations) == served.dish
        assert violations == []
        assert json_format.ParseDict(envoy.json(), dish_type()) == served.dish


def test_every_difference_has_a_row() -> None:
    """None is claimed that nothing shows, and every row has a name of its own."""
    for title, rows in SECTIONS.items():
        assert len({row.name for row in rows}) == len(rows), title
    assert {row.why for row in ROWS if row.why} | {ERROR_BODY} == set(DIFFERENCES)


def test_the_page_is_written_from_the_rows() -> None:
    """Otherwise: `python -m tests.integration.transcoding.page`."""
    assert PAGE.read_text() == render()
