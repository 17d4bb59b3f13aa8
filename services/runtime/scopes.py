"""The scopes that API keys can be restricted to, as the contract of the whole deployment names them."""

from __future__ import annotations

import importlib.resources

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from t2m.common.v1 import options_pb2

_FOR_PEOPLE = frozenset({options_pb2.ACCESS_READ, options_pb2.ACCESS_WRITE, options_pb2.ACCESS_ADMIN})


def known_scopes() -> frozenset[str]:
    """Every scope that some method asks of people, in any service."""
    document = importlib.resources.files("t2m").joinpath("descriptors.binpb").read_bytes()
    permissions = (
        method.options.Extensions[options_pb2.permission]
        for file in FileDescriptorSet.FromString(document).file
        for service in file.service
        for method in service.method
    )
    return frozenset(each.scope for each in permissions if each.scope and each.access in _FOR_PEOPLE)
