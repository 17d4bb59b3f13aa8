"""Celery: moves step ids to worker processes. It may lose and repeat them; Postgres decides."""
