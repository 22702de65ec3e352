"""A real node signs with half of its keys in a real token: exchange, rotation, a pulled and a lost token."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from gateway.client import AsyncClient
from gateway.keyring.keyfile import Purpose, read_header
from tests.integration.test_key_rotation import run, until_said
from tests.integration.test_two_processes import collect, draft, until_collected, verify_everything
from tests.processes import ROOT, Processes
from tests.soft_hsm import MODULE, PIN, VARIABLE, SoftHsm
from tests.world import AGENCIES, other

pytestmark = [pytest.mark.hsm, pytest.mark.timeout(400)]

TOKEN = "fr-node"
DEADLINE_S = 90.0


@pytest.fixture
def device(tmp_path: Path) -> Iterator[SoftHsm]:
    found = SoftHsm(tmp_path / "hsm")
    found.make_token(TOKEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(found.conf))
        yield found


@pytest.fixture
def processes(tmp_path: Path, device: SoftHsm) -> Processes:
    """Two homes; the French one has a token, into which its keys have moved."""
    made = Processes(tmp_path / "homes")
    home = made.homes["FR"]
    with home.config.open("a", encoding="utf-8") as config:
        config.write(
            f'\n[keys.token]\nmodule = "{MODULE}"\nlabel = "{TOKEN}"\npin_file = "{device.pin_file()}"\n'
        )
    for kind in ("log", "cosigner"):
        command(made, "keys", "rotate", kind)
    run("keys", "export-trust", tmp_path / "trust", "--home", home.path)
    run("keys", "import-peer", tmp_path / "trust", "--home", made.homes["US"].path)
    return made


def command(processes: Processes, *arguments: str, code: int = 0) -> str:
    """Run a command at the French home, in a process of its own as a person would."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments, "--home", str(processes.homes["FR"].path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


async def until(is_true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not await asyncio.to_thread(is_true):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.2)


def health(processes: Processes) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "health", "--home", str(processes.homes["FR"].path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


async def until_cannot_sign(processes: Processes) -> None:
    await until(lambda: "cannot-sign" in health(processes)[1], "the node says that it cannot sign")
    assert health(processes)[0] == 1


class Traffic:
    """Agencies at both nodes that post, and read all along."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._clients: dict[str, AsyncClient] = {}
        self._seen: dict[str, list[str]] = {nation: [] for nation in AGENCIES}
        self._sent: dict[str, list[str]] = {nation: [] for nation in AGENCIES}
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for nation, agency in AGENCIES.items():
            self._clients[nation] = await self._processes.client(agency)
            self._readers.append(asyncio.create_task(collect(self._clients[nation], self._seen[nation])))
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def post(self, count: int = 3) -> None:
        """Let both nodes accept messages."""
        for nation, client in self._clients.items():
            self._sent[nation] += [(await client.send(draft(nation))).message_id for _ in range(count)]

    async def all_collected(self) -> None:
        """Wait until all that was posted has arrived, each once."""
        for nation, ids in self._sent.items():
            await until_collected(self._clients[nation], ids, deadline_s=DEADLINE_S)
            assert sorted(self._seen[other(nation)]) == sorted(ids)


async def test_a_node_with_a_token_exchanges_rotates_and_verifies(
    processes: Processes, tmp_path: Path
) -> None:
    keys = processes.homes["FR"].keys
    assert read_header(keys / "log-exchange-us-v2.key").purpose is Purpose.LOG_IN_TOKEN
    assert read_header(keys / "cosigner-v3.key").purpose is Purpose.COSIGNER_IN_TOKEN
    assert "keys.token.label = fr-node" in command(processes, "config", "check")

    async with processes, Traffic(processes) as traffic:
        await traffic.post()
        await traffic.all_collected()
        for number, kind in enumerate(("log", "cosigner"), 1):
            await asyncio.to_thread(command, processes, "keys", "rotate", kind)
            await until_said(processes, "FR", "keys.changed", number)
            await until_said(processes, "US", "peer.keys_changed", 1 + number)
            await traffic.post()
            await traffic.all_collected()
        assert health(processes)[0] == 0
        assert processes.stop("FR") == 0
        assert PIN not in processes.log("FR")
    assert read_header(keys / "log-audit-v4.key").purpose is Purpose.LOG_IN_TOKEN
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")


async def test_a_token_that_is_pulled_and_put_back_stops_nothing_for_good(
    processes: Processes, device: SoftHsm, tmp_path: Path
) -> None:
    async with processes, Traffic(processes) as traffic:
        await traffic.post()
        await traffic.all_collected()
        device.pull()
        await until_cannot_sign(processes)
        await traffic.post()
        await until_said(processes, "FR", "token.lost", 1)
        assert processes.process("FR").poll() is None
        device.put_back()
        await traffic.all_collected()
        await until_said(processes, "FR", "token.found", 1)
        await processes.until_ready("FR")
        assert processes.stop("FR") == 0
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")


async def test_a_node_does_not_start_without_its_token_or_with_a_wrong_pin(
    processes: Processes, device: SoftHsm
) -> None:
    with device.pulled():
        assert "token-refused" in command(processes, "serve", code=1)
        assert "token-refused" in command(processes, "config", "check", code=1)
        command(processes, "doctor", code=1)

    device.pin_file("0000-0000")
    assert "the token refuses the PIN" in command(processes, "serve", code=1)
    for _ in range(5):  # as a supervisor does
        assert "was refused before and is not tried again" in command(processes, "serve", code=1)
    # It does not cost a try to look at the configuration.
    command(processes, "config", "check")
    device.pin_file()

    async with processes, Traffic(processes) as traffic:
        await traffic.post(1)
        await traffic.all_collected()


async def test_a_lost_token_is_replaced_under_a_running_node_and_nothing_is_lost(
    processes: Processes, device: SoftHsm, tmp_path: Path
) -> None:
    async with processes, Traffic(processes) as traffic:
        await traffic.post()
        await traffic.all_collected()
        device.destroy_token(TOKEN)
        await traffic.post()
        await until_cannot_sign(processes)
        await traffic.post()

        device.make_token(TOKEN)
        for number, kind in enumerate(("log", "cosigner"), 1):
            await asyncio.to_thread(command, processes, "keys", "rotate", kind)
            await until_said(processes, "FR", "keys.changed", number)
        await traffic.all_collected()
        await traffic.post()
        await traffic.all_collected()
        await processes.until_ready("FR")
        for nation in processes.homes:
            assert processes.stop(nation) == 0
        # The keys of the lost token are in nobody's way.
        processes.start("FR")
        processes.start("US")
        await processes.until_live("FR")
        await processes.until_ready("FR")
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")
