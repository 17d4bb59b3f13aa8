"""The OpenAPI document (O8)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import gateway
from gateway.catalog import load_catalog, stub_modules
from gateway.openapi.comments import load_comments
from gateway.openapi.document import build_document
from gateway.openapi.failures import REASONS
from gateway.openapi.pages import content_policy


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document of our own contract."""
    return build_document(load_catalog(stub_modules()), load_comments())


def test_O8_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    """O8: by the specification's own schema."""
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()


def test_O8_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]) -> None:
    """O8."""
    references = set(re.findall(r'"#/components/([^"]+)"', json.dumps(document)))
    for reference in references:
        kind, name = reference.split("/")
        assert name in document["components"][kind]
    assert {f"schemas/{name}" for name in document["components"]["schemas"]} <= references


def test_O8_rules_and_comments_become_schema(document: dict[str, Any]) -> None:
    """O8, V1: bounds, enums, examples and descriptions of an order."""
    schema = document["components"]["schemas"]["CreateJobRequest"]
    assert schema["required"] == ["topic", "context"]
    assert schema["additionalProperties"] is False
    assert "request_id" not in schema["properties"], "it comes from Idempotency-Key"
    topic = schema["properties"]["topic"]
    assert (topic["minLength"], topic["maxLength"]) == (1, 500)
    assert [bool(re.search(topic["pattern"], text)) for text in ("x", " x ", "\u00a0", " ")] == [
        True,
        True,
        False,
        False,
    ]
    assert (topic["description"], topic["examples"]) == ("What the video is about.", ["Pythagorean theorem"])
    levels = schema["properties"]["quality_levels"]
    assert (levels["maxItems"], levels["uniqueItems"], levels["items"]["enum"]) == (5, True, ["480p", "720p", "1080p"])
    retries = schema["properties"]["max_retries"]
    assert (retries["minimum"], retries["maximum"]) == (0, 10)
    status = document["components"]["schemas"]["JobStatus"]
    assert "queued" in status["enum"]
    assert "`queued`: Waiting for its turn" in status["description"]


def test_O8_operations_say_how_they_are_called_and_how_they_fail(document: dict[str, Any]) -> None:
    """O8: security, parameters, success status, streams, files, errors from the comments."""
    create = document["paths"]["/api/v1/videos/generate"]["post"]
    assert create["security"] == [{"bearer": []}, {"apiKey": []}, {"cookie": [], "csrf": []}]
    assert set(create["responses"]) >= {"201", "400", "401", "403", "409", "413", "415", "422", "429", "503"}
    assert [p["name"] for p in create["parameters"] if "in" in p] == ["Idempotency-Key"]
    assert [p["$ref"].rpartition("/")[2] for p in create["parameters"] if "$ref" in p] == ["GrpcTimeout", "RequestId"]
    events = document["paths"]["/api/v1/jobs/{job_id}/events"]["get"]
    assert set(events["responses"]["200"]["content"]) == {"text/event-stream", "application/x-ndjson"}
    assert {"410", "404"} <= set(events["responses"])
    assert {("job_id", "path"), ("after_seq", "query"), ("Last-Event-ID", "header")} == {
        (p["name"], p["in"]) for p in events["parameters"] if "in" in p
    }
    assert "204" in events["responses"], "there is nothing left to say"
    download = document["paths"]["/api/v1/videos/jobs/{job_id}/download"]["get"]
    assert {"200", "206", "304", "307", "416"} <= set(download["responses"])
    login = document["paths"]["/api/v1/users/login"]["post"]
    assert login["security"] == []
    assert "X-Session-Transport" in {parameter.get("name") for parameter in login["parameters"]}
    assert document["paths"]["/api/v1/users/refresh"]["post"]["requestBody"]["required"] is False


def test_A7_O8_limits_are_documented(document: dict[str, Any]) -> None:
    """A7, O8: the class of each operation, the fields of its answers, and 429 with Retry-After."""
    create = document["paths"]["/api/v1/videos/generate"]["post"]
    assert create["x-rate-limit-class"] == "generate"
    assert "RateLimit-Policy" in create["responses"]["201"]["headers"]
    refused = document["components"]["responses"]["Error429"]
    assert {"Retry-After", "RateLimit", "RateLimit-Remaining"} <= refused["headers"].keys()
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "429" in operation["responses"] or operation["tags"] == ["System"]


def test_A8_O8_a_download_is_shown_as_a_file_with_a_name(document: dict[str, Any]) -> None:
    """A8: no JSON, no event stream, but bytes; and how it fails."""
    operation = document["paths"]["/api/v1/users/me/export"]["get"]
    success = operation["responses"]["200"]
    assert set(success["content"]) == {"application/zip"}
    assert "Content-Disposition" in success["headers"]
    assert {"401", "403", "429", "503"} <= set(operation["responses"])
    assert document["paths"]["/api/v1/users/me"]["delete"]["responses"]["202"]


