"""Identifiers: UUID version 7 (RFC 9562), which sort by creation time and index well as primary keys."""

from __future__ import annotations

import os
import time
import uuid


def new_id() -> str:
    """A new UUIDv7 in canonical form: 48 bits of Unix milliseconds, then 74 random bits."""
    value = int.from_bytes(os.urandom(16), "big")
    value = (value & ((1 << 80) - 1)) | ((time.time_ns() // 1_000_000 & ((1 << 48) - 1)) << 80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(uuid.UUID(int=value))
