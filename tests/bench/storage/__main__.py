"""Storage (V4, S1, S4).

python -m tests.bench.storage memory [--readers 50] [--mebibytes 1024] [--seconds 40] [--rate 1.0]
python -m tests.bench.storage throughput [--rounds 5] [--mebibytes 8 256]
python -m tests.bench.storage outage [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio

from tests.bench.storage import memory, outage, throughput


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.storage")
    commands = parser.add_subparsers(dest="command", required=True)
    reading = commands.add_parser("memory")
    reading.add_argument("--readers", type=int, default=50)
    reading.add_argument("--mebibytes", type=int, default=1024)
    reading.add_argument("--seconds", type=float, default=40)
    reading.add_argument("--rate", type=float, default=1.0, help="MiB/s of each client")
    moving = commands.add_parser("throughput")
    moving.add_argument("--rounds", type=int, default=5)
    moving.add_argument("--mebibytes", type=int, nargs="+", default=[8, 256])
    leaving = commands.add_parser("outage")
    leaving.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    if options.command == "outage":
        outage.main(options.seconds)
        return
    if options.command == "throughput":
        asyncio.run(throughput.measure(options.mebibytes, options.rounds))
        return
    asyncio.run(memory.measure(options.mebibytes, options.readers, options.seconds, options.rate))


if __name__ == "__main__":
    main()
