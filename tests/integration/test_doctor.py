"""`entente doctor` on homes of real nodes: each thing that can be wrong is found, and only that."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.catalogue import read_lists
from gateway.cli import app
from gateway.cli.doctor import (
    DISK_FAILURE_BYTES,
    DISK_WARNING_BYTES,
    Finding,
    State,
    disk_finding,
    examine,
    list_finding,
)
from gateway.keyring.tls_group import HYBRID_GROUPS
from tests.processes import Processes

CHECKS = [
    "configuration",
    "keys",
    "certificates",
    "revocation lists",
    "reference lists",
    "disk",
    "database",
    "clock",
    "agreement",
    "node",
    "peer",
]


def findings(home: Path, *, later: timedelta = timedelta()) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(home, now=datetime.now(UTC) + later)}


def failed(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.state is State.FAIL]


async def test_the_doctor_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        for nation in processes.homes:
            await processes.until_ready(nation)
        home = processes.homes["FR"].path

        found = await asyncio.to_thread(findings, home)
        async with asyncio.timeout(60):
            # Ready is a node before it has met its peer; then both have stated their types.
            while found["agreement"].state is not State.OK:
                await asyncio.sleep(0.1)
                found = await asyncio.to_thread(findings, home)
        assert list(found) == CHECKS
        assert failed(found) == []
        assert found["keys"].state is State.WARN
        assert found["node"].state is found["database"].state is State.OK
        hybrid = found["peer"].says.rpartition(" ")[2] in HYBRID_GROUPS
        assert found["peer"].state is (State.OK if hybrid else State.WARN)

        processes.stop("US")
        assert failed(await asyncio.to_thread(findings, home)) == ["peer"]
        processes.stop("FR")
        assert failed(await asyncio.to_thread(findings, home)) == ["node", "peer"]

    await asyncio.to_thread(_try_what_time_and_damage_do, home, tmp_path)


def _try_what_time_and_damage_do(home: Path, tmp_path: Path) -> None:
    def found_at(later: timedelta) -> dict[str, State]:
        return {name: finding.state for name, finding in findings(home, later=later).items()}

    in_five_days = found_at(timedelta(days=5))
    assert (in_five_days["revocation lists"], in_five_days["certificates"]) == (State.WARN, State.OK)
    in_seventy_days = found_at(timedelta(days=70))
    assert (in_seventy_days["revocation lists"], in_seventy_days["certificates"]) == (State.FAIL, State.WARN)
    assert found_at(timedelta(days=100))["certificates"] is State.FAIL
    assert found_at(timedelta(hours=-1))["clock"] is State.FAIL

    for spoil, check in SPOILT:
        copy = tmp_path / "copy"
        shutil.copytree(home, copy)
        spoil(copy)
        assert check in failed(findings(copy)), check
        assert findings(copy)[check].do
        shutil.rmtree(copy)


def _lose_the_database(home: Path) -> None:
    for path in (home / "data").glob("gateway.db*"):
        path.unlink()


def _shorten_a_key(home: Path) -> None:
    path = home / "keys" / "cosigner.key"
    path.write_bytes(path.read_bytes()[:-1])


def _damage_a_list(home: Path) -> None:
    (home / "trust" / "own" / "agency-ca.crl").write_text("no list")


def _put_no_reference_list(home: Path) -> None:
    (home / "lists").mkdir()
    (home / "lists" / "hs.json").write_text("{}")


SPOILT: list[tuple[Callable[[Path], None], str]] = [
    (_lose_the_database, "database"),
    (_shorten_a_key, "keys"),
    (_damage_a_list, "revocation lists"),
    (_put_no_reference_list, "reference lists"),
]


def test_without_a_configuration_there_is_nothing_else_to_look_at(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path), "--json"])
    assert result.exit_code == 1
    (only,) = json.loads(result.stdout)
    assert (only["check"], only["state"]) == ("configuration", "fail")
    assert "entente init" in only["says"]

    result = CliRunner().invoke(app, ["doctor", "--home", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stdout.startswith("fail  configuration")


@pytest.mark.parametrize(
    ("free", "state"),
    [
        (DISK_WARNING_BYTES, State.OK),
        (DISK_WARNING_BYTES - 1, State.WARN),
        (DISK_FAILURE_BYTES, State.WARN),
        (DISK_FAILURE_BYTES - 1, State.FAIL),
    ],
)
def test_a_disk_is_judged_by_what_is_free(free: int, state: State) -> None:
    found = disk_finding(free)
    assert found.state is state
    assert bool(found.do) is (state is not State.OK)


def test_old_and_absent_reference_lists_are_named_with_the_editions_of_all() -> None:
    lists = read_lists()
    current = list_finding(lists, today=date(2023, 7, 31))
    old = list_finding(lists, today=date(2028, 1, 1))
    fewer = list_finding({"hs": lists["hs"]}, today=date(2023, 7, 31))

    assert (current.state, current.do) == (State.OK, "")
    assert "unlocode 2023-1" in current.says
    assert old.state is fewer.state is State.WARN
    assert "hs is old" in old.says
    assert "unlocode is not there" in fewer.says
    assert fewer.do
