"""Who is at the other end of a connection, by its certificate: the second of two proofs.

With mutual TLS a caller shows a certificate of the deployment's own authority whose only URI is a SPIFFE ID
(`spiffe://{trust domain}/{service}`, SPIFFE-ID 2.1). The method's `callers` say which services that may be. A service
token counts only on a connection of the service that it names, so one that was stolen is of no use elsewhere (in the
spirit of RFC 8705).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from services.runtime.authorization import MethodRule, denied
from services.runtime.identity import Principal, Role

GATEWAY = "gateway"
_SPIFFE_PROPERTY = "peer_spiffe_id"


class PeerPolicy:
    """Checks the peer of each call; made only where the server demands certificates."""

    def __init__(self, trust_domain: str, clients: Collection[str] = ()) -> None:
        """`clients`: names that may call what the gateway may, such as another product's backend."""
        self._trust_domain = trust_domain
        self._clients = frozenset({GATEWAY, *clients})

    def check(self, rule: MethodRule, auth_context: Mapping[str, Iterable[bytes]], principal: Principal | None) -> None:
        """Return when the peer may call the method. Raises ServiceError (PERMISSION_DENIED)."""
        peer = self._name(tuple(auth_context.get(_SPIFFE_PROPERTY, ())))
        if peer is None:
            raise denied("the client certificate names no service of this deployment")
        if peer not in (rule.callers or self._clients):
            raise denied(f"{peer} may not call {rule.method}")
        if principal is not None and principal.role is Role.SERVICE and principal.subject != peer:
            raise denied(f"the token of {principal.subject} came over a connection of {peer}")

    def _name(self, spiffe_ids: Sequence[bytes]) -> str | None:
        """The service that the certificate names; None for none, several, or one of another trust domain."""
        if len(spiffe_ids) != 1:
            return None
        parts = urlsplit(spiffe_ids[0].decode("ascii", "replace"))
        if parts.scheme != "spiffe" or parts.netloc != self._trust_domain:
            return None
        return parts.path.removeprefix("/") or None
