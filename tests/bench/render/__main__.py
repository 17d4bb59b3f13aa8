"""`python -m tests.bench.render [p5 p6 p7 p8]`: what a video costs, beside what its peers take for the same scenes.

P5: wall time of the engine beside `manim` per scene. P6: CPU beside encoding alone. P7: remix and first playable scene
beside the whole job. P8: two workers beside one. Prints a table each, with medians and spreads; `--json FILE` keeps the
rounds, `--ssim` compares the pictures of P5.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from services.video_render.adapters.manim import scene_drawing
from services.video_render.application.engine import QUALITIES
from services.video_render.application.planning import ScriptPlanner
from services.video_render.domain.storyboard import Storyboard
from tests.bench.render import encoding, jobs, runs, similarity

Rounds = list[dict[str, float]]


def main() -> None:
    """Run the rounds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", metavar="p5|p6|p7|p8", help="default: all")
    parser.add_argument("--quality", action="append", choices=sorted(QUALITIES), help="default: medium")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--ssim", action="store_true", help="compare the pictures of the last round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unknown = set(options.what) - set(TABLES)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: must be one of {', '.join(TABLES)}")
    options.rungs = {quality: QUALITIES[quality] for quality in options.quality or ["medium"]}
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Manim's import shows what others log
    board = ScriptPlanner().plan("Pythagorean theorem", "prove it visually")
    seconds = sum(scene.duration_s for scene in board.scenes)
    print(f"{len(board.scenes)} scenes, about {seconds:.0f} s of video, {options.rounds} rounds", flush=True)
    report = {what: TABLES[what](board, options) for what in options.what or TABLES}
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def p5(board: Storyboard, options: argparse.Namespace) -> dict[str, Rounds]:
    """Wall time of the engine, beside `manim`'s."""
    _heading("P5, wall time", "manim, one by one", "manim, 2 at a time", "t2m cold", "t2m", "ratio", "to 2 at a time")
    report = {}
    for quality, rung in options.rungs.items():
        with tempfile.TemporaryDirectory(prefix="t2m-bench-") as folder:
            rounds = [runs.round_of(board, rung, Path(folder), options.processes) for _ in range(options.rounds)]
            cells = [_seconds(rounds, key) for key in ("peer", "peer_parallel", "t2m_cold", "t2m")]
            _row(rung.name, *cells, _ratio(rounds, "peer", "t2m"), _ratio(rounds, "peer_parallel", "t2m"))
            if options.ssim:
                print(f"\n{similarity.report(Path(folder), len(board.scenes))}\n", flush=True)
        report[quality] = rounds
    return report


def p6(board: Storyboard, options: argparse.Namespace) -> dict[str, Rounds]:
    """CPU of rendering, beside that of encoding alone."""
    _heading(
        "P6, CPU", "every frame encoded, nothing drawn", "rendered", "its encoder alone", "ratio", "to its encoder"
    )
    scene_drawing.warm_up()
    report = {}
    for quality, rung in options.rungs.items():
        with tempfile.TemporaryDirectory(prefix="t2m-bench-") as folder:
            rounds = [encoding.round_of(board, rung, Path(folder)) for _ in range(options.rounds)]
        cells = [_seconds(rounds, key) for key in ("alone", "render", "encoder")]
        _row(rung.name, *cells, _ratio(rounds, "render", "alone"), _ratio(rounds, "render", "encoder"))
        report[quality] = rounds
    return report


def p7(_: Storyboard, options: argparse.Namespace) -> dict[str, Rounds]:
    """Remix of one scene in eight, and the first scene that can be played, beside the whole job."""
    _heading(
        "P7, job over REST", "whole", "first playable", "remix of 1 scene in 8", "remix ÷ whole", "playable ÷ whole"
    )
    report = {}
    for workers in (1, 2):
        with jobs.stack_with(workers, 2) as stack:
            for quality, rung in options.rungs.items():
                rounds = jobs.remix_rounds(stack, quality, rung, options.rounds)
                cells = [_seconds(rounds, key) for key in ("first", "playable", "remix")]
                ratios = _ratio(rounds, "remix", "first"), _ratio(rounds, "playable", "first")
                _row(f"{rung.name}, {workers} at a time", *cells, *ratios)
                report[f"{quality}-{workers}"] = rounds
    return report


def p8(_: Storyboard, options: argparse.Namespace) -> dict[str, Rounds]:
    """Two workers beside one: on twice the cores, and on the same."""
    _heading("P8, job over REST", "1 worker, 1 core", "1 worker, 2 cores", "2 workers, 2 cores", "ratio", "on 2 cores")
    measured = {"": jobs.first_renders, ", 4 jobs at once": jobs.together}
    rows = [(quality, name) for quality in options.rungs for name in measured]
    found: dict[tuple[str, str], list[list[float]]] = {row: [] for row in rows}
    for workers, cores in ((1, 1), (1, 2), (2, 2)):
        with jobs.stack_with(workers, cores) as stack:
            for quality, name in rows:
                times = measured[name](stack, quality, options.rungs[quality], options.rounds)
                found[quality, name].append(times)
    report = {}
    for (quality, name), columns in found.items():
        triples = zip(*columns, strict=True)
        rounds = [{"one": one, "one_of_two": of_two, "two": two} for one, of_two, two in triples]
        cells = [_seconds(rounds, key) for key in ("one", "one_of_two", "two")]
        ratios = _ratio(rounds, "one", "two"), _ratio(rounds, "one_of_two", "two")
        _row(f"{options.rungs[quality].name}{name}", *cells, *ratios)
        report[f"{quality}{name}"] = rounds
    return report


Table = Callable[[Storyboard, argparse.Namespace], dict[str, Rounds]]
TABLES: dict[str, Table] = {"p5": p5, "p6": p6, "p7": p7, "p8": p8}


def _heading(*cells: str) -> None:
    print()
    _row(*cells)
    _row(*("---" for _ in cells))


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _seconds(rounds: Rounds, key: str) -> str:
    values = [entry[key] for entry in rounds]
    return f"{statistics.median(values):.2f} s ({min(values):.2f}-{max(values):.2f})"


def _ratio(rounds: Rounds, above: str, below: str) -> str:
    return f"**{statistics.median(entry[above] / entry[below] for entry in rounds):.2f}**"


if __name__ == "__main__":
    main()
