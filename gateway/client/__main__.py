"""`t2m`, or `python -m gateway.client`."""

from __future__ import annotations

import io
import sys

from gateway.client.commands.app import run
from gateway.client.commands.root import root


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # A terminal that lacks a letter is no reason to stop.
    sys.exit(run(root))


if __name__ == "__main__":
    main()
