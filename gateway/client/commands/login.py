"""`t2m login`, `logout`, `whoami`, `profiles`."""

from __future__ import annotations

import ipaddress
import sys
from urllib.parse import urlsplit

import click

from gateway.client.api import account
from gateway.client.commands.app import App, Command, pass_app
from gateway.client.commands.failures import LOGIN_REFUSED
from gateway.client.commands.output import Column
from gateway.client.commands.profiles import DEFAULT_URL, Profile, checked
from gateway.client.errors import NotLoggedInError, PermissionDeniedError, T2MError
from gateway.client.sync import T2MClient

_ASK = "-?-"


@click.command(cls=Command)
@click.option("--email", metavar="ADDRESS", help="Of the account; asked for if it is left out.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of asking.")
@click.option(
    "--api-key",
    is_flag=False,
    flag_value=_ASK,
    metavar="[KEY]",
    help="Use an API key instead; asked for if it is left out, read from stdin for `-`.",
)
@pass_app
def login(app: App, email: str | None, password_stdin: bool, api_key: str | None) -> None:
    """Log in, and stay logged in.

    With e-mail address and password, or with an API key for machines. Kept under a profile (`--profile NAME`, else
    `default`) in a folder that only you can read; `--url` says which server.
    """
    name = checked(app.profile or app.environment.get("T2M_PROFILE") or "default")
    known = app.profiles.load(name)
    url = app.url or app.environment.get("T2M_URL") or (known.url if known else "")
    if not url:
        url = click.prompt("Server", default=DEFAULT_URL, err=True) if sys.stdin.isatty() else DEFAULT_URL
    url = url.rstrip("/")
    _warn_of_plain_http(app, url)
    if api_key is not None:
        profile = Profile(name, url, api_key=_key(api_key))
        who = _owner_of_key(app, profile)
        app.profiles.remove(name)
    else:
        email = email or click.prompt("E-mail address", err=True, default=known.email if known else None)
        profile = Profile(name, url, email=str(email))
        who = _open_session(app, profile, _password(from_stdin=password_stdin))
    app.profiles.save(profile)
    if app.as_json:
        app.output.document({"profile": name, "url": url, "user": who})
        return
    app.output.note(f"Logged in to {url} as {who}.")
    app.output.note('Make a video: t2m generate "Pythagorean theorem" "prove it visually" --watch', "dim")


@click.command(cls=Command)
@pass_app
def logout(app: App) -> None:
    """Log out, and forget the session or the API key."""
    profile = app.chosen
    if profile is None:
        app.output.note("You are not logged in.")
        return
    if not profile.api_key:
        try:
            tokens = app.profiles.tokens(profile.name)
            with T2MClient(profile.url, tokens=tokens, patience_s=app.patience(), transport=app.transport) as client:
                client.logout()
        except NotLoggedInError:
            pass  # The session had ended by itself.
        except T2MError as error:
            app.output.warn(f"the session could not be ended on the server: {error.message}")
    app.profiles.remove(profile.name)
    if app.as_json:
        app.output.document({"profile": profile.name, "url": profile.url})
    app.output.note(f"Logged out of {profile.url}.")


@click.command(cls=Command)
@pass_app
def whoami(app: App) -> None:
    """Who you are here, and by which credential."""
    by = "T2M_API_KEY" if app.api_key else "none"
    if not app.api_key and app.chosen:
        by = f"profile {app.chosen.name}, " + ("API key" if app.chosen.api_key else "session")
    with app.client() as client:
        user = client.profile()
        balance = client.credits_left()
    if app.as_json:
        app.output.document({"url": app.server, "credential": by, "user": user, "credits": balance})
        return
    app.output.facts(
        [
            ("Server", app.server),
            ("User", user["email"] or user["user_id"]),
            ("Name", user["display_name"]),
            ("Role", user["role"]),
            ("Plan", balance["plan"]),
            ("Credential", by),
        ]
    )


@click.command(cls=Command)
@click.argument("name", required=False)
@pass_app
def profiles(app: App, name: str | None) -> None:
    """List the logins of this machine, or use NAME from now on."""
    if name:
        if app.profiles.load(name) is None:
            raise click.UsageError(f"there is no profile {name!r}: t2m login --profile {name}")
        app.profiles.use(name)
        app.output.note(f"From now on: {name}.")
        return
    current = app.profiles.current()
    found = [profile for each in app.profiles.names() if (profile := app.profiles.load(each))]
    rows = [(each.name, each.url, each.email or "API key", "current" if each.name == current else "") for each in found]
    if app.as_json:
        app.output.document([dict(zip(("name", "url", "as", "current"), row, strict=True)) for row in rows])
        return
    app.output.table([Column("PROFILE"), Column("SERVER", stretches=True), Column("AS"), Column("")], rows)


def _open_session(app: App, profile: Profile, password: str) -> str:
    """Whose it is. T2MError; the profile's older secrets stay until there are new ones."""
    with T2MClient(profile.url, patience_s=app.patience(), transport=app.transport) as nobody:
        try:
            tokens = nobody.run(account.open_session(profile.email, password))
        except NotLoggedInError as error:
            raise NotLoggedInError(
                401,
                error.error_code,
                "this address and password do not fit, or the address is not verified yet",
                {"reason": LOGIN_REFUSED},
            ) from error
    app.profiles.tokens(profile.name).save(tokens)
    return profile.email


def _owner_of_key(app: App, profile: Profile) -> str:
    """Whose key it is, as far as it may say so. T2MError for one that does not work."""
    with T2MClient(profile.url, profile.api_key, patience_s=app.patience(), transport=app.transport) as client:
        try:
            user = client.profile()
        except PermissionDeniedError:
            return "somebody whose profile this key may not read"
    return user["email"] or user["user_id"]


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, err=True))


def _key(given: str) -> str:
    if given == "-":
        return sys.stdin.readline().strip()
    return str(click.prompt("API key", hide_input=True, err=True)) if given == _ASK else given


def _warn_of_plain_http(app: App, url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if parts.scheme == "http" and not here:
        app.output.warn(f"{url} is not encrypted: whoever is on the way can read your password or key")
