"""The REST JSON dialect, compiled from descriptors at start-up (rules: gateway/README.md).

`EncoderSet` turns messages into plain Python trees for orjson, `DecoderSet` turns parsed JSON into messages.
Neither looks at a descriptor while a request is served.
"""

from gateway.codec.decoder import DecoderSet, MessageDecoder
from gateway.codec.encoder import EncoderSet
from gateway.codec.names import Violation, enum_labels, json_name, snake_case

__all__ = [
    "DecoderSet",
    "EncoderSet",
    "MessageDecoder",
    "Violation",
    "enum_labels",
    "json_name",
    "snake_case",
]
