"""The last release is upgraded with messages in every state on their way, one node after the other.

The old release is a program of its own: taken from the history of this clone, installed from
its own lock, with homes that it made itself.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.client import AsyncClient
from gateway.storage.schema import OLDEST_READER
from tests.integration.test_two_processes import collect, draft, post, until_collected, verify_everything
from tests.processes import Processes
from tests.releases import Installed, install, last_release
from tests.world import AGENCIES, other

DEADLINE_S = 240.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def old() -> Installed:
    """Install the last release, which takes a minute the first time."""
    return install(last_release())


class Traffic:
    """Agencies of both nations that post and read all the time."""

    def __init__(self, clients: dict[str, AsyncClient]) -> None:
        self.clients = clients
        self.sent: dict[str, list[str]] = {nation: [] for nation in clients}
        self.seen: dict[str, list[str]] = {nation: [] for nation in clients}
        self._stopped = asyncio.Event()

    async def post_on(self, nation: str) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            self.sent[nation].append(await post(self.clients[nation], draft(nation), f"{nation}-{number}"))
            await asyncio.sleep(0.05)

    async def until_more(self, nation: str, count: int) -> None:
        """Wait until a node has accepted so many more messages."""
        wanted = len(self.sent[nation]) + count
        await _until(lambda: len(self.sent[nation]) >= wanted)

    async def until_exchanged(self, count: int) -> None:
        """Wait until so many messages that are posted from now on have arrived, both ways."""
        marks = {nation: len(ids) for nation, ids in self.sent.items()}

        def exchanged(nation: str) -> int:
            return len(set(self.sent[nation][marks[nation] :]) & set(self.seen[other(nation)]))

        await _until(lambda: min(map(exchanged, marks)) >= count)

    def stop(self) -> None:
        self._stopped.set()


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; the test has a deadline of its own."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.05)


@asynccontextmanager
async def traffic(processes: Processes) -> AsyncIterator[Traffic]:
    """Have agencies at work; at the end everything they sent has arrived, once."""
    made = Traffic({nation: await processes.client(agency) for nation, agency in AGENCIES.items()})
    readers = [asyncio.create_task(collect(made.clients[n], made.seen[n])) for n in made.clients]
    posters = [asyncio.create_task(made.post_on(nation)) for nation in made.clients]
    try:
        yield made
        made.stop()
        await asyncio.gather(*posters)
        for nation, ids in made.sent.items():
            assert len(ids) == len(set(ids)) > 10
            await until_collected(made.clients[nation], ids, deadline_s=DEADLINE_S)
            assert set(made.seen[other(nation)]) == set(ids)
    finally:
        for task in [*readers, *posters]:
            task.cancel()
        await asyncio.gather(*readers, *posters, return_exceptions=True)


async def test_nodes_are_upgraded_one_after_the_other_with_messages_in_flight(
    tmp_path: Path, old: Installed
) -> None:
    async with Processes(tmp_path / "nodes", release=old) as processes, asyncio.timeout(600):
        async with traffic(processes) as flowing:
            await flowing.until_exchanged(5)

            # The peer is away, so messages pile up: accepted, in the log and not delivered.
            assert processes.stop("US") == 0
            await flowing.until_more("FR", 10)
            # The node that is upgraded first goes without a chance to tidy up.
            processes.kill("FR")
            processes.upgrade("FR")
            processes.start("FR")
            await processes.until_live("FR")
            await flowing.until_more("FR", 5)

            # Two releases side by side.
            processes.start("US")
            await processes.until_ready("US")
            await flowing.until_exchanged(10)

            assert processes.stop("US") == 0
            processes.upgrade("US")
            processes.start("US")
            await processes.until_ready("US")
            await flowing.until_exchanged(10)
        for nation in processes.homes:
            assert processes.stop(nation) == 0
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")
    for nation, home in processes.homes.items():
        _old_programs_read_or_say_why_not(old, home.path, exported=tmp_path / "export" / nation)


def _old_programs_read_or_say_why_not(old: Installed, home: Path, *, exported: Path) -> None:
    """Try the last release on a database that this tree has migrated: never written, read if that is safe."""
    database = home / "data" / "gateway.db"
    here, oldest = _versions(database)
    there = _old_version(old)
    audit = old.run("audit", "verify", "--home", home)
    if oldest <= there:
        assert audit.stdout.startswith("VERIFIED"), audit.stdout + audit.stderr
    else:
        assert audit.returncode == 1
        assert "newer version than this program can read" in audit.stdout
    if here != there:
        before = database.read_bytes()
        served = old.run("serve", "--home", home)
        assert served.returncode == 1
        assert "made by a newer version of this program" in served.stderr
        assert database.read_bytes() == before
    # What auditors have are exported logs, and those are the same whoever reads them.
    for log in sorted(exported.iterdir()):
        verified = old.run("audit", "verify", log, "--trust", home / "trust")
        assert verified.stdout.startswith("VERIFIED"), verified.stdout + verified.stderr


def _versions(database: Path) -> tuple[str, str]:
    """Return the version of the tables, and the oldest one whose programs read them."""
    connection = sqlite3.connect(database)
    try:
        (here,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        (oldest,) = connection.execute(
            "SELECT value FROM settings WHERE key = ?", (OLDEST_READER,)
        ).fetchone()
    finally:
        connection.close()
    return here, oldest


def _old_version(old: Installed) -> str:
    text = (old.tree / "gateway" / "storage" / "tables.py").read_text()
    _, _, rest = text.partition('SCHEMA_REVISION: Final = "')
    version, _, _ = rest.partition('"')
    assert len(version) == 4
    return version


def test_a_new_database_of_this_tree_is_refused_by_the_last_release_once_the_tables_differ(
    tmp_path: Path, old: Installed
) -> None:
    made = old.run("init", "--demo", "--home", tmp_path)
    assert made.returncode == 0, made.stderr
    database = tmp_path / "fr" / "data" / "gateway.db"
    _database_of_the_future(database)
    before = database.read_bytes()
    served = old.run("serve", "--home", tmp_path / "fr")
    assert served.returncode == 1
    assert "made by a newer version of this program (99.0)" in served.stderr
    assert "nothing was changed" in served.stderr
    listed = old.run("log", "list", "--home", tmp_path / "fr")
    assert listed.returncode == 1
    assert "newer version than this program can read" in listed.stderr
    assert database.read_bytes() == before


def _database_of_the_future(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(
        "PRAGMA journal_mode = WAL;"
        "CREATE TABLE alembic_version (version_num TEXT);"
        "INSERT INTO alembic_version VALUES ('9999');"
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT);"
        "INSERT INTO settings VALUES ('schema.made_by', '99.0'), ('schema.oldest_reader', '9998');"
    )
    connection.close()
