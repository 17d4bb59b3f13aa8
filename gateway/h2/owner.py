"""What a connection tells whoever made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import grpc

from gateway.h2.call import Call

if TYPE_CHECKING:
    from gateway.h2.connection import Connection


class Owner(Protocol):
    """Who made the connection."""

    def begun(self, connection: Connection, /) -> None:
        """The connection is there; `lost` will follow."""
        ...

    def freed(self) -> None:
        """There may be room for calls that wait."""
        ...

    def ended(self, connection: Connection, /) -> None:
        """The connection takes no more calls."""
        ...

    def lost(self, connection: Connection, /) -> None:
        """The connection is gone."""
        ...

    def reissue(self, call: Call, refusal: grpc.aio.AioRpcError, /) -> None:
        """The server has not looked at the call: it may be sent again, or ends with the refusal."""
        ...
