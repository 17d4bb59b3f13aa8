"""A listening socket that two processes share while one takes over from the other.

With SO_REUSEPORT each process has a queue of its own, and the kernel spreads new connections over them. That alone
would lose some in a swap: what is in the queue of a socket that closes is reset. So the newcomer also gives the port a
filter that sends everything to the second of its sockets, which is the newcomer's own: the first one's queue runs dry
before it closes. Where there is no second socket the kernel falls back to what there is.
"""

from __future__ import annotations

import ctypes
import socket
import struct

import structlog

log = structlog.get_logger("gateway.listening")

_SO_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h; Python has no name for it.
_RETURN_CONSTANT = 0x06  # BPF_RET | BPF_K
_SECOND = 1


def shared_listener(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def take_over(listener: socket.socket) -> bool:
    """Have new connections come here and no longer to the process that listened before; call it when it listens.

    False where the kernel does not offer that: then both get some, until the other stops.
    """
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN_CONSTANT, 0, 0, _SECOND))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)
    except OSError as error:
        log.warning("listening.shared", reason=str(error))
        return False
    return True
