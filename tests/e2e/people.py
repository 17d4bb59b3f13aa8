"""Accounts made as a person makes one: over REST, with the mail that the embedded stack leaves in its outbox."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from tests.e2e.local_stack import LocalStack

SUBJECT = "Confirm your e-mail address"
PASSWORD = "seventeen purple swallows over Lapland"


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    email: str
    user_id: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


def register(stack: LocalStack, address: str, password: str = PASSWORD) -> Person:
    """Register, verify the address by the mail that comes, and log in."""
    with stack.client() as client:
        answer = client.post("/api/v1/users/register", json={"email": address, "password": password})
        assert answer.status_code == 202, answer.text
        code = stack.mailed_code(address, SUBJECT)
        verified = client.post("/api/v1/users/verify-email", json={"token": code})
        assert verified.is_success, verified.text
        return login(client, address, password)


def login(client: httpx.Client, address: str, password: str = PASSWORD) -> Person:
    """A session of the account."""
    answer = client.post("/api/v1/users/login", json={"email": address, "password": password})
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    profile = client.get("/api/v1/users/profile", headers=headers).json()
    return Person(address, profile["user_id"], tokens["access_token"], tokens["refresh_token"])
