"""`python -m tests.bench.render`: t2m's engine beside `manim` per scene, on the same scene classes, in turn.

Prints one row per quality with medians and spreads; `--json FILE` keeps the rounds, `--ssim` also compares pictures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from services.video_render.application.engine import QUALITIES
from services.video_render.application.planning import ScriptPlanner
from tests.bench.render import runs, similarity


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quality", action="append", choices=sorted(QUALITIES), help="default: medium")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--ssim", action="store_true", help="compare the pictures of the last round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    board = ScriptPlanner().plan("Pythagorean theorem", "prove it visually")
    seconds = sum(scene.duration_s for scene in board.scenes)
    print(f"{len(board.scenes)} scenes, about {seconds:.0f} s of video, {options.rounds} rounds\n")
    print("| quality | manim, one by one | manim, 2 at a time | t2m cold | t2m | ratio | ratio, peer 2 at a time |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    report: dict[str, list[dict[str, float]]] = {}
    for quality in options.quality or ["medium"]:
        rung = QUALITIES[quality]
        with tempfile.TemporaryDirectory(prefix="t2m-bench-") as folder:
            rounds = [runs.round_of(board, rung, Path(folder), options.processes) for _ in range(options.rounds)]
            report[quality] = rounds
            print(_row(rung.name, rounds), flush=True)
            if options.ssim:
                print(f"\n{similarity.report(Path(folder), len(board.scenes))}\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _row(name: str, rounds: list[dict[str, float]]) -> str:
    def cell(key: str) -> str:
        values = [entry[key] for entry in rounds]
        return f"{statistics.median(values):.1f} s ({min(values):.1f}-{max(values):.1f})"

    def ratio(key: str) -> str:
        return f"{statistics.median(entry[key] / entry['t2m'] for entry in rounds):.1f}"

    times = " | ".join(cell(key) for key in ("peer", "peer_parallel", "t2m_cold", "t2m"))
    return f"| {name} | {times} | **{ratio('peer')}** | {ratio('peer_parallel')} |"


if __name__ == "__main__":
    main()
