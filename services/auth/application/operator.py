"""What whoever runs the deployment may do without a credential: the first admin, a key for a script."""

from __future__ import annotations

import re
from collections.abc import Collection

from services.auth.application.accounts import Accounts
from services.auth.application.api_keys import ApiKeys
from services.auth.application.ports import SecretMaker
from services.auth.domain.errors import InvalidValue, UserNotFound
from services.auth.domain.user import Role, User


class Operator:
    """Use cases of the commands."""

    def __init__(self, accounts: Accounts, api_keys: ApiKeys, secrets: SecretMaker) -> None:
        self._accounts = accounts
        self._api_keys = api_keys
        self._secrets = secrets

    async def create_admin(self, email: str, password: str | None) -> tuple[User, str | None]:
        """Make an admin; also the password if one had to be made. Raises InvalidValue, EmailTaken."""
        generated = self._secrets.new_secret() if password is None else None
        user = await self._accounts.register(email, password or generated or "", role=Role.ADMIN)
        return user, generated

    async def set_plan(self, email: str, plan: str) -> User:
        """Give the user with this address another plan. Raises InvalidValue, UserNotFound."""
        if not re.fullmatch(r"[a-z0-9_-]{1,40}", plan):
            raise InvalidValue([("plan", "must be lower-case letters, digits, - and _, at most 40")])
        user = await self._accounts.find(email)
        if user is None:
            raise UserNotFound
        return await self._accounts.change_plan(user.user_id, plan)

    async def create_key(self, email: str, role: Role | None, name: str, scopes: Collection[str]) -> tuple[User, str]:
        """Make a key of the user with this address, who is made too if there is none; the whole key.

        `role` is the new user's (default `user`). Raises InvalidValue, also when the user exists with
        another role: a key cannot differ from its owner.
        """
        user = await self._accounts.find(email)
        if user is None:
            user = await self._accounts.register_without_password(email, role or Role.USER)
        elif role not in (None, user.role):
            raise InvalidValue([("role", f"cannot be {role}: {user.email} has role {user.role}")])
        _, text = await self._api_keys.create(user.user_id, name, scopes)
        return user, text
