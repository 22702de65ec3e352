"""Both nodes of a run: homes in a folder of their own, processes, ports, readiness.

The nodes are those of the demo: the same keys, certificates and configuration, nothing
switched off. The folder has to be on a real disk, because a commit is only as durable, and
as slow, as the disk below it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import IO, Any

import orjson

from gateway.client.identity import open_context
from gateway.keyring.config_file import Addresses, Ports
from gateway.keyring.demo import Place, make_homes
from scripts._bench.helper import ROOT, enter_namespace, inside
from scripts._bench.messages import NATIONS, agencies_of
from scripts._bench.wire import HOST

START_S = 60.0
LAST_LINES = 5
STOP_S = 60.0
PORT_BASES = range(20_000, 32_000, 20)
CREW_SETTING = "ENTENTE_CREW__PROCESSES"
_PR_SET_PDEATHSIG = 1


class NodeError(Exception):
    """A node did not start, or ended; the text has the end of its log."""


class NodeProcess:
    """One node as a process."""

    def __init__(
        self,
        nation: str,
        home: Path,
        ports: Ports,
        log: Path,
        cores: frozenset[int] | None = None,
        namespace: int | None = None,
        crew: int = 0,
    ) -> None:
        """Describe it; `start` starts it.

        Args:
            nation: Whose node it is.
            home: Its home.
            ports: Where it listens.
            log: File that takes its events.
            cores: Cores that it may run on; None for all.
            namespace: Network namespace that it runs in, an open file; None for this process's own.
            crew: Processes of its crew.
        """
        self.nation = nation
        self.home = home
        self.ports = ports
        self.log = log
        self._cores = cores
        self._namespace = namespace
        self._crew = crew
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return its process id."""
        if self._process is None:
            msg = f"the node {self.nation} is not running"
            raise NodeError(msg)
        return self._process.pid

    @property
    def crew(self) -> list[int]:
        """Return the process ids of its crew, as far as it is there."""
        tasks = Path(f"/proc/{self.pid}/task")
        found = [(task / "children").read_text(encoding="ascii").split() for task in tasks.iterdir()]
        return sorted(int(pid) for pids in found for pid in pids)

    @property
    def running(self) -> bool:
        """Return whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def database(self) -> Path:
        """Return its database."""
        return self.home / "data" / "gateway.db"

    def start(self) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self._process = self._spawn(log)
        if self._cores is not None:
            # Threads that it starts from now on inherit it.
            os.sched_setaffinity(self._process.pid, self._cores)

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            (sys.executable, "-m", "gateway", "serve", "--home", self.home),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, CREW_SETTING: str(self._crew)},
            start_new_session=True,
            preexec_fn=partial(_prepare, self._namespace),  # noqa: PLW1509 - this process has no threads
        )

    def await_port(self) -> None:
        """Wait until its agency port answers."""
        self._wait("answer", lambda: self.get_agency("/v1/whoami") is not None)

    def await_ready(self) -> None:
        """Wait until it says that it is ready: it has recovered, signs and writes, with its whole crew."""
        self._wait("be ready", self._is_ready)
        self._wait("have its crew", lambda: self.log.read_bytes().count(b'"crew.joined"') >= self._crew)

    def stop(self) -> None:
        """Let it finish its work and end; kill it if it does not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def get_agency(self, path: str) -> Any:
        """Return the JSON that the agency port answers to the first agency, or None."""
        with inside(self._namespace):
            return _get(self.agency_folder(agencies_of(self.nation)[0]), self.ports.agency, path)

    def agency_folder(self, agency: str) -> Path:
        """Return the folder with the certificate of an agency."""
        return self.home / "agencies" / agency

    def _is_ready(self) -> bool:
        with inside(self._namespace):
            operator = self.home / "operators" / "OPERATOR"
            return _get(operator, self.ports.operator, "/health/ready") is not None

    def _wait(self, what: str, is_so: Any) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if not self.running:
                break
            if is_so():
                return
            time.sleep(0.05)
        last = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        msg = "\n  ".join((f"the node {self.nation} did not {what}; its log ends with", *last))
        raise NodeError(msg)


