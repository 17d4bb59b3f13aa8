"""Alembic runs this; see `services.runtime.db`."""

from services.runtime.db import run_env
from services.video_render.adapters.postgres.tables import METADATA

run_env(METADATA)
