"""Who may call what, for every rpc there is (row A5).

The rpcs come from the descriptors of all stubs; each is called over a socket through the real server, with a handler
that only notes that it was reached. Whether somebody *else's* resource is seen is a matter of each service's own tests:
here a foreign user is let in like the owner.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from joserfc.jwk import OKPKey

import t2m
from services.runtime.errors import ErrorTable
from services.runtime.identity import Role
from services.runtime.server import ServiceServer
from services.runtime.settings import ServiceSettings
from services.runtime.tokens import StaticKeys, TokenSigner, TokenVerifier
from t2m.common.v1 import options_pb2

OK, NO, WHO = "reached", "PERMISSION_DENIED", "UNAUTHENTICATED"

CALLERS = ("nobody", "forged", "owner", "other", "readonly", "admin", "service")
EXPECTED: dict[str, tuple[str, ...]] = {
    #           nobody forged owner other readonly admin service
    "PUBLIC":  (OK,    OK,    OK,   OK,   OK,      OK,   OK),
    "READ":    (WHO,   WHO,   OK,   OK,   OK,      OK,   NO),
    "WRITE":   (WHO,   WHO,   OK,   OK,   NO,      OK,   NO),
    "ADMIN":   (WHO,   WHO,   NO,   NO,   NO,      OK,   NO),
    "SERVICE": (WHO,   WHO,   NO,   NO,   NO,      NO,   OK),
}  # fmt: skip
"""What each kind of caller gets, by the declared access."""

FROZEN: dict[str, tuple[str, str]] = {
    "/t2m.auth.v1.ApiKeyService/CreateApiKey": ("WRITE", "api_keys:write"),
    "/t2m.auth.v1.ApiKeyService/ListApiKeys": ("READ", "api_keys:read"),
    "/t2m.auth.v1.ApiKeyService/RevokeApiKey": ("WRITE", "api_keys:write"),
    "/t2m.auth.v1.CreditService/ConfirmReservation": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/GetCreditBalance": ("READ", "profile:read"),
    "/t2m.auth.v1.CreditService/GrantCredits": ("ADMIN", "users:write"),
    "/t2m.auth.v1.CreditService/ReleaseReservation": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/ReserveCredits": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/SettleReservation": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.SessionService/Login": ("PUBLIC", ""),
    "/t2m.auth.v1.SessionService/Logout": ("PUBLIC", ""),
    "/t2m.auth.v1.SessionService/Refresh": ("PUBLIC", ""),
    "/t2m.auth.v1.TokenService/ExchangeCredential": ("PUBLIC", ""),
    "/t2m.auth.v1.TokenService/GetJwks": ("PUBLIC", ""),
    "/t2m.auth.v1.TokenService/IssueServiceToken": ("PUBLIC", ""),
    "/t2m.auth.v1.UserService/GetProfile": ("READ", "profile:read"),
    "/t2m.auth.v1.UserService/RegisterUser": ("PUBLIC", ""),
    "/t2m.auth.v1.UserService/UpdateUserRole": ("ADMIN", "users:write"),
    "/t2m.job.v1.BatchService/CancelBatch": ("WRITE", "jobs:write"),
    "/t2m.job.v1.BatchService/CreateBatch": ("WRITE", "jobs:write"),
    "/t2m.job.v1.BatchService/GetBatch": ("READ", "jobs:read"),
    "/t2m.job.v1.BatchService/ListBatches": ("READ", "jobs:read"),
    "/t2m.job.v1.BatchService/WatchBatch": ("READ", "jobs:read"),
    "/t2m.job.v1.DashboardService/GetDashboardStats": ("READ", "jobs:read"),
    "/t2m.job.v1.DashboardService/ListRecentJobs": ("READ", "jobs:read"),
    "/t2m.job.v1.JobAdminService/DrainQueue": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/GetQueue": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ListAuditEntries": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ListFailedJobs": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ReprocessJob": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/RequeueJob": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ResumeQueue": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobLogService/ListJobLogs": ("READ", "jobs:read"),
    "/t2m.job.v1.JobLogService/WatchJobLogs": ("READ", "jobs:read"),
    "/t2m.job.v1.JobService/CancelJob": ("WRITE", "jobs:write"),
    "/t2m.job.v1.JobService/CreateJob": ("WRITE", "jobs:write"),
    "/t2m.job.v1.JobService/DeleteJob": ("WRITE", "jobs:write"),
    "/t2m.job.v1.JobService/GetJob": ("READ", "jobs:read"),
    "/t2m.job.v1.JobService/GetJobProgress": ("READ", "jobs:read"),
    "/t2m.job.v1.JobService/ListJobEvents": ("READ", "jobs:read"),
    "/t2m.job.v1.JobService/ListJobs": ("READ", "jobs:read"),
    "/t2m.job.v1.JobService/PinJob": ("WRITE", "jobs:write"),
    "/t2m.job.v1.JobService/UnpinJob": ("WRITE", "jobs:write"),
    "/t2m.job.v1.JobService/WatchJob": ("READ", "jobs:read"),
    "/t2m.job.v1.PlaybackService/GetMasterPlaylist": ("READ", "videos:read"),
    "/t2m.job.v1.PlaybackService/GetMediaPlaylist": ("READ", "videos:read"),
    "/t2m.job.v1.StoryboardService/GetStoryboard": ("READ", "jobs:read"),
    "/t2m.job.v1.StoryboardService/PlanStoryboard": ("WRITE", "jobs:write"),
    "/t2m.job.v1.StoryboardService/RemixJob": ("WRITE", "jobs:write"),
    "/t2m.job.v1.StoryboardService/RenderStoryboard": ("WRITE", "jobs:write"),
    "/t2m.job.v1.StoryboardService/ValidateStoryboard": ("READ", "jobs:read"),
    "/t2m.job.v1.VideoService/DownloadVideo": ("READ", "videos:read"),
    "/t2m.job.v1.VideoService/GetCaptions": ("READ", "videos:read"),
    "/t2m.job.v1.VideoService/GetSeekSprite": ("READ", "videos:read"),
    "/t2m.job.v1.VideoService/GetSeekSpriteMap": ("READ", "videos:read"),
    "/t2m.job.v1.VideoService/GetThumbnail": ("READ", "videos:read"),
    "/t2m.job.v1.VideoService/GetVideo": ("READ", "videos:read"),
    "/t2m.job.v1.WebhookService/CreateWebhookEndpoint": ("WRITE", "webhooks:write"),
    "/t2m.job.v1.WebhookService/DeleteWebhookEndpoint": ("WRITE", "webhooks:write"),
    "/t2m.job.v1.WebhookService/GetWebhookDelivery": ("READ", "webhooks:read"),
    "/t2m.job.v1.WebhookService/GetWebhookEndpoint": ("READ", "webhooks:read"),
    "/t2m.job.v1.WebhookService/GetWebhookSecret": ("WRITE", "webhooks:write"),
    "/t2m.job.v1.WebhookService/ListWebhookDeliveries": ("READ", "webhooks:read"),
    "/t2m.job.v1.WebhookService/ListWebhookEndpoints": ("READ", "webhooks:read"),
    "/t2m.job.v1.WebhookService/RedeliverWebhook": ("WRITE", "webhooks:write"),
    "/t2m.job.v1.WebhookService/RotateWebhookSecret": ("WRITE", "webhooks:write"),
    "/t2m.job.v1.WebhookService/TestWebhookEndpoint": ("WRITE", "webhooks:write"),
    "/t2m.job.v1.WebhookService/UpdateWebhookEndpoint": ("WRITE", "webhooks:write"),
    "/t2m.storage.v1.FileService/AbortFileUpload": ("WRITE", "files:write"),
    "/t2m.storage.v1.FileService/CompleteFileUpload": ("WRITE", "files:write"),
    "/t2m.storage.v1.FileService/CreateFileUpload": ("WRITE", "files:write"),
    "/t2m.storage.v1.FileService/DeleteFile": ("WRITE", "files:write"),
    "/t2m.storage.v1.FileService/DownloadFile": ("READ", "files:read"),
    "/t2m.storage.v1.FileService/GetFile": ("READ", "files:read"),
    "/t2m.storage.v1.FileService/GetFileUpload": ("WRITE", "files:write"),
    "/t2m.storage.v1.FileService/ListFiles": ("READ", "files:read"),
    "/t2m.storage.v1.FileService/UploadFile": ("WRITE", "files:write"),
    "/t2m.storage.v1.FileService/UploadFilePart": ("WRITE", "files:write"),
    "/t2m.storage.v1.ObjectService/AbortUpload": ("SERVICE", "objects:write"),
    "/t2m.storage.v1.ObjectService/BeginUpload": ("SERVICE", "objects:write"),
    "/t2m.storage.v1.ObjectService/CompleteUpload": ("SERVICE", "objects:write"),
    "/t2m.storage.v1.ObjectService/CreateObjectLocation": ("SERVICE", "objects:read"),
    "/t2m.storage.v1.ObjectService/DeleteJobObjects": ("SERVICE", "objects:write"),
    "/t2m.storage.v1.ObjectService/DeleteObject": ("SERVICE", "objects:write"),
    "/t2m.storage.v1.ObjectService/GetObject": ("SERVICE", "objects:read"),
    "/t2m.storage.v1.ObjectService/GetSignedObject": ("PUBLIC", ""),
    "/t2m.storage.v1.ObjectService/ListObjects": ("SERVICE", "objects:read"),
    "/t2m.storage.v1.ObjectService/ReadObject": ("PUBLIC", "objects:read"),
    "/t2m.storage.v1.ObjectService/WriteObject": ("SERVICE", "objects:write"),
    "/t2m.video_render.v1.RenderService/CancelRender": ("SERVICE", "renders:write"),
    "/t2m.video_render.v1.RenderService/DeleteRenders": ("SERVICE", "renders:write"),
    "/t2m.video_render.v1.RenderService/GetRender": ("SERVICE", "renders:read"),
    "/t2m.video_render.v1.RenderService/ListSegments": ("SERVICE", "renders:read"),
    "/t2m.video_render.v1.RenderService/StartRender": ("SERVICE", "renders:write"),
    "/t2m.video_render.v1.RenderService/WatchRender": ("SERVICE", "renders:read"),
    "/t2m.video_render.v1.StoryboardService/CheckStoryboard": ("SERVICE", "renders:read"),
    "/t2m.video_render.v1.StoryboardService/EditStoryboard": ("SERVICE", "renders:read"),
    "/t2m.video_render.v1.StoryboardService/GetRenderStoryboard": ("SERVICE", "renders:read"),
    "/t2m.video_render.v1.StoryboardService/PlanStoryboard": ("SERVICE", "renders:read"),
}
"""The permission of every rpc as reviewed: who changes or adds one in a proto says so here too."""


def all_services() -> list[ServiceDescriptor]:
    """Every service of every stub module."""
    found: list[ServiceDescriptor] = []
    for module in pkgutil.walk_packages(t2m.__path__, "t2m."):
        if module.name.endswith("_pb2"):
            found.extend(importlib.import_module(module.name).DESCRIPTOR.services_by_name.values())
    return found


METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method for service in all_services() for method in service.methods
}


def permission(method: MethodDescriptor) -> tuple[str, str]:
    """The declared access and scope."""
    declared = method.GetOptions().Extensions[options_pb2.permission]
    return options_pb2.Access.Name(declared.access).removeprefix("ACCESS_"), declared.scope


def valid_request(descriptor: Descriptor) -> Message:
    """The smallest message that keeps its rules, so that a call gets past validation to the handler."""
    message: Message = GetMessageClass(descriptor)()
    for each in descriptor.fields:
        rules = each.GetOptions().Extensions[options_pb2.rules]
        if rules.required or rules.min_items:
            value = _value(each, rules)
            if each.is_repeated:
                getattr(message, each.name).append(value)
            elif each.message_type is not None:
                getattr(message, each.name).CopyFrom(value)
            else:
                setattr(message, each.name, value)
    return message


def _value(each: FieldDescriptor, rules: options_pb2.FieldRules) -> Any:
    if each.message_type is not None:
        return valid_request(each.message_type)
    if each.cpp_type == FieldDescriptor.CPPTYPE_STRING and each.type != FieldDescriptor.TYPE_BYTES:
        if rules.example:
            return json.loads(rules.example)
        formats = {"uuid": "01a1fb85-4555-748c-b96c-e00eee985b36", "email": "a@b.cd", "uri": "https://a.b/"}
        return formats.get(rules.format) or next(iter(getattr(rules, "in")), "x" * max(rules.min_len, 1))
    if each.type == FieldDescriptor.TYPE_BYTES:
        return b"x"
    return max(1, int(rules.gte))


@dataclass
class Deployment:
    """One server that serves every rpc with a handler that notes that it was reached."""

    channel: grpc.aio.Channel
    signer: TokenSigner
    reached: list[str] = field(default_factory=list)

    def token(self, subject: str, role: Role, scopes: Sequence[str] | None = None) -> str:
        """A genuine token."""
        return self.signer.sign(subject, role, timedelta(minutes=5), scopes)[0]

    async def outcome(self, path: str, token: str | None) -> str:
        """`reached`, or the code with which the call ends before that."""
        self.reached.clear()
        metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
        code = ""
        try:
            await self._call(path, metadata)
        except grpc.aio.AioRpcError as exc:
            code = exc.code().name
        assert self.reached == ([] if code else [path])
        return code or OK

    async def _call(self, path: str, metadata: Any) -> None:
        method = METHODS[path]
        coders = {
            "request_serializer": lambda message: message.SerializeToString(),
            "response_deserializer": GetMessageClass(method.output_type).FromString,
        }
        request: Any = valid_request(method.input_type)
        if method.client_streaming:
            request = _once(request)
        kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}"
        call = getattr(self.channel, kind)(path, **coders)(request, metadata=metadata, timeout=10)
        if method.server_streaming:
            async for _ in call:
                pass
        else:
            await call


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"


async def _once(message: Message) -> AsyncIterator[Message]:
    yield message


def _handler(path: str, method: MethodDescriptor, reached: list[str]) -> grpc.RpcMethodHandler[Any, Any]:
    answer = GetMessageClass(method.output_type)()

    async def unary(_request: Any, _context: Any) -> Any:
        reached.append(path)
        return answer

    async def stream(_request: Any, _context: Any) -> AsyncIterator[Any]:
        reached.append(path)
        yield answer

    kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}_rpc_method_handler"
    handler: grpc.RpcMethodHandler[Any, Any] = getattr(grpc, kind)(
        stream if method.server_streaming else unary,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    return handler


def _add_all(reached: list[str], server: grpc.aio.Server) -> Sequence[str]:
    names = []
    for service in all_services():
        handlers = {
            method.name: _handler(f"/{service.full_name}/{method.name}", method, reached) for method in service.methods
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
        names.append(service.full_name)
    return names


@asynccontextmanager
async def deployment() -> AsyncIterator[Deployment]:
    """All rpcs of all services behind the real interceptors."""
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    reached: list[str] = []
    server = ServiceServer(
        ServiceSettings(environment="test"),
        table=ErrorTable(),
        verifier=TokenVerifier(StaticKeys([key])),
        add_services=partial(_add_all, reached),
    )
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Deployment(channel, TokenSigner(key), reached)
    await server.stop()


def test_every_permission_is_the_one_that_was_reviewed() -> None:
    assert {path: permission(method) for path, method in METHODS.items()} == FROZEN


def test_every_domain_takes_part() -> None:
    assert {path.split(".")[1] for path in METHODS} == {"auth", "job", "storage", "video_render"}


def test_a_restricted_credential_can_be_restricted_from_every_rpc_that_is_not_public() -> None:
    unscoped = [path for path, (access, scope) in FROZEN.items() if access != "PUBLIC" and not scope]
    assert unscoped == []


async def test_every_rpc_lets_in_whom_it_declares_and_nobody_else() -> None:
    async with deployment() as served:
        foreign = TokenSigner(OKPKey.generate_key("Ed25519", auto_kid=True))
        tokens = {
            "nobody": None,
            "forged": foreign.sign("root", Role.ADMIN, timedelta(minutes=5))[0],
            "owner": served.token("ada", Role.USER),
            "other": served.token("eve", Role.USER),
            "readonly": served.token("bob", Role.READONLY),
            "admin": served.token("root", Role.ADMIN),
            "service": served.token("job", Role.SERVICE),
        }
        found = {path: tuple([await served.outcome(path, tokens[caller]) for caller in CALLERS]) for path in METHODS}
    assert found == {path: EXPECTED[permission(method)[0]] for path, method in METHODS.items()}


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [("own", OK), ("own and more", OK), ("another", NO), ("none", NO)],
)
async def test_a_restricted_credential_needs_the_declared_scope(scopes: str, expected: str) -> None:
    async with deployment() as served:
        found = {}
        for path, method in METHODS.items():
            access, scope = permission(method)
            held = {"own": [scope], "own and more": ["a:b", scope], "another": ["a:b"], "none": []}[scopes]
            role = Role.SERVICE if access == "SERVICE" else Role.ADMIN
            found[path] = await served.outcome(path, served.token("root", role, held))
    assert found == {path: OK if permission(method)[0] == "PUBLIC" else expected for path, method in METHODS.items()}
