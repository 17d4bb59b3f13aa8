"""`python -m services.storage [serve|migrate]`; settings come from the environment (T2M_...)."""

from __future__ import annotations

import sys

from pydantic import ValidationError

from services.runtime import telemetry
from services.storage.bootstrap import build_server, migrate
from services.storage.settings import StorageSettings


def main(arguments: list[str]) -> int:
    """Serve (default) or migrate; 2 for wrong arguments or settings."""
    command = arguments[0] if arguments else "serve"
    if command not in ("serve", "migrate") or len(arguments) > 1:
        print("usage: python -m services.storage [serve|migrate]", file=sys.stderr)
        return 2
    try:
        settings = StorageSettings()  # type: ignore[call-arg]  # the environment fills it
    except ValidationError as exc:
        for error in exc.errors():
            name = f"T2M_{str(error['loc'][0]).upper()}: " if error["loc"] else ""
            print(f"settings: {name}{error['msg']}", file=sys.stderr)
        return 2
    telemetry.configure_logging("storage", level=settings.log_level, log_format=settings.log_format)
    if command == "migrate":
        telemetry.run(migrate(settings))
    else:

        async def serve() -> None:
            await build_server(settings).run()

        telemetry.run(serve())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
