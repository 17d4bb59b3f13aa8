"""What every command has: the server it speaks to, who speaks, how it speaks, and one way to fail."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

import click
import httpx

from gateway.client.commands.failures import Exit, Explanation, exit_of, explained
from gateway.client.commands.output import Output
from gateway.client.commands.profiles import DEFAULT_URL, Profile, Profiles
from gateway.client.errors import ConnectionFailedError, NotFoundError, T2MError
from gateway.client.sync import T2MClient
from gateway.client.wire import TIMEOUT_S

PATIENCE_S = 5.0
"""So long a command bears a server that is away, if nothing else is said."""
STEADY_S = 60.0
"""And one that follows something, or moves files: a restart of the server is over by then."""
_SHORTEST = 4
_NEWEST = 100

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class App:
    """The choices of one invocation, and what follows from them."""

    url: str = ""
    profile: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """T2M_URL, T2M_API_KEY, T2M_PROFILE: what the command line says comes before them, a profile after."""
    as_json: bool = False
    quiet: bool = False
    color: bool = True
    patience_s: float | None = None
    transport: httpx.BaseTransport | None = None
    """In place of the network, for tests."""

    @cached_property
    def output(self) -> Output:
        """Where it speaks; made late, as options may follow the command's name."""
        return Output(as_json=self.as_json, quiet=self.quiet, color=self.color)

    @cached_property
    def profiles(self) -> Profiles:
        """Of this machine's user."""
        return Profiles()

    @cached_property
    def chosen(self) -> Profile | None:
        """The profile whose credential may be used: that of the server, and never one of another server.
        click.UsageError.
        """
        named = self.profile or self.environment.get("T2M_PROFILE", "")
        if named:
            profile = self.profiles.load(named)
            if profile is None:
                raise click.UsageError(f"there is no profile {named!r}: t2m login --profile {named}")
            if self._asked_url and profile.url != self._asked_url:
                raise click.UsageError(f"the profile {named!r} is of {profile.url}, not of {self._asked_url}")
            return profile
        if self._asked_url:
            return self.profiles.at(self._asked_url)
        return self.profiles.load(self.profiles.current())

    @cached_property
    def server(self) -> str:
        """The URL of the gateway. click.UsageError."""
        if self._asked_url:
            return self._asked_url
        return self.chosen.url if self.chosen else DEFAULT_URL

    @cached_property
    def api_key(self) -> str:
        """Of the environment, unless the command line asks for another server, or for a profile."""
        elsewhere = self.environment.get("T2M_URL", "").rstrip("/") not in ("", self._asked_url)
        return "" if self.profile or elsewhere else self.environment.get("T2M_API_KEY", "")

    @property
    def _asked_url(self) -> str:
        """By the command line, else by the environment; a profile that was asked for has its own."""
        known = "" if self.profile else self.environment.get("T2M_URL", "")
        return (self.url or known).rstrip("/")

    def patience(self, usual_s: float = PATIENCE_S) -> float:
        """As the command line says, else as usual; seconds."""
        return usual_s if self.patience_s is None else self.patience_s

    def client(self, *, patience_s: float = PATIENCE_S, timeout_s: float = TIMEOUT_S) -> T2MClient:
        """A client of the server, as whom the environment, the profile, or nobody says. click.UsageError."""
        options: dict[str, Any] = {
            "patience_s": self.patience(patience_s),
            "timeout_s": timeout_s,
            "transport": self.transport,
        }
        try:
            if self.api_key:
                return T2MClient(self.server, self.api_key, **options)
            if self.chosen and self.chosen.api_key:
                return T2MClient(self.server, self.chosen.api_key, **options)
            if self.chosen:
                return T2MClient(self.server, tokens=self.profiles.tokens(self.chosen.name), **options)
            return T2MClient(self.server, **options)
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    def steady_client(self) -> T2MClient:
        """The same with more patience, once it is certain that there is somebody: who has mistyped a URL does not want
        to wait. ConnectionFailedError.
        """
        with self.client() as probe:
            try:
                probe.alive()
            except ConnectionFailedError:
                raise
            except T2MError:
                pass  # There is somebody; what is the matter, the command itself finds out.
        return self.client(patience_s=STEADY_S)

    def job_id(self, client: T2MClient, text: str) -> str:
        """The id that is meant: a whole one, `last`, or the beginning or end of that of a recent job. T2MError,
        click.UsageError.
        """
        try:
            return str(UUID(text))
        except ValueError:
            pass
        if text == "last":
            newest = client.list_jobs(page_size=1)["jobs"]
            if not newest:
                raise NotFoundError(404, "NOT_FOUND", "there are no jobs yet", {})
            return newest[0]["job_id"]
        if len(text) < _SHORTEST:
            raise click.UsageError(f"{text!r} is too short for the id of a job: at least {_SHORTEST} characters")
        recent = [job["job_id"] for job in client.list_jobs(page_size=_NEWEST)["jobs"]]
        found = [known for known in recent if known.startswith(text.lower()) or known.endswith(text.lower())]
        if len(found) > 1:
            raise click.UsageError(f"{text!r} is ambiguous: {', '.join(found[:5])}")
        if not found:
            message = f"none of the newest {_NEWEST} jobs has an id that begins or ends with {text!r}"
            raise NotFoundError(404, "NOT_FOUND", message, {})
        return found[0]

    def fail(self, error: T2MError) -> Exit:
        """Say what went wrong; the exit code."""
        code = exit_of(error)
        if self.as_json:
            body = {
                "error_code": error.error_code,
                "reason": error.reason,
                "message": error.message,
                "violations": [{"field": item.field, "message": item.message} for item in error.violations],
                "status": error.status,
                "request_id": error.request_id,
                "exit_code": int(code),
            }
            click.echo(json.dumps({"error": body}, ensure_ascii=False), err=True)
        else:
            self.output.error(explained(error, self.server))
        return code

    def complain(self, headline: str, *points: str, hint: str = "") -> None:
        """Say what went wrong, where it was no answer of the server."""
        self.output.error(Explanation(headline, points, hint))


