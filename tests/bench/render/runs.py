"""One round of the benchmark: each contender renders the whole storyboard to one MP4."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.video_render.adapters.manim.scene_renderer import ManimSceneRenderer
from services.video_render.adapters.media import AvMediaTools
from services.video_render.application.engine import Ladder, Rung
from services.video_render.domain.storyboard import Storyboard

_FLAG = {"480p": "-ql", "720p": "-qm", "1080p": "-qh"}
_ROOT = Path(__file__).parents[3]


def round_of(board: Storyboard, rung: Rung, folder: Path, processes: int) -> dict[str, float]:
    """Wall seconds of every contender. t2m comes last, so a warming machine favours nobody twice."""
    return {
        "peer": _timed(lambda: peer(board, rung, folder / "peer", 1)),
        "t2m_cold": _timed(lambda: t2m_cold(board, rung, folder / "cold", processes)),
        "peer_parallel": _timed(lambda: peer(board, rung, folder / "peer2", processes)),
        "t2m": t2m(board, rung, folder / "t2m", processes),
    }


def _timed(work: object) -> float:
    assert callable(work)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peer(board: Storyboard, rung: Rung, folder: Path, at_once: int) -> None:
    """`manim` per scene from its command line, then concatenation by stream copy."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "storyboard.json"
    spec.write_text(json.dumps(board.to_dict()), encoding="utf-8")
    environment = os.environ | {"T2M_BENCH_STORYBOARD": str(spec), "PYTHONPATH": str(_ROOT)}

    def one(index: int) -> Path:
        command = [sys.executable, "-m", "manim", "render", _FLAG[rung.name], "--disable_caching"]
        command += ["--progress_bar", "none", "-v", "ERROR", "--media_dir", str(folder), "-o", f"scene_{index}"]
        command += [str(_ROOT / "tests/bench/render/peer_scenes.py"), f"Scene{index}"]
        subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True)
        return next(path for path in folder.rglob(f"scene_{index}.mp4") if "partial" not in str(path))

    with ThreadPoolExecutor(at_once) as pool:
        scenes = list(pool.map(one, range(len(board.scenes))))
    AvMediaTools().assemble(scenes, folder / "video.mp4", [])


def t2m(board: Storyboard, rung: Rung, folder: Path, processes: int) -> float:
    """The engine as the service runs it: imported before the fork, so the import is not part of the time."""
    renderer = ManimSceneRenderer()
    renderer.preload()
    return _timed(lambda: _render(renderer, board, rung, folder, processes))


def t2m_cold(board: Storyboard, rung: Rung, folder: Path, processes: int) -> None:
    """The engine in a new interpreter that imports everything first."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / "storyboard.json"
    spec.write_text(json.dumps(board.to_dict()), encoding="utf-8")
    command = [sys.executable, "-m", "tests.bench.render.cold", str(spec), rung.name, str(folder), str(processes)]
    subprocess.run(command, check=True, cwd=_ROOT)


def _render(renderer: ManimSceneRenderer, board: Storyboard, rung: Rung, folder: Path, processes: int) -> None:
    """Longest scenes first, so that no process is left alone at the end."""
    order = sorted(range(len(board.scenes)), key=lambda index: -board.scenes[index].duration_s)
    jobs = [(renderer, board, index, (rung,), folder / str(index)) for index in order]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.map(_render_one, jobs, chunksize=1)
    segments: Sequence[Path] = [folder / str(index) / f"{rung.name}.mp4" for index in range(len(board.scenes))]
    AvMediaTools().assemble(segments, folder / "video.mp4", [])


def _render_one(job: tuple[ManimSceneRenderer, Storyboard, int, Ladder, Path]) -> None:
    renderer, board, index, ladder, folder = job
    renderer.render(board, index, ladder, folder, lambda done, total: None)
