"""Who may call what, for every rpc there is (row A5).

Each rpc is called over a socket through the real server, with a handler that only notes that it was reached. Whether
somebody *else's* resource is seen is asked of the whole stack in `tests/security/test_foreign_resources.py`: here a
foreign user is let in like the owner.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.protobuf.descriptor import MethodDescriptor
from joserfc.jwk import OKPKey

from services.runtime.identity import Role
from services.runtime.tokens import TokenSigner
from t2m.common.v1 import options_pb2
from tests.contract.every_rpc import METHODS, deployment

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
    "/t2m.auth.v1.AccountDataService/GetAccountData": ("SERVICE", "users:read"),
    "/t2m.auth.v1.ApiKeyService/CreateApiKey": ("WRITE", "api_keys:write"),
    "/t2m.auth.v1.ApiKeyService/ListApiKeys": ("READ", "api_keys:read"),
    "/t2m.auth.v1.ApiKeyService/RevokeApiKey": ("WRITE", "api_keys:write"),
    "/t2m.auth.v1.AuditService/ListAuditEntries": ("ADMIN", "audit:read"),
    "/t2m.auth.v1.AuditService/ListOwnAuditEntries": ("READ", "profile:read"),
    "/t2m.auth.v1.AuditService/RecordAuditEntries": ("SERVICE", "audit:write"),
    "/t2m.auth.v1.BillingService/ReceiveStripeEvent": ("PUBLIC", ""),
    "/t2m.auth.v1.CreditService/BatchConfirmReservations": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/BatchReserveCredits": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/ConfirmReservation": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/GetCreditBalance": ("READ", "profile:read"),
    "/t2m.auth.v1.CreditService/GrantCredits": ("ADMIN", "users:write"),
    "/t2m.auth.v1.CreditService/RefundReservation": ("ADMIN", "users:write"),
    "/t2m.auth.v1.CreditService/ReleaseReservation": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/ReserveCredits": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.CreditService/SettleReservation": ("SERVICE", "credits:write"),
    "/t2m.auth.v1.ErasureService/AcknowledgeErasure": ("SERVICE", "erasures:write"),
    "/t2m.auth.v1.ErasureService/EraseAccount": ("READ", "account:erase"),
    "/t2m.auth.v1.ErasureService/GetErasure": ("ADMIN", "users:read"),
    "/t2m.auth.v1.ErasureService/ListErasures": ("SERVICE", "erasures:read"),
    "/t2m.auth.v1.SessionService/ListSessions": ("READ", "sessions:read"),
    "/t2m.auth.v1.SessionService/Login": ("PUBLIC", ""),
    "/t2m.auth.v1.SessionService/Logout": ("PUBLIC", ""),
    "/t2m.auth.v1.SessionService/LogoutAll": ("READ", "sessions:write"),
    "/t2m.auth.v1.SessionService/Refresh": ("PUBLIC", ""),
    "/t2m.auth.v1.SessionService/RevokeSession": ("READ", "sessions:write"),
    "/t2m.auth.v1.SubscriptionService/CancelSubscription": ("WRITE", "subscriptions:write"),
    "/t2m.auth.v1.SubscriptionService/GetSubscription": ("READ", "subscriptions:read"),
    "/t2m.auth.v1.SubscriptionService/GetUsage": ("READ", "subscriptions:read"),
    "/t2m.auth.v1.SubscriptionService/ListCharges": ("READ", "subscriptions:read"),
    "/t2m.auth.v1.SubscriptionService/ListLedgerEntries": ("READ", "subscriptions:read"),
    "/t2m.auth.v1.SubscriptionService/ListPlans": ("PUBLIC", ""),
    "/t2m.auth.v1.SubscriptionService/ResumeSubscription": ("WRITE", "subscriptions:write"),
    "/t2m.auth.v1.SubscriptionService/Subscribe": ("WRITE", "subscriptions:write"),
    "/t2m.auth.v1.SubscriptionService/UpgradeSubscription": ("WRITE", "subscriptions:write"),
    "/t2m.auth.v1.TokenService/ExchangeCredential": ("PUBLIC", ""),
    "/t2m.auth.v1.TokenService/GetJwks": ("PUBLIC", ""),
    "/t2m.auth.v1.TokenService/GetJwksDocument": ("PUBLIC", ""),
    "/t2m.auth.v1.TokenService/IssueServiceToken": ("PUBLIC", ""),
    "/t2m.auth.v1.TokenService/WatchRevocations": ("SERVICE", "revocations:read"),
    "/t2m.auth.v1.UserService/ChangePassword": ("READ", "profile:write"),
    "/t2m.auth.v1.UserService/ConfirmPasswordReset": ("PUBLIC", ""),
    "/t2m.auth.v1.UserService/GetPreferences": ("READ", "profile:read"),
    "/t2m.auth.v1.UserService/GetProfile": ("READ", "profile:read"),
    "/t2m.auth.v1.UserService/GetUser": ("ADMIN", "users:read"),
    "/t2m.auth.v1.UserService/ListUsers": ("ADMIN", "users:read"),
    "/t2m.auth.v1.UserService/RegisterUser": ("PUBLIC", ""),
    "/t2m.auth.v1.UserService/RequestPasswordReset": ("PUBLIC", ""),
    "/t2m.auth.v1.UserService/ResendVerification": ("PUBLIC", ""),
    "/t2m.auth.v1.UserService/UpdatePreferences": ("READ", "profile:write"),
    "/t2m.auth.v1.UserService/UpdateProfile": ("READ", "profile:write"),
    "/t2m.auth.v1.UserService/UpdateUserRole": ("ADMIN", "users:write"),
    "/t2m.auth.v1.UserService/VerifyEmail": ("PUBLIC", ""),
    "/t2m.job.v1.BatchService/CancelBatch": ("WRITE", "jobs:write"),
    "/t2m.job.v1.BatchService/CreateBatch": ("WRITE", "jobs:write"),
    "/t2m.job.v1.BatchService/GetBatch": ("READ", "jobs:read"),
    "/t2m.job.v1.BatchService/ListBatches": ("READ", "jobs:read"),
    "/t2m.job.v1.BatchService/WatchBatch": ("READ", "jobs:read"),
    "/t2m.job.v1.DashboardService/GetDashboardStats": ("READ", "jobs:read"),
    "/t2m.job.v1.DashboardService/ListRecentJobs": ("READ", "jobs:read"),
    "/t2m.job.v1.ExportService/ExportUserData": ("READ", "account:export"),
    "/t2m.job.v1.JobAdminService/DrainQueue": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/GetQueue": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ListAuditEntries": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ListFailedJobs": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ReprocessJob": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/RequeueJob": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobAdminService/ResumeQueue": ("ADMIN", "jobs:admin"),
    "/t2m.job.v1.JobLogService/ListJobLogs": ("READ", "jobs:read"),
    "/t2m.job.v1.JobLogService/WatchJobLogs": ("READ", "jobs:read"),
    "/t2m.job.v1.JobQueueService/GetQueueStatus": ("READ", "jobs:read"),
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

SERVICES = ("auth", "gateway", "job", "storage", "video_render", "worker", "stranger")

INTERNAL: dict[str, frozenset[str]] = {
    "/t2m.auth.v1.AccountDataService/GetAccountData": frozenset({"job"}),
    "/t2m.auth.v1.AuditService/RecordAuditEntries": frozenset({"job", "storage"}),
    "/t2m.auth.v1.CreditService/BatchConfirmReservations": frozenset({"job"}),
    "/t2m.auth.v1.CreditService/BatchReserveCredits": frozenset({"job"}),
    "/t2m.auth.v1.CreditService/ConfirmReservation": frozenset({"job"}),
    "/t2m.auth.v1.CreditService/ReleaseReservation": frozenset({"job"}),
    "/t2m.auth.v1.CreditService/ReserveCredits": frozenset({"job"}),
    "/t2m.auth.v1.CreditService/SettleReservation": frozenset({"job"}),
    "/t2m.auth.v1.ErasureService/AcknowledgeErasure": frozenset({"job", "storage"}),
    "/t2m.auth.v1.ErasureService/ListErasures": frozenset({"job", "storage"}),
    "/t2m.auth.v1.TokenService/WatchRevocations": frozenset({"gateway", "job", "storage", "video_render"}),
    "/t2m.storage.v1.ObjectService/AbortUpload": frozenset({"worker"}),
    "/t2m.storage.v1.ObjectService/BeginUpload": frozenset({"worker"}),
    "/t2m.storage.v1.ObjectService/CompleteUpload": frozenset({"worker"}),
    "/t2m.storage.v1.ObjectService/CreateObjectLocation": frozenset({"job", "worker"}),
    "/t2m.storage.v1.ObjectService/DeleteJobObjects": frozenset({"job"}),
    "/t2m.storage.v1.ObjectService/DeleteObject": frozenset({"job"}),
    "/t2m.storage.v1.ObjectService/GetObject": frozenset({"job", "worker"}),
    "/t2m.storage.v1.ObjectService/ListObjects": frozenset({"job"}),
    "/t2m.storage.v1.ObjectService/WriteObject": frozenset({"worker"}),
    "/t2m.video_render.v1.RenderService/CancelRender": frozenset({"job"}),
    "/t2m.video_render.v1.RenderService/DeleteRenders": frozenset({"job"}),
    "/t2m.video_render.v1.RenderService/GetRender": frozenset({"job"}),
    "/t2m.video_render.v1.RenderService/ListSegments": frozenset({"job"}),
    "/t2m.video_render.v1.RenderService/StartRender": frozenset({"job"}),
    "/t2m.video_render.v1.RenderService/WatchRender": frozenset({"job"}),
    "/t2m.video_render.v1.StoryboardService/CheckStoryboard": frozenset({"job"}),
    "/t2m.video_render.v1.StoryboardService/EditStoryboard": frozenset({"job"}),
    "/t2m.video_render.v1.StoryboardService/GetRenderStoryboard": frozenset({"job"}),
    "/t2m.video_render.v1.StoryboardService/PlanStoryboard": frozenset({"job"}),
}
"""Which services may call what is for services only."""


def permission(method: MethodDescriptor) -> tuple[str, str]:
    """The declared access and scope."""
    declared = method.GetOptions().Extensions[options_pb2.permission]
    return options_pb2.Access.Name(declared.access).removeprefix("ACCESS_"), declared.scope


def callers(method: MethodDescriptor) -> frozenset[str]:
    """The declared services."""
    return frozenset(method.GetOptions().Extensions[options_pb2.permission].callers)


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
        }
        found = {}
        for path, method in METHODS.items():
            named = next(iter(callers(method)), "job")
            all_tokens = {**tokens, "service": served.token(named, Role.SERVICE)}
            found[path] = tuple([await served.outcome(path, all_tokens[caller]) for caller in CALLERS])
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
            subject = "root" if role is Role.ADMIN else next(iter(callers(method)))
            found[path] = await served.outcome(path, served.token(subject, role, held))
    assert found == {path: OK if permission(method)[0] == "PUBLIC" else expected for path, method in METHODS.items()}


async def test_a_service_opens_the_methods_that_name_it_and_no_others() -> None:
    """A5: the token of a worker that was broken into does not move credits."""
    async with deployment() as served:
        for service in SERVICES:
            token = served.token(service, Role.SERVICE)
            found = {path for path in INTERNAL if await served.outcome(path, token) == OK}
            assert found == {path for path, named in INTERNAL.items() if service in named}


def test_the_callers_of_every_internal_method_are_the_ones_that_were_reviewed() -> None:
    found = {path: callers(method) for path, method in METHODS.items() if permission(method)[0] == "SERVICE"}
    assert found == INTERNAL