def _choose(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A callback that puts an option's value into the App, wherever on the line it was given."""

    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            setattr(context.ensure_object(App), name, value)

    return callback


def _everywhere(*, hidden: bool) -> list[click.Option]:
    """Options that may stand before or after the name of the command."""

    def option(*names: str, into: str, **more: Any) -> click.Option:
        hide = hidden and "--json" not in names
        return click.Option([*names], expose_value=False, callback=_choose(into), hidden=hide, **more)

    return [
        option("--json", into="as_json", is_flag=True, default=None, help="One JSON document; lines for streams."),
        option("--quiet", "-q", into="quiet", is_flag=True, default=None, help="Only results and errors."),
        option(
            "--color/--no-color",
            into="color",
            default=None,
            help="Colours; by itself on a terminal, unless NO_COLOR is set.",
        ),
        option("--url", into="url", metavar="URL", help="The server; else T2M_URL, else the profile's."),
        option("--profile", into="profile", metavar="NAME", help="Another login; else T2M_PROFILE, else the last."),
        option(
            "--patience",
            into="patience_s",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help=f"How long to bear a server that is away; {PATIENCE_S:.0f}, or {STEADY_S:.0f} to watch.",
        ),
    ]


class Command(click.Command):
    """A command with the options that all have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _everywhere(hidden=True)


class Group(click.Group):
    """A group whose commands have the options that all have."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _everywhere(hidden=self.name != "t2m")


pass_app = click.make_pass_decorator(App, ensure=True)


def run(root: click.Group, arguments: list[str] | None = None, app: App | None = None) -> int:
    """Run a command line; the exit code. Environment: T2M_URL, T2M_API_KEY, T2M_PROFILE, T2M_CONFIG_DIR, NO_COLOR."""
    app = app or App()
    app.environment = {name: value for name, value in os.environ.items() if name.startswith("T2M_")}
    try:
        done = root.main(arguments, prog_name="t2m", standalone_mode=False, obj=app)
        return int(done) if isinstance(done, int) else Exit.OK
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return Exit.INTERRUPTED
    except T2MError as error:
        return app.fail(error)
    except BrokenPipeError:
        # Whoever read the output has had enough; nothing more may be written, not even at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return Exit.OK
    except OSError as error:
        app.complain(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
        return Exit.USAGE
