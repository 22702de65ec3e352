"""What `audit verify --home` says of homes whose databases were lost, as operators and auditors run it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import audit
from gateway.core.merkle import Hash
from gateway.node.health import Phase
from gateway.storage.highwater import FileHighWater
from tests.fault.test_audited_restores import lose_for_good
from tests.fault.test_honest_histories import signed
from tests.fault.test_recovery import deliver
from tests.fault.test_succession import origin_of_audit, rolled_back, until_cosigned
from tests.unit.audit.homes import write_home
from tests.world import World


async def verified(world: World, folder: Path) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return what the command says of the American home: its first line, and each check."""
    home = write_home(world, "US", folder / "home")

    def run(*options: str) -> str:
        return CliRunner().invoke(audit.app, ["verify", "--home", str(home), *options]).stdout

    # The command brings an event loop of its own.
    found: Any = json.loads(await asyncio.to_thread(run, "--json"))
    shown = (await asyncio.to_thread(run)).partition("\n")[0]
    return shown, {check["name"]: (check["outcome"], check["detail"]) for check in found["checks"]}


@pytest.mark.parametrize("marks", [True, False])
async def test_a_database_that_was_lost_without_a_backup_after_a_loss_is_told_as_what_it_is(
    world: World, tmp_path: Path, *, marks: bool
) -> None:
    await rolled_back(world, marks=marks)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")
    await until_cosigned(world, f"{origin_of_audit(world)}/2", 3)
    await world.settle()
    await world.restore("US", None)
    await world.start("US")
    await world.until_phase("US", Phase.RUNNING)
    await deliver(world, "US")
    await signed(world)
    await world.settle()
    await world.stop("US")

    shown, checks = await verified(world, tmp_path)

    assert shown.startswith("VERIFIED us.gateway.test: 3 logs")
    origin = origin_of_audit(world)
    assert checks["end of audit"] == ("not checked", "the log is empty")
    outcome, why = checks[f"high water of {origin}/2"]
    assert (outcome, why.partition(", ")[2]) == (
        "not checked",
        "0 are left: it was closed, its successor says so",
    )
    if marks:
        outcome, why = checks[f"high water of {origin}"]
        assert (outcome, why.partition(", ")[2]) == (
            "not checked",
            "0 are left: it was closed, the exchange log says so",
        )


async def test_a_loss_that_no_log_tells_is_no_excuse(world: World, tmp_path: Path) -> None:
    """Whoever lets a node forget a log has to reach the high-water file as well, which lies apart."""
    await deliver(world, "US")
    await signed(world)
    await world.settle()
    path = world.sides["US"].folder / "high-water"
    await world.stop("US")
    origins = [f"{origin_of_audit(world)}/2", f"{world.sides['US'].keyring.pair.exchange_origin}/2"]
    forged = FileHighWater(path)
    await forged.record({origin: (7, Hash(bytes(32))) for origin in origins})
    forged.close()

    shown, checks = await verified(world, tmp_path)

    assert shown.startswith("NOT VERIFIED us.gateway.test: high water of ")
    gone = ("failed", "7 entries were signed, but the database knows of 0: it was rolled back")
    assert [checks[f"high water of {origin}"] for origin in origins] == [gone, gone]


async def test_what_was_given_up_when_a_generation_opened_is_told_as_that(
    world: World, tmp_path: Path
) -> None:
    await lose_for_good(world)

    await signed(world)
    await world.settle()
    await world.stop("US")
    shown, checks = await verified(world, tmp_path)

    origin = world.sides["US"].keyring.pair.exchange_origin
    outcome, why = checks[f"high water of {origin}"]
    assert (outcome, why.partition(": ")[2]) == ("not checked", f"given up when {origin}/2 opened")
    assert shown.startswith("VERIFIED us.gateway.test")
