"""Where a client can fetch an object for a limited time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.storage.application.ports import (
    BlobStore,
    Clock,
    ObjectRepository,
    Presentation,
    Purpose,
    Ticket,
    TicketOffice,
)
from services.storage.application.reading import require
from services.storage.domain.errors import InvalidInput
from services.storage.domain.objects import StoredObject

MIN_LIFETIME = timedelta(seconds=1)
DEFAULT_LIFETIME = timedelta(hours=1)
MAX_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Location:
    """An object, the URL that serves it and the ticket that reads it; both end at `expires_at`."""

    found: StoredObject
    url: str
    redirect: bool
    """Whether clients fetch `url` themselves (S3) or are served through `ReadObject` (file system)."""
    ticket: str
    presentation: Presentation
    expires_at: datetime


class LocateObject:
    """Makes locations, and resolves the ticket in a signed URL back to one."""

    def __init__(
        self,
        objects: ObjectRepository,
        blobs: BlobStore,
        tickets: TicketOffice,
        clock: Clock,
        public_url: str,
    ) -> None:
        """`public_url` is where clients reach the gateway, without a path."""
        self._objects = objects
        self._blobs = blobs
        self._tickets = tickets
        self._clock = clock
        self._public_url = public_url.rstrip("/")

    async def create(
        self,
        object_id: str,
        owner_id: str,
        lifetime: timedelta | None,
        presentation: Presentation,
        expires_at: datetime | None = None,
    ) -> Location:
        """A location that works until `expires_at`, else for `lifetime` (None: one hour); to the next whole second.

        With `expires_at` the URL is always this deployment's, as a store's own differs each time it is signed.

        Raises ObjectNotFound, also for another owner's; InvalidInput for an end not in 1 s to 24 h.
        """
        now = self._clock.now()
        until = expires_at or now + (DEFAULT_LIFETIME if lifetime is None else lifetime)
        if not MIN_LIFETIME <= until - now <= MAX_LIFETIME:
            named = "lifetime" if expires_at is None else "expires_at"
            raise InvalidInput([(named, "must be 1 second to 24 hours")])
        found = await require(self._objects, object_id, owner_id)
        if until.microsecond:
            until = until.replace(microsecond=0) + timedelta(seconds=1)
        ticket = Ticket(object_id, owner_id, Purpose.READ, until, presentation)
        text = self._tickets.issue(ticket)
        if expires_at is not None:
            return self._here(found, ticket, text)
        return await self._location(found, ticket, text)

    async def resolve(self, text: str) -> Location:
        """The location that a ticket was made for. Raises TicketInvalid, TicketExpired, ObjectNotFound."""
        ticket = self._tickets.verify(text, Purpose.READ, self._clock.now())
        found = await require(self._objects, ticket.object_id, ticket.owner_id)
        return await self._location(found, ticket, text)

    async def _location(self, found: StoredObject, ticket: Ticket, text: str) -> Location:
        presigned = await self._blobs.presign(
            found.address,
            expires_at=ticket.expires_at,
            content_type=found.content_type,
            presentation=Presentation(
                ticket.presentation.filename or found.filename,
                ticket.presentation.inline,
                ticket.presentation.cache_control,
            ),
        )
        here = self._here(found, ticket, text)
        return here if presigned is None else replace(here, url=presigned, redirect=True)

    def _here(self, found: StoredObject, ticket: Ticket, text: str) -> Location:
        """By a URL of the gateway, which redirects where the store serves clients itself."""
        return Location(
            found=found,
            url=f"{self._public_url}/api/v1/objects/{text}",
            redirect=False,
            ticket=text,
            presentation=ticket.presentation,
            expires_at=ticket.expires_at,
        )
