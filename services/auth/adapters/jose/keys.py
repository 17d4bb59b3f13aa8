"""Signing keys: files `{time}-{kid}.jwk` in one folder that only this service reads.

A key is published from the moment its file is there, signs once every verifier has had time to learn it
(`keyring.KeyRing`), and stays published until the last token that it has signed has ended.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

_TIME = "%Y%m%dT%H%M%S%fZ"


class KeyFileError(Exception):
    """The folder of signing keys cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and when it was made, which its file's name says."""

    key: OKPKey
    made_at: datetime

    @property
    def kid(self) -> str:
        """Its thumbprint (RFC 7638)."""
        return str(self.key.kid)


def load_or_create_keys(folder: Path) -> list[SigningKey]:
    """The keys, oldest first; one is made when there is none. Raises KeyFileError."""
    try:
        if keys := load_keys(folder):
            return keys
        with locked(folder):  # replicas that start together share one first key
            if not load_keys(folder):
                create_key(folder, datetime.now(UTC))
        return load_keys(folder)
    except OSError as exc:
        raise KeyFileError(f"signing keys in {folder}: {exc}") from exc


def load_keys(folder: Path) -> list[SigningKey]:
    """The keys that are there, oldest first.

    Raises KeyFileError for a file that everybody may read, or that is no key; OSError.
    """
    return sorted((_read(path) for path in folder.glob("*.jwk")), key=lambda each: each.made_at)


def create_key(folder: Path, now: datetime) -> SigningKey:
    """Make a new Ed25519 key, whose id is its thumbprint. Raises OSError."""
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    final = folder / f"{now.astimezone(UTC).strftime(_TIME)}-{key.kid}.jwk"
    partial = final.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(key.as_dict(private=True), file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(final)
    return SigningKey(key, now)


def delete_key(folder: Path, kid: str) -> None:
    """Remove the key's file. Raises OSError."""
    for path in folder.glob(f"*-{kid}.jwk"):
        path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time changes the folder, which is made if it is not there. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def public_jwks(keys: Sequence[SigningKey], withdrawn: Collection[str] = ()) -> str:
    """The public halves as a JWK Set, newest first. A member `withdrawn` names keys whose tokens are all void."""
    public = [
        {**each.key.as_dict(private=False), "kid": each.kid, "use": "sig", "alg": "Ed25519"} for each in reversed(keys)
    ]
    document = {"keys": public, "withdrawn": sorted(withdrawn)} if withdrawn else {"keys": public}
    return json.dumps(document, separators=(",", ":"))


def _read(path: Path) -> SigningKey:
    if path.stat().st_mode & 0o007:
        raise KeyFileError(f"{path} is open to every user of this machine: chmod 600")
    try:
        key = OKPKey.import_key(json.loads(path.read_text()))
        made_at = datetime.strptime(path.name.partition("-")[0], _TIME).replace(tzinfo=UTC)
    except (JoseError, ValueError, TypeError, KeyError) as exc:
        raise KeyFileError(f"{path} is not a JWK named {{time}}-{{kid}}.jwk: {exc}") from exc
    if key.curve_name != "Ed25519" or not key.is_private or key.kid != key.thumbprint():
        raise KeyFileError(f"{path} must be a private Ed25519 key whose kid is its thumbprint")
    return SigningKey(key, made_at)
