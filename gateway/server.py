"""uvicorn around the app, with an ordered end: not ready, streams end, requests finish, stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from types import FrameType

import orjson
import structlog
import uvicorn
from structlog.types import Processor

from gateway.access import BufferedLines, Write
from gateway.app import Gateway
from gateway.listening import shared_listener, take_over
from gateway.protocol import guarded
from gateway.settings import Settings
from gateway.sockets import MAX_MESSAGE_BYTES
from gateway.wires import SocketProtocol, StreamingProtocol

log = structlog.get_logger("gateway.server")

_LOOK_S = 0.05


class Server(uvicorn.Server):
    """Drains the gateway before uvicorn waits for the open requests."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, settings: Settings) -> None:
        super().__init__(config)
        self.gateway = gateway
        self.listening = asyncio.Event()
        self.alone = False
        """Whether the process is this server's alone."""
        self._settings = settings

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; a second interrupt stops at once. uvicorn's own would end the process by the signal."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where: with port 0 nobody knows before."""
        settings = self._settings
        shared = shared_listener(settings.gateway_host, settings.gateway_port) if settings.reuse_port else None
        await super().startup(sockets if shared is None else [shared])
        if shared is not None:
            take_over(shared)
        for server in self.servers:
            for listener in server.sockets:
                host, port, *_ = listener.getsockname()
                log.info("gateway.listening", address=f"{host}:{port}")
        if self.alone:
            # What is there now stays: routes, codecs, modules. Looked through again and again for garbage it would cost
            # a tenth of a second each time, in which nobody is answered.
            gc.collect()
            gc.freeze()
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams first: uvicorn would wait for them until its time is up. Then see everybody off."""
        log.info("gateway.draining")
        if self.started:
            self.gateway.rest.drain()
            await self._see_off()
        await super().shutdown(sockets)

    async def _see_off(self) -> None:
        """Go on for a moment: every answer says that it is the last of its connection, and the queue is emptied.

        A connection that is closed while the client sends its next request would lose that.
        """
        until = time.monotonic() + self._settings.drain_grace_s
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:
            for connection in list(self.server_state.connections):
                if isinstance(connection, StreamingProtocol | SocketProtocol):
                    connection.retire()
            await asyncio.sleep(_LOOK_S)


def build_server(settings: Settings, gateway: Gateway | None = None) -> Server:
    """A server that is ready to run."""
    gateway = gateway or Gateway(settings)
    config = uvicorn.Config(
        gateway,
        host=settings.gateway_host,
        port=settings.gateway_port,
        loop="uvloop",
        http=guarded(settings.max_head_bytes, settings.head_deadline_s, StreamingProtocol),
        ws=SocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        # A message is made once for all its readers; compressed it would be made, and its window kept, for each.
        ws_per_message_deflate=False,
        # The hub's clock pings: one timer for all.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=int(settings.drain_s),
    )
    return Server(config, gateway, settings)


def configure_logging(level: str) -> None:
    """JSON lines on standard output; what uvicorn and asyncio log goes through the same processors."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=_json_bytes)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    renderer = structlog.processors.JSONRenderer(serializer=lambda event, **_: _json_bytes(event).decode())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, renderer])
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.INFO), force=True)


def _json_bytes(event: object, **_: object) -> bytes:
    return orjson.dumps(event, str)


def main() -> None:
    """Entry point of `python -m gateway`."""
    settings = Settings()
    configure_logging(settings.log_level)
    # Certificates are looked at every second anyway, and the environment of a process cannot change: whoever wants
    # other settings starts another gateway beside this one (T2M_REUSE_PORT). The default would be to end at once.
    signal.signal(signal.SIGHUP, lambda *_: log.info("gateway.nothing_to_reload"))
    lines: Write = BufferedLines(sys.stdout.buffer) if log.is_enabled_for(logging.INFO) else lambda _fields: None
    server = build_server(settings, Gateway(settings, write=lines))
    server.alone = True
    server.run()
