"""The process that draws one scene."""

from __future__ import annotations

import os
import traceback
from multiprocessing.connection import Connection

from services.video_render.adapters.process.lifeline import die_with_parent, end_if_orphaned
from services.video_render.adapters.process.messages import Draw, Drawn, Failed, Frames
from services.video_render.adapters.process.output import capture
from services.video_render.application.engine import SceneFailed, SceneRenderer


def draw(renderer: SceneRenderer, order: Draw, report: Connection, zygote: int) -> int:
    """Draw the scene and report; the exit status: 0 when a result (or a `SceneFailed`) was reported."""
    os.setpgid(0, 0)
    die_with_parent(zygote)
    capture(order.out_dir)

    def on_frames(done: int, total: int) -> None:
        end_if_orphaned(zygote)
        report.send(Frames(done, total))

    try:
        output = renderer.render(order.storyboard, order.index, order.rung, order.out_dir, on_frames)
        report.send(Drawn(output))
    except SceneFailed as exc:
        report.send(Failed(exc))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
