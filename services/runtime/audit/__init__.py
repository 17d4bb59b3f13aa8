"""The audit trail of a service (A8): which calls leave an entry, what is in it, how it is written and relayed."""

from services.runtime.audit.entry import AuditEntry, CallerKind, mention
from services.runtime.audit.journal import AuditJournal, AuditSink

__all__ = ["AuditEntry", "AuditJournal", "AuditSink", "CallerKind", "mention"]
