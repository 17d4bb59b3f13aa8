"""Thousands of clients of an event stream in one process, at a few µs per event.

    python -m tests.bench.fanout.subscribers PORT PLAN RESULT

PLAN is JSON: a list of `{"job_id", "token", "accept"}`, one for each client. Bytes are only received and stamped while
the clock runs: epoll, one `recv`, one list entry. What they say is read after the run. Opens everything, says `open`,
receives until its input ends, then writes RESULT: lines `job_id seq nanoseconds` of every event of every client, and
says `written`. Fails when a client misses a seq or gets one twice.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

AT_ONCE = 40
BUFFER = 1 << 16
_SEQ = re.compile(rb'"seq":\s?"?(\d+)')
"""Envoy writes 64-bit integers as strings. Each event has the member once."""


class Client:
    """A connection and what came over it, with the time."""

    __slots__ = ("job_id", "opened", "received", "request", "socket")

    def __init__(self, plan: dict[str, Any], port: int) -> None:
        self.job_id: str = plan["job_id"]
        self.request = (
            f"GET /api/v1/jobs/{self.job_id}/events HTTP/1.1\r\nHost: t\r\nAccept: {plan['accept']}\r\n"
            f"Authorization: Bearer {plan['token']}\r\n\r\n"
        ).encode()
        self.received: list[tuple[int, bytes]] = []
        self.opened = False
        self.socket = socket.socket()
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(self.request)
        self.socket.setblocking(False)

    def receive(self) -> None:
        """Take what is there."""
        data = self.socket.recv(BUFFER)
        if not data:
            raise AssertionError(f"closed after {self.received[-1:]}")
        self.received.append((time.time_ns(), data))

    def seqs(self) -> list[tuple[int, int]]:
        """Every seq and when its last byte was there. Raises AssertionError for a gap, a repeat or a refusal."""
        found: list[tuple[int, int]] = []
        rest = b""
        for moment, data in self.received:
            text = rest + data
            end = text.rfind(b"\n") + 1  # Both forms end an event with a line feed.
            rest = text[end:]
            found += [(int(seq), moment) for seq in _SEQ.findall(text[:end])]
        numbers = [seq for seq, _ in found]
        if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise AssertionError(f"{self.job_id}: {numbers[:3]}…{numbers[-3:]}, {self.received[:1]}")
        return found


def run(port: int, plans: list[dict[str, Any]], result: Path) -> None:
    """Everything, as the module says."""
    epoll = select.epoll()
    clients: dict[int, Client] = {}

    def poll(timeout_s: float) -> bool:
        for number, _ in epoll.poll(timeout_s):
            if number == sys.stdin.fileno():
                return False
            clients[number].receive()
        return True

    waiting: set[Client] = set()
    for plan in plans:
        client = Client(plan, port)
        clients[client.socket.fileno()] = client
        epoll.register(client.socket.fileno(), select.EPOLLIN)
        waiting.add(client)
        while len(waiting) >= AT_ONCE or (len(clients) == len(plans) and waiting):
            poll(1.0)
            waiting = {each for each in waiting if not any(b'"seq":' in data for _, data in each.received)}
    print(json.dumps("open"), flush=True)
    epoll.register(sys.stdin.fileno(), select.EPOLLIN)
    while poll(1.0):
        pass
    with result.open("w", encoding="ascii") as file:
        for client in clients.values():
            file.writelines(f"{client.job_id} {seq} {moment}\n" for seq, moment in client.seqs())
    print(json.dumps("written"), flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_bytes()), Path(sys.argv[3]))
