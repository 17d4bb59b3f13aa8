"""What bytes are, by looking at all of them; never by their name or what a client says."""

from services.storage.adapters.inspection.inspector import FileInspector, Limits

__all__ = ["FileInspector", "Limits"]
