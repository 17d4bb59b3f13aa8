"""The `SceneRenderer` port over Manim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.video_render.adapters.manim import version
from services.video_render.adapters.media import codecs, fmp4
from services.video_render.adapters.media.encoder import GOP_SECONDS, LadderEncoder
from services.video_render.adapters.media.stills import save_still
from services.video_render.application.engine import (
    Ladder,
    OnFrames,
    Rung,
    SceneFailed,
    SceneOutput,
    SegmentOutput,
)
from services.video_render.domain.storyboard import Scene, Storyboard


class ManimSceneRenderer:
    """Draws scenes with trusted templates. Re-entrant: one process may render many scenes at different rungs.

    Manim's configuration is set for the time of one render only and points into `out_dir`; nothing is written
    elsewhere.
    """

    @property
    def engine_version(self) -> str:
        """See `SceneRenderer.engine_version`."""
        return version.engine_version()

    def preload(self) -> None:
        """Import Manim and the templates (seconds) and read the fonts, so that forked workers have them."""
        from services.video_render.adapters.manim import scene_drawing

        scene_drawing.warm_up()

    def render(
        self, storyboard: Storyboard, index: int, ladder: Ladder, out_dir: Path, on_frames: OnFrames
    ) -> SceneOutput:
        """See `SceneRenderer.render`."""
        from services.video_render.adapters.manim import scene_drawing
        from services.video_render.adapters.manim.typesetter import SceneUndrawable

        scene, rung = storyboard.scenes[index], ladder[0]
        out_dir.mkdir(parents=True, exist_ok=True)
        poster = out_dir / "poster.png"
        progress = _Progress(scene, rung, on_frames)
        try:
            with LadderEncoder(out_dir, ladder) as encoder:
                drawn = scene_drawing.draw(
                    scene, storyboard.theme_of(scene), rung, out_dir, encoder, progress, storyboard.language
                )
        except SceneUndrawable as error:
            raise SceneFailed(error.code, f"{scene.kind}: {error}", retryable=False) from error
        except MemoryError:  # some libraries' are an OSError too
            raise
        except OSError as error:
            raise SceneFailed("ENCODE_FAILED", str(error), retryable=True) from error
        except Exception as error:
            message = f"{scene.kind}: {type(error).__name__}: {error}"
            raise SceneFailed("RENDER_FAILED", message, retryable=True) from error
        save_still(drawn.poster, poster)
        on_frames(encoder.frames, encoder.frames)
        segments = tuple(_segment(out_dir / f"{each.name}.mp4", each, rung, encoder.frames) for each in ladder)
        return SceneOutput(segments, encoder.frames, encoder.frames / rung.fps, poster, tuple(drawn.warnings))


def _segment(path: Path, rung: Rung, top: Rung, frames: int) -> SegmentOutput:
    """What was written for a rung, while the top one has so many frames."""
    found = fmp4.layout(path)
    frames = frames * rung.fps // top.fps
    return SegmentOutput(
        rung, path, codecs.of_file(path), frames, found.head_bytes, found.sizes, rung.fps * GOP_SECONDS
    )


class _Progress:
    """Turns a count of frames into (done, expected): expected is the target, or more once that is passed."""

    def __init__(self, scene: Scene, rung: Rung, on_frames: OnFrames) -> None:
        self._expected = max(round(scene.duration_s * rung.fps), 1)
        self._on_frames = on_frames

    def __call__(self, done: int, *_: Any) -> None:
        self._on_frames(done, max(self._expected, done + 1))
