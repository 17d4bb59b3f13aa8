"""What mails say. Nothing that a stranger typed is in them, so that nobody can send advertisements through them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from html import escape

from services.auth.domain.mail import RESET_LIFETIME, VERIFY_LIFETIME


@dataclass(frozen=True, slots=True)
class Text:
    """Subject and paragraphs; a code stands alone in its paragraph."""

    subject: str
    paragraphs: tuple[str, ...]
    code: str = ""
    link: str = ""

    def plain(self) -> str:
        """For clients that show text."""
        code = [self.code] if self.code else []
        link = [self.link] if self.link else []
        first, *rest = self.paragraphs
        return "\n\n".join([first, *link, *code, *rest]) + "\n"

    def html(self) -> str:
        """For clients that show HTML."""
        first, *rest = (f"<p>{escape(each)}</p>" for each in self.paragraphs)
        link = [f'<p><a href="{escape(self.link)}">{escape(self.link)}</a></p>'] if self.link else []
        code = [f"<p><code>{escape(self.code)}</code></p>"] if self.code else []
        return "<!doctype html>\n<html><body>\n" + "\n".join([first, *link, *code, *rest]) + "\n</body></html>\n"


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of pages that take a token, with `{token}` in them; empty where there is no such page."""

    verify: str = ""
    reset: str = ""


_IGNORE = "If this was not you, there is nothing you need to do."


def verify(token: str, links: Links) -> Text:
    """To prove that the address is read."""
    return Text(
        "Confirm your e-mail address",
        (
            f"Somebody, hopefully you, entered this address for an account. {_how(links.verify)} to confirm it. "
            f"It works for {_hours(VERIFY_LIFETIME)}.",
            f"{_IGNORE} Do not confirm an account that you did not ask for.",
        ),
        code=token,
        link=_link(links.verify, token),
    )


def taken() -> Text:
    """To somebody who has an account already."""
    return Text(
        "You have an account already",
        (
            "Somebody, hopefully you, entered this address for an account. There is one already: log in with it. "
            "If you have forgotten the password, ask for a new one where you log in.",
            _IGNORE,
        ),
    )


def reset(token: str, links: Links) -> Text:
    """To set a new password."""
    return Text(
        "Set a new password",
        (
            f"Somebody, hopefully you, asked for a new password for your account. {_how(links.reset)} to set one. "
            f"It works once, for {_hours(RESET_LIFETIME)}.",
            f"{_IGNORE} Your password has not changed.",
        ),
        code=token,
        link=_link(links.reset, token),
    )


def change_asked(new: str) -> Text:
    """To the address that an account has."""
    return Text(
        "A new e-mail address for your account",
        (
            f"Somebody who knows the password of your account asked to change its address to {new}. It changes as "
            "soon as the new address is confirmed.",
            "If this was not you, change your password now.",
        ),
    )


def changed(new: str) -> Text:
    """To the address that an account had."""
    return Text(
        "The e-mail address of your account has changed",
        (
            f"The address of your account is {new} now. Mail about it is no longer sent here.",
            "If this was not you, write to whoever runs this service.",
        ),
    )


def password_changed() -> Text:
    """After a change or a reset."""
    return Text(
        "The password of your account has changed",
        (
            "Your account has a new password. Everybody who was logged in with the old one has been logged out; API "
            "keys still work.",
            "If this was not you, ask for a new password now.",
        ),
    )


def _how(template: str) -> str:
    return "Open this link, or use the code below it," if template else "Use this code"


def _link(template: str, token: str) -> str:
    return template.replace("{token}", token)


def _hours(duration: timedelta) -> str:
    hours = duration // timedelta(hours=1)
    return "1 hour" if hours == 1 else f"{hours} hours"
