"""Alembic's entry; the work is the runtime's."""

from services.runtime.db import run_env

run_env()
