"""Files of users: what they may be, how they may be called, and how many a plan allows. Pure Python."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from services.storage.domain.errors import FileQuotaExceeded, InvalidInput, ObjectTooLarge, UnsupportedContent

_MIB = 1024 * 1024
DEFAULT_PLAN = "free"

PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"
PDF = "application/pdf"
TEXT = "text/plain"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ACCEPTED_TYPES = frozenset({PNG, JPEG, WEBP, PDF, TEXT, DOCX})
UNKNOWN = "application/octet-stream"
_MAY_BE_ANNOUNCED = ACCEPTED_TYPES | {UNKNOWN, "text/markdown"}

PART_BYTES = 8 * _MIB
"""Length of the parts of an upload, but the last."""
_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What one user of a plan may have. Lengths in bytes."""

    max_file_bytes: int = 25 * _MIB
    max_files: int = 100
    max_total_bytes: int = 500 * _MIB


@dataclass(frozen=True, slots=True)
class FileUsage:
    """What one user has, uploads under way included."""

    files: int
    total_bytes: int


class FilePlans:
    """The plans of the deployment; an unknown one is the default one."""

    def __init__(self, plans: Mapping[str, FilePlan] | None = None) -> None:
        self._plans = {DEFAULT_PLAN: FilePlan(), **(plans or {})}

    def of(self, name: str) -> FilePlan:
        """The plan of this name."""
        return self._plans.get(name) or self._plans[DEFAULT_PLAN]


def check_size(size_bytes: int, plan: FilePlan) -> None:
    """Raises InvalidInput for an empty file, ObjectTooLarge."""
    if size_bytes < 1:
        raise InvalidInput([("size_bytes", "must be at least 1")])
    if size_bytes > plan.max_file_bytes:
        raise ObjectTooLarge(plan.max_file_bytes)


def check_room(used: FileUsage, wanted_bytes: int, plan: FilePlan) -> None:
    """Whether one more file fits. Raises FileQuotaExceeded."""
    if used.files + 1 > plan.max_files:
        raise FileQuotaExceeded("files", used.files, plan.max_files)
    if used.total_bytes + wanted_bytes > plan.max_total_bytes:
        raise FileQuotaExceeded("bytes", used.total_bytes, plan.max_total_bytes)


def check_announced_type(content_type: str) -> None:
    """Whether a file of the type that a client supposes can be accepted at all. Raises UnsupportedContent."""
    if content_type and content_type not in _MAY_BE_ANNOUNCED:
        raise UnsupportedContent(content_type)


def clean_name(name: str) -> str:
    """The name in Unicode's composed form, without white space around it.

    It is never part of a path here. Separators, control characters and those that turn the direction of text are
    refused all the same, because a name is shown, and saved under by whoever downloads the file. Raises InvalidInput.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    wrong = ""
    if not cleaned:
        wrong = "must not be empty"
    elif len(cleaned) > _MAX_NAME:
        wrong = f"must have at most {_MAX_NAME} characters"
    elif "/" in cleaned or "\\" in cleaned or not cleaned.strip("."):
        wrong = "must be a name without a path"
    elif not all(_is_plain(mark) for mark in cleaned):
        wrong = "must not have control or invisible characters"
    if wrong:
        raise InvalidInput([("filename", wrong)])
    return cleaned


def _is_plain(mark: str) -> bool:
    """Letters, digits, marks, punctuation, symbols and blanks; joiners too, which several scripts and emoji need."""
    category = unicodedata.category(mark)
    return category[0] in "LMNPS" or category == "Zs" or mark in "\u200c\u200d"


def part_length(size_bytes: int, offset: int) -> int:
    """How long the part of a file at this offset must be. Raises InvalidInput when no part begins there."""
    if offset % PART_BYTES or not 0 <= offset < size_bytes:
        raise InvalidInput([("offset_bytes", f"must be a multiple of {PART_BYTES} below {size_bytes}")])
    return min(PART_BYTES, size_bytes - offset)
