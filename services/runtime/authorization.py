"""Who may call what, read once from the `(t2m.common.v1.permission)` options of the served methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf import descriptor_pool

from services.runtime.errors import ServiceError
from services.runtime.identity import Principal, Role
from t2m.common.v1 import options_pb2
from t2m.common.v1.error_reason_pb2 import ErrorReason

EXEMPT_SERVICES = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "grpc.reflection.v1.ServerReflection",
    }
)
"""Infrastructure services: no credential, no access log."""

_ROLES: Mapping[int, frozenset[Role]] = {
    options_pb2.ACCESS_READ: frozenset({Role.READONLY, Role.USER, Role.ADMIN}),
    options_pb2.ACCESS_WRITE: frozenset({Role.USER, Role.ADMIN}),
    options_pb2.ACCESS_ADMIN: frozenset({Role.ADMIN}),
    options_pb2.ACCESS_SERVICE: frozenset({Role.SERVICE}),
}


class ContractError(Exception):
    """The served protos are not fit to be served; raised at start-up only."""


@dataclass(frozen=True, slots=True)
class MethodRule:
    """What a caller needs for one method (`/package.Service/Method`)."""

    method: str
    public: bool
    roles: frozenset[Role]
    scope: str
    callers: frozenset[str] = frozenset()
    """Services that may call it; empty: the gateway, and whom the deployment lets in."""


def load_method_rules(service_names: Iterable[str]) -> dict[str, MethodRule]:
    """The rules of every method of the services, by full method path.

    Raises ContractError when a service is unknown to the descriptor pool, or a method names no permission, or is for
    services and names none.
    """
    pool = descriptor_pool.Default()
    rules: dict[str, MethodRule] = {}
    for name in service_names:
        if name in EXEMPT_SERVICES:
            continue
        try:
            service = pool.FindServiceByName(name)
        except KeyError as exc:
            raise ContractError(f"service {name} is not in the descriptor pool") from exc
        for method in service.methods:
            path = f"/{name}/{method.name}"
            permission = method.GetOptions().Extensions[options_pb2.permission]
            rules[path] = _rule(path, permission)
    return rules


def _rule(path: str, permission: options_pb2.Permission) -> MethodRule:
    access, scope, callers = permission.access, permission.scope, frozenset(permission.callers)
    if access == options_pb2.ACCESS_PUBLIC:
        return MethodRule(path, public=True, roles=frozenset(), scope=scope, callers=callers)
    roles = _ROLES.get(access)
    if roles is None:
        raise ContractError(f"method {path} has no (t2m.common.v1.permission)")
    if access == options_pb2.ACCESS_SERVICE and not callers:
        raise ContractError(f"method {path} is for services, and names none in its permission's callers")
    return MethodRule(path, public=False, roles=roles, scope=scope, callers=callers)


def authorize(method_rule: MethodRule, principal: Principal | None) -> None:
    """Return when the caller may call the method.

    Raises ServiceError: UNAUTHENTICATED without a principal where one is needed, PERMISSION_DENIED when the
    role, the service or the scopes do not allow the call.
    """
    if method_rule.public:
        return
    if principal is None:
        raise ServiceError(
            grpc.StatusCode.UNAUTHENTICATED,
            ErrorReason.ERROR_REASON_CREDENTIAL_MISSING,
            "this call needs a credential",
        )
    if principal.role not in method_rule.roles:
        raise denied(f"role {principal.role} may not call {method_rule.method}")
    if principal.role is Role.SERVICE and principal.subject not in method_rule.callers:
        raise denied(f"service {principal.subject} may not call {method_rule.method}")
    if method_rule.scope and principal.scopes is not None and method_rule.scope not in principal.scopes:
        raise denied(f"the credential lacks the scope {method_rule.scope}")


def denied(message: str) -> ServiceError:
    """PERMISSION_DENIED in these words."""
    return ServiceError(grpc.StatusCode.PERMISSION_DENIED, ErrorReason.ERROR_REASON_PERMISSION_DENIED, message)
