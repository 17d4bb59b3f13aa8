"""The OpenAPI 3.1 document, made from the descriptors at start-up, and the page that shows it."""

from gateway.openapi.document import build_document
from gateway.openapi.pages import OpenApiPages

__all__ = ["OpenApiPages", "build_document"]
