"""Both nodes in containers, as docker-compose.yml makes them, with agencies that post all the time."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gateway.keyring.config_file import DEFAULT_PORT_BASE, Ports
from gateway.keyring.demo import NODES
from gateway.keyring.home import NodeHome
from scripts._dev_keys import give, make_compose_homes
from tests.acceptance.engine import NoEngineError, run
from tests.processes import free_ports
from tests.releases import Installed

ROOT = Path(__file__).resolve().parents[2]
HOME: Final = "/srv/entente"
DEADLINE_S: Final = 180.0
FILES = (ROOT / "docker-compose.yml", ROOT / "tests" / "acceptance" / "compose.drill.yml")
AGENCIES: Final = {"FR": "FR.DGDDI.SARC", "US": "US.CBP.NTC"}
MAKE_HOMES: Final = """\
import sys
from datetime import UTC, datetime
from pathlib import Path
from scripts._dev_keys import make_compose_homes
print(make_compose_homes(Path(sys.argv[1]), now=datetime.now(UTC)))
"""
PORTS: Final = {nation: Ports.from_base(DEFAULT_PORT_BASE, nation) for nation in NODES}
"""Port numbers inside the containers."""


def compose_commands() -> list[tuple[str, ...]]:
    """Return every Docker Compose that is here: the plugin first, then the program of old."""
    known: tuple[tuple[str, ...], ...] = (("docker", "compose"), ("docker-compose",))
    found: list[tuple[str, ...]] = []
    for command in known:
        with suppress(OSError, AssertionError, subprocess.TimeoutExpired):
            run(*command, "version", timeout=30)
            found.append(command)
    return found


def require_compose() -> None:
    """Refuse to go on without Docker Compose.

    Raises:
        NoEngineError: There is none.
    """
    if not compose_commands():
        msg = "Docker Compose is missing (package docker-compose)"
        raise NoEngineError(msg)


def other(nation: str) -> str:
    """Return the other nation."""
    return "US" if nation == "FR" else "FR"


def _make_homes(base: Path, release: Installed | None) -> int:
    """Make both homes and return the user that owns them."""
    if release is None:
        return make_compose_homes(base, now=datetime.now(UTC))
    text = run(release.python, "-c", MAKE_HOMES, base, cwd=release.tree)
    return int(text)


class Stack:
    """The containers of one project, and what the agencies in them have seen."""

    def __init__(self, folder: Path, *, image: str, release: Installed | None = None) -> None:
        """Make keys and choose names and ports that nobody else uses; nothing runs yet.

        Args:
            folder: For keys, journals and exports.
            image: Image of both nodes.
            release: Program that makes the homes; that of this tree if None.
        """
        self.folder = folder
        self.image = image
        self.owner = _make_homes(folder / "keys", release)
        self.homes = {nation: NodeHome(path=folder / "keys" / nation.lower()) for nation in NODES}
        # Two stacks may be there at once, one of each kind.
        kind, second = ("test", 213) if release is None else ("upgrade", 214)
        self.project = f"entente{kind}{os.getpid()}"
        self._command = compose_commands()[0]
        self.prefix = f"10.{second}.{os.getpid() % 250}"
        numbers = free_ports(4)
        self.published = {"FR": tuple(numbers[:2]), "US": tuple(numbers[2:])}
        self.journals = folder / "journals"
        self.journals.mkdir()
        self.environment = {
            "COMPOSE_PROJECT_NAME": self.project,
            "ENTENTE_IMAGE": image,
            "ENTENTE_UID": str(self.owner),
            "ENTENTE_GID": str(os.getegid() or self.owner),
            "ENTENTE_HOMES": str(folder / "keys"),
            "DRILL_FOLDER": str(self.journals),
            "DRILL_PREFIX": self.prefix,
            "DRILL_FR_IMAGE": image,
            "DRILL_US_IMAGE": image,
        }
        for nation, home in self.homes.items():
            self.environment[f"ENTENTE_{nation}_PASSPHRASE_FILE"] = str(home.passphrase)
            agency, operator = self.published[nation]
            self.environment[f"ENTENTE_{nation}_AGENCY_PORT"] = str(agency)
            self.environment[f"ENTENTE_{nation}_OPERATOR_PORT"] = str(operator)

    # --- containers ------------------------------------------------------------------

    def compose(self, *arguments: str | Path, timeout: float = 180.0) -> str:
        """Run a command of Docker Compose on this project."""
        files = [word for file in FILES for word in ("-f", str(file))]
        command = (*self._command, *files, "--profile", "agencies", *arguments)
        return run(*command, timeout=timeout, environment=self.environment)

    def piped(self, *arguments: str | Path, source: Path | None = None, target: Path | None = None) -> None:
        """Run a command of Docker Compose that reads one file or writes one, as bytes."""
        files = [word for file in FILES for word in ("-f", str(file))]
        command = [str(word) for word in (*self._command, *files, *arguments)]
        with (
            (source or Path(os.devnull)).open("rb") as given,
            (target or Path(os.devnull)).open("wb") as taken,
        ):
            done = subprocess.run(
                command,
                stdin=given,
                stdout=taken,
                stderr=subprocess.PIPE,
                timeout=180,
                check=False,
                env={**os.environ, **self.environment},
            )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode()[-4_000:]}"

    def up(self) -> None:
        """Start everything and wait until both nodes are ready and traffic flows."""
        (self.journals / "agency.py").write_bytes(Path(__file__).with_name("agency.py").read_bytes())
        if os.geteuid() == 0:
            for path in (self.journals, self.journals / "agency.py"):
                os.chown(path, self.owner, self.owner)
        self.compose("up", "-d", "--no-build")
        for nation in NODES:
            self.until_healthy(nation)

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--timeout", "20")

    def container(self, service: str) -> str:
        """Return the id of a service's container."""
        labels = {"project": self.project, "service": service.lower()}
        filters = [f"label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        (found,) = run("docker", "ps", "-aq", "--filter", filters[0], "--filter", filters[1]).split()
        return found

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        (found,) = json.loads(run("docker", "inspect", self.container(service)))
        assert isinstance(found, dict)
        return found

    def addresses(self, service: str) -> dict[str, str]:
        """Return a container's address by network."""
        networks = self.inspect(service)["NetworkSettings"]["Networks"]
        return {name.partition("_")[2]: facts["IPAddress"] for name, facts in networks.items()}

    def python(self, service: str, code: str, *arguments: str) -> Any:
        """Run code in a container and return the JSON that it prints."""
        command = ("docker", "exec", self.container(service), "python", "-c", code, *arguments)
        return json.loads(run(*command))

    def health(self, nation: str) -> dict[str, Any] | None:
        """Return what a node says of itself, or None if it does not answer."""
        command = ("docker", "exec", self.container(nation), "entente", "health", "--home", HOME, "--json")
        text = run(*command, check=False, timeout=60)
        return json.loads(text) if text.startswith("{") else None

    def replace(self, nation: str, image: str) -> None:
        """Run a node from another image on the same volumes, as an upgrade does."""
        self.environment[f"DRILL_{nation}_IMAGE"] = image
        self.compose("up", "-d", "--no-build", "--no-deps", nation.lower())

    def stop(self, nation: str) -> int:
        """Let a node drain and stop, and return its exit status."""
        container = self.container(nation)
        run("docker", "stop", "--time", "30", container)
        status = json.loads(run("docker", "inspect", "--format", "{{json .State}}", container))
        return int(status["ExitCode"])

    def start(self, nation: str) -> None:
        """Start a stopped node."""
        run("docker", "start", self.container(nation))

    def as_owner(self, work: Callable[[Mapping[str, NodeHome]], None]) -> None:
        """Change files of the homes, which are for their owner alone."""
        give(self.homes.values(), os.geteuid())
        try:
            work(self.homes)
        finally:
            give(self.homes.values(), self.owner)

    # --- waiting -----------------------------------------------------------------------

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; say what both nodes said when it does not come."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {DEADLINE_S:.0f} s\n{self.last_words()}"
            time.sleep(0.3)

    def until_healthy(self, nation: str) -> None:
        """Wait until the engine's own health check calls a node healthy."""
        self.until(
            lambda: self.inspect(nation)["State"].get("Health", {}).get("Status") == "healthy",
            f"{nation} is healthy",
        )

    def until_peer(self, nation: str, *, reachable: bool) -> None:
        """Wait until a node reaches its peer, or notices that it does not."""

        def said() -> bool:
            health = self.health(nation)
            return health is not None and health["peer"]["reachable"] is reachable

        self.until(said, f"{nation} reaches its peer: {reachable}")

    def until_traffic_flows(self) -> None:
        """Wait until messages that are posted from now on are collected on the other side, both ways."""
        marks = {nation: len(self.sent(nation)) for nation in NODES}

        def flowed() -> bool:
            return all(
                len(set(self.sent(nation)[marks[nation] :]) & set(self.got(other(nation)))) >= 3
                for nation in NODES
            )

        self.until(flowed, "new messages are collected, both ways")

    def last_words(self) -> str:
        """Return the last lines of both nodes' logs."""
        said = []
        for nation in NODES:
            done = subprocess.run(
                ("docker", "logs", "--tail", "8", self.container(nation)),
                capture_output=True,
                text=True,
                check=False,
            )
            said.append(f"{nation}: {done.stdout}{done.stderr}")
        return "\n".join(said)

    # --- what the agencies saw ---------------------------------------------------------

    def facts(self, nation: str) -> list[dict[str, Any]]:
        """Return the journal of a nation's agency, whole lines only."""
        path = self.journals / f"{nation}.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def sent(self, nation: str) -> list[str]:
        """Return the ids of accepted messages, in order."""
        return [fact["sent"] for fact in self.facts(nation) if "sent" in fact]

    def got(self, nation: str) -> list[str]:
        """Return the ids of messages that came, in order; one whose acknowledgement got lost comes again."""
        return [fact["got"] for fact in self.facts(nation) if "got" in fact]

    def acked(self, nation: str) -> list[str]:
        """Return the ids of messages whose acknowledgement was answered, in order."""
        return [fact["acked"] for fact in self.facts(nation) if "acked" in fact]
