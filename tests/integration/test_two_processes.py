"""Two node processes over real sockets: traffic, kill -9 in the middle of it, cut connections."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.crosscheck import compare_logs
from gateway.audit.export import export_log
from gateway.audit.folder import LogFolder
from gateway.audit.trust import read_trust
from gateway.audit.verify import verify_log
from gateway.cli.home_logs import open_home
from gateway.client import AsyncClient
from gateway.errors import GatewayError
from tests.processes import Processes
from tests.world import AGENCIES, make_draft, other

DEADLINE_S = 60.0

pytestmark = pytest.mark.timeout(400)

# A node whose peer fails again and again tries at least once a second, so that no test waits for that.
PATIENCE = {"ENTENTE_BUNDLE__LONGEST_WAIT_S": "1"}


def draft(nation: str) -> dict[str, Any]:
    return make_draft(nation, int(time.time() * 1_000))


async def until_collected(client: AsyncClient, ids: list[str], *, deadline_s: float = DEADLINE_S) -> None:
    """Wait until every message is collected; look at the slow ones only."""
    end = time.monotonic() + deadline_s
    for message_id in ids:
        while (tracked := await client.status(message_id)).status != "collected":
            assert tracked.status not in {"refused", "expired", "withdrawn"}, tracked
            assert time.monotonic() < end, tracked
            await asyncio.sleep(0.05)


async def collect(client: AsyncClient, seen: list[str]) -> None:
    """Read and acknowledge for ever, as an agency system does; note every delivery."""
    while True:
        try:
            async for received in client.inbox(wait_s=1.0):
                # Stored first, acknowledged then: an acknowledgement whose answer gets lost counts.
                seen.append(received.message_id)
                await client.ack(received.message_id)
        except GatewayError:
            await asyncio.sleep(0.1)  # its node is down: an agency system tries again


async def post(client: AsyncClient, document: dict[str, Any], key: str) -> str:
    """Post until the node answers, always with the same key."""
    while True:
        try:
            return (await client.send(document, key=key)).message_id
        except GatewayError:
            await asyncio.sleep(0.1)


def verify_everything(processes: Processes, folder: Path) -> None:
    """Export all four logs and verify them, alone and against each other."""
    verified = []
    for nation, home in processes.homes.items():
        peer = other(nation).lower()
        trust = read_trust(home.trust)
        with open_home(home.path) as logs:
            for name in (f"exchange/{peer}", f"mirror/{peer}", "audit"):
                target = folder / nation / name.replace("/", "-")
                target.parent.mkdir(parents=True, exist_ok=True)
                export_log(logs.open(logs.find(name)), target)
                found = verify_log(LogFolder(target), title=f"{nation} {name}", trust=trust)
                assert found.report.is_verified, found.report
                verified.append(found)
    everybody = read_trust(*(home.trust for home in processes.homes.values()))
    together = compare_logs(verified, title="both nations", trust=everybody)
    assert together.is_verified, together


async def test_messages_go_both_ways_and_both_nations_logs_verify(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        seen: dict[str, list[str]] = {"FR": [], "US": []}
        readers = [asyncio.create_task(collect(clients[n], seen[n])) for n in clients]
        sent = {
            nation: [(await client.send(draft(nation))).message_id for _ in range(10)]
            for nation, client in clients.items()
        }
        for nation, ids in sent.items():
            await until_collected(clients[nation], ids)
            assert sorted(seen[other(nation)]) == sorted(ids)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for nation in processes.homes:
            assert processes.stop(nation) == 0
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")


async def test_kill_9_of_either_node_at_any_moment_loses_and_repeats_nothing(tmp_path: Path) -> None:
    chance = random.Random(20_261_123)  # noqa: S311 - moments of the kills, the same in every run
    async with Processes(tmp_path, environment=dict.fromkeys(AGENCIES, PATIENCE)) as processes:
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        seen: dict[str, list[str]] = {"FR": [], "US": []}
        readers = [asyncio.create_task(collect(clients[n], seen[n])) for n in clients]
        stop = asyncio.Event()

        async def keep_posting(nation: str, ids: list[str]) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                ids.append(await post(clients[nation], draft(nation), f"{nation}-{number}"))
                await asyncio.sleep(0.01)

        sent: dict[str, list[str]] = {"FR": [], "US": []}
        posters = [asyncio.create_task(keep_posting(n, sent[n])) for n in clients]
        for victim in ["US", "FR"] * 5:
            await asyncio.sleep(0.2 + 0.6 * chance.random())
            processes.kill(victim)
            await asyncio.sleep(0.3 * chance.random())
            processes.start(victim)
            await processes.until_live(victim)
        stop.set()
        await asyncio.gather(*posters)

        for nation, ids in sent.items():
            assert len(ids) == len(set(ids))
            await until_collected(clients[nation], ids)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        # A read may be repeated when an acknowledgement got lost with the node; what counts
        # is that every message is there and that none has two entries in force.
        for nation, ids in sent.items():
            assert set(seen[other(nation)]) == set(ids)
        for nation in processes.homes:
            assert processes.stop(nation) == 0
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")


class CuttingProxy:
    """Forwards TCP and cuts each connection after so many bytes towards the server."""

    def __init__(self) -> None:
        # Where to; until it is known nobody is let in.
        self.target: int | None = None
        self.limit: int | None = None
        self.cuts = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.target is None:
            writer.close()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._pump(reader, there_writer, counted=True),
            self._pump(there_reader, writer, counted=False),
            return_exceptions=True,
        )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        passed = 0
        try:
            while data := await reader.read(256):
                passed += len(data)
                if counted and self.limit is not None and passed > self.limit:
                    self.cuts += 1
                    writer.transport.abort()
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the other side is gone: so is this one
        finally:
            writer.close()


async def test_a_connection_cut_at_every_kilobyte_loses_and_repeats_nothing(tmp_path: Path) -> None:
    # Open before the nodes are: a port that was only looked up would be somebody else's by then.
    proxy = CuttingProxy()
    through_proxy = {"ENTENTE_PEERS__FR__URL": f"https://127.0.0.1:{await proxy.open()}"}
    async with Processes(tmp_path, environment={"US": {**PATIENCE, **through_proxy}}) as processes:
        proxy.target = processes.ports["FR"].peer
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        seen: list[str] = []
        reader = asyncio.create_task(collect(clients["FR"], seen))
        ids: list[str] = []
        # A handshake and a bundle of three messages take about 25 kB towards the server.
        for kilobyte in range(1, 28):
            proxy.limit = 1_024 * kilobyte
            cuts = proxy.cuts
            ids += [(await clients["US"].send(draft("US"))).message_id for _ in range(3)]
            # Either the line is cut, or all three have come through.
            end = time.monotonic() + DEADLINE_S
            while proxy.cuts == cuts:
                if (await clients["US"].status(ids[-1])).status in {"received", "collected"}:
                    break
                assert time.monotonic() < end
                await asyncio.sleep(0.02)
        proxy.limit = None
        assert proxy.cuts > 10

        await until_collected(clients["US"], ids)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        assert sorted(set(seen)) == sorted(ids)
        for nation in processes.homes:
            assert processes.stop(nation) == 0
        await proxy.close()
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")
