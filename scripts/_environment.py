"""Make `.venv` hold what a lock file says, and do nothing when it does already.

Run by `_setup.sh` as ``python scripts/_environment.py run|dev``, with the standard library
alone. An environment is current when its stamp holds the digest of everything that decides
about its contents: the lock file, pyproject.toml, the Python version and the place. `dev`
contains `run`, so the stamp of `dev` serves both.

What an interruption leaves behind: the marker `installing` is written before pip starts and
removed after the stamp is in place. A start that finds the marker throws the environment
away, because pip takes a half-written package for an installed one. Two starts at the same
time wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = {"run": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
# The Python below the environment's own, which goes away when the environment is replaced.
BASE_PYTHON = Path(sys.executable).resolve()
CONTAINED_IN = {"run": ("run", "dev"), "dev": ("dev",)}


def expected_stamp(kind: str) -> str:
    """Return the digest of all that decides about the contents of an environment."""
    # The folder counts too: what lies in an environment points to the place where it was made.
    digest = hashlib.sha256(f"{sys.version}\n{ROOT}".encode())
    for path in (LOCKS[kind], ROOT / "pyproject.toml"):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def stamp_path(kind: str) -> Path:
    """Return where the stamp of one kind of environment lies."""
    return VENV / f"entente-{kind}.stamp"


def marker_path() -> Path:
    """Return the file that says that an installation began and did not end."""
    return VENV / "entente-installing"


def is_current(kind: str) -> bool:
    """Tell whether the environment holds what this kind needs."""
    programs = (VENV / "bin" / "python", VENV / "bin" / "entente")
    if marker_path().exists() or not all(program.exists() for program in programs):
        return False
    return any(
        stamp_path(other).is_file() and stamp_path(other).read_text() == expected_stamp(other)
        for other in CONTAINED_IN[kind]
    )


def run(*command: str | Path) -> None:
    """Run a command in silence; show what it printed, and end, when it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        sys.exit(
            f"Setting up .venv failed: {' '.join(map(str, command))} ended with status {done.returncode}."
        )


def is_usable() -> bool:
    """Tell whether the environment has a Python that runs, and it is the one that runs this."""
    try:
        done = subprocess.run(
            (VENV / "bin" / "python", "-c", "import sys; print(sys.version)"),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return done.stdout.strip() == sys.version.strip()


def remove() -> None:
    """Take the environment away, at once: half of one must never lie in its place."""
    removed = ROOT / "var" / "removed-environment"
    if removed.exists():
        shutil.rmtree(removed)
    VENV.rename(removed)
    shutil.rmtree(removed)


def install(kind: str) -> None:
    """Bring the environment to what the lock says, from nothing or from what is there."""
    if marker_path().exists():
        print(".venv: the last installation did not finish; making it anew", flush=True)
        remove()
    elif VENV.exists() and not is_usable():
        print(".venv: it has another Python; making it anew", flush=True)
        remove()
    made = VENV.exists()
    VENV.mkdir(exist_ok=True)
    marker_path().touch()
    for other in LOCKS:
        stamp_path(other).unlink(missing_ok=True)
    if not made:
        run(BASE_PYTHON, "-m", "venv", VENV)
    pip = (
        VENV / "bin" / "python",
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "install",
    )
    # Wheels only: nothing is built, so nothing runs that the hashes do not cover.
    run(*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", LOCKS[kind])
    run(*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    stamp = stamp_path(kind)
    stamp.with_suffix(".new").write_text(expected_stamp(kind))
    stamp.with_suffix(".new").replace(stamp)
    marker_path().unlink()


def main() -> None:
    """Check the stamp, and install when it does not fit."""
    kind = sys.argv[1]
    if is_current(kind):
        return
    (ROOT / "var").mkdir(exist_ok=True)
    with (ROOT / "var" / "environment.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if is_current(kind):  # made by whoever held the lock before us
            return
        started = time.monotonic()
        print(f".venv: installing from {LOCKS[kind].name} …", flush=True)
        install(kind)
        print(f".venv: ready after {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    main()
