"""What a served method leaves in the audit trail; see `services/runtime/audit` for the rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor

from services.runtime.audit.entry import AuditEntry, entry_of, id_fields, is_audited, leaves_entry
from services.runtime.audit.journal import AuditJournal
from services.runtime.authorization import ContractError
from services.runtime.identity import CallContext
from t2m.common.v1 import options_pb2


class MethodAudit:
    """The static part: whether calls leave an entry, and where the ids are in request and answer."""

    def __init__(self, method: MethodDescriptor, journal: AuditJournal) -> None:
        self.journal = journal
        self._always = is_audited(method)
        self._asked = id_fields(method.input_type, nested=method.client_streaming)
        self._answered = id_fields(method.output_type, nested=True)

    def entry(self, call: CallContext, code: grpc.StatusCode, request: Any, answer: Any) -> AuditEntry | None:
        """The entry of a call that ends now; None when it leaves none. Request and answer may be None."""
        if not leaves_entry(self._always, call.principal):
            return None
        named: dict[str, str] = {}
        if answer is not None:
            named.update(self._answered(answer))
        if request is not None:
            named.update(self._asked(request))
        return entry_of(call, self.journal.service, code.name, named)


def audit_methods(methods: Mapping[str, MethodDescriptor], journal: AuditJournal | None) -> dict[str, MethodAudit]:
    """By path, for every method that people may call.

    Raises ContractError when calls of a method leave entries and there is nothing to write them to.
    """
    for path, method in methods.items():
        if journal is None and is_audited(method):
            raise ContractError(f"method {path} leaves entries in the audit trail, and the server keeps none")
    if journal is None:
        return {}
    return {path: MethodAudit(method, journal) for path, method in methods.items() if not _for_services(method)}


def _for_services(method: MethodDescriptor) -> bool:
    access: int = method.GetOptions().Extensions[options_pb2.permission].access
    return access == options_pb2.ACCESS_SERVICE
