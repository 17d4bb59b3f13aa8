"""Start one program with an identity and a lifetime: ``python -I launch.py [options] -- program args…``.

A fresh single-threaded interpreter, because a user namespace can only be entered by a process with one
thread, and because code between fork and exec of a threaded parent is not safe. Standard library only;
replaces itself by exec.

Options (each at most once):
  --parent PID         the program gets the death signal when this parent is gone (Linux; ignored elsewhere)
  --death-signal N     which signal that is (default SIGTERM)
  --namespace          enter a user namespace in which our root is an ordinary uid (programs that refuse root)
  --user UID:GID       become that user instead
  --reach PATH         may be repeated; exit 3 and name the first folder on the way that this identity cannot
                       enter
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

NAMESPACE_UID = 1000
"""The uid that the program sees itself as inside the user namespace; any number but zero does."""

EXIT_UNREACHABLE = 3
EXIT_NO_NAMESPACE = 4

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


def enter_namespace() -> None:
    """Enter a user namespace that maps the caller's ids to an unprivileged uid.

    OSError where this is forbidden.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    # The kernel lets an unprivileged process write gid_map only after it has given up setgroups.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NAMESPACE_UID} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NAMESPACE_UID} {gid} 1", encoding="ascii")


def drop_to(user: str) -> None:
    """Become ``UID:GID`` without supplementary groups."""
    uid, _, gid = user.partition(":")
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))


def first_unreachable(path: Path) -> Path | None:
    """The first folder on the way to ``path`` that the current identity cannot enter, or None."""
    for folder in [*reversed(path.parents), path]:
        if not os.access(folder, os.X_OK):
            return folder
    return None


def die_with(parent: int, death_signal: int) -> None:
    """Ask the kernel to send ``death_signal`` when the parent ends; leave at once when it already has."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def main(arguments: list[str]) -> int:
    """Parse, change identity, tie the lifetime, exec.

    The order matters: a change of identity clears the death signal.
    """
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("--parent", type=int)
    parser.add_argument("--death-signal", type=int, default=int(signal.SIGTERM))
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--reach", action="append", default=[])
    parser.add_argument("program", nargs="*")
    options = parser.parse_args(arguments)
    if options.namespace:
        try:
            enter_namespace()
        except OSError as error:
            print(f"no user namespace: {error}", file=sys.stderr)
            return EXIT_NO_NAMESPACE
    if options.user:
        drop_to(options.user)
    for path in options.reach:
        blocked = first_unreachable(Path(path))
        if blocked is not None:
            print(blocked)
            return EXIT_UNREACHABLE
    if options.parent is not None:
        die_with(options.parent, options.death_signal)
    if options.program:
        os.execv(options.program[0], options.program)  # noqa: S606 - replacing itself is its purpose
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
