"""Between protos and the domain."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.auth.domain.api_key import ApiKey
from services.auth.domain.errors import InvalidValue
from services.auth.domain.tokens import SessionTokens
from services.auth.domain.user import Role, User
from t2m.auth.v1 import api_key_service_pb2, session_service_pb2, user_pb2

_ROLE_TO_PROTO = {
    Role.READONLY: user_pb2.ROLE_READONLY,
    Role.USER: user_pb2.ROLE_USER,
    Role.ADMIN: user_pb2.ROLE_ADMIN,
}
_ROLE_FROM_PROTO = {number: role for role, number in _ROLE_TO_PROTO.items()}


def encode_role(role: Role) -> user_pb2.Role.ValueType:
    """The enum value."""
    return _ROLE_TO_PROTO[role]


def decode_role(number: user_pb2.Role.ValueType) -> Role:
    """The role. Raises InvalidValue for one that is not known or not set."""
    role = _ROLE_FROM_PROTO.get(number)
    if role is None:
        raise InvalidValue([("role", "must be a known role")])
    return role


def encode_time(moment: datetime) -> Timestamp:
    """The moment as a Timestamp."""
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def decode_time(path: str, stamp: Timestamp) -> datetime:
    """The moment. Raises InvalidValue, naming the field, for one that is out of the calendar."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise InvalidValue([(path, "must be a moment between the years 1 and 9999")]) from exc


def encode_user(user: User) -> user_pb2.User:
    """The account, without its password hash."""
    return user_pb2.User(
        user_id=user.user_id,
        email=user.email or "",
        display_name=user.display_name,
        role=encode_role(user.role),
        created_at=encode_time(user.created_at),
        email_verified=user.verified_at is not None,
        has_password=user.password_hash is not None,
    )


def encode_session_tokens(tokens: SessionTokens) -> session_service_pb2.SessionTokens:
    """The pair of tokens."""
    return session_service_pb2.SessionTokens(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type="Bearer",  # noqa: S106 - not a secret
        expires_at=encode_time(tokens.expires_at),
        refresh_expires_at=encode_time(tokens.refresh_expires_at),
    )


def encode_api_key(key: ApiKey) -> api_key_service_pb2.ApiKey:
    """The key's description."""
    return api_key_service_pb2.ApiKey(
        api_key_id=key.api_key_id,
        name=key.name,
        scopes=key.scopes,
        created_at=encode_time(key.created_at),
        expires_at=encode_time(key.expires_at) if key.expires_at else None,
        revoked_at=encode_time(key.revoked_at) if key.revoked_at else None,
        last_used_at=encode_time(key.last_used_at) if key.last_used_at else None,
    )
