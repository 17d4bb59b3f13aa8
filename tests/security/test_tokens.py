"""Credentials of the wrong kind, or not credentials at all (rows A2-A5; OWASP API2): 401, and nothing of ours breaks.

Tokens of other issuers have their own table in `tests/integration/test_oidc_tokens.py`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey, RSAKey

from t2m.auth.v1 import token_service_pb2 as pb
from t2m.auth.v1 import token_service_pb2_grpc
from t2m.job.v1 import job_service_pb2, job_service_pb2_grpc
from tests.e2e.local_stack import LocalStack
from tests.e2e.people import Person, register

PROFILE = "/api/v1/users/profile"
Forge = Callable[[dict[str, Any], dict[str, Any], str], str]


@pytest.fixture(scope="module")
def person(stack: LocalStack) -> Person:
    """Somebody who is logged in."""
    return register(stack, "tokens@t2m.example")


@pytest.fixture(scope="module")
def internal(stack: LocalStack, person: Person) -> str:
    """What the gateway passes on in that person's name; no client ever gets to see one."""
    with grpc.insecure_channel(stack.address("auth")) as channel:
        stub = token_service_pb2_grpc.TokenServiceStub(channel)
        answer = stub.ExchangeCredential(pb.ExchangeCredentialRequest(access_token=person.access_token))
        return str(answer.internal_token)


@pytest.fixture(scope="module")
def service(stack: LocalStack) -> str:
    """A genuine service token, as if stolen."""
    secret = json.loads((stack.folder / "secrets.json").read_text())["service_job"]
    with grpc.insecure_channel(stack.address("auth")) as channel:
        stub = token_service_pb2_grpc.TokenServiceStub(channel)
        answer = stub.IssueServiceToken(pb.IssueServiceTokenRequest(service_id="job", service_secret=secret))
        return str(answer.token)


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, payload, signature = token.split(".")
    return json.loads(_unb64(header)), json.loads(_unb64(payload)), signature


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _spliced(header: dict[str, Any], payload: dict[str, Any], signature: str) -> str:
    return f"{_b64(header)}.{_b64(payload)}.{signature}"


def _signed(key: Any, algorithm: str, **header: Any) -> Forge:
    def forge(known: dict[str, Any], payload: dict[str, Any], _signature: str) -> str:
        return jwt.encode({**known, "alg": algorithm, **header}, payload, key, algorithms=[algorithm])

    return forge


OWN_KEY = OKPKey.generate_key("Ed25519", auto_kid=True)
RSA_KEY = RSAKey.generate_key(2048, auto_kid=True)

FORGERIES: dict[str, Forge] = {
    "alg none": lambda h, p, s: _spliced({**h, "alg": "none"}, p, ""),
    "alg None": lambda h, p, s: _spliced({**h, "alg": "None"}, p, ""),
    "alg NONE with the old signature": lambda h, p, s: _spliced({**h, "alg": "NONE"}, p, s),
    "no alg": lambda h, p, s: _spliced({k: v for k, v in h.items() if k != "alg"}, p, s),
    "another role": lambda h, p, s: _spliced(h, {**p, "role": "admin"}, s),
    "another user": lambda h, p, s: _spliced(h, {**p, "sub": "01a1fb85-4555-748c-b96c-e00eee985b36"}, s),
    "a later end": lambda h, p, s: _spliced(h, {**p, "exp": p["exp"] + 3600}, s),
    "no signature": lambda h, p, s: _spliced(h, p, ""),
    "zeros as signature": lambda h, p, s: _spliced(h, p, _b64(bytes(64))),
    "a truncated signature": lambda h, p, s: _spliced(h, p, s[:-4]),
    "signed with another key under the known name": _signed(OWN_KEY, "EdDSA"),
    "signed with another key under its own name": _signed(OWN_KEY, "EdDSA", kid=OWN_KEY.kid),
    "its own key in the header": _signed(OWN_KEY, "EdDSA", kid=OWN_KEY.kid, jwk=OWN_KEY.as_dict(private=False)),
    "a key of another kind": _signed(RSA_KEY, "RS256"),
    "the name of the key as a secret": lambda h, p, s: _signed(OctKey.import_key(h["kid"]), "HS256")(h, p, s),
    "a key name that is a path": lambda h, p, s: _spliced({**h, "kid": "../../../../dev/null"}, p, s),
    "a key name that is SQL": lambda h, p, s: _spliced({**h, "kid": "' OR 1=1 --"}, p, s),
    "a key name that is no text": lambda h, p, s: _spliced({**h, "kid": {"$ne": None}}, p, s),
    "an unknown critical header": lambda h, p, s: _spliced({**h, "crit": ["exp"]}, p, s),
    "two parts": lambda h, p, s: ".".join(_spliced(h, p, s).split(".")[:2]),
    "four parts": lambda h, p, s: _spliced(h, p, s) + ".x",
    "five parts, as if encrypted": lambda h, p, s: _spliced(h, p, s) + ".x.y",
    "not base64": lambda h, p, s: "a!b.c!d.e!f",
    "not JSON": lambda h, p, s: f"{_b64(b'{')}.{_b64(b'}')}.{s}",
    "a payload that is a list": lambda h, p, s: f"{_b64(h)}.{_b64([1])}.{s}",
    "empty parts": lambda h, p, s: "..",
    "eight kilobytes": lambda h, p, s: "a" * 8192,
    "more than is read": lambda h, p, s: "a" * 20000,
}


