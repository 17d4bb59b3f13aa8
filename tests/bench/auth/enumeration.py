"""Whether the time of an answer tells who has an account (A1).

    python -m tests.bench.auth.enumeration [--calls 200]

Asks in turn for an address that has an account and for one that has none, and prints the medians, their ratio, and
how often the slower half of all answers was about a known address: 0.5 tells nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from services.runtime import telemetry
from t2m.auth.v1 import session_service_pb2, user_service_pb2
from tests import stack
from tests.integration.auth_harness import EMAIL, PASSWORD, Auth, serving, settings_of

NOBODY = "eve@example.com"
Call = Callable[[str], Awaitable[Any]]


async def taken(call: Call, address: str) -> float:
    """Milliseconds until the answer, whatever it is."""
    started = time.perf_counter()
    try:
        await call(address)
    except grpc.aio.AioRpcError as refused:
        if refused.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
    return (time.perf_counter() - started) * 1000


async def compare(name: str, call: Call, calls: int) -> str:
    """A row of the table."""
    times: dict[str, list[float]] = {EMAIL: [], NOBODY: []}
    for number in range(calls):
        # Taking turns at who is first: else what a call leaves behind would count for one of the two.
        for address in (EMAIL, NOBODY) if number % 2 else (NOBODY, EMAIL):
            times[address].append(await taken(call, address))
    known, unknown = times[EMAIL], times[NOBODY]
    ms = [statistics.median(each) for each in (known, unknown)]
    middle = statistics.median(known + unknown)
    slower = sum(each > middle for each in known) / sum(each > middle for each in known + unknown)
    return f"| {name} | {ms[0]:.2f} | {ms[1]:.2f} | {ms[0] / ms[1]:.3f} | {slower:.2f} |"


def methods(auth: Auth) -> dict[str, Call]:
    """What takes anybody's address."""
    return {
        "login": lambda address: auth.login(address, "wrong horse battery"),
        "register": lambda address: auth.users.RegisterUser(
            user_service_pb2.RegisterUserRequest(email=address, password="quite another phrase")
        ),
        "resend": lambda address: auth.users.ResendVerification(
            user_service_pb2.ResendVerificationRequest(email=address)
        ),
        "reset": lambda address: auth.users.RequestPasswordReset(
            user_service_pb2.RequestPasswordResetRequest(email=address)
        ),
    }


async def main(calls: int) -> None:
    """Measure and print."""
    telemetry.configure_logging("bench", level="error", log_format="console")
    url = await asyncio.to_thread(stack.postgres_url, "enumeration")
    await stack.migrate("auth", url)
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(url, Path(folder))
        async with serving(settings) as auth:
            await auth.register()
        # Nobody has to wait here: that is what the figures are not about.
        patient = settings.model_copy(update={"email_verification": "required", "login_failures": 10**6})
        async with serving(patient) as auth:
            await auth.sessions.Login(session_service_pb2.LoginRequest(email=EMAIL, password=PASSWORD))
            print(f"n = {calls}\n\n| call | known, ms | unknown, ms | ratio | known among slower half |")
            print("| --- | --- | --- | --- | --- |")
            for name, call in methods(auth).items():
                print(await compare(name, call, calls), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    asyncio.run(main(parser.parse_args().calls))
