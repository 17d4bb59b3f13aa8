"""The scopes there are come from the contract of all services (A4)."""

from __future__ import annotations

from services.runtime.scopes import known_scopes


def test_scopes_of_every_service_are_known_and_those_for_services_are_not() -> None:
    known = known_scopes()
    assert {"jobs:read", "jobs:write", "videos:read", "files:write", "api_keys:read", "users:write"} <= known
    assert known.isdisjoint({"", "revocations:read", "renders:write", "objects:write"})