def _half(place: int) -> frozenset[int] | None:
    """Return one half of the cores that this process may use; None if it has but one."""
    cores = sorted(os.sched_getaffinity(0))
    return frozenset(cores[place::2]) if len(cores) > 1 else None


class Nodes:
    """Both nodes and their folder."""

    def __init__(
        self,
        folder: Path,
        *,
        bound: bool = False,
        crew: int = 0,
        addresses: Mapping[str, str] | None = None,
        namespaces: Mapping[str, int] | None = None,
    ) -> None:
        """Make the homes in ``folder``, which has to be empty.

        Args:
            folder: Where homes and logs are.
            bound: Each node gets half of the cores for itself, as if it had a machine of its own.
            crew: Processes of the crew of each node.
            addresses: Where each nation's peer port listens; on the loopback interface if None.
            namespaces: Network namespace of each node, an open file; this process's own if None.
        """
        self.folder = folder
        base = free_port_base()
        ports = {nation: Ports.from_base(base, nation) for nation in NATIONS}
        places = {
            nation: Place(addresses=Addresses(peer=address), host=address)
            for nation, address in (addresses or {}).items()
        }
        make_homes(folder, ports=ports, now=datetime.now(UTC), places=places or None)
        self.by_nation = {
            nation: NodeProcess(
                nation,
                folder / nation.lower(),
                ports[nation],
                folder / f"{nation.lower()}.log",
                _half(place) if bound else None,
                (namespaces or {}).get(nation),
                crew,
            )
            for place, nation in enumerate(NATIONS)
        }

    def __getitem__(self, nation: str) -> NodeProcess:
        """Return the node of a nation."""
        return self.by_nation[nation]

    def peer_of(self, nation: str) -> NodeProcess:
        """Return the other node."""
        return next(node for node in self.by_nation.values() if node.nation != nation)

    def start(self) -> None:
        """Start both and wait until they are ready."""
        for node in self.by_nation.values():
            node.start()
        for node in self.by_nation.values():
            node.await_port()
        for node in self.by_nation.values():
            node.await_ready()

    def stop(self) -> None:
        """Stop both."""
        for node in self.by_nation.values():
            node.stop()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run both as long as the context is open."""
        try:
            self.start()
            yield
        finally:
            self.stop()

    def write_setup(self, path: Path) -> Path:
        """Write what the load generator and the consumer have to know; return its path."""
        agencies = {
            agency: {"folder": str(node.agency_folder(agency)), "port": node.ports.agency}
            for nation, node in self.by_nation.items()
            for agency in agencies_of(nation)
        }
        document = {
            "agencies": agencies,
            "nations": list(NATIONS),
            "accepted": str(self.folder / "accepted.txt"),
            "collected": str(self.folder / "collected.txt"),
        }
        path.write_bytes(orjson.dumps(document))
        return path


def free_port_base() -> int:
    """Return a base from which all six ports of the nodes are free.

    Raises:
        NodeError: There is none.
    """
    # Two benchmarks that start together begin to look in different places.
    start = os.getpid() % len(PORT_BASES)
    bases: list[int] = [*PORT_BASES[start:], *PORT_BASES[:start]]
    for base in bases:
        ports = [Ports.from_base(base, nation) for nation in NATIONS]
        if _are_free([port for item in ports for port in (item.agency, item.peer, item.operator)]):
            return base
    msg = "no free ports on the loopback interface"
    raise NodeError(msg)


def _are_free(numbers: Sequence[int]) -> bool:
    for number in numbers:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True


def _prepare(namespace: int | None) -> None:
    """Make the kernel end a node whose benchmark was killed, and let it be where it is to run."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if namespace is not None:
        enter_namespace(namespace)


def _get(folder: Path, port: int, path: str) -> Any:
    """Return the JSON of a good answer, or None for anything else."""
    connection = HTTPSConnection(HOST, port, timeout=5, context=open_context(folder))
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        return orjson.loads(body) if response.status == 200 else None
    except (OSError, ssl.SSLError):
        return None
    finally:
        connection.close()