@pytest.mark.parametrize("name", list(FORGERIES))
def test_a2_a_forged_access_token_is_refused(nobody: httpx.Client, person: Person, name: str) -> None:
    forged = FORGERIES[name](*_parts(person.access_token))
    assert forged != person.access_token
    answer = nobody.get(PROFILE, headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code in (401, 431), answer.text
    if answer.status_code == 401:
        assert answer.json()["error"]["error_code"] == "UNAUTHENTICATED"
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("name", list(FORGERIES))
def test_a2_services_refuse_it_too(stack: LocalStack, person: Person, name: str) -> None:
    """Behind the gateway nobody trusts: the same forgeries straight at job's port."""
    forged = FORGERIES[name](*_parts(person.access_token))
    with grpc.insecure_channel(stack.address("job")) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListJobs(job_service_pb2.ListJobsRequest(), metadata=(("authorization", f"Bearer {forged}"),))
    assert caught.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)


def test_the_genuine_token_is_accepted(nobody: httpx.Client, stack: LocalStack, person: Person) -> None:
    """Else the two above prove nothing."""
    headers = {"Authorization": f"Bearer {person.access_token}"}
    assert nobody.get(PROFILE, headers=headers).status_code == 200
    with grpc.insecure_channel(stack.address("job")) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        stub.ListJobs(job_service_pb2.ListJobsRequest(), metadata=(("authorization", f"Bearer {person.access_token}"),))


def test_a2_one_kind_of_credential_does_not_pass_for_another(
    nobody: httpx.Client, person: Person, internal: str, service: str, stack: LocalStack
) -> None:
    """RFC 8725 §3.11: each in the place of each."""
    key = stack.api_key("kinds@t2m.example")
    wrong = {
        "internal token": {"Authorization": f"Bearer {internal}"},
        "service token": {"Authorization": f"Bearer {service}"},
        "refresh token": {"Authorization": f"Bearer {person.refresh_token}"},
        "API key as a bearer": {"Authorization": f"Bearer {key}"},
        "access token as a key": {"X-API-Key": person.access_token},
        "internal token as a key": {"X-API-Key": internal},
        "refresh token as a key": {"X-API-Key": person.refresh_token},
        "Basic": {"Authorization": "Basic " + base64.b64encode(b"tokens@t2m.example:x").decode()},
        "no scheme": {"Authorization": person.access_token},
        "scheme alone": {"Authorization": "Bearer"},
        "the id of a key": {"X-API-Key": "_".join(key.split("_")[:2])},
        "a key with another secret": {"X-API-Key": key[:-4] + ("aaaa" if not key.endswith("aaaa") else "bbbb")},
        "a key in capitals": {"X-API-Key": key.upper()},
        "a good key beside a bad token": {"X-API-Key": key, "Authorization": "Bearer nonsense"},
    }
    found = {name: nobody.get(PROFILE, headers=headers).status_code for name, headers in wrong.items()}
    assert found == dict.fromkeys(wrong, 401)
    assert nobody.get(PROFILE, headers={"X-API-Key": key}).status_code == 200


def test_a2_a_credential_in_the_url_is_none(nobody: httpx.Client, person: Person) -> None:
    """URLs end up in logs and histories (RFC 9700 §4.3.2): a token there is not read."""
    for name in ("access_token", "token", "api_key", "authorization"):
        assert nobody.get(PROFILE, params={name: person.access_token}).status_code == 401


def test_a2_only_access_tokens_can_be_exchanged(stack: LocalStack, internal: str, service: str) -> None:
    """Else an internal token could renew itself for ever."""
    with grpc.insecure_channel(stack.address("auth")) as channel:
        stub = token_service_pb2_grpc.TokenServiceStub(channel)
        for token in (internal, service):
            for field in ("access_token", "api_key"):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.ExchangeCredential(pb.ExchangeCredentialRequest(**{field: token}))
                refused = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT)
                assert caught.value.code() in refused
