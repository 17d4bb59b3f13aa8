"""Small parts: permissions, request ids, identifiers, redaction, retries, settings."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.runtime.authorization import ContractError, MethodRule, authorize, load_method_rules
from services.runtime.client import retry_config
from services.runtime.db import asyncpg_dsn, driver_url
from services.runtime.errors import ServiceError
from services.runtime.identity import (
    CallContext,
    Principal,
    Role,
    bind_call,
    current_drain,
    current_principal,
    current_request_id,
)
from services.runtime.ids import new_id
from services.runtime.interceptors.admission import request_id_of
from services.runtime.settings import ServiceSettings
from services.runtime.telemetry import redact
from t2m.auth.v1 import token_service_pb2  # noqa: F401 - puts the service into the descriptor pool

EVERYBODY = frozenset(Role)


def principal(role: Role, scopes: frozenset[str] | None = None) -> Principal:
    return Principal("ada", role, scopes, "token", datetime.now(UTC) + timedelta(minutes=1))


def rule(*, public: bool = False, roles: frozenset[Role] = EVERYBODY, scope: str = "") -> MethodRule:
    return MethodRule("/x/Y", public, roles, scope)


@pytest.mark.parametrize(
    ("method_rule", "caller", "allowed"),
    [
        (rule(public=True), None, True),
        (rule(), None, False),
        (rule(), principal(Role.READONLY), True),
        (rule(roles=frozenset({Role.ADMIN})), principal(Role.USER), False),
        (rule(roles=frozenset({Role.ADMIN})), principal(Role.ADMIN), True),
        (rule(scope="a:b"), principal(Role.USER), True),
        (rule(scope="a:b"), principal(Role.USER, frozenset({"a:b"})), True),
        (rule(scope="a:b"), principal(Role.USER, frozenset({"a:c"})), False),
        (rule(scope="a:b"), principal(Role.ADMIN, frozenset()), False),
        (rule(), principal(Role.USER, frozenset()), True),
    ],
)
def test_authorize(method_rule: MethodRule, caller: Principal | None, allowed: bool) -> None:
    if allowed:
        authorize(method_rule, caller)
    else:
        with pytest.raises(ServiceError):
            authorize(method_rule, caller)


def test_rules_come_from_the_protos() -> None:
    rules = load_method_rules(["t2m.auth.v1.TokenService", "grpc.health.v1.Health"])
    assert rules["/t2m.auth.v1.TokenService/GetJwks"].public
    assert all(path.startswith("/t2m.auth.v1.TokenService/") for path in rules)
    with pytest.raises(ContractError):
        load_method_rules(["t2m.auth.v1.NoService"])


def test_outside_of_a_call() -> None:
    assert current_request_id() == ""
    for read in (current_principal, current_drain):
        with pytest.raises(LookupError):
            read()


def test_inside_of_a_call() -> None:
    token = bind_call(CallContext("/x/Y", "request-1", principal(Role.USER)))
    try:
        assert (current_request_id(), current_principal().subject) == ("request-1", "ada")
        assert not current_drain().is_set()
    finally:
        token.var.reset(token)


@pytest.mark.parametrize("sent", ["12345678", "01a1fb7a-eac6-7c52-8ea6-d327499dcae5", "a:b_c.d-e"])
def test_sane_request_ids_are_kept(sent: str) -> None:
    assert request_id_of({"x-request-id": sent}) == (sent, False)


@pytest.mark.parametrize("sent", [None, "", "short", "x" * 129, "a b c d e f", "line\nbreak", b"12345678"])
def test_other_request_ids_are_replaced(sent: Any) -> None:
    made, minted = request_id_of({"x-request-id": sent})
    assert minted
    assert uuid.UUID(made).version == 7


def test_ids_are_version_7_and_sort_by_time() -> None:
    ids = [uuid.UUID(new_id()) for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(made.version, made.variant) for made in ids} == {(7, uuid.RFC_4122)}
    milliseconds = [made.int >> 80 for made in ids]
    assert milliseconds == sorted(milliseconds)
    assert abs(milliseconds[0] / 1000 - datetime.now(UTC).timestamp()) < 60


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        ({"password": "hunter2"}, {"password": "[redacted]"}),
        ({"X-Api-Key": "k", "refresh_token": "t"}, {"X-Api-Key": "[redacted]", "refresh_token": "[redacted]"}),
        ({"headers": {"Cookie": "a=b", "Accept": "*/*"}}, {"headers": {"Cookie": "[redacted]", "Accept": "*/*"}}),
        ({"event": "got Bearer abcdefgh.ijk-l"}, {"event": "got Bearer [redacted]"}),
        ({"event": "key t2m_live_0123456789abcdef"}, {"event": "key [redacted]"}),
        ({"url": "postgresql://t2m:hunter2@db/x"}, {"url": "postgresql://t2m:[redacted]@db/x"}),
        ({"list": ["bearer abcdefgh"]}, {"list": ["bearer [redacted]"]}),
        ({"token": None, "n": 1, "event": "ada@example.com"}, {"token": None, "n": 1, "event": "ada@example.com"}),
    ],
)
def test_secrets_are_struck_out(event: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert redact(None, "info", event) == wanted


def test_only_idempotent_methods_are_retried() -> None:
    [config] = retry_config(["t2m.auth.v1.TokenService"])["methodConfig"]
    assert {"service": "t2m.auth.v1.TokenService", "method": "GetJwks"} in config["name"]
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert retry_config([]) == {}


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2M_SERVICE_SECRET", "s3cret")
    monkeypatch.setenv("T2M_DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("T2M_ENVIRONMENT", "prod")
    settings = ServiceSettings()
    assert settings.environment == "prod"
    assert settings.service_secret.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
    assert "hunter2" not in repr(settings)
    assert not settings.tls


def test_half_a_tls_configuration_is_refused() -> None:
    with pytest.raises(ValidationError, match="together"):
        ServiceSettings(tls_cert=Path("cert.pem"))


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
def test_database_urls(scheme: str) -> None:
    assert driver_url(f"{scheme}://u:p%40w@h:1/d") == "postgresql+asyncpg://u:p%40w@h:1/d"
    assert asyncpg_dsn(f"{scheme}://u:p%40w@h:1/d") == "postgresql://u:p%40w@h:1/d"
