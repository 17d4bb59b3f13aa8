"""Small files of the data folder: written whole or not at all, private where they hold secrets."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace ``path`` by ``text`` in one rename.

    A reader, or a crash, sees the old content or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    An empty one when the file is missing. TypeError when it is not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise TypeError(f"{path} does not hold a JSON object")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace ``path`` by ``content`` as JSON, mode 0600."""
    write_atomically(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def private_folder(path: Path) -> Path:
    """Create ``path`` with mode 0700 when it is missing (an existing folder keeps its mode) and return it."""
    if not path.is_dir():
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
    return path
