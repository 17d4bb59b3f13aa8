"""Names and ids that users make up: refused, or harmless wherever they end up (S5)."""

from __future__ import annotations

import posixpath
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.byte_ranges import content_disposition
from services.storage.adapters.filesystem import disk
from services.storage.adapters.s3.store import disposition
from services.storage.application.file_intake import AnnouncedFile
from services.storage.application.ports import Presentation
from services.storage.domain.errors import FileQuotaExceeded, InvalidInput, ObjectTooLarge, UnsupportedContent
from services.storage.domain.files import (
    PART_BYTES,
    FilePlan,
    FilePlans,
    FileUsage,
    check_announced_type,
    check_room,
    clean_name,
    part_length,
)
from services.storage.domain.keys import is_own_key, make_key
from services.storage.domain.objects import ArtifactKind, Bucket, Placement

ID = "01890000-0000-7000-8000-000000000001"
NOW = datetime(2030, 1, 2, tzinfo=UTC)

REFUSED = [
    "", " ", "\t", ".", "..", "...", "/", "\\", "../x", "..\\x", "../../../../etc/passwd", "/etc/passwd", "a/../b",
    "a//b",
    "C:\\Windows\\win.ini", "\\\\host\\share", "a/b.png", "a\\b.png", "file:///etc/passwd", "..;/x", "x\0.png", "\0",
    "x.png\0.txt", "a\r\nSet-Cookie: a=b", "a\nb", "a\rb", "a\x1b[31m", "\x7f", "a\x85b", "a\u2028b", "a\u2029b",
    "\u202egnp.exe", "a\u202ab", "a\u2066b\u2069", "a\u200eb", "a\u200fb", "a\ufeffb", "a\u00adb", "a\u2060b", "\ud800",
    "a\ue000b", "a\ufffeb", "x" * 256, "映" * 256, "a\u180eb", "a\U000e0041b",
]  # fmt: skip
HARMLESS = [
    "a.png", "Größe 映画 “π” – ½.pdf", "..a", "a..b", ".hidden", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cx",
    "%00.png",
    "..%c0%af..%c0%afetc", "CON", "NUL.txt", "aux", "COM1.pdf", "a.png.exe", "x;rm -rf ~", "$(id)", "`id`", "a|b", "*?",
    '"; filename="evil.exe', "a\"b'c", "a%0d%0aSet-Cookie: x", "<script>alert(1)",
    "' OR 1=1 --", "{{7*7}}", "${jndi:x}",
    "~root", "-rf", "x" * 255, "family 👩\u200d👩\u200d👧.png", "a:b", "a\u00a0b", "e\u0301.txt", "＿．．／x",
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_S5_names_that_lead_elsewhere_or_hide_something_are_refused(name: str) -> None:
    """S5: by the name of the field."""
    with pytest.raises(InvalidInput) as caught:
        AnnouncedFile("u1", name, 1).checked(FilePlan())
    assert [field for field, _ in caught.value.field_violations] == ["filename"]


@pytest.mark.parametrize("name", HARMLESS, ids=ascii)
def test_S5_other_names_are_only_names(name: str, tmp_path: Path) -> None:
    """S5: never in a key; one header of one line that names nothing else."""
    cleaned = clean_name(name)
    assert clean_name(cleaned) == cleaned
    command = AnnouncedFile("u1", cleaned, 1).command("r1")
    key = make_key(command.placement, ID, command.content_type, NOW)
    assert key == f"users/u1/files/file/000000-{ID}.bin"
    for header in (content_disposition(cleaned, inline=False), disposition(Presentation(cleaned))):
        assert header.isascii()
        assert header.isprintable()
        quoted = header.split('"')
        assert quoted[0] == "attachment; filename="
        assert quoted[2] == "" or quoted[2].startswith("; filename*=UTF-8''")
        assert len(quoted) == 3 or quoted[1].endswith("\\")
        assert "/" not in quoted[1]


@pytest.mark.parametrize(
    "evil",
    [
        "",
        ".",
        "..",
        "../u2",
        "a/b",
        "a\\b",
        "a\0",
        "a\r\n",
        "%2e%2e",
        "a b",
        "ü",
        "x" * 65,
        "~",
        "$HOME",
        "a.b",
    ],
    ids=ascii,
)
def test_S5_ids_that_are_none_never_become_keys(evil: str, tmp_path: Path) -> None:
    """S5: as owner, as upload (the job of a part), as object; nor does the disk take such a key."""
    for owner, upload, object_id in ((evil, ID, ID), ("u1", evil, ID), ("u1", ID, evil)):
        if (owner, object_id) == ("u1", ID) and not upload:
            continue  # an object of no job
        with pytest.raises(InvalidInput):
            make_key(Placement(owner, upload, Bucket.TEMP, ArtifactKind.FILE_PART), object_id, "", NOW)
    key = f"users/{evil}/files/file/000000-{ID}.bin"
    assert not is_own_key(Bucket.CODE, key)
    if evil not in ("a/b", "a.b", "x" * 65):  # names like others to the disk, in their own folder
        with pytest.raises(ValueError, match="safe"):
            disk.locate(tmp_path, "bucket", key)
    else:
        path = str(disk.locate(tmp_path, "bucket", key))
        assert posixpath.normpath(path).startswith(f"{tmp_path}/bucket/")


def test_S5_keys_of_files_and_parts_are_recognised_as_our_own() -> None:
    """S6: the orphan sweep may then look after them."""
    part = Placement("u1", ID, Bucket.TEMP, ArtifactKind.FILE_PART, fence=8 * PART_BYTES)
    assert is_own_key(Bucket.TEMP, make_key(part, ID, "image/png", NOW))
    file = Placement("u1", "", Bucket.CODE, ArtifactKind.FILE)
    assert is_own_key(Bucket.CODE, make_key(file, ID, "application/octet-stream", NOW))


@pytest.mark.parametrize(("used", "wanted", "quota"), [((3, 0), 1, "files"), ((2, 90), 11, "bytes"), ((2, 90), 10, "")])
def test_S5_the_quota_of_a_plan(used: tuple[int, int], wanted: int, quota: str) -> None:
    """S5: the last file and the last byte still fit."""
    plan = FilePlan(max_files=3, max_total_bytes=100)
    if not quota:
        check_room(FileUsage(*used), wanted, plan)
        return
    with pytest.raises(FileQuotaExceeded) as caught:
        check_room(FileUsage(*used), wanted, plan)
    assert caught.value.metadata["quota"] == quota


def test_S5_plans_by_name() -> None:
    """S5: who has none, or one that is not configured, has the default one."""
    plans = FilePlans({"pro": FilePlan(max_files=7)})
    assert (plans.of("pro").max_files, plans.of(""), plans.of("gold")) == (7, FilePlan(), FilePlan())
    with pytest.raises(ObjectTooLarge):
        AnnouncedFile("u1", "a", 11).checked(FilePlan(max_file_bytes=10))
    with pytest.raises(InvalidInput):
        AnnouncedFile("u1", "a", 0).checked(FilePlan())


def test_S5_the_type_that_a_client_supposes() -> None:
    """S5: it refuses early what could not be accepted anyway, and decides nothing else."""
    for fine in ("", "image/png", "text/markdown", "application/octet-stream"):
        check_announced_type(fine)
    with pytest.raises(UnsupportedContent):
        check_announced_type("image/svg+xml")


@pytest.mark.parametrize(
    ("size", "offset", "length"),
    [(10, 0, 10), (PART_BYTES, 0, PART_BYTES), (PART_BYTES + 1, PART_BYTES, 1), (10, 1, 0), (10, -1, 0), (10, 10, 0),
     (PART_BYTES, PART_BYTES, 0), (10, -PART_BYTES, 0)],
)  # fmt: skip
def test_S5_parts_begin_where_they_must(size: int, offset: int, length: int) -> None:
    """S5."""
    if length:
        assert part_length(size, offset) == length
        return
    with pytest.raises(InvalidInput):
        part_length(size, offset)
