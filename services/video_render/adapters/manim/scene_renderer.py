"""The `SceneRenderer` port over Manim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.video_render.adapters.manim import version
from services.video_render.adapters.media.encoder import SegmentEncoder
from services.video_render.adapters.media.stills import save_still
from services.video_render.application.engine import OnFrames, Rung, SceneFailed, SceneOutput
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

    def render(self, storyboard: Storyboard, index: int, rung: Rung, out_dir: Path, on_frames: OnFrames) -> SceneOutput:
        """See `SceneRenderer.render`."""
        from services.video_render.adapters.manim import scene_drawing
        from services.video_render.adapters.manim.typesetter import TypesettingFailed

        scene = storyboard.scenes[index]
        out_dir.mkdir(parents=True, exist_ok=True)
        segment, poster = out_dir / "segment.mp4", out_dir / "poster.png"
        progress = _Progress(scene, rung, on_frames)
        try:
            with SegmentEncoder(segment, rung.width, rung.height, rung.fps) as encoder:
                drawn = scene_drawing.draw(
                    scene, storyboard.theme_of(scene), rung, out_dir, encoder, progress, storyboard.language
                )
        except TypesettingFailed as error:
            raise SceneFailed("TYPESETTING_FAILED", f"{scene.kind}: {error}", retryable=False) from error
        except MemoryError:  # some libraries' are an OSError too
            raise
        except OSError as error:
            raise SceneFailed("ENCODE_FAILED", str(error), retryable=True) from error
        except Exception as error:
            message = f"{scene.kind}: {type(error).__name__}: {error}"
            raise SceneFailed("RENDER_FAILED", message, retryable=True) from error
        save_still(drawn.poster, poster)
        on_frames(encoder.frames, encoder.frames)
        return SceneOutput(segment, encoder.frames, encoder.frames / rung.fps, poster, tuple(drawn.warnings))


class _Progress:
    """Turns a count of frames into (done, expected): expected is the target, or more once that is passed."""

    def __init__(self, scene: Scene, rung: Rung, on_frames: OnFrames) -> None:
        self._expected = max(round(scene.duration_s * rung.fps), 1)
        self._on_frames = on_frames

    def __call__(self, done: int, *_: Any) -> None:
        self._on_frames(done, max(self._expected, done + 1))
