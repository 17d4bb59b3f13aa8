"""What the machine itself must bring: ``python3 deploy/local/system.py [--check] [--browser]``, run before any venv.

Manim draws with cairo and pango, whose Python bindings are compiled on Linux, so the machine needs the
libraries with their headers, a C compiler and the headers of Python. What is missing is installed by apt (as
root or by passwordless sudo) or Homebrew; elsewhere, and with ``--check``, the packages and the command are
named. With ``--browser`` the same for the Chromium of the browser tests. Exit code 0: everything is there.
Standard library only; also runs on a Python that is too old, to say so.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

MINIMUM_PYTHON = (3, 11)

_PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"

PACKAGES: dict[str, dict[str, str]] = {
    "apt-get": {
        "cairo": "libcairo2-dev",
        "pango": "libpango1.0-dev",
        "pkg-config": "pkg-config",
        "a C compiler": "gcc libc6-dev",
        "the headers of Python": _PYTHON + "-dev",
        "the venv module of Python": _PYTHON + "-venv",
        "Chromium": "chromium",
    },
    "dnf": {
        "cairo": "cairo-devel",
        "pango": "pango-devel",
        "pkg-config": "pkgconf-pkg-config",
        "a C compiler": "gcc",
        "the headers of Python": "python3-devel",
        "the venv module of Python": "python3-libs",
        "Chromium": "chromium",
    },
    "pacman": {
        "cairo": "cairo",
        "pango": "pango",
        "pkg-config": "pkgconf",
        "a C compiler": "gcc",
        "the headers of Python": "python",
        "the venv module of Python": "python",
        "Chromium": "chromium",
    },
    "apk": {
        "cairo": "cairo-dev",
        "pango": "pango-dev",
        "pkg-config": "pkgconf",
        "a C compiler": "gcc musl-dev",
        "the headers of Python": "python3-dev",
        "the venv module of Python": "python3",
        "Chromium": "chromium",
    },
    "brew": {
        "cairo": "cairo",
        "pango": "pango",
        "pkg-config": "pkg-config",
        "a C compiler": "gcc",
        "the headers of Python": "python@3.11",
        "the venv module of Python": "python@3.11",
        "Chromium": "chromium",
    },
}
"""By package manager: what this script calls a missing part -> the packages that bring it."""

INSTALL: dict[str, str] = {
    "apt-get": "apt-get install -y --no-install-recommends",
    "dnf": "dnf install -y",
    "pacman": "pacman -S --needed",
    "apk": "apk add",
    "brew": "brew install",
}


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""What Chromium is called, by distribution."""


def browser() -> str | None:
    """The path of Chromium: what ``T2M_CHROMIUM`` names, else the first of ``BROWSERS`` on the PATH; or None."""
    named = os.environ.get("T2M_CHROMIUM")
    return next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)


def missing(*, with_browser: bool = False) -> list[str]:
    """The parts (keys of ``PACKAGES``) that this machine lacks; takes some milliseconds."""
    lacking = []
    if shutil.which("pkg-config") is None:
        # Without it nothing can be said about the libraries, and installing what is there is harmless.
        lacking += ["pkg-config", "cairo", "pango"]
    else:
        lacking += [part for part, module in (("cairo", "cairo"), ("pango", "pangocairo")) if not _has_library(module)]
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CC") or "cc", "cc", "gcc", "clang")):
        lacking.append("a C compiler")
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        lacking.append("the headers of Python")
    if importlib.util.find_spec("ensurepip") is None:
        lacking.append("the venv module of Python")
    if with_browser and browser() is None:
        lacking.append("Chromium")
    return lacking


def _has_library(module: str) -> bool:
    return subprocess.run(["pkg-config", "--exists", module], check=False).returncode == 0


def packages(manager: str, parts: list[str]) -> list[str]:
    """The packages of ``manager`` that bring ``parts``, without repeats."""
    names = [name for part in parts for name in PACKAGES[manager][part].split()]
    return list(dict.fromkeys(names))


def explanation(parts: list[str]) -> str:
    """What is missing, and the command that installs it with this machine's package manager or any known."""
    here = [manager for manager in INSTALL if shutil.which(manager)]
    lines = ["t2m needs " + ", ".join(parts) + " on this machine. Install with:"]
    for manager in here or INSTALL:
        sudo = "" if manager == "brew" or _is_root() else "sudo "
        lines.append("  " + sudo + INSTALL[manager] + " " + " ".join(packages(manager, parts)))
    return "\n".join(lines)


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _root_prefix() -> list[str] | None:
    """The words before a command that make it run as root without a question, or None when nothing does."""
    if _is_root():
        return []
    if not shutil.which("sudo"):
        return None
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        return ["sudo", "-n", "--preserve-env=DEBIAN_FRONTEND"]
    return None


def install(parts: list[str]) -> bool:
    """Install ``parts`` where that needs no question; False when it cannot or did not work."""
    if sys.platform == "darwin":
        brew = shutil.which("brew")
        return bool(brew) and _run(INSTALL["brew"].split() + packages("brew", parts))
    prefix = _root_prefix()
    if shutil.which("apt-get") is None or prefix is None:
        return False
    command = prefix + INSTALL["apt-get"].split() + packages("apt-get", parts)
    # A fresh image has no package lists, an old one has stale ones: both show as a failed install.
    return _run(command) or (_run([*prefix, "apt-get", "update"]) and _run(command))


def _run(command: list[str]) -> bool:
    print("$ " + " ".join(command), flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, check=False, env=environment).returncode == 0


def check_python(version: tuple[int, ...]) -> str | None:
    """A complaint about ``version``, or None."""
    if tuple(version[:2]) >= MINIMUM_PYTHON:
        return None
    needed, found = (".".join(str(number) for number in numbers[:2]) for numbers in (MINIMUM_PYTHON, version))
    return f"t2m needs Python {needed} or newer, this is {found} ({sys.executable}). Try: make PYTHON=python{needed}"


def main(arguments: list[str]) -> int:
    """Check, install what is missing unless ``--check`` is given, say in words what is still missing."""
    parser = argparse.ArgumentParser(prog="system.py", description="What t2m needs from the machine.")
    parser.add_argument("--check", action="store_true", help="do not install anything, only say what is missing")
    parser.add_argument("--browser", action="store_true", help="also what the browser tests need")
    options = parser.parse_args(arguments)
    complaint = check_python(tuple(sys.version_info[:3]))
    if complaint:
        print(complaint, file=sys.stderr)
        return 1
    parts = missing(with_browser=options.browser)
    if parts and not options.check and install(parts):
        parts = missing(with_browser=options.browser)
    if parts:
        print(explanation(parts), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
