"""`python -m services.video_render.worker`: a pool of processes that render; settings as the service's."""

from __future__ import annotations

import sys

from services.runtime import telemetry
from services.video_render.bootstrap import build_worker, real_engine
from services.video_render.settings import from_environment


def main() -> int:
    """Work until SIGTERM; 2 for wrong settings."""
    settings = from_environment()
    if settings is None:
        return 2
    telemetry.configure_logging("render_worker", level=settings.log_level, log_format=settings.log_format)
    return build_worker(settings, real_engine()).serve(settings.ready_file)


if __name__ == "__main__":
    sys.exit(main())
