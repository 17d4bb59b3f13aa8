"""The `Spool` on this machine's disk: a folder for each scene, whole or not there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from services.video_render.adapters.storage.hashing import sha256_of
from services.video_render.application.engine import AudioOutput, Rung, SceneOutput, SegmentOutput
from services.video_render.application.ports import DrawnScene
from services.video_render.domain.captions import Caption

_log = structlog.get_logger(__name__)
_MANIFEST = "scene.json"
_PART = ".part"
_KEPT_S = 7 * 86_400.0


class DiskSpool:
    """Scenes under `root`, at most `max_bytes` of them together.

    What nobody has asked for in seven days is removed: its job has ended, or another machine has drawn it. A folder
    gets its name when it is complete; checksums tell whether a crash of the machine has taken anything from it.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root / "spool"
        self._max_bytes = max_bytes

    async def put(self, name: str, scene: DrawnScene) -> bool:
        """Keep the scene; False when that would be too much, or the disk is full."""
        return await asyncio.to_thread(self._put, name, scene)

    async def take(self, name: str, folder: Path) -> DrawnScene | None:
        """Bring the scene's files into a folder; what is damaged is removed."""
        return await asyncio.to_thread(self._take, name, folder)

    async def drop(self, name: str) -> None:
        """Forget the scene."""
        await asyncio.to_thread(shutil.rmtree, self._root / name, True)

    def _put(self, name: str, scene: DrawnScene) -> bool:
        kept, part = self._root / name, self._root / f"{name}.{os.getpid()}{_PART}"
        if kept.exists():  # It was taken from here, and is complete.
            os.utime(kept)
            return True
        paths = list(_paths(scene))
        try:
            self._purge()
            if self._size() + sum(path.stat().st_size for path in paths) > self._max_bytes:
                _log.warning("the spool is full", max_bytes=self._max_bytes)
                return False
            part.mkdir(parents=True)
            for path in paths:
                _link(path, part / path.name)
            sums = {path.name: sha256_of(path) for path in paths}
            manifest = {"scene": asdict(scene), "sha256": sums}
            (part / _MANIFEST).write_text(json.dumps(manifest, default=_name), encoding="utf-8")
            part.rename(kept)
        except OSError as error:
            _log.warning("the spool takes nothing", error=str(error))
            shutil.rmtree(part, ignore_errors=True)
            return kept.exists()
        return True

    def _take(self, name: str, folder: Path) -> DrawnScene | None:
        kept = self._root / name
        try:
            manifest = json.loads((kept / _MANIFEST).read_text(encoding="utf-8"))
            for file, sha256 in manifest["sha256"].items():
                if sha256_of(kept / file) != sha256:
                    raise ValueError(f"{file} is damaged")
                _link(kept / file, folder / file)
            return _scene(manifest["scene"], folder)
        except FileNotFoundError:
            pass  # Nothing is here, or a part of it is gone.
        except (OSError, ValueError, TypeError, KeyError) as error:
            _log.warning("a spooled scene cannot be used", scene=name, error=repr(error))
        shutil.rmtree(kept, ignore_errors=True)
        return None

    def _size(self) -> int:
        total = 0
        for path in self._root.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def _purge(self) -> None:
        for path in self._root.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _KEPT_S:
                    shutil.rmtree(path, ignore_errors=True)


def _paths(scene: DrawnScene) -> Iterator[Path]:
    for segment in scene.output.segments:
        yield segment.path
    yield scene.output.poster
    if scene.audio is not None:
        yield scene.audio.path


def _link(source: Path, target: Path) -> None:
    """A second name where the file system can do that, else a copy: neither is ever written to."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _name(value: Any) -> str:
    if isinstance(value, Path):
        return value.name
    raise TypeError(type(value).__name__)


def _scene(value: dict[str, Any], folder: Path) -> DrawnScene:
    output, audio = value["output"], value["audio"]
    segments = tuple(_segment(each, folder) for each in output["segments"])
    typed = {"segments": segments, "poster": folder / output["poster"], "warnings": tuple(output["warnings"])}
    return DrawnScene(
        output=SceneOutput(**{**output, **typed}),
        audio=AudioOutput(**_placed(audio, folder)) if audio else None,
        captions=tuple(Caption(**each) for each in value["captions"]),
        warning=value["warning"],
    )


def _segment(value: dict[str, Any], folder: Path) -> SegmentOutput:
    return SegmentOutput(**{**_placed(value, folder), "rung": Rung(**value["rung"])})


def _placed(value: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {**value, "path": folder / value["path"], "fragment_bytes": tuple(value["fragment_bytes"])}
