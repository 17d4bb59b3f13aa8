"""Rows of objects in the service's own Postgres database."""

from services.storage.adapters.postgres.repository import PostgresObjectRepository

__all__ = ["PostgresObjectRepository"]
