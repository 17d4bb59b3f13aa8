"""The Python client says what the protos say (O8): routes, names of fields, what may be missing, words of enums."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

import gateway.client
from gateway.catalog import load_catalog, stub_modules
from gateway.client import AsyncT2MClient, T2MClient
from gateway.client.api import account, files, jobs, videos, webhooks
from gateway.client.core.calls import Session
from gateway.client.core.credentials import Fixed
from gateway.client.core.effects import Do, Open, Request, Send
from gateway.client.core.retries import Policy
from gateway.client.models import account as account_models
from gateway.client.models import batches, orders, storyboards, system
from gateway.client.models import files as file_models
from gateway.client.models import jobs as job_models
from gateway.client.models import videos as video_models
from gateway.client.models import webhooks as webhook_models

ANSWERS = (job_models, video_models, batches, webhook_models, account_models, file_models, storyboards)
OUR_OWN = {"PartHealth", "SystemHealth", "Readiness"}
"""Of answers that the gateway makes without an rpc."""
REQUESTS = {
    orders.GenerateOptions: ("CreateJobRequest", {"topic", "context", "request_id"}),
    orders.VideoOrder: ("CreateJobRequest", {"request_id"}),
    orders.RenderOptions: ("RenderStoryboardRequest", {"storyboard", "request_id"}),
    orders.RemixOptions: ("RemixJobRequest", {"job_id", "edits", "request_id"}),
    orders.PlanOptions: ("PlanStoryboardRequest", {"topic", "context"}),
    orders.JobFilter: ("ListJobsRequest", {"page_token"}),
    orders.LogFilter: ("ListJobLogsRequest", {"job_id", "page_token"}),
}
"""What a caller may say → the message it fills, and the fields that are arguments of their own."""
OUTSIDE = {"httpx", "httpx_sse"}
OUTSIDE_OF_COMMANDS = {*OUTSIDE, "click", "rich", "yaml"}


def messages() -> dict[str, Descriptor]:
    """All messages of the contract that a client sees, by name."""
    found: dict[str, Descriptor] = {}
    # Renders plan storyboards by messages of the same names, which only services see.
    for module in sorted(stub_modules(), key=lambda module: "video_render" not in module.__name__):
        found |= module.DESCRIPTOR.message_types_by_name
    return found


def typed_dicts(*modules: ModuleType) -> list[Any]:
    """The TypedDicts that modules define."""
    return [
        value
        for module in modules
        for value in vars(module).values()
        if typing.is_typeddict(value) and value.__module__ == module.__name__ and value.__name__ not in OUR_OWN
    ]


def words_of(field: FieldDescriptor) -> set[str]:
    """An enum's values as JSON has them."""
    enum = field.enum_type
    assert enum is not None
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.name.removeprefix(prefix).lower() for value in enum.values}


def assert_words_are_known(kind: Any, message: Descriptor) -> None:
    """Each Literal of a TypedDict has all words of its enum; that nothing is said may be missing."""
    for name, hint in typing.get_type_hints(kind).items():
        inner = get_args(hint)[0] if get_origin(hint) is list else hint
        field = message.fields_by_name[name]
        if get_origin(inner) is Literal and field.enum_type is not None:
            assert set(get_args(inner)) | {"unspecified"} == words_of(field) | {"unspecified"}, name


@pytest.mark.parametrize("kind", typed_dicts(*ANSWERS, system), ids=lambda kind: kind.__name__)
def test_O8_an_answers_type_has_the_fields_of_its_message(kind: Any) -> None:
    """O8: the same names; what is always there in JSON is required."""
    message = messages()[kind.__name__]
    assert set(kind.__annotations__) == {field.name for field in message.fields}
    if kind.__total__:
        always = {field.name for field in message.fields if field.is_repeated or not field.has_presence}
        assert always <= kind.__required_keys__
    assert_words_are_known(kind, message)


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_O8_options_are_the_fields_of_their_request(kind: Any) -> None:
    """O8: a new field of an order is a new option here."""
    name, arguments = REQUESTS[kind]
    message = messages()[name]
    assert set(kind.__annotations__) == {field.name for field in message.fields} - arguments
    assert_words_are_known(kind, message)


def operations() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Everything in gateway.client.api that becomes a method, but what reads files."""
    for module in (account, files, jobs, videos, webhooks):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_") and name not in {"query", "upload"}:
                yield name, function


def first_request(function: Callable[..., Any]) -> Request:
    """What an operation asks the gateway first, with ones for arguments."""
    stand_ins: dict[str, Any] = {"target": Path("/nowhere/x"), "after": None, "wanted": {}, "requests": []}
    given = {
        name: stand_ins.get(name, "1")
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    program = function(**given).program(Session(Fixed({}), Policy()))
    effect = next(program)
    while isinstance(effect, Do):
        effect = program.send(None)
    assert isinstance(effect, Send | Open)
    program.close()
    return effect.request


@pytest.mark.parametrize(
    ("name", "function"), list(operations()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_O8_an_operation_has_a_route(name: str, function: Callable[..., Any]) -> None:
    """O8: method and path are those of an rpc, and each query parameter is a field of its request."""
    request = first_request(function)
    for rpc in load_catalog(stub_modules()):
        for binding in rpc.bindings:
            pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(binding.template))
            if binding.verb == request.method and re.fullmatch(pattern, request.url):
                assert set(request.params) <= {field.name for field in rpc.input.fields}
                return
    pytest.fail(f"{name}: no rpc answers {request.method} {request.url}")


def test_O8_both_clients_do_the_same() -> None:
    """O8: the same methods over the same operations, and none that only one has."""

    def surface(client: type) -> dict[str, Any]:
        return {name: getattr(value, "_operation", None) for name, value in vars(client).items() if name[0] != "_"}

    assert surface(T2MClient) == surface(AsyncT2MClient)
    methods = {operation for operation in surface(T2MClient).values() if operation is not None}
    left_out = {function.__name__ for _, function in operations() if function not in methods}
    assert left_out == {"open_session", "close_session"}, "they are login and logout"


def test_O8_the_client_could_be_a_distribution_of_its_own() -> None:
    """O8: it imports the standard library, httpx and itself; only the command needs more. It is typed (PEP 561)."""
    root = Path(gateway.client.__file__).parent
    assert (root / "py.typed").exists()
    for path in root.rglob("*.py"):
        allowed = OUTSIDE_OF_COMMANDS if "commands" in path.parts else OUTSIDE
        for name in imported(path):
            top = name.partition(".")[0]
            ours = name.startswith("gateway.client") and ("commands" in path.parts or path.name == "__main__.py")
            core = name.startswith("gateway.client") and not name.startswith("gateway.client.commands")
            assert ours or core or top in allowed or top in sys.stdlib_module_names, f"{path}: {name}"


def imported(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module or ""
