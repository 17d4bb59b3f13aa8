"""The internal tokens of the bench: one key for all its processes, handed down in the environment."""

from __future__ import annotations

import json
import os
from datetime import timedelta

from joserfc.jwk import KeySet, OKPKey

from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner

_VARIABLE = "T2M_FANOUT_KEY"
_LIFETIME = timedelta(hours=2)
"""Longer than the bench takes."""


def _key() -> OKPKey:
    known = os.environ.get(_VARIABLE)
    if known is None:
        made = OKPKey.generate_key("Ed25519", parameters={"kid": "bench"}, private=True)
        known = os.environ[_VARIABLE] = json.dumps(made.as_dict(private=True))
    return OKPKey.import_key(json.loads(known))


KEY = _key()
_SIGNER = TokenSigner(KEY)


def internal_token(owner: str) -> str:
    """What auth trades a credential for."""
    token, _ = _SIGNER.sign(owner, Role.USER, _LIFETIME)
    return token


def jwks_json() -> str:
    """What services verify it by."""
    return json.dumps(KeySet([KEY]).as_dict(private=False))
