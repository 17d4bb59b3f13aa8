"""Credentials: how fast tokens are verified, exchanged and made, and how soon their ending is felt everywhere (A1-A4).

    python -m tests.bench.auth [--rounds 5] [--logouts 25]

Auth runs as a process of its own, on real Postgres; whoever asks runs in this one. Prints medians of the rounds and
their range.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from argon2 import PasswordHasher
from joserfc import jwt
from joserfc.jwk import OKPKey

from services.auth.settings import AuthSettings
from services.runtime import telemetry
from services.runtime.identity import Role
from services.runtime.revocations import RevocationList
from services.runtime.tokens import StaticKeys, TokenSigner, TokenVerifier
from tests import stack
from tests.fakes.oidc_issuer import APP, JWKS, OidcIssuer, serving
from tests.integration.credentials_harness import Replica, auth_database, auth_settings, new_admin, trusting

AT_ONCE = 32
"""Exchanges in flight."""
_VERIFIED = 2000
_REVOKED = 10_000
"""Entries in the list that every verification asks."""
_EXCHANGES = 600
_LOGINS = 24


@dataclass(frozen=True)
class Line:
    """What was measured, in each round."""

    name: str
    unit: str
    rounds: list[float]

    def __str__(self) -> str:
        """A row of the table."""
        low, high = min(self.rounds), max(self.rounds)
        return f"| {self.name} | {statistics.median(self.rounds):,.0f} {self.unit} | {low:,.0f}-{high:,.0f} |"


def rate(count: int, work: Callable[[], None]) -> float:
    """How many a second, when the work does `count`."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def verification(rounds: int) -> Iterable[Line]:
    """Tokens a second on one core, beside the library's decoding alone."""
    key = OKPKey.generate_key("Ed25519", parameters={"kid": "bench"})
    signer, revoked, until = TokenSigner(key), RevocationList(), datetime.now(UTC) + timedelta(hours=1)
    for number in range(_REVOKED):
        revoked.end_session(f"session {number}", until)
    tokens = [signer.sign(f"user {number}", Role.USER, timedelta(minutes=5))[0] for number in range(_VERIFIED)]

    def first_sight() -> None:
        verifier = TokenVerifier(StaticKeys([key]), revoked=revoked)
        for token in tokens:
            verifier.verify(token)

    remembering = TokenVerifier(StaticKeys([key]), revoked=revoked)

    def remembered() -> None:
        for token in tokens:
            remembering.verify(token)

    def library() -> None:
        for token in tokens:
            jwt.decode(token, key, algorithms=["Ed25519"])

    remembered()
    ways = {"verified at first sight": first_sight, "verified again": remembered, "joserfc's decode alone": library}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            found[name].append(rate(_VERIFIED, work))
    return [Line(name, "tokens/s", values) for name, values in found.items()]


async def concurrently(count: int, at_once: int, call: Callable[[], Awaitable[object]]) -> float:
    """How many a second, with so many in flight."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return count / (time.perf_counter() - started)


@asynccontextmanager
async def auth_process(settings: AuthSettings, issuers: list[dict[str, object]]) -> AsyncIterator[Replica]:
    """Auth as a process, and stubs to call it with."""
    address = f"127.0.0.1:{stack.free_port()}"
    environment = {
        **os.environ,
        "T2M_ENVIRONMENT": "test",
        "T2M_BIND": address,
        "T2M_DATABASE_URL": settings.database_url,
        "T2M_KEYS_DIR": str(settings.keys_dir),
        "T2M_API_KEY_PEPPER": settings.api_key_pepper.get_secret_value(),
        "T2M_SERVICE_SECRETS": json.dumps(
            {name: secret.get_secret_value() for name, secret in settings.service_secrets.items()}
        ),
        "T2M_OIDC_ISSUERS": json.dumps(issuers),
        "T2M_LOG_LEVEL": "error",
    }

    async def stop() -> None:
        if process.returncode is None:
            process.terminate()
            await process.wait()

    command = (sys.executable, "-m", "services.auth")
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=stack.CHECKOUT)
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            yield Replica(address, channel, stop)
    finally:
        await stop()


async def exchanges(auth: Replica, issuer: OidcIssuer, email: str, rounds: int) -> Iterable[Line]:
    """Of each kind of credential, and logins."""
    access = (await auth.login(email)).access_token
    api_key = (await auth.create_key(access, name="bench")).secret
    foreign = issuer.token(exp=int(time.time()) + 3600)
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "access token exchanged": lambda: auth.exchange(access_token=access),
        "API key exchanged": lambda: auth.exchange(api_key=api_key),
        "another issuer's token (RS256) exchanged": lambda: auth.exchange(access_token=foreign),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    logins: list[float] = []
    for _ in range(rounds):
        for name, call in ways.items():
            found[name].append(await concurrently(_EXCHANGES, AT_ONCE, call))
        logins.append(await concurrently(_LOGINS, 4, lambda: auth.login(email)))
    lines = [Line(name, "calls/s", values) for name, values in found.items()]
    return [*lines, Line(f"login ({_argon2()})", "calls/s", logins)]


async def endings(auth: Replica, folder: Path, email: str, count: int) -> Iterable[Line]:
    """From the answer to a logout until a service that follows auth refuses the token."""
    async with trusting(folder, auth.address) as service:
        waits = []
        for _ in range(count):
            tokens = await auth.login(email)
            await service.until_accepted(tokens.access_token)
            await auth.logout(tokens)
            waits.append(1000 * await service.seconds_until_refused(tokens.access_token))
    return [Line(f"logout until refused elsewhere, {count} times", "ms", waits)]


def _argon2() -> str:
    used = PasswordHasher()
    return f"Argon2id, {used.memory_cost // 1024} MiB, {used.time_cost} passes, {used.parallelism} lanes"


async def measure(rounds: int, logouts: int) -> list[Line]:
    """Everything."""
    await asyncio.to_thread(auth_database)
    with tempfile.TemporaryDirectory(prefix="t2m-bench-") as name:
        folder = Path(name)
        settings = auth_settings(folder)
        email = "bench@example.com"
        await new_admin(settings, email)
        async with serving() as issuer:
            trusted: dict[str, object] = {
                "issuer": issuer.url,
                "jwks_url": issuer.url + JWKS,
                "authorized_parties": [APP],
            }
            async with auth_process(settings, [trusted]) as auth:
                lines = [*verification(rounds), *await exchanges(auth, issuer, email, rounds)]
                return [*lines, *await endings(auth, folder, email, logouts)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--logouts", type=int, default=25)
    options = parser.parse_args()
    telemetry.configure_logging("bench", level="error")
    print("| what | median | range |\n| --- | --- | --- |")
    for line in asyncio.run(measure(options.rounds, options.logouts)):
        print(line)


if __name__ == "__main__":
    main()
