"""Files of users once they are there: what they are, which there are, where their bytes are, and their end."""

from __future__ import annotations

from services.storage.application.locating import LocateObject, Location
from services.storage.application.ports import ObjectFilter, ObjectRepository, Presentation
from services.storage.application.reading import DeleteObject, ListObjects, Page, require
from services.storage.domain.errors import ObjectNotFound
from services.storage.domain.objects import ArtifactKind, StoredObject


class FileLibrary:
    """`owner_id` None means: an admin, who sees all files. Other objects are no files, whoever owns them."""

    def __init__(
        self, objects: ObjectRepository, page: ListObjects, locate: LocateObject, delete: DeleteObject
    ) -> None:
        self._objects = objects
        self._page = page
        self._locate = locate
        self._delete = delete

    async def get(self, file_id: str, owner_id: str | None) -> StoredObject:
        """Raises ObjectNotFound, also for somebody else's file."""
        found = await require(self._objects, file_id, owner_id)
        if found.placement.kind is not ArtifactKind.FILE:
            raise ObjectNotFound(file_id)
        return found

    async def page(self, owner_id: str, after: str | None, page_size: int) -> Page:
        """The files after the id `after`; `page_size` 0 means the default."""
        return await self._page(files_of(owner_id), after, page_size)

    async def locate(self, file_id: str, owner_id: str | None) -> Location:
        """Where its bytes can be fetched, always as an attachment. Raises ObjectNotFound, StorageUnavailable."""
        found = await self.get(file_id, owner_id)
        return await self._locate.create(file_id, found.placement.owner_id, None, Presentation())

    async def delete(self, file_id: str, owner_id: str | None) -> None:
        """Raises ObjectNotFound; StorageUnavailable when its bytes are left to the sweep."""
        found = await self.get(file_id, owner_id)
        await self._delete(file_id, found.placement.owner_id)


def files_of(owner_id: str) -> ObjectFilter:
    """The filter of an owner's files."""
    return ObjectFilter(owner_id, None, ArtifactKind.FILE)
