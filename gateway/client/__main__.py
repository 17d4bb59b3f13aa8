"""`t2m`, or `python -m gateway.client`."""

from __future__ import annotations

import sys

from gateway.client.commands.app import run
from gateway.client.commands.root import root


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run(root))


if __name__ == "__main__":
    main()
