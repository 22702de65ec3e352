"""One suite, two databases: an SQLite file, and a PostgreSQL server that the tests start."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway.storage.engine import Database
from gateway.storage.schema import migrate
from gateway.storage.store import SqlStore
from tests.databases import put_database

_databases = count(1)


class Server:
    """A private PostgreSQL server on a Unix socket in a temporary folder."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="entente-pg-", dir=memory if memory.is_dir() else None))
        # PostgreSQL refuses to run as root: the account of the package, or else of nobody.
        self._account: dict[str, object] = {}
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self._account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def start(self) -> None:
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "gateway", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\n")
            # Durability is tried elsewhere; here a test should not wait for the disk.
            settings.write("fsync = off\nfull_page_writes = off\n")
        self._run("pg_ctl", "-D", data, "-l", self.folder / "log", "-s", "-w", "-t", "30", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-s", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self, template: str = "template1") -> str:
        """Make a database; return its name."""
        name = f"node_{next(_databases)}"
        self._run("createdb", "-h", self.folder, "-U", "gateway", "-T", template, name)
        return name

    def drop(self, name: str) -> None:
        self._run("dropdb", "-h", self.folder, "-U", "gateway", "--force", name)

    def url(self, name: str) -> str:
        return f"postgresql://gateway@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [str(self._binaries / program), *map(str, arguments)],
            check=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **self._account,  # type: ignore[call-overload]
        )


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if not found:
        pytest.skip("no PostgreSQL server: install the package postgresql")
    server = Server(found[-1].parent)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """Return the name of a database that has its tables."""
    name = server.new_database()
    migrate(Database.at(server.url(name), read_only=False))
    return name


DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database that has its tables and nothing in them."""
    if request.param == "sqlite":
        put_database(tmp_path / "gateway.db")
        yield f"sqlite:///{tmp_path}/gateway.db"
        return
    server: Server = request.getfixturevalue("server")
    name = server.new_database(request.getfixturevalue("template"))
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database that does not hold anything yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/data/gateway.db"
        return
    server: Server = request.getfixturevalue("server")
    name = server.new_database()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore.open(url)
    yield store
    await store.close()
