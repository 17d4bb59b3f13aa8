"""Everything that is kept of a user, as members of an archive that is made while it is sent (A8)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol

import orjson

from services.job.application.ports import Clock
from services.job.domain.errors import ExportRunning


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive. Its content is read once, after that of the members before it."""

    path: str
    content: AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Part of what auth keeps: (section, JSON) of each record."""

    records: list[tuple[str, str]]
    next_page_token: str


class AccountRecords(Protocol):
    """auth, as seen from here. Raises NeighbourAway."""

    async def page(self, owner_id: str, page_token: str) -> AccountPage:
        """The page; records of one section follow one another."""
        ...


@dataclass(frozen=True, slots=True)
class KeptFile:
    """An object of the user in storage."""

    object_id: str
    kind: str
    job_id: str
    filename: str
    description: Mapping[str, object]


class KeptFiles(Protocol):
    """storage, as seen from here. Raises NeighbourAway."""

    async def page(self, owner_id: str, page_token: str) -> tuple[list[KeptFile], str]:
        """A page of everything that is kept of the owner, and the token of the next."""
        ...

    def read(self, owner_id: str, object_id: str) -> AsyncGenerator[bytes]:
        """The bytes; none when it was deleted meanwhile."""
        ...


class OwnedRecords(Protocol):
    """The rows of this service."""

    def members(self) -> list[str]:
        """Paths of the members."""
        ...

    def lines(self, member: str, owner_id: str) -> AsyncGenerator[bytes]:
        """The rows of a member as JSON, one a line."""
        ...


class ExportTurns(Protocol):
    """One export of a user at a time."""

    def take(self, owner_id: str) -> AbstractAsyncContextManager[bool]:
        """Whether it is the user's only one; it holds until the block ends, or the process dies."""
        ...


Pack = Callable[[AsyncIterable[Member], datetime], AsyncGenerator[bytes]]
"""Members, and when they were made → the bytes of an archive."""

LEFT_OUT = frozenset({"segment"})
"""Kinds of objects that are in an export by name only: the video is made of them."""

README = """This is everything that is kept of you, as of {moment}.

account/    what the account has: profile, sessions, API keys, subscription, credits, and the audit trail of what you
            did. Secrets are not here: they are kept as digests only.
jobs/       your orders, their history, logs, storyboards.
batches/    your batches of orders.
webhooks/   where you wanted to be told, and what was sent there.
files/      the files that you uploaded.
videos/     what was made for you, by job.
objects.ndjson    a description of every file and video, and of parts of videos that are kept for a while.
manifest.json     path, length and SHA-256 of every member but itself.

Members that end in .ndjson have one JSON object a line.
"""


@dataclass(slots=True)
class _Manifest:
    entries: list[dict[str, object]] = field(default_factory=list)

    async def counted(self, member: Member) -> AsyncIterator[bytes]:
        """The content as it passes, measured."""
        digest, size = hashlib.sha256(), 0
        async for chunk in member.content:
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        self.entries.append({"path": member.path, "size_bytes": size, "sha256": digest.hexdigest()})

    def to_json(self) -> bytes:
        return orjson.dumps({"members": self.entries}, option=orjson.OPT_INDENT_2)


class Export:
    """The use case behind `ExportService`. Memory is constant: a chunk, or a page of rows, is in hand."""

    def __init__(
        self,
        accounts: AccountRecords,
        records: OwnedRecords,
        files: KeptFiles,
        turns: ExportTurns,
        pack: Pack,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._records = records
        self._files = files
        self._turns = turns
        self._pack = pack
        self._clock = clock

    async def __call__(self, owner_id: str) -> AsyncGenerator[bytes]:
        """The archive. What fails first fails before the first byte: the neighbours are asked before.

        Raises ExportRunning, NeighbourAway.
        """
        async with self._turns.take(owner_id) as mine:
            if not mine:
                raise ExportRunning
            account = await self._accounts.page(owner_id, "")
            await self._files.page(owner_id, "")
            now = self._clock.now()
            async for chunk in self._pack(self._members(owner_id, account, now), now):
                yield chunk

    async def _members(self, owner_id: str, account: AccountPage, now: datetime) -> AsyncIterator[Member]:
        manifest = _Manifest()
        readme = README.format(moment=f"{now:%Y-%m-%d %H:%M:%S} UTC").encode()
        yield _measured(manifest, Member("README.txt", _once(readme)))
        sections = _Sections(self._accounts, owner_id, account)
        while (section := await sections.next()) is not None:
            yield _measured(manifest, Member(f"account/{section}.ndjson", sections.lines()))
        for path in self._records.members():
            yield _measured(manifest, Member(path, self._records.lines(path, owner_id)))
        yield _measured(manifest, Member("objects.ndjson", self._descriptions(owner_id)))
        async for member in self._contents(owner_id):
            yield _measured(manifest, member)
        yield Member("manifest.json", _later(manifest.to_json))

    async def _descriptions(self, owner_id: str) -> AsyncIterator[bytes]:
        async for file in self._all_files(owner_id):
            yield orjson.dumps(file.description) + b"\n"

    async def _contents(self, owner_id: str) -> AsyncIterator[Member]:
        async for file in self._all_files(owner_id):
            if file.kind not in LEFT_OUT:
                yield Member(path_of(file), self._files.read(owner_id, file.object_id))

    async def _all_files(self, owner_id: str) -> AsyncIterator[KeptFile]:
        token = ""
        while True:
            found, token = await self._files.page(owner_id, token)
            for file in found:
                yield file
            if not token:
                return


class _Sections:
    """The sections of an account, each read to its end before the next, over pages that do not know of sections."""

    def __init__(self, accounts: AccountRecords, owner_id: str, first: AccountPage) -> None:
        self._accounts = accounts
        self._owner_id = owner_id
        self._records = list(reversed(first.records))
        self._token = first.next_page_token

    async def next(self) -> str | None:
        """The section of the next record; None at the end."""
        while not self._records:
            if not self._token:
                return None
            page = await self._accounts.page(self._owner_id, self._token)
            self._records, self._token = list(reversed(page.records)), page.next_page_token
        return self._records[-1][0]

    async def lines(self) -> AsyncIterator[bytes]:
        """The records of that section, one a line."""
        section = await self.next()
        while section is not None and await self.next() == section:
            yield self._records.pop()[1].encode() + b"\n"


def path_of(file: KeptFile) -> str:
    """Where the bytes of an object are. Names come from users, who may call a file anything but a path."""
    name = PurePosixPath(file.filename.replace("\\", "_")).name or "file"
    if name in (".", ".."):
        name = "file"
    if file.job_id:
        return f"videos/{file.job_id}/{file.object_id}/{name}"
    return f"files/{file.object_id}/{name}"


def _measured(manifest: _Manifest, member: Member) -> Member:
    return Member(member.path, manifest.counted(member))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _later(content: Callable[[], bytes]) -> AsyncIterator[bytes]:
    yield content()
