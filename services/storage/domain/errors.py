"""Everything that can go wrong with an object, in the domain's words.

Some carry `field_violations` (pairs of field path and text), `retry_after` or `metadata` for the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta


class StorageError(Exception):
    """Base of all errors of this domain."""


class InvalidInput(StorageError):
    """A value that the caller sent makes no sense; the same input always fails."""

    def __init__(self, field_violations: Iterable[tuple[str, str]]) -> None:
        self.field_violations = tuple(field_violations)
        super().__init__("; ".join(f"{field}: {text}" for field, text in self.field_violations))


class ObjectNotFound(StorageError):
    """No committed object has this id, or it is somebody else's."""

    def __init__(self, object_id: str) -> None:
        super().__init__(f"there is no object {object_id}")
        self.metadata = {"object_id": object_id}


class WriteConflict(StorageError):
    """The request id was used before for a different object."""


class BytesMismatch(StorageError):
    """The bytes that arrived are not the ones that the writer announced."""


class BytesLost(StorageError):
    """The row of an object says committed, its bytes are missing or cut short."""


class ObjectTooLarge(StorageError):
    """The object is larger than this deployment accepts."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"an object may have at most {max_bytes} bytes")
        self.metadata = {"max_bytes": str(max_bytes)}


class StorageFull(StorageError):
    """No room is left for the bytes."""


class StorageUnavailable(StorageError):
    """The place where the bytes lie cannot be reached for the moment."""

    retry_after = timedelta(seconds=2)


class UploadIncomplete(StorageError):
    """Parts of an upload have not arrived; it may be completed once they have."""


class UnsupportedContent(StorageError):
    """The bytes are of no type that users may upload."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found} is not accepted; images (PNG, JPEG, WebP), PDF, plain text and DOCX are")


class MalwareFound(StorageError):
    """The scanner knows the bytes."""

    def __init__(self, signature: str) -> None:
        super().__init__("the file was refused by the malware scanner")
        self.metadata = {"signature": signature}


class ScannerUnavailable(StorageError):
    """The malware scanner does not answer; nothing is accepted without it."""

    retry_after = timedelta(seconds=5)


class FileQuotaExceeded(StorageError):
    """The user may not have so many files, or so many bytes."""

    def __init__(self, what: str, used: int, allowed: int) -> None:
        super().__init__(f"the quota of {allowed} {what} does not allow this: {used} are in use")
        self.metadata = {"quota": what, "used": str(used), "allowed": str(allowed)}


class WriteTooSlow(StorageError):
    """The bytes did not arrive within the time that a write may take."""


class WriteSuperseded(StorageError):
    """The pending row went away under the write (it was reclaimed as abandoned); a retry starts afresh."""


class RangeNotSatisfiable(StorageError):
    """The range begins beyond the end of the object."""

    def __init__(self, offset: int, size_bytes: int) -> None:
        super().__init__(f"offset {offset} is beyond the end of an object of {size_bytes} bytes")
        self.metadata = {"size_bytes": str(size_bytes)}


class TicketInvalid(StorageError):
    """The ticket is malformed, forged, or made for another purpose."""

    def __init__(self) -> None:
        super().__init__("the ticket is not valid")


class TicketExpired(StorageError):
    """The ticket was valid once."""

    def __init__(self) -> None:
        super().__init__("the ticket has expired")


class ServiceOnly(StorageError):
    """Only another service of this deployment may name an object by its id."""

    def __init__(self) -> None:
        super().__init__("reading an object by its id needs a service token; others need a ticket")
