"""Two real node processes with real homes, real mutual TLS and real files."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Self

import aiohttp

from gateway.client import AsyncClient
from gateway.keyring.config_file import Ports
from gateway.keyring.demo import NODES, make_homes
from gateway.keyring.home import NodeHome
from gateway.keyring.tls import agency_client
from scripts._bench.nodes import free_port_base
from tests.releases import Installed

ROOT = Path(__file__).resolve().parent.parent
START_S = 100.0
STOP_S = 60.0


def reserved_base() -> tuple[int, list[socket.socket]]:
    """Return a base for the ports of two nodes, and sockets that keep them while these are open.

    A node that takes a moment to start, or is down for a while, finds its ports free: it may bind
    beside a socket that does not listen, for both say SO_REUSEADDR. Whoever looks for free ports,
    such as the test beside this one, says so not, and is refused.
    """
    while True:
        # Below the ports that outgoing connections get: nobody takes one by connecting.
        base = free_port_base()
        ports = [Ports.from_base(base, nation) for nation in NODES]
        held: list[socket.socket] = []
        try:
            for number in (port for item in ports for port in (item.agency, item.peer, item.operator)):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", number))
        except OSError:
            # Another process was quicker; what it holds is not free any more.
            for item in held:
                item.close()
            continue
        for item in held:
            item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return base, held


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


@cache
def _made_homes() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with both homes, whose keys are made once: that takes as long as many a test.

    Who copies it gives the copies ports of their own, as a second demo does.
    """
    folder = tempfile.TemporaryDirectory(prefix="entente-homes-")
    ports = {nation: Ports.from_base(1_024, nation) for nation in NODES}
    make_homes(Path(folder.name), ports=ports, now=datetime.now(UTC))
    return folder


class Processes:
    """A French and an American node, each a process that can be killed and started again."""

    def __init__(
        self,
        base: Path,
        *,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        release: Installed | None = None,
    ) -> None:
        """Make the homes; nothing runs yet.

        Args:
            base: Folder of the homes.
            environment: Settings by nation, such as ``ENTENTE_PEERS__US__URL``.
            release: An earlier release that makes the homes and runs both nodes, each until it
                is upgraded; the program of this tree if None.
        """
        port_base, self._ports_held = reserved_base()
        self.ports = {nation: Ports.from_base(port_base, nation) for nation in NODES}
        if release is None:
            shutil.copytree(_made_homes().name, base, dirs_exist_ok=True)
            self.homes = make_homes(base, ports=self.ports, now=datetime.now(UTC))
        else:
            done = release.run("init", "--demo", "--home", base, "--port-base", str(port_base))
            assert done.returncode == 0, done.stderr
            self.homes = {nation: NodeHome(path=base / nation.lower()) for nation in NODES}
        self._release: dict[str, Installed | None] = dict.fromkeys(self.homes, release)
        self.environment = {nation: dict((environment or {}).get(nation, {})) for nation in self.homes}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for nation in self.homes:
                self.start(nation)
            for nation in self.homes:
                await self.until_live(nation)
        except BaseException:
            self._kill_all()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._kill_all()

    def _kill_all(self) -> None:
        for nation in list(self._running):
            self.kill(nation)
        for item in self._ports_held:
            item.close()

    def start(self, nation: str) -> None:
        """Start a node on what its home holds."""
        home, release = self.homes[nation].path, self._release[nation]
        python, tree = (sys.executable, ROOT) if release is None else (release.python, release.tree)
        with (home / "node.log").open("ab") as log:
            self._running[nation] = subprocess.Popen(
                [str(python), "-m", "gateway", "serve", "--home", str(home)],
                cwd=tree,
                stdin=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **self.environment[nation]},
            )

    def upgrade(self, nation: str) -> None:
        """Let the program of this tree run a node from its next start on."""
        self._release[nation] = None

    def downgrade(self, nation: str, release: Installed) -> None:
        """Let an earlier release run a node from its next start on."""
        self._release[nation] = release

    def kill(self, nation: str) -> None:
        """Kill a node with SIGKILL: nothing of it gets a chance to tidy up."""
        process = self._running.pop(nation)
        process.kill()
        process.wait()

    def stop(self, nation: str) -> int:
        """Stop a node with SIGTERM and return its exit status."""
        process = self._running.pop(nation)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def process(self, nation: str) -> subprocess.Popen[bytes]:
        """Return a running process."""
        return self._running[nation]

    def log(self, nation: str) -> str:
        """Return what a node said so far."""
        return (self.homes[nation].path / "node.log").read_text(encoding="utf-8")

    async def until_live(self, nation: str) -> None:
        """Wait until a node answers on its operator port."""
        await self._until(nation, "live")

    async def until_ready(self, nation: str) -> None:
        """Wait until a node accepts, signs and writes."""
        await self._until(nation, "ready")

    async def _until(self, nation: str, what: str) -> None:
        context = agency_client(self.homes[nation].operators / "OPERATOR")
        url = f"https://127.0.0.1:{self.ports[nation].operator}/health/{what}"
        end = time.monotonic() + START_S
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            while True:
                assert self.process(nation).poll() is None, self.log(nation)[-2_000:]
                try:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass  # not listening yet
                assert time.monotonic() < end, f"{nation} is not {what}: {self.log(nation)[-2_000:]}"
                await asyncio.sleep(0.05)

    def url(self, nation: str) -> str:
        """Return the address of an agency port."""
        return f"https://127.0.0.1:{self.ports[nation].agency}"

    async def client(self, agency: str) -> AsyncClient:
        """Return an open client for an agency, closed with this object."""
        nation = agency.partition(".")[0]
        client = AsyncClient.from_folder(self.homes[nation].agencies / agency, url=self.url(nation))
        return await self._stack.enter_async_context(client)
