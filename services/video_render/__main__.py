"""`python -m services.video_render [serve|migrate]`; settings come from the environment (T2M_...)."""

from __future__ import annotations

import sys

from services.runtime import telemetry
from services.video_render.bootstrap import build_server, migrate
from services.video_render.settings import VideoRenderSettings, from_environment


async def _serve(settings: VideoRenderSettings) -> None:
    await build_server(settings).run()


def main(arguments: list[str]) -> int:
    """Serve (default) or migrate; 2 for wrong arguments or settings."""
    command = arguments[0] if arguments else "serve"
    if command not in ("serve", "migrate") or len(arguments) > 1:
        print("usage: python -m services.video_render [serve|migrate]", file=sys.stderr)
        return 2
    settings = from_environment()
    if settings is None:
        return 2
    telemetry.configure_logging("video_render", level=settings.log_level, log_format=settings.log_format)
    telemetry.run(migrate(settings) if command == "migrate" else _serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
