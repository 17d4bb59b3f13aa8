"""Names of operations and tags, as generated clients spell them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gateway.catalog import Rpc


def tag_of(rpc: Rpc) -> str:
    """The service's name: what clients group operations by."""
    name: str = rpc.descriptor.containing_service.name
    return name.removesuffix("Service")


def operation_ids(rpcs: Iterable[Rpc]) -> dict[str, str]:
    """Full name of an rpc → operation id: `createJob`, the rpc's name as a method is called.

    Where two services have an rpc of one name, each has its service in front: `auditListAuditEntries`.
    """
    rpcs = list(rpcs)
    uses = Counter(rpc.descriptor.name for rpc in rpcs)
    return {
        rpc.descriptor.full_name: _camel(rpc.descriptor.name if uses[rpc.descriptor.name] == 1 else _qualified(rpc))
        for rpc in rpcs
    }


def _qualified(rpc: Rpc) -> str:
    return f"{tag_of(rpc)}{rpc.descriptor.name}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
