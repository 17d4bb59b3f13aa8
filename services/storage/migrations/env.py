"""Alembic runs this; see `services.runtime.db`."""

from services.runtime.db import run_env
from services.storage.adapters.postgres.tables import metadata

run_env(metadata)