def test_O8_every_operation_is_described_and_named_once(document: dict[str, Any]) -> None:
    """O8: a rpc without a comment would show here."""
    operations = [operation for verbs in document["paths"].values() for operation in verbs.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for operation in operations)


def test_O8_names_of_operations_are_names_of_methods(document: dict[str, Any]) -> None:
    """O8: the rpc's own, with its service in front only where two services have one of that name."""
    names = {operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()}
    assert {"createJob", "listJobs", "login", "downloadVideo", "getHealth"} <= names
    assert {"auditListAuditEntries", "jobAdminListAuditEntries"} <= names
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]+", name) for name in names)
    published = Path(__file__).with_name("operation_ids.txt").read_text().split()
    assert set(published) <= names, "generated clients call these; new ones are added to the file"


def test_O6_O8_errors_have_the_reasons_of_their_comments(document: dict[str, Any]) -> None:
    """O6, O8: per operation and status, with an example of each; `as OtherMethod` is followed."""

    def reasons(path: str, verb: str, status: str) -> set[str]:
        response = document["paths"][path][verb]["responses"][status]
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        return set(response["content"]["application/json"]["examples"])

    generate = "/api/v1/videos/generate"
    assert reasons(generate, "post", "409") == {"IDEMPOTENCY_CONFLICT"}
    assert reasons(generate, "post", "422") == {"VALIDATION_FAILED", "UNSUPPORTED"}
    assert reasons(generate, "post", "429") == {"RATE_LIMITED", "QUOTA_EXHAUSTED"}
    assert "24 hours" in document["paths"][generate]["post"]["responses"]["409"]["description"]
    remix = "/api/v1/videos/jobs/{job_id}:remix"
    assert reasons(remix, "post", "409") == {"IDEMPOTENCY_CONFLICT", "STATE_CONFLICT"}
    assert reasons("/api/v1/files", "post", "413") == {"REQUEST_TOO_LARGE"}
    assert "401" not in document["paths"]["/api/v1/users/register"]["post"]["responses"], "it is open to everybody"
    assert "default" not in document["paths"][generate]["post"]["responses"], "every status is named"


def test_O6_O8_every_reason_of_the_gateway_is_one_of_the_contract() -> None:
    """O6, O8: what `gateway/` refuses by itself is in the enum that clients branch on."""
    source = "".join(path.read_text() for path in Path(gateway.__file__).parent.glob("*.py"))
    refusals = re.findall(r"ApiError\(\d{3}, ([^\n]+)", source)
    used = {words[1] for refusal in refusals if len(words := re.findall(r'"([A-Z_]{6,})"', refusal)) > 1}
    assert {"PRECONDITION_FAILED", "CSRF_REFUSED", "INTERNAL"} <= used
    assert used <= set(REASONS)


def test_J7_O8_web_sockets_are_described(document: dict[str, Any]) -> None:
    """J7, O8: by their path, beside the operation that has the same events."""
    socket = document["x-websockets"]["/ws/jobs/{job_id}"]
    assert socket["http"] == {"method": "GET", "path": "/api/v1/jobs/{job_id}/events"}
    assert "after_seq" in socket["send"]["first"]


def test_O8_kinds_of_fields(kitchen: Any) -> None:
    """O8: maps, recursion, well-known types, additional bindings."""
    document = build_document(load_catalog([kitchen]), {})
    assert set(document["paths"]) >= {"/v1/{text}/dishes/{nested.name}:cook", "/v1/dishes/{u32}", "/v1/files/{text}"}
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()
    dish = document["components"]["schemas"]["Dish"]["properties"]
    assert dish["at"] == {"type": "string", "format": "date-time"}
    assert dish["labels"]["additionalProperties"] == {"type": "string"}
    assert dish["other-name"] == {"type": "string"}
    assert dish["many"]["items"] == {"$ref": "#/components/schemas/Part"}
    assert document["components"]["schemas"]["Part"]["properties"]["parts"]["items"] == {
        "$ref": "#/components/schemas/Part"
    }
    assert "Dish_CreateDish_2" not in document["paths"]


def test_O8_every_form_of_a_rule_has_a_document(contracts: dict[str, Any]) -> None:
    """O8: also of contracts that use what ours do not: custom kinds, bodies that are lists or bytes, Any."""
    document = build_document(load_catalog([contracts["transcoding"]]), {})
    OpenAPIV31SpecValidator(json.loads(json.dumps(document))).validate()
    assert set(document["paths"]["/v1/dishes/{text}"]) == {"get", "put", "delete"}
    assert "/v1/whatever/{text}" not in document["paths"], "any method is none that a path item knows"
    assert (
        document["components"]["schemas"]["Parcel"]["properties"]["content"]["properties"]["@type"]["type"] == "string"
    )


def test_O7_the_page_may_run_only_its_own_script() -> None:
    """O7: a policy by hash."""
    policy = content_policy(b"<style>a</style><script>b</script>").decode()
    assert "script-src 'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='" in policy
    assert "unsafe-inline" not in policy
