"""Rows of objects in the service's own Postgres database."""

from services.storage.adapters.postgres.copies import PostgresCopyJournal
from services.storage.adapters.postgres.file_ledger import PostgresFileLedger
from services.storage.adapters.postgres.ledger import PostgresObjectLedger
from services.storage.adapters.postgres.owned import PostgresOwnedObjects
from services.storage.adapters.postgres.repository import PostgresObjectRepository

__all__ = [
    "PostgresCopyJournal",
    "PostgresFileLedger",
    "PostgresObjectLedger",
    "PostgresObjectRepository",
    "PostgresOwnedObjects",
]
