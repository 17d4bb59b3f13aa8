"""Session cookies: how they are written, read, and when a request may use them (A2)."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import MethodOptions

from gateway.auth import credential_of
from gateway.catalog import load_catalog, stub_modules
from gateway.cookies import SAFE_METHODS, SessionCookies
from gateway.errors import ApiError
from gateway.http import Request
from gateway.settings import Settings
from t2m.auth.v1 import session_service_pb2

NOW = 1_000_000.0
TOKENS = session_service_pb2.SessionTokens(access_token="aaa.bbb.ccc", refresh_token="rrr")
TOKENS.expires_at.seconds = int(NOW) + 900
TOKENS.refresh_expires_at.seconds = int(NOW) + 604800
COOKIES = SessionCookies(secure=True, refresh_path="/api/v1/users", origins=["https://app.example"], clock=lambda: NOW)
_, CSRF = COOKIES.set(TOKENS)
SESSION = "__Host-t2m-access=aaa.bbb.ccc"
OWN = {"origin": "https://t2m.example", "host": "t2m.example"}


def request(method: str = "POST", *cookies: str, **headers: str) -> Request:
    """A request; `_` in names stands for `-`."""
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    sent += [(b"cookie", cookie.encode()) for cookie in cookies]
    unused: Any = None
    return Request({"type": "http", "method": method, "headers": sent, "state": {}}, unused, unused)


def refused(sent: Request) -> tuple[int, str]:
    """How the credential of a request is refused; it must be."""
    with pytest.raises(ApiError) as refusal:
        credential_of(sent, COOKIES)
    return refusal.value.status, refusal.value.reason


def test_A2_the_cookies_are_out_of_reach_of_scripts_and_other_sites() -> None:
    """A2: prefixes, HttpOnly, Secure, SameSite, and a path for the refresh token; the CSRF token alone is readable."""
    fields = [value.decode() for name, value in COOKIES.set(TOKENS)[0] if name == b"set-cookie"]
    assert fields == [
        "__Host-t2m-access=aaa.bbb.ccc; Max-Age=900; Path=/; Secure; SameSite=Strict; HttpOnly",
        "__Secure-t2m-refresh=rrr; Max-Age=604800; Path=/api/v1/users; Secure; SameSite=Strict; HttpOnly",
        f"__Host-t2m-csrf={CSRF}; Max-Age=604800; Path=/; Secure; SameSite=Strict",
    ]
    assert [value.split(b";")[1] for _, value in COOKIES.clear()] == [b" Max-Age=0"] * 3


def test_A2_without_tls_the_names_promise_nothing() -> None:
    """A2: for one's own machine."""
    plain = SessionCookies(secure=False, refresh_path="/", clock=lambda: NOW)
    assert plain.set(TOKENS)[0][0][1] == b"t2m-access=aaa.bbb.ccc; Max-Age=900; Path=/; SameSite=Strict; HttpOnly"
    assert plain.access_token(request("GET", SESSION)) is None


def test_A2_a_read_needs_the_cookie_alone() -> None:
    """A2: also among others, whatever the order."""
    sent = request("GET", f"theme=dark; {SESSION}", "other=1")
    assert credential_of(sent, COOKIES).secret == "aaa.bbb.ccc"
    assert refused(request("GET", "theme=dark")) == (401, "CREDENTIAL_MISSING")
    with pytest.raises(ApiError):
        credential_of(request("GET", SESSION))


def test_A2_a_change_needs_the_proof() -> None:
    """A2: the bound token and an origin."""
    assert credential_of(request("POST", SESSION, x_csrf_token=CSRF, **OWN), COOKIES).secret == "aaa.bbb.ccc"


@pytest.mark.parametrize(
    "headers",
    [
        OWN,
        {**OWN, "x_csrf_token": ""},
        {**OWN, "x_csrf_token": "."},
        {**OWN, "x_csrf_token": CSRF.split(".")[1]},
        {**OWN, "x_csrf_token": SessionCookies(secure=True, refresh_path="/").set(
            session_service_pb2.SessionTokens(access_token="of.another.session", refresh_token="x"))[1]},
        {"x_csrf_token": CSRF},
        {"x_csrf_token": CSRF, "host": "t2m.example", "origin": "https://evil.example"},
        {"x_csrf_token": CSRF, "host": "t2m.example", "origin": "https://t2m.example.evil.example"},
        {"x_csrf_token": CSRF, "host": "t2m.example", "origin": "null"},
        {"x_csrf_token": CSRF, "host": "", "origin": "null"},
        {"x_csrf_token": CSRF, "host": "t2m.example", "sec_fetch_site": "same-site"},
        {"x_csrf_token": CSRF, "host": "t2m.example", "sec_fetch_site": "cross-site"},
        {"x_csrf_token": CSRF, "host": "t2m.example", "sec_fetch_site": "none"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_A2_a_forged_change_is_refused(method: str, headers: dict[str, str]) -> None:
    """A2: no token, a wrong one, another session's; no origin, a foreign one, one that only looks right."""
    assert refused(request(method, SESSION, **headers)) == (403, "CSRF_REFUSED")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "t2m.example", "origin": "https://app.example"},
        {"host": "t2m.example", "origin": "https://T2M.example"},
        {"host": "t2m.example", "sec_fetch_site": "same-origin"},
    ],
)
def test_A2_pages_of_configured_origins_may(headers: dict[str, str]) -> None:
    """A2."""
    assert COOKIES.access_token(request("POST", SESSION, x_csrf_token=CSRF, **headers)) == b"aaa.bbb.ccc"
    assert COOKIES.wanted(request("POST", x_session_transport="Cookie", **headers))


