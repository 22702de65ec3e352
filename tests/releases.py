"""The last release, as the history of this clone holds it: unpacked, and installed apart.

`releases.toml` names each release and its commit, because tags do not reach every clone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
INSTALL_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release.

    Attributes:
        version: Its number.
        date: When it was made.
        commit: Full name of the commit that it was made from.
    """

    version: str
    date: date
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A release that can be run.

    Attributes:
        release: Which one.
        tree: Its files.
        python: The interpreter of its environment.
    """

    release: Release
    tree: Path
    python: Path

    def run(self, *arguments: str | Path, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run the command `entente` of this release."""
        return subprocess.run(
            [str(self.python), "-m", "gateway", *map(str, arguments)],
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


class NoHistoryError(Exception):
    """This copy of the project does not hold its releases; the text says why."""


def releases() -> list[Release]:
    """Return every release, the newest first."""
    table = tomllib.loads((ROOT / "releases.toml").read_text())
    return [Release(**item) for item in table["release"]]


def require_history() -> None:
    """Refuse to go on in a copy without the whole history.

    Raises:
        NoHistoryError: It is no clone, or a shallow one.
    """
    done = _git("rev-parse", "--is-shallow-repository")
    if done.returncode != 0:
        msg = "this is no clone of the project, so the last release is not in it"
        raise NoHistoryError(msg)
    if done.stdout.strip() == b"true":
        msg = "this clone is shallow, so the last release is not in it: git fetch --unshallow"
        raise NoHistoryError(msg)


def is_behind(release: Release) -> bool:
    """Return whether a release is in the history of what is checked out."""
    return _git("merge-base", "--is-ancestor", release.commit, "HEAD").returncode == 0


def unpack(release: Release, folder: Path) -> Path:
    """Write the files of a release into a folder, and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = _git("archive", release.commit)
    assert archive.returncode == 0, f"{release.version}: {archive.stderr.decode()}"
    subprocess.run(("tar", "-x", "-C", str(folder)), input=archive.stdout, check=True)
    return folder


def install(release: Release) -> Installed:
    """Return a release in an environment of its own, from its own lock, made once a clone."""
    name = f"{release.version}-{release.commit[:12]}-{sys.version_info.major}.{sys.version_info.minor}"
    place = ROOT / "var" / "releases" / name
    installed = Installed(release=release, tree=place / "tree", python=place / "venv" / "bin" / "python")
    if (place / "whole").exists():
        return installed
    shutil.rmtree(place, ignore_errors=True)
    unpack(release, installed.tree)
    _run(sys.executable, "-m", "venv", place / "venv")
    pip = (installed.python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    lock = installed.tree / "requirements.lock"
    _run(*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", lock)
    _run(*pip, "--no-index", "--no-deps", "--no-build-isolation", installed.tree)
    # Last, so that an installation that was interrupted is begun anew.
    (place / "whole").touch()
    return installed


def last_release() -> Release:
    """Return the newest release, or skip the test in a copy that does not hold it."""
    try:
        require_history()
    except NoHistoryError as error:
        pytest.skip(str(error))
    return releases()[0]


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ("git", "-C", str(ROOT), *arguments)
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"
