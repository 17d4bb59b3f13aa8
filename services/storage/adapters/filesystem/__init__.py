"""Blobs as files under one root folder."""

from services.storage.adapters.filesystem.inventory import FilesystemInventory
from services.storage.adapters.filesystem.store import FilesystemBlobStore

__all__ = ["FilesystemBlobStore", "FilesystemInventory"]
