"""As whom a program runs that refuses root (Postgres does).

As an ordinary user: as that user. As root: inside a user namespace, where root's files stay reachable and the
program still sees an ordinary uid; where namespaces are forbidden (many containers), as an unprivileged
account that then must be able to enter every folder on the way to its files.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local import launch
from deploy.local.errors import StackError

LAUNCHER = (sys.executable, "-I", "-S", str(Path(launch.__file__).resolve()))


@dataclass(frozen=True)
class Identity:
    """Launcher options that give a program its identity, and the owner that its files need (None.

    Leave them).
    """

    options: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def run(self, command: list[str], *, log: Path) -> int:
        """Run ``command`` to its end as this identity, appending its output to ``log``; its exit code."""
        with log.open("ab") as output:
            return subprocess.run(
                [*LAUNCHER, *self.options, "--", *command], stdout=output, stderr=output, check=False
            ).returncode

    def take(self, folder: Path) -> None:
        """Give ``folder`` and everything in it to this identity's owner, if it has one."""
        if self.owner is None:
            return
        uid, gid = self.owner
        for path in (folder, *folder.rglob("*")):
            if path.lstat().st_uid != uid:
                os.lchown(path, uid, gid)


def unprivileged(*reach: Path) -> Identity:
    """An identity that is not root and can enter every folder of ``reach``.

    StackError names the folder that stands in the way when there is none.
    """
    if os.geteuid() != 0:
        return Identity()
    in_namespace = Identity(("--namespace",), owner=(0, os.getegid()))
    if _blocked_folder(in_namespace, reach) is None:
        return in_namespace
    account = _unprivileged_account()
    dropped = Identity(("--user", f"{account.pw_uid}:{account.pw_gid}"), owner=(account.pw_uid, account.pw_gid))
    blocked = _blocked_folder(dropped, reach)
    if blocked is None:
        return dropped
    raise StackError(
        f"Postgres does not run as root, user namespaces are not available here, and the account"
        f" {account.pw_name!r} cannot enter {blocked}.\n"
        f"Do one of: run as an ordinary user; chmod o+x {blocked};"
        " or set T2M_DATABASE_URL to a Postgres of yours."
    )


def _blocked_folder(identity: Identity, reach: tuple[Path, ...]) -> str | None:
    """What keeps ``identity`` from entering ``reach``.

    A folder, the launcher's complaint, or None when nothing does.
    """
    options = [argument for path in reach for argument in ("--reach", str(path.resolve()))]
    result = subprocess.run([*LAUNCHER, *identity.options, *options], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return None
    return result.stdout.strip() or result.stderr.strip() or f"exit code {result.returncode}"


def _unprivileged_account() -> pwd.struct_passwd:
    """The system's own Postgres account when there is one, else nobody."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StackError("Postgres does not run as root and this system has no account 'nobody' to run it as.")
