"""Keys of real nodes change under traffic, without a restart, and both nations' logs verify."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.home_logs import open_home
from gateway.core.entries import Entry, MessageEntry, ReceiptEntry, decode_entry
from gateway.core.envelope import decode_header
from gateway.core.tiles import TILE_WIDTH
from gateway.keyring.trust import read_published_as_stated
from tests.integration.test_two_processes import (
    collect,
    draft,
    until_collected,
    verify_everything,
)
from tests.processes import Processes
from tests.world import AGENCIES, other

DEADLINE_S = 90.0


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    assert result.exit_code == code, result.output
    return result.output


async def until_said(processes: Processes, nation: str, event: str, count: int) -> None:
    """Wait until a node has logged an event so often."""
    end = time.monotonic() + DEADLINE_S
    while processes.log(nation).count(f'"{event}"') < count:
        assert time.monotonic() < end, f"{event}: {processes.log(nation)[-3_000:]}"
        await asyncio.sleep(0.1)


@dataclass(slots=True)
class Traffic:
    """Ids of messages by nation: posted there, and read there by the addressee."""

    sent: dict[str, list[str]] = field(default_factory=lambda: {"FR": [], "US": []})
    read: dict[str, list[str]] = field(default_factory=lambda: {"FR": [], "US": []})


@asynccontextmanager
async def traffic(
    processes: Processes, *, pause_s: float, passing: tuple[type[Exception], ...] = ()
) -> AsyncGenerator[Traffic]:
    """Let an agency of each nation post and read all along; in the end all that was posted is collected.

    Args:
        processes: The nodes.
        pause_s: Between two messages of an agency.
        passing: Errors of a post that mean nothing but that it was not taken.
    """
    found = Traffic()
    clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
    stop = asyncio.Event()

    async def keep_posting(nation: str) -> None:
        while not stop.is_set():
            with suppress(*passing):
                found.sent[nation].append((await clients[nation].send(draft(nation))).message_id)
            await asyncio.sleep(pause_s)

    readers = [asyncio.create_task(collect(clients[nation], found.read[nation])) for nation in clients]
    posters = [asyncio.create_task(keep_posting(nation)) for nation in clients]
    try:
        yield found
        stop.set()
        await asyncio.gather(*posters)
        for nation, ids in found.sent.items():
            await until_collected(clients[nation], ids)
    finally:
        for task in (*posters, *readers):
            task.cancel()
        await asyncio.gather(*posters, *readers, return_exceptions=True)


@pytest.mark.timeout(400)
async def test_every_kind_of_key_changes_under_traffic_without_a_restart(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        # The port closes the connection when it takes up a new certificate.
        async with traffic(processes, pause_s=0.05, passing=(OSError,)) as messages:
            await _change_every_kind_of_key(processes, messages)
        for nation, ids in messages.sent.items():
            assert set(messages.read[other(nation)]) == set(ids)
            assert '"pair.frozen"' not in processes.log(nation)
        for nation in processes.homes:
            assert processes.stop(nation) == 0
    await asyncio.to_thread(_look_at_what_is_left, processes, tmp_path / "export")


async def _change_every_kind_of_key(processes: Processes, messages: Traffic) -> None:
    changes = {"FR": 0, "US": 0}
    for nation, kind in (
        ("FR", "log"),
        ("US", "cosigner"),
        ("FR", "cosigner"),
        ("US", "log"),
        ("FR", "log"),
    ):
        await asyncio.to_thread(run, "keys", "rotate", kind, "--home", processes.homes[nation].path)
        changes[nation] += 1
        await until_said(processes, nation, "keys.changed", changes[nation])
        # The first one is the statement with which the peer's log begins.
        await until_said(processes, other(nation), "peer.keys_changed", 1 + changes[nation])
    for kind in ("tls-peer", "tls-server"):
        await asyncio.to_thread(run, "keys", "rotate", kind, "--home", processes.homes["FR"].path)
    await until_said(processes, "FR", "keys.changed", 4)
    await until_said(processes, "US", "peer.keys_changed", 5)
    await until_said(processes, "FR", "trust.renewed", 3)
    before = len(messages.sent["FR"]), len(messages.sent["US"])
    end = time.monotonic() + DEADLINE_S
    while min(len(messages.sent["FR"]) - before[0], len(messages.sent["US"]) - before[1]) < 5:
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


@pytest.mark.timeout(400)
async def test_new_keys_of_the_peer_link_under_traffic_lose_nothing_and_send_nothing_twice(
    tmp_path: Path,
) -> None:
    """Each rotation cuts bundles off whose answer is on its way; what is sent again is not new."""
    async with Processes(tmp_path) as processes:
        # No error of a post is expected: the agencies' port keeps its certificate and its connections.
        async with traffic(processes, pause_s=0.01) as messages:
            for times in (1, 2):
                for nation in processes.homes:
                    home = processes.homes[nation].path
                    await asyncio.to_thread(run, "keys", "rotate", "tls-peer", "--home", home)
                    await until_said(processes, nation, "keys.changed", times)
                    # The first one is the statement with which the peer's log begins.
                    await until_said(processes, other(nation), "peer.keys_changed", 1 + times)
                    await until_said(processes, nation, "trust.renewed", times)
        for nation, ids in messages.sent.items():
            assert sorted(messages.read[other(nation)]) == sorted(ids)
        for nation in processes.homes:
            assert processes.stop(nation) == 0
    for nation, ids in messages.sent.items():
        await asyncio.to_thread(_each_has_one_entry_and_no_exception, processes, nation, ids)
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")


def _each_has_one_entry_and_no_exception(processes: Processes, nation: str, ids: list[str]) -> None:
    """Look at the nation's own log for its messages, and at its copy of the peer's for the receipts."""
    peer = other(nation).lower()
    own = _entries(processes.homes[nation].path, f"exchange/{peer}")
    messages = [decode_header(entry.header).message_id for entry in own if isinstance(entry, MessageEntry)]
    assert sorted(UUID(bytes=item) for item in messages) == sorted(map(UUID, ids))
    mirrored = _entries(processes.homes[nation].path, f"mirror/{peer}")
    receipts = [entry for entry in mirrored if isinstance(entry, ReceiptEntry)]
    assert receipts
    assert [item for receipt in receipts for item in receipt.exceptions] == []


def _entries(home: Path, name: str) -> list[Entry]:
    with open_home(home) as logs:
        stored = logs.find(name)
        log = logs.open(stored)
        return [
            decode_entry(entry)
            for start in range(0, stored.head.size, TILE_WIDTH)
            for entry in log.entries(start, min(start + TILE_WIDTH, stored.head.size))
        ]


def _look_at_what_is_left(processes: Processes, folder: Path) -> None:
    """Verify all logs, and the sizes for which each key is said to be valid."""
    fr = processes.homes["FR"]
    published = read_published_as_stated(fr.own).statement
    assert published.version == 5
    assert read_published_as_stated(processes.homes["US"].peer).statement == published
    verify_everything(processes, folder)
    for home in processes.homes.values():
        assert run("audit", "verify", "--home", home.path).startswith("VERIFIED")
    document = json.loads(run("log", "vkeys", "--home", fr.path, "--log", "exchange/us", "--all", "--json"))
    ranges = [(key["from"], key["to"]) for key in document["keys"]]
    assert len(ranges) == 3
    assert ranges[0][1] is None
    assert ranges[-1][0] == 1
    for newer, older in pairwise(ranges):
        assert newer[0] == older[1] + 1
    plain = run("log", "vkeys", "--home", fr.path, "--log", "exchange/us").splitlines()
    assert plain == document["vkeys"]
