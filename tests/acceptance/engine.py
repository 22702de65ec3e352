"""A Docker engine for the tests: the one that answers, or a private one that leaves nothing behind.

A private engine keeps everything in a folder of its own and is stopped by its pid. It needs
root, and the packages docker.io, iptables and, where no registry can be reached, mmdebstrap
for a stand-in of the base image.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts._dev_keys import CONTAINER_UID

BASE_IMAGE = "python:3.13-slim-trixie"
START_S = 60.0
STOP_S = 60.0

_STAND_IN = """\
#!/bin/sh
# What the official image promises: python and pip on PATH, pip free to install. No mirror is named in it.
set -e
ln -sf /usr/bin/python3 "$1/usr/local/bin/python"
ln -sf /usr/bin/python3 "$1/usr/local/bin/python3"
rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/var/cache/apt/* "$1"/var/log/apt
rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*
: >"$1/etc/resolv.conf"
"""


class NoEngineError(Exception):
    """There is no Docker engine here, and none can be started; the text says why."""


def run(
    *command: str | Path,
    timeout: float = 120.0,
    check: bool = True,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program and return what it printed; show both its outputs when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )
    if check and done.returncode != 0:
        shown = " ".join(str(word) for word in command)[:500]
        msg = f"{shown}: status {done.returncode}\n{done.stdout[-4_000:]}\n{done.stderr[-4_000:]}"
        raise AssertionError(msg)
    return done.stdout


@contextmanager
def running_engine() -> Iterator[None]:
    """Have an engine answer to `docker`, by DOCKER_HOST if it is a private one.

    Raises:
        NoEngineError: None answers and none can be started.
    """
    if shutil.which("docker") is None:
        msg = "the command docker is missing (package docker.io)"
        raise NoEngineError(msg)
    if _answers():
        yield
        return
    missing = [tool for tool in ("dockerd", "containerd", "iptables") if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        reason = f"without {', '.join(missing)}" if missing else "without root"
        msg = f"no Docker engine answers, and none can be started {reason}"
        raise NoEngineError(msg)
    folder = Path(tempfile.mkdtemp(prefix="entente-docker-", dir="/var/tmp"))
    before = os.environ.get("DOCKER_HOST")
    policy = run("iptables", "-w", "-S", "FORWARD", check=False).partition("\n")[0].split()[-1:]
    daemon = _start(folder)
    try:
        os.environ["DOCKER_HOST"] = f"unix://{folder / 'docker.sock'}"
        _until_answers(daemon, folder)
        yield
    finally:
        if before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = before
        _stop(daemon)
        _remove(folder)
        _tidy_network(*policy)


def provide_base_image() -> None:
    """Have the base image: the official one, or a stand-in from Debian packages under its name."""
    if run("docker", "image", "ls", "--quiet", BASE_IMAGE).strip():
        return
    try:
        run("docker", "pull", "--quiet", BASE_IMAGE, timeout=300)
    except (AssertionError, subprocess.TimeoutExpired):
        _make_base_image()


def build_image(context: Path, name: str) -> None:
    """Build an image of the gateway from a folder, with the wheels that lie there."""
    user, group = os.geteuid() or CONTAINER_UID, os.getegid() or CONTAINER_UID
    arguments = (f"ENTENTE_UID={user}", f"ENTENTE_GID={group}", "PIP_NO_INDEX=1")
    options = [word for argument in arguments for word in ("--build-arg", argument)]
    run("docker", "build", "--quiet", "--tag", name, *options, ".", cwd=context, timeout=900)


def _make_base_image() -> None:
    """Make Debian 13 with Python from the mirror that this machine's own packages come from."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        msg = f"no registry gives {BASE_IMAGE}, and a stand-in needs root and the package mmdebstrap"
        raise NoEngineError(msg)
    listing = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(SUITE)", "Created-By: Packages")
    mirrors = [
        address
        for address, suite in (line.split() for line in listing.splitlines())
        if address.rstrip("/").endswith("debian")
        and not suite.endswith(("-security", "-updates", "-backports"))
    ]
    if not mirrors:
        msg = "no Debian mirror in this machine's package sources"
        raise NoEngineError(msg)
    with tempfile.TemporaryDirectory(prefix="entente-base-", dir="/var/tmp") as folder:
        hook, archive = Path(folder, "finish"), Path(folder, "root.tar")
        hook.write_text(_STAND_IN)
        hook.chmod(0o755)
        Path(folder).chmod(0o755)
        run(
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            "--include=ca-certificates,python3,python3-venv,python3-pip,tzdata",
            f'--customize-hook={hook} "$1"',
            "trixie",
            archive,
            mirrors[0],
            timeout=900,
        )
        change = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8"
        run("docker", "import", "--change", change, archive, BASE_IMAGE, timeout=300)


# --- a private engine ------------------------------------------------------------------


def _answers() -> bool:
    found = run("docker", "version", "--format", "{{.Server.Version}}", check=False, timeout=20)
    return bool(found.strip())


def _start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            (
                "dockerd",
                f"--host=unix://{folder / 'docker.sock'}",
                f"--data-root={folder / 'data'}",
                f"--exec-root={folder / 'exec'}",
                f"--pidfile={folder / 'dockerd.pid'}",
                "--log-level=warn",
                "--shutdown-timeout=10",
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _until_answers(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + START_S
    while not _answers():
        if daemon.poll() is not None or time.monotonic() > end:
            said = (folder / "dockerd.log").read_text(errors="replace").splitlines()[-5:]
            msg = "the Docker engine does not start here: " + " | ".join(said)
            raise NoEngineError(msg)
        time.sleep(0.2)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    """Let the engine stop its containers and end; take it down if it does not."""
    if daemon.poll() is not None:
        return
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(STOP_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _remove(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((path for path in mounts if path.startswith(f"{folder}/")), reverse=True):
        run("umount", "--lazy", mount, check=False)
    shutil.rmtree(folder)


def _tidy_network(policy: str = "ACCEPT") -> None:
    """Take away what an engine leaves in the kernel: its bridge, its chains, its policy for forwarding.

    Args:
        policy: What was done with forwarded packets before.
    """
    running = Path("/proc").glob("[0-9]*/comm")
    if any(_name(path) == "dockerd" for path in running):
        return  # another engine needs them
    run("ip", "link", "del", "docker0", check=False)
    run("iptables", "-w", "-P", "FORWARD", policy, check=False)
    for table in ("filter", "nat"):
        rules = run("iptables", "-w", "-t", table, "-S", check=False).splitlines()
        for rule in rules:
            if rule.startswith("-A ") and ("DOCKER" in rule or "docker0" in rule):
                run("iptables", "-w", "-t", table, "-D", *rule.split()[1:], check=False)
        chains = [rule.split()[1] for rule in rules if rule.startswith("-N DOCKER")]
        for action in ("-F", "-X"):
            for chain in chains:
                run("iptables", "-w", "-t", table, action, chain, check=False)


def _name(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # it has ended
        return ""
