"""Real S3 servers for tests, one of each per pytest session, on loopback only.

rclone checks signatures and knows no versions; ministack knows versions, encryption and rules, and checks nothing.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import psutil

from services.storage.adapters.s3 import S3Options, create_client
from services.storage.domain.keys import BucketNames
from services.storage.domain.objects import Bucket
from services.video_render.adapters.process.lifeline import die_with_parent
from tests.stack import data_folder, free_port

_READY_S = 60
_SCRIPTS = Path(sys.executable).parent


@dataclass
class S3Server:
    """A server that runs until Python ends."""

    url: str
    access_key: str
    secret_key: str

    @property
    def options(self) -> S3Options:
        """How to reach it."""
        return S3Options("us-east-1", self.url, path_style=True)

    @cached_property
    def client(self) -> Any:
        """With the credentials that are right."""
        with credentials(self.access_key, self.secret_key):
            return create_client(self.options)

    def make_buckets(self, names: BucketNames) -> None:
        """The four buckets, empty."""
        for bucket in Bucket:
            self.client.create_bucket(Bucket=names.of(bucket))


class credentials:  # noqa: N801  # used like a function
    """AWS credentials in the environment, as boto3's own chain finds them."""

    def __init__(self, access: str, secret: str) -> None:
        self._wanted = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._wanted}
        os.environ.update(self._wanted)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


class Rclone(S3Server):
    """`rclone serve s3`, which can go away and come back with what it has."""

    def __init__(self, folder: Path) -> None:
        self._port, self._folder = free_port(), folder
        super().__init__(f"http://127.0.0.1:{self._port}", "t2m-test-access", "t2m-test-secret-of-nobody")
        folder.mkdir()
        self.start()

    def start(self) -> None:
        """Be there (again); returns when it listens."""
        command = [str(_SCRIPTS / "rclone"), "serve", "s3", str(self._folder), "--addr", f"127.0.0.1:{self._port}"]
        command += ["--auth-key", f"{self.access_key},{self.secret_key}"]
        self._process = _start(command, self._port, {"RCLONE_CONFIG": "/dev/null"})

    def kill(self) -> None:
        """Be away."""
        _stop(self._process)

    def hang(self) -> None:
        """Take connections, and answer none."""
        self._process.suspend()

    def go_on(self) -> None:
        """Answer what has waited."""
        self._process.resume()


@cache
def rclone() -> S3Server:
    """`rclone serve s3`: strict about signatures, knows no versions."""
    return Rclone(data_folder() / "rclone")


@cache
def ministack() -> S3Server:
    """Ministack's S3: versions, encryption, life-cycle rules, no signatures."""
    port = free_port()
    environment = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "s3", "LOG_LEVEL": "WARNING"}
    environment["AWS_SECRET_ACCESS_KEY"] = "test"  # it checks presigned URLs with what it finds here
    _start([str(_SCRIPTS / "ministack")], port, environment)
    return S3Server(f"http://127.0.0.1:{port}", "test", "test")


def _start(command: list[str], port: int, environment: dict[str, str]) -> psutil.Popen:
    log = data_folder() / f"{Path(command[0]).name}.log"
    with log.open("wb") as out:
        process = psutil.Popen(
            command,
            env={**os.environ, **environment},
            stdout=out,
            stderr=out,
            cwd=data_folder(),
            process_group=0,
            preexec_fn=partial(die_with_parent, os.getpid()),  # nothing but two system calls
        )
    atexit.register(_stop, process)
    deadline = time.monotonic() + _READY_S
    while not _listens(port):
        assert process.poll() is None, f"{command[0]} ended: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, f"{command[0]} does not listen: {log.read_text()[-2000:]}"
        with suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):
            process.wait(0.05)
    return process


def _stop(process: psutil.Popen) -> None:
    with suppress(psutil.NoSuchProcess):
        for child in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(0.2)
        return client.connect_ex(("127.0.0.1", port)) == 0
