"""HTTP as no client library would send it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


def raw_exchange(base_url: str, *lines: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send these lines and a Host; the status (0 for none) and all that comes back until the server closes."""
    url = urlsplit(base_url)
    host, port = url.hostname or "", url.port or 0
    head = "\r\n".join([*lines, f"Host: {host}:{port}", "Connection: close"]) + "\r\n\r\n"
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(head.encode("latin-1") + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0, answer
