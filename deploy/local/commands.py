"""The command line of the embedded stack.

Exit codes: 0 done; 1 failed, the message says why; 2 wrong usage; 3 not running (status, restart, env) or
already running (up).
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from typing import Any

import click

from deploy.local import files
from deploy.local.daemon import kill_tree, tied
from deploy.local.environment import CLIENTS, Addresses, Environments
from deploy.local.errors import ProcessFailedError, StackError
from deploy.local.folder import CHECKOUT, DataFolder, wait_until_gone
from deploy.local.runner import AlreadyRunningError, Runner, acquire
from deploy.local.stack import Plan, plan

EXIT_STATE = 3
DOWN_TIMEOUT = 90.0
"""Seconds for a clean stop before the supervisor is killed (its guardian then ends the rest)."""
READY_TIMEOUT = 300.0
"""Seconds for a detached stack to come up, the first time on a slow machine."""
RESTART_TIMEOUT = 60.0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run t2m on this machine: Postgres, Redis, the services, the workers and the gateway."""


@cli.command()
@click.option("--detach", "-d", is_flag=True, help="Return when the stack is up and leave it running.")
def up(*, detach: bool) -> None:
    """Start everything and keep it running until Ctrl-C or `down`."""
    folder = DataFolder.from_environment()
    if detach:
        state = start_detached(folder, tie=False)
        click.echo(f"t2m is up: {state['url']}  (pid {state['pid']}; stop it with: make down)")
        return
    with acquire(folder) as lock:
        click.echo(f"Starting t2m in {folder.root}")
        decided = plan(folder)
        runner = Runner(folder, lock, decided.stages, facts(decided), lambda line: click.echo(f"  {line}", color=False))
        asyncio.run(runner.run(lambda: _greet(decided, folder)))
        click.echo("Stopped.")


@cli.command()
@click.option("--quiet", "-q", is_flag=True, help="Say nothing when nothing runs.")
def down(*, quiet: bool) -> None:
    """Stop the running stack, cleanly; fine when there is none."""
    state = DataFolder.from_environment().running()
    if state is None:
        if not quiet:
            click.echo("t2m is not running.")
        return
    stop(state)
    click.echo("Stopped.")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="The state file as it is, without secrets.")
def status(*, as_json: bool) -> None:
    """Say what runs and where; exit code 0 when everything is ready, 3 when nothing runs."""
    folder = DataFolder.from_environment()
    state = _running_or_exit(folder)
    if as_json:
        click.echo(json.dumps({key: value for key, value in state.items() if key != "connections"}, indent=2))
    else:
        click.echo(f"t2m is {state['status']}: {state['url']}  (pid {state['pid']}, data in {folder.root})")
        for process in state["processes"]:
            click.echo(f"  {_described(process)}")
    if any(process["status"] != "ready" for process in state["processes"]):
        sys.exit(1)


@cli.command()
@click.argument("process")
def restart(process: str) -> None:
    """Restart one PROCESS of the running stack and wait until it is ready again."""
    folder = DataFolder.from_environment()
    state = _running_or_exit(folder)
    before = {entry["name"]: entry["started_at"] for entry in state["processes"]}
    if process not in before:
        raise StackError(f"no process {process!r}; there are: {', '.join(before)}")
    files.write_json(folder.requests, {"restart": [process]})
    os.kill(state["pid"], signal.SIGUSR1)
    deadline = time.monotonic() + RESTART_TIMEOUT
    while time.monotonic() < deadline:
        entries = {entry["name"]: entry for entry in _running_or_exit(folder)["processes"]}
        if entries[process]["started_at"] != before[process] and entries[process]["status"] == "ready":
            click.echo(f"{process} is ready, pid {entries[process]['pid']}")
            return
        time.sleep(0.1)
    log = folder.logs / f"{process}.log"
    raise ProcessFailedError(process, f"was not ready within {RESTART_TIMEOUT:.0f} s", log)


