"""The first checks of a call: its request id, its credential, its permission."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address

from services.runtime.authorization import MethodRule
from services.runtime.identity import Principal
from services.runtime.ids import new_id
from services.runtime.tokens import CredentialError, TokenVerifier

REQUEST_ID_KEY = "x-request-id"
AUTHORIZATION_KEY = "authorization"
CLIENT_ADDRESS_KEY = "x-client-address"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{8,128}")


def request_id_of(metadata: Mapping[str, str | bytes]) -> tuple[str, bool]:
    """The caller's request id if it is a sane one, else a new one; and whether it is new."""
    sent = metadata.get(REQUEST_ID_KEY)
    if isinstance(sent, str) and _SANE_REQUEST_ID.fullmatch(sent):
        return sent, False
    return new_id(), True


def client_address_of(metadata: Mapping[str, str | bytes]) -> str:
    """The client's IP address as the gateway says it, in its canonical form; empty when it is none."""
    sent = metadata.get(CLIENT_ADDRESS_KEY)
    return _canonical_address(sent) if isinstance(sent, str) else ""


@lru_cache(maxsize=4096)
def _canonical_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def bearer_token(metadata: Mapping[str, str | bytes]) -> str | None:
    """The token in `authorization: Bearer …`, None when there is no credential.

    Raises CredentialError for another scheme.
    """
    value = metadata.get(AUTHORIZATION_KEY)
    if not value:
        return None
    if not isinstance(value, str):
        raise CredentialError("the authorization metadata is not text")
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise CredentialError("the authorization metadata must be `Bearer` and a token")
    return token.strip()


async def identify(rule: MethodRule, metadata: Mapping[str, str | bytes], verifier: TokenVerifier) -> Principal | None:
    """The caller; None without a credential, and when the method is public.

    Raises ServiceError: UNAUTHENTICATED, or UNAVAILABLE when no key is known yet.
    """
    if rule.public:
        return None
    token = bearer_token(metadata)
    return await verifier.authenticate(token) if token is not None else None
