"""The OpenAPI 3.1 document, made from the descriptors at start-up, and the pages that show it."""

from gateway.openapi.document import build_document
from gateway.openapi.pages import OpenApiPages
from gateway.openapi.viewers import viewers

__all__ = ["OpenApiPages", "build_document", "viewers"]
