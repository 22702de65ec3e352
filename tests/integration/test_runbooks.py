"""The runbooks are followed literally: the commands are those of docs/runbooks.md."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.home_logs import open_home
from gateway.core.entries import EventEntry, decode_entry
from gateway.errors import GatewayError, PeerError
from gateway.ports import LogKind
from gateway.storage.notices import waiting
from tests.integration.test_two_processes import collect, draft, until_collected
from tests.processes import ROOT, Processes
from tests.releases import Installed, install, last_release
from tests.runbooks import DOCUMENT, Place
from tests.world import AGENCIES, other

DEADLINE_S = 240.0
REFUSAL = "the database was made by a newer version of this program"


async def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while True:
        if condition():
            return
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


def _events(home: Path) -> list[str]:
    """Return the names of the events in all generations of the audit log, in order."""
    names = []
    with open_home(home) as logs:
        for log in logs.stored():
            if log.head.kind is not LogKind.AUDIT:
                continue
            for entry in logs.read(lambda tx, head=log.head: tx.logs.entries(head.origin, 0, head.size)):  # type: ignore[misc]
                try:
                    decoded = decode_entry(entry)
                except PeerError:
                    continue
                if isinstance(decoded, EventEntry):
                    names.append(decoded.event)
    return names


@pytest.mark.timeout(600)
async def test_backup_and_restore(tmp_path: Path) -> None:
    """A disk is lost: what came after the backup comes back, once, and what was erased stays erased."""
    async with Processes(tmp_path / "nodes") as processes, asyncio.timeout(540):
        home = processes.homes["FR"]
        place = Place(folder=tmp_path, home=home.path)
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        seen: dict[str, list[str]] = {nation: [] for nation in clients}
        readers = [asyncio.create_task(collect(clients[n], seen[n])) for n in clients]

        async def exchange(count: int) -> dict[str, list[str]]:
            sent = {
                n: [(await c.send(draft(n))).message_id for _ in range(count)] for n, c in clients.items()
            }
            for nation, ids in sent.items():
                await until_collected(clients[nation], ids, deadline_s=DEADLINE_S)
            return sent

        for nation in processes.homes:
            await processes.until_ready(nation)
        before = await exchange(4)

        # Backup, with the node at work.
        await asyncio.to_thread(place.follow, "Backup", 1)
        said = await asyncio.to_thread(place.follow, "Backup", 2)
        assert "fr.gateway.test/exchange/us" in said
        checked = await asyncio.to_thread(place.follow, "Backup", 3)
        assert "whole and sound; nothing was put in place" in checked
        await _until(lambda: not list(waiting(home.data)))
        assert '"backup.made"' in processes.log("FR")

        # Life goes on, then the disk is lost. What was erased after the backup is in it, sealed.
        after = await exchange(4)
        (erased, *_) = before["FR"]
        order = (
            "erase",
            erased,
            "--reason",
            "an order",
            "--as",
            home.operators / "OPERATOR",
            "--url",
            _ops(processes),
        )
        await asyncio.to_thread(_entente, *order)
        processes.kill("FR")
        await asyncio.to_thread(place.follow, "Restore", 1)
        restored = await asyncio.to_thread(place.follow, "Restore", 3)
        assert f"restored  {home.data / 'gateway.db'}" in restored
        assert f"kept      {home.data / 'high-water'}" in restored
        listed = await asyncio.to_thread(place.follow, "Restore", 4)
        assert "FR.DGDDI" in listed
        verified = await asyncio.to_thread(place.follow, "Restore", 5)
        assert "\nVERIFIED" in verified

        processes.start("FR")
        await processes.until_ready("FR")
        assert "ready" in await asyncio.to_thread(place.follow, "Restore", 6)
        looked = await asyncio.to_thread(place.follow, "Restore", 7, statuses=(0, 1))
        assert not [line for line in looked.splitlines() if line.startswith("fail")]
        # The database is of before the backup was on record, and there is one: it was just restored.
        assert re.search(r"^ok +backups +the newest is of ", looked, re.MULTILINE), looked
        assert '"log.recovered"' in processes.log("FR")
        last = await exchange(2)
        assert (await clients["FR"].status(erased)).status == "erased"
        for nation in clients:
            due = [*before[nation], *after[nation], *last[nation]]
            assert sorted(seen[other(nation)]) == sorted(due)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for nation in processes.homes:
            assert processes.stop(nation) == 0
    events = await asyncio.to_thread(_events, home.path)
    assert "backup.restored" in events
    assert not list(waiting(home.data))


@pytest.mark.timeout(600)
async def test_restore_on_a_new_machine(tmp_path: Path) -> None:
    """Everything is lost but the sealed keys: no high-water file, no file of orders, no KEM key."""
    async with Processes(tmp_path / "nodes") as processes, asyncio.timeout(540):
        home = processes.homes["FR"]
        place = Place(folder=tmp_path, home=home.path)
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        seen: dict[str, list[str]] = {nation: [] for nation in clients}
        readers = [asyncio.create_task(collect(clients[n], seen[n])) for n in clients]
        for nation in processes.homes:
            await processes.until_ready(nation)
        await asyncio.to_thread(place.follow, "Backup", 1)
        await asyncio.to_thread(place.follow, "Backup", 2)
        sent = {
            nation: [(await client.send(draft(nation))).message_id for _ in range(3)]
            for nation, client in clients.items()
        }
        for nation, ids in sent.items():
            await until_collected(clients[nation], ids, deadline_s=DEADLINE_S)

        processes.kill("FR")
        for folder in (home.data, home.trust, home.kem):
            shutil.rmtree(folder)
        home.config.unlink()
        # What is sealed meanwhile is sealed for a key that nobody has any more.
        sent["US"] += [(await clients["US"].send(draft("US"))).message_id for _ in range(2)]
        restored = await asyncio.to_thread(place.follow, "Restore", 3)
        for path in (home.config, home.registry, home.data / "high-water", home.data / "gateway.db"):
            assert f"restored  {path}" in restored
        assert "kept" not in restored
        processes.start("FR")
        await processes.until_ready("FR")
        assert '"log.recovered"' in processes.log("FR")
        sent["FR"].append((await clients["FR"].send(draft("FR"))).message_id)
        await until_collected(clients["US"], sent["US"], deadline_s=DEADLINE_S)
        # Of its own messages after the backup the node knows the entries alone.
        await until_collected(clients["FR"], sent["FR"][-1:], deadline_s=DEADLINE_S)
        for nation, ids in sent.items():
            assert sorted(seen[other(nation)]) == sorted(ids)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


@pytest.mark.timeout(600)
async def test_a_killed_backup_leaves_nothing_and_a_backup_of_a_killed_node_is_whole(tmp_path: Path) -> None:
    async with Processes(tmp_path / "nodes") as processes, asyncio.timeout(540):
        home = processes.homes["FR"]
        place = Place(folder=tmp_path, home=home.path)
        client = await processes.client(AGENCIES["FR"])
        await asyncio.to_thread(place.follow, "Backup", 1)
        stop = asyncio.Event()
        sent: list[str] = []

        async def post_on() -> None:
            while not stop.is_set():
                try:
                    sent.append((await client.send(draft("FR"))).message_id)
                except GatewayError:
                    await asyncio.sleep(0.05)  # its node was killed: an agency system tries again

        posting = asyncio.create_task(post_on())
        try:
            await _until(lambda: len(sent) > 20)

            # The backup is killed at whatever it does, three times.
            for wait_s in (0.3, 0.6, 0.9):
                process = _backup(home.path, tmp_path / "backup" / "killed")
                await asyncio.sleep(wait_s)
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait)
                if process.returncode == 0:
                    (tmp_path / "backup" / "killed").unlink()
                assert not (tmp_path / "backup" / "killed").exists()

            # The node is killed while a backup is made.
            process = _backup(home.path, tmp_path / "backup" / "fr-1")
            processes.kill("FR")
            assert await asyncio.to_thread(process.wait) == 0
            checked = await asyncio.to_thread(place.follow, "Backup", 3)
            assert "whole and sound" in checked
            processes.start("FR")
            await processes.until_live("FR")
            assert not list(home.data.glob("*.snapshot-*"))
            mark = len(sent)
            await _until(lambda: len(sent) > mark + 5)
        finally:
            stop.set()
            await posting


@pytest.fixture(scope="module")
def old() -> Installed:
    """Install the last release."""
    return install(last_release())


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_upgrade_and_the_way_back(tmp_path: Path, old: Installed) -> None:
    async with Processes(tmp_path / "nodes", release=old) as processes, asyncio.timeout(600):
        home = processes.homes["FR"]
        place = Place(folder=tmp_path, home=home.path)
        old_place = Place(folder=tmp_path, home=home.path, python=old.python, tree=old.tree)
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        seen: dict[str, list[str]] = {nation: [] for nation in clients}
        readers = [asyncio.create_task(collect(clients[n], seen[n])) for n in clients]
        await processes.until_ready("FR")
        await asyncio.to_thread(place.follow, "Backup", 1)
        await asyncio.to_thread(old_place.follow, "Upgrade", 1)
        # The command is this tree's own where the last release has none yet.
        with_backup = old.run("backup", "--help").returncode == 0
        await asyncio.to_thread((old_place if with_backup else place).follow, "Upgrade", 2)

        assert processes.stop("FR") == 0
        processes.upgrade("FR")
        processes.start("FR")
        await processes.until_ready("FR")
        await asyncio.to_thread(place.follow, "Upgrade", 4)
        ids = [(await clients["FR"].send(draft("FR"))).message_id for _ in range(3)]
        await until_collected(clients["FR"], ids, deadline_s=DEADLINE_S)

        # As if this tree had made tables that the old release does not know.
        assert processes.stop("FR") == 0
        _make_newer(home.data / "gateway.db")
        refused = old.run("serve", "--home", home.path)
        assert refused.returncode == 1
        (sentence,) = [line for line in DOCUMENT.read_text().splitlines() if line.strip().startswith(REFUSAL)]
        assert refused.stderr.strip().endswith(f"{sentence.strip().replace('0.2.0', '9.9')} [store-failed]")

        await asyncio.to_thread(place.follow, "An old release refuses a newer database", 1)
        await asyncio.to_thread(place.follow, "An old release refuses a newer database", 2)
        processes.downgrade("FR", old)
        processes.start("FR")
        await processes.until_ready("FR")
        more = [(await clients["US"].send(draft("US"))).message_id for _ in range(3)]
        await until_collected(clients["US"], more, deadline_s=DEADLINE_S)
        assert sorted(seen["US"]) == sorted(ids)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


def _make_newer(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.execute("INSERT OR REPLACE INTO settings VALUES ('schema.made_by', '9.9')")
    connection.commit()
    connection.close()


def _ops(processes: Processes) -> str:
    return f"https://127.0.0.1:{processes.ports['FR'].operator}"


def _entente(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _backup(home: Path, file: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "gateway",
        "backup",
        str(file),
        "--home",
        str(home),
        "--reason",
        "a test",
    ]
    return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.DEVNULL)