@cli.command()
@click.argument("process", required=False, type=click.Choice(CLIENTS))
def env(process: str | None) -> None:
    """Print shell exports: the URL and an API key of the demo user, or with PROCESS what that process gets.

    The output holds secrets. The key is made on first use and kept in the data folder.
    """
    folder = DataFolder.from_environment()
    state = _running_or_exit(folder)
    if process is None:
        from deploy.local.demo import api_key  # as in `demo`

        shown = {"T2M_URL": state["url"], "T2M_API_KEY": api_key(folder, state)}
    else:
        everything = environments(folder, state).of(process)
        shown = {key: value for key, value in everything.items() if key.startswith("T2M_")}
    for key, value in sorted(shown.items()):
        if value:
            click.echo(f"export {key}={shlex.quote(value)}")


@cli.command()
def demo() -> None:
    """Render the sample video: over REST, with live progress, on this stack or one that is started for it."""
    from deploy.local.demo import run_demo  # its libraries cost time that the other commands need not spend

    run_demo(DataFolder.from_environment())


def facts(decided: Plan) -> dict[str, Any]:
    """What the state file says besides the processes."""
    addresses = decided.environments.addresses
    return {
        "url": decided.url,
        "services": dict(addresses.services),
        "connections": {
            "database": decided.environments.database_url,
            "redis": decided.environments.redis_url,
        },
    }


def environments(folder: DataFolder, state: dict[str, Any]) -> Environments:
    """The environments of a running stack, from its state file."""
    gateway = str(state["url"]).removeprefix("http://")
    return Environments(
        folder,
        Addresses(state["services"], gateway),
        files.read_json(folder.secrets),
        state["connections"]["database"],
        state["connections"]["redis"],
    )


def start_detached(folder: DataFolder, *, tie: bool) -> dict[str, Any]:
    """Start ``up`` as a process of its own, ended with us when ``tie``; the state once it is ready."""
    running = folder.running()
    if running is not None:
        raise AlreadyRunningError(running)
    folder.create()
    log = folder.logs / "supervisor.log"
    command = [sys.executable, "-m", "deploy.local", "up"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            tied(command) if tie else command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "T2M_DATA_DIR": str(folder.root), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        state = folder.running()
        if state is not None and state["pid"] == process.pid and state["status"] == "ready":
            return state
        time.sleep(0.1)
    if process.poll() is None:
        process.terminate()
        raise ProcessFailedError("the stack", f"was not up within {READY_TIMEOUT:.0f} s", log)
    raise ProcessFailedError("the stack", "did not come up", log, lines=60)


def stop(state: dict[str, Any]) -> None:
    """End the supervisor of ``state`` and everything it runs; returns when it is gone."""
    pid, started = int(state["pid"]), float(state["process_started"])
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    if not wait_until_gone(pid, started, DOWN_TIMEOUT):
        kill_tree(pid)


def _running_or_exit(folder: DataFolder) -> dict[str, Any]:
    state = folder.running()
    if state is None:
        click.echo("t2m is not running. Start it with: make up", err=True)
        sys.exit(EXIT_STATE)
    return state


def _described(process: dict[str, Any]) -> str:
    deaths = f", restarted {process['restarts']}x" if process["restarts"] else ""
    since = time.strftime("%H:%M:%S", time.localtime(process["started_at"])) if process["pid"] else "-"
    return f"{process['name']:<13} {process['status']:<9} pid {process['pid']} since {since}{deaths}"


def _greet(decided: Plan, folder: DataFolder) -> None:
    click.echo(f"t2m is up: {decided.url}  (API: {decided.url}/docs)")
    click.echo(f"Logs in {folder.logs}. Stop with Ctrl-C or: make down")


def main() -> None:
    """Entry point; turns expected failures into a message and an exit code."""
    try:
        cli()
    except AlreadyRunningError as error:
        click.echo(f"t2m is {error}", err=True)
        sys.exit(EXIT_STATE)
    except StackError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
