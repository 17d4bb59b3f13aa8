"""Signing keys: files `{time}-{kid}.jwk` in one folder that only this service reads.

The newest signs; the public halves of all are published, so a key that is laid beside the old one takes over
at the next start while tokens of the old one still verify.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey


class KeyFileError(Exception):
    """The folder of signing keys cannot be used; the message says why."""


def load_or_create_keys(folder: Path) -> list[OKPKey]:
    """The keys, oldest first; one is made when there is none. Raises KeyFileError."""
    try:
        if keys := load_keys(folder):
            return keys
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:  # replicas that start together share one first key
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not load_keys(folder):
                create_key(folder)
        return load_keys(folder)
    except OSError as exc:
        raise KeyFileError(f"signing keys in {folder}: {exc}") from exc


def load_keys(folder: Path) -> list[OKPKey]:
    """The keys that are there, oldest first.

    Raises KeyFileError for a file that everybody may read, or that is no key.
    """
    return [_read(path) for path in sorted(folder.glob("*.jwk"))]


def create_key(folder: Path) -> OKPKey:
    """Make a new Ed25519 key, whose id is its thumbprint (RFC 7638)."""
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    made_at = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    final = folder / f"{made_at}-{key.kid}.jwk"
    partial = final.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(key.as_dict(private=True), file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(final)
    return key


def public_jwks(keys: Sequence[OKPKey]) -> str:
    """The public halves as a JWK Set, newest first."""
    public = [{**key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": "Ed25519"} for key in reversed(keys)]
    return json.dumps({"keys": public}, separators=(",", ":"))


def _read(path: Path) -> OKPKey:
    if path.stat().st_mode & 0o007:
        raise KeyFileError(f"{path} is open to every user of this machine: chmod 600")
    try:
        key = OKPKey.import_key(json.loads(path.read_text()))
    except (JoseError, ValueError, TypeError, KeyError) as exc:
        raise KeyFileError(f"{path} is not a JWK: {exc}") from exc
    if key.curve_name != "Ed25519" or not key.is_private or key.kid != key.thumbprint():
        raise KeyFileError(f"{path} must be a private Ed25519 key whose kid is its thumbprint")
    return key
