"""What is kept of every request: lines as structlog writes them, figures as prometheus_client counts them (P1, O2)."""

from __future__ import annotations

import asyncio
import io
import json
import re

import structlog
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from gateway.access import FLUSH_S, BufferedLines, RequestTimes

TIMES_S = (0.0001, 0.002, 0.0021, 0.3, 15.0, 99.0)
BUCKETS_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


async def test_o2_a_line_reads_as_structlog_would_write_it() -> None:
    own, theirs = io.BytesIO(), io.StringIO()
    fields = {"method": "GET", "path": "/ü", "status": 200, "ms": 1.25}
    lines = BufferedLines(own)
    lines(dict(fields))
    lines.flush()
    structlog.wrap_logger(
        structlog.PrintLogger(theirs),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    ).info("request", **fields)
    mine, expected = json.loads(own.getvalue()), json.loads(theirs.getvalue())
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    assert form.fullmatch(mine.pop("timestamp"))
    assert form.fullmatch(expected.pop("timestamp"))
    assert mine == expected


async def test_o2_lines_are_written_together_soon_and_in_order() -> None:
    out = io.BytesIO()
    lines = BufferedLines(out)
    for number in range(3):
        lines({"number": number})
    assert out.getvalue() == b""
    async with asyncio.timeout(FLUSH_S * 100):
        while not out.getvalue():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(FLUSH_S / 5)
    assert [json.loads(line)["number"] for line in out.getvalue().splitlines()] == [0, 1, 2]


async def test_o2_many_lines_do_not_wait() -> None:
    out = io.BytesIO()
    lines = BufferedLines(out)
    for number in range(2500):
        lines({"number": number})
    assert len(out.getvalue().splitlines()) == 2000
    lines.flush()
    assert len(out.getvalue().splitlines()) == 2500


def test_o2_times_are_counted_as_by_prometheus_client() -> None:
    registry, reference = CollectorRegistry(), CollectorRegistry()
    text = "Time until the answer was complete; streams and files are left out."
    theirs = Histogram(
        "api_request_duration_seconds", text, ("method", "route", "status"), buckets=BUCKETS_S, registry=reference
    )
    own = RequestTimes()
    registry.register(own)
    for seconds in TIMES_S:
        own.observe("GET", '/a"b', 200, seconds)
        theirs.labels("GET", '/a"b', 200).observe(seconds)
    own.observe("POST", "/c", 500, 1.0)
    theirs.labels("POST", "/c", 500).observe(1.0)
    own.in_flight = 3
    lines = generate_latest(registry).decode().splitlines()
    expected = [line for line in generate_latest(reference).decode().splitlines() if "_created" not in line]
    assert [line for line in lines if "in_flight" not in line] == expected
    assert "api_requests_in_flight 3.0" in lines
