"""DOCX: a ZIP archive with just what a document needs, that unpacks to a bounded size."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import IO

from services.storage.adapters.inspection.findings import refused
from services.storage.domain.errors import InvalidInput, UnsupportedContent

_MAX_MEMBERS = 2000
_MAX_RATIO = 200
_RATIO_FROM = 1024 * 1024
"""A small member may shrink as it likes."""
_BLOCK = 64 * 1024
_ENCRYPTED = 0x1
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_TYPES, _MAIN = "[Content_Types].xml", "word/document.xml"
_MAIN_TYPE = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_NESTED = (b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"\xd0\xcf\x11\xe0", b"MZ", b"\x7fELF")
"""Archives, the older office format that may carry macros, programs."""
_ENTITIES = (b"<!DOCTYPE", b"<!ENTITY")
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0<", b"<\0")
"""How XML in UTF-16 begins, in which the words above would not be found."""


def check_docx(file: IO[bytes], max_bytes: int) -> None:
    """Unpack all of it, to nowhere. Raises InvalidInput, and UnsupportedContent for another archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_directory(archive, members, max_bytes)
            names = {member.filename for member in members}
            if _TYPES not in names or _MAIN not in names:
                raise UnsupportedContent("an archive that is no DOCX")
            _check_layout(file, members)
            for member in members:
                _check_member(archive, member)
            if _MAIN_TYPE not in archive.read(_TYPES):
                raise UnsupportedContent("an office document that is no plain DOCX")
    except (InvalidInput, UnsupportedContent):
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise refused("is a broken archive") from error


def _check_directory(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    """What the archive says of itself; nothing is unpacked yet."""
    if len(members) > _MAX_MEMBERS:
        raise refused(f"is an archive of {len(members)} members; {_MAX_MEMBERS} are allowed")
    if sum(member.file_size for member in members) > max_bytes:
        raise refused(f"is an archive that unpacks to more than {max_bytes} bytes")
    if archive.comment:
        raise refused("is an archive with something behind it")
    names = [member.filename.casefold() for member in members]
    if len(set(names)) != len(names):
        raise refused("is an archive with two members of one name")
    for member in members:
        if not _is_safe(member.orig_filename):
            raise refused("is an archive with a member whose name leads elsewhere")
        if member.flag_bits & _ENCRYPTED:
            raise refused("is an encrypted archive")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refused("is an archive packed in an unusual way")
        if member.file_size > max(_RATIO_FROM, member.compress_size * _MAX_RATIO):
            raise refused("is an archive with a member that unpacks to far more than it takes")
        if member.filename.casefold().endswith("vbaproject.bin"):
            raise refused("must not have macros")


def _is_safe(name: str) -> bool:
    parts = name.removesuffix("/").split("/")
    return name.isprintable() and not {"", ".", ".."} & set(parts) and "\\" not in name and ":" not in name


def _check_layout(file: IO[bytes], members: list[zipfile.ZipInfo]) -> None:
    """The members follow one another from the first byte on, and none shares bytes with another."""
    position = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < position or (position == 0 and member.header_offset != 0):
            raise refused("is an archive whose members overlap")
        file.seek(member.header_offset)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        position = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length + member.compress_size


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Unpack it; `zipfile` stops at the length that the directory says, and compares the checksum."""
    is_xml = member.filename.casefold().endswith((".xml", ".rels"))
    tail = b""
    with archive.open(member) as data:
        first = True
        while block := data.read(_BLOCK):
            if first and (block.startswith(_NESTED) or (is_xml and block.startswith(_WIDE))):
                raise refused(f"is an archive with a member that is not accepted: {member.filename!a}")
            first = False
            if is_xml and any(word in tail + block for word in _ENTITIES):
                raise refused("is a document that defines entities")
            tail = block[-16:]