def test_A2_cookies_at_login_are_for_own_pages_only() -> None:
    """A2: nobody is logged in to another's account from elsewhere; who does not ask gets none."""
    with pytest.raises(ApiError, match="this origin only"):
        COOKIES.wanted(request("POST", x_session_transport="cookie", host="t2m.example", origin="https://evil.example"))
    assert not COOKIES.wanted(request("POST", **OWN))
    assert not COOKIES.wanted(request("POST", x_session_transport="body", **OWN))


def test_A2_a_credential_in_the_header_wins() -> None:
    """A2: and alone counts, also when it is of no use: no request has two identities."""
    assert credential_of(request("POST", SESSION, authorization="Bearer t"), COOKIES).secret == "t"
    assert credential_of(request("POST", SESSION, x_api_key="k"), COOKIES).kind == "api_key"
    assert refused(request("GET", SESSION, authorization="Basic x")) == (401, "CREDENTIAL_INVALID")
    assert refused(request("GET", SESSION, x_api_key="")) == (401, "CREDENTIAL_INVALID")


def test_A2_a_second_cookie_of_the_name_is_refused() -> None:
    """A2: one was planted; nobody can tell which."""
    assert refused(request("GET", SESSION, "__Host-t2m-access=x")) == (401, "CREDENTIAL_INVALID")
    assert refused(request("GET", f"{SESSION}; __Host-t2m-access=x")) == (401, "CREDENTIAL_INVALID")
    assert COOKIES.access_token(request("GET", f"{SESSION}; {SESSION}")) == b"aaa.bbb.ccc"


def test_A2_the_refresh_token_has_a_proof_of_its_own() -> None:
    """A2: the second half of the CSRF token."""
    sent = request("POST", "__Secure-t2m-refresh=rrr", x_csrf_token=CSRF, **OWN)
    assert COOKIES.refresh_token(sent) == "rrr"
    half = CSRF.split(".")[0]
    with pytest.raises(ApiError, match="X-CSRF-Token"):
        COOKIES.refresh_token(request("POST", "__Secure-t2m-refresh=rrr", x_csrf_token=f"{half}.{half}", **OWN))
    assert COOKIES.refresh_token(request("POST", **OWN)) is None


def test_A2_a_token_that_would_break_out_of_its_cookie_is_not_sent() -> None:
    """A2: no header field is ever made of something else than a token."""
    with pytest.raises(ValueError, match="no cookie can hold"):
        COOKIES.set(session_service_pb2.SessionTokens(access_token="a; Domain=evil", refresh_token="r\r\nx: y"))


def test_A2_unsafe_settings_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A2, O7: every origin with credentials; cookies without TLS in production."""
    monkeypatch.setenv("T2M_CORS_ORIGINS", "https://a.example,*")
    with pytest.raises(ValueError, match="T2M_CORS_ORIGINS"):
        Settings()
    monkeypatch.setenv("T2M_SESSION_COOKIES", "off")
    assert Settings().cors_origins == ("https://a.example", "*")
    monkeypatch.setenv("T2M_SESSION_COOKIES", "insecure")
    monkeypatch.delenv("T2M_CORS_ORIGINS")
    assert Settings().session_cookies == "insecure"
    monkeypatch.setenv("T2M_ENVIRONMENT", "prod")
    with pytest.raises(ValueError, match="one's own machine"):
        Settings()


@pytest.mark.parametrize(
    ("origin", "fine"),
    [
        ("https://app.example", True),
        ("http://127.0.0.1:3000", True),
        ("http://[::1]:3000", True),
        ("https://app.example/", False),
        ("https://app.example:443", False),
        ("http://app.example:80", False),
        ("https://App.example", False),
        ("https://*.example", False),
        ("app.example", False),
        ("null", False),
    ],
)
def test_O7_an_origin_that_would_never_match_stops_the_start(origin: str, fine: bool) -> None:
    """O7: rather than be missed by the first page that calls."""
    if fine:
        assert Settings(cors_origins=(origin,)).cors_origins == (origin,)
    else:
        with pytest.raises(ValueError, match="is no origin"):
            Settings(cors_origins=(origin,))


def test_A2_no_read_changes_anything() -> None:
    """A2: reads need no proof with cookies; so each of them is declared to be without side effects.

    But for the export, whose only effect is its entry in the audit trail: a page that has it made cannot read it.
    """
    changing = [
        rpc.path
        for rpc in load_catalog(stub_modules())
        if any(binding.verb in SAFE_METHODS for binding in rpc.bindings)
        and rpc.descriptor.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS
    ]
    assert changing == ["/t2m.job.v1.ExportService/ExportUserData"]
