"""What auth keeps of a user, page by page, as JSON that Postgres makes of the rows."""

from __future__ import annotations

import base64
import binascii

import orjson
from sqlalchemy import TextClause, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.adapters.postgres.personal_data import PERSONAL, PersonalTable
from services.auth.adapters.postgres.users import as_uuid
from services.auth.domain.erasure import AccountRecord
from services.auth.domain.errors import InvalidValue, UserNotFound

_PAGE = 200
_EXPORTED = tuple(each for each in reversed(PERSONAL) if each.section)


class PostgresAccountData:
    """`AccountData` over Postgres."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def page(self, user_id: str, page_token: str) -> tuple[list[AccountRecord], str]:
        """One section's next rows."""
        index, offset = _position(page_token)
        owner = as_uuid(user_id)
        part = _EXPORTED[index]
        async with self._single.connect() as connection:
            known = await connection.execute(
                _bound("SELECT 1 FROM users t WHERE t.user_id = :user_id"), {"user_id": owner}
            )
            if known.first() is None:
                raise UserNotFound
            rows = await connection.execute(_rows(part), {"user_id": owner, "most": _PAGE + 1, "skip": offset})
            found = [AccountRecord(part.section, orjson.dumps(row[0]).decode()) for row in rows]
        if len(found) > _PAGE:
            return found[:_PAGE], _token(index, offset + _PAGE)
        return found, _token(index + 1, 0) if index + 1 < len(_EXPORTED) else ""


def _rows(part: PersonalTable) -> TextClause:
    """Every piece comes from `PERSONAL`, none from a caller."""
    hidden = "".join(f" - '{column}'" for column in part.hidden)
    shown = part.shown or f"to_jsonb(t){hidden}"
    return _bound(
        f"SELECT {shown} FROM {part.table} t WHERE {part.rows} ORDER BY {part.order}, t.ctid LIMIT :most OFFSET :skip"  # noqa: S608
    )


def _bound(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("user_id", type_=Uuid(as_uuid=True)))


def _token(index: int, offset: int) -> str:
    return base64.urlsafe_b64encode(f"{index}.{offset}".encode()).decode()


def _position(token: str) -> tuple[int, int]:
    if not token:
        return 0, 0
    try:
        index, _, offset = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition(".")
        position = int(index), int(offset)
    except (binascii.Error, ValueError):
        position = (-1, -1)
    if not (0 <= position[0] < len(_EXPORTED) and position[1] >= 0):
        raise InvalidValue([("page_token", "must come from the last answer")])
    return position
