"""`python -m tests.bench.render.cold storyboard.json 720p folder processes`: the engine from a cold start."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from services.video_render.application.engine import QUALITIES
from services.video_render.domain.storyboard import Storyboard
from tests.bench.render import runs

if __name__ == "__main__":
    spec, rung_name, folder, processes = sys.argv[1:]
    board = Storyboard.from_dict(json.loads(Path(spec).read_text(encoding="utf-8")))
    rung = next(rung for rung in QUALITIES.values() if rung.name == rung_name)
    runs.t2m(board, rung, Path(folder), int(processes))
