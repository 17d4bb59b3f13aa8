"""What the gateway says of the whole: health, figures, and a WebSocket for pages that show them (O1)."""

from gateway.system.document import SYSTEM_OPERATIONS
from gateway.system.endpoints import SystemEndpoints
from gateway.system.monitor import Monitor

__all__ = ["SYSTEM_OPERATIONS", "Monitor", "SystemEndpoints"]
