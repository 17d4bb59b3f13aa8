"""The process that draws one scene."""

from __future__ import annotations

import os
import traceback
from multiprocessing.connection import Connection

from services.video_render.adapters.process import memory
from services.video_render.adapters.process.lifeline import die_with_parent, end_if_orphaned
from services.video_render.adapters.process.messages import Draw, Drawn, Failed, Frames
from services.video_render.adapters.process.output import capture
from services.video_render.application.engine import SceneFailed, SceneRenderer

_MIB = 1024 * 1024


def draw(renderer: SceneRenderer, order: Draw, report: Connection, zygote: int, memory_bytes: int) -> int:
    """Draw the scene and report; the exit status: 0 when a result (or a `SceneFailed`) was reported.

    Takes at most `memory_bytes`, if not 0.
    """
    os.setpgid(0, 0)
    die_with_parent(zygote)
    capture(order.out_dir)
    memory.be_expendable()
    memory.limit(memory_bytes)

    def on_frames(done: int, total: int) -> None:
        end_if_orphaned(zygote)
        report.send(Frames(done, total))

    try:
        output = renderer.render(order.storyboard, order.index, order.ladder, order.out_dir, on_frames)
        report.send(Drawn(output))
    except SceneFailed as exc:
        report.send(Failed(exc))
    except MemoryError:
        traceback.print_exc()
        message = f"the scene needs more than the {memory_bytes // _MIB} MiB that it may take"
        report.send(Failed(SceneFailed("OUT_OF_MEMORY", message, retryable=False)))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
