"""Alembic's entry: migrates on the connection that the runtime opened."""

from services.runtime.db import run_env

run_env()
