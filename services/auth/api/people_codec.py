"""Between protos and the domain, for people: clients, sessions, preferences."""

from __future__ import annotations

from uuid import UUID

from services.auth.api import codec
from services.auth.domain.errors import InvalidValue
from services.auth.domain.preferences import Preferences
from services.auth.domain.session import Client, Session
from services.runtime.identity import current_call
from t2m.auth.v1 import preferences_pb2, session_service_pb2
from t2m.video_render.v1 import quality_pb2

_QUALITY = {
    "": quality_pb2.QUALITY_UNSPECIFIED,
    "low": quality_pb2.QUALITY_LOW,
    "medium": quality_pb2.QUALITY_MEDIUM,
    "high": quality_pb2.QUALITY_HIGH,
}
_QUALITY_NAME = {number: name for name, number in _QUALITY.items()}
_SAME = ("theme", "narration", "voice", "captions", "language", "locale", "time_zone")


def client(agent: str = "") -> Client:
    """Who makes the call being served."""
    call = current_call()
    return Client.of(call.client_address if call is not None else "", agent)


def encode_session(session: Session, current_id: str) -> session_service_pb2.SessionInfo:
    """The session, without its tokens."""
    return session_service_pb2.SessionInfo(
        session_id=session.session_id,
        created_at=codec.encode_time(session.created_at),
        last_used_at=codec.encode_time(session.last_used_at or session.created_at),
        client_address=session.client.address,
        user_agent=session.client.agent,
        current=session.session_id == current_id,
    )


def encode_preferences(source: Preferences) -> preferences_pb2.Preferences:
    """As the proto has them."""
    mail = preferences_pb2.MailNotifications(
        job_completed=source.mail_job_completed,
        job_failed=source.mail_job_failed,
        credits_low=source.mail_credits_low,
    )
    same = {name: getattr(source, name) for name in _SAME}
    return preferences_pb2.Preferences(quality=_QUALITY[source.quality], mail_notifications=mail, **same)


def decode_preferences(source: preferences_pb2.Preferences) -> Preferences:
    """As the domain has them. Raises InvalidValue."""
    quality = _QUALITY_NAME.get(source.quality)
    if quality is None:
        raise InvalidValue([("preferences.quality", "must be a known value")])
    return Preferences(
        quality=quality,
        mail_job_completed=source.mail_notifications.job_completed,
        mail_job_failed=source.mail_notifications.job_failed,
        mail_credits_low=source.mail_notifications.credits_low,
        **{name: getattr(source, name) for name in _SAME},
    )


def decode_page_token(text: str) -> str | None:
    """Where a page of accounts begins; None for the first. Raises InvalidValue."""
    if not text:
        return None
    try:
        return str(UUID(text))
    except ValueError as exc:
        raise InvalidValue([("page_token", "must come from the last answer")]) from exc
