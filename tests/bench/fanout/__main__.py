"""Fan-out of 100 jobs to 5,000 clients, from the commit in job to the client, beside Envoy (P3).

    python -m tests.bench.fanout [--subscribers 5000] [--jobs 100] [--rate 2] [--seconds 15] [--rounds 1]

README.md says how it is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
from pathlib import Path

from tests.bench.fanout.runs import PEERS, Shape, measure
from tests.bench.fanout.table import show


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rate", type=float, default=2.0, help="events of each job in a second")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", default=",".join(PEERS))
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    shape = Shape(options.subscribers, options.jobs, options.rate, options.seconds)
    with tempfile.TemporaryDirectory(prefix="t2m-fanout-") as folder:
        for number in range(options.rounds):
            for peer in options.peers.split(","):
                own = Path(folder) / f"{number}-{peer}"
                own.mkdir()
                show(asyncio.run(measure(peer, shape, own)))


if __name__ == "__main__":
    main()
