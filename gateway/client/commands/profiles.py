"""Where the command keeps who you are: a folder only you can read, with a file for each profile.

`PROFILE.json` has the URL and an API key or the e-mail address; `PROFILE.tokens.json` the tokens of a session, which
commands that run at once renew one at a time; `current` names the profile that is used.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from gateway.client.tokens import FileTokens, write_private

DEFAULT_URL = "http://127.0.0.1:8080"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Profile:
    """A server, and who the caller is there: by API key, or by a session when there is none."""

    name: str
    url: str
    email: str = ""
    api_key: str = ""

    def __repr__(self) -> str:
        return f"Profile({self.name!r}, {self.url!r}, {self.email!r})"


class Profiles:
    """The profiles of this machine's user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(os.environ.get("T2M_CONFIG_DIR") or click.get_app_dir("t2m"))

    def names(self) -> list[str]:
        """Of all profiles, sorted."""
        found = (path.name.removesuffix(".json") for path in self.folder.glob("*.json"))
        return sorted(name for name in found if not name.endswith(".tokens"))

    def current(self) -> str:
        """The name of the one that is used unless another is asked for."""
        try:
            return (self.folder / "current").read_text(encoding="utf-8").strip() or "default"
        except OSError:
            return "default"

    def use(self, name: str) -> None:
        """Make this the current one."""
        write_private(self.folder / "current", checked(name) + "\n")

    def load(self, name: str) -> Profile | None:
        """None when there is none of that name. click.ClickException for a file that cannot be read."""
        path = self._path(name)
        try:
            return Profile(name=name, **json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise click.ClickException(f"cannot read {path}: {error}. Log in again: t2m login") from error

    def save(self, profile: Profile) -> None:
        """Keep it, readable for its owner only, and use it from now on."""
        content = {name: value for name, value in asdict(profile).items() if name != "name"}
        write_private(self._path(profile.name), json.dumps(content, indent=2) + "\n")
        self.use(profile.name)

    def remove(self, name: str) -> None:
        """Forget it with its secrets."""
        self._path(name).unlink(missing_ok=True)
        self.tokens(name).save(None)

    def tokens(self, name: str) -> FileTokens:
        """The tokens of its session."""
        return FileTokens(self.folder / f"{checked(name)}.tokens.json")

    def at(self, url: str) -> Profile | None:
        """The profile of a server: the current one if it is of that server, else any."""
        for name in [self.current(), *self.names()]:
            profile = self.load(name)
            if profile is not None and profile.url == url:
                return profile
        return None

    def _path(self, name: str) -> Path:
        return self.folder / f"{checked(name)}.json"


def checked(name: str) -> str:
    """The name, if it can be that of a file. click.UsageError."""
    if not _NAME.fullmatch(name) or name.endswith(".tokens"):
        raise click.UsageError(f"{name!r} cannot be the name of a profile: letters, digits, '.', '_' and '-' can")
    return name
