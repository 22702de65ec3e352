"""Two operators, by their commands, at a node that is killed between proposal and approval."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.integration.test_operator_commands import Operators
from tests.integration.test_revocation import OpenConnection, run
from tests.processes import Processes

ON = {"ENTENTE_APPROVALS__TWO_OPERATORS": "true"}
NEWCOMER = "FR.NEWCOMER"


async def status_of(processes: Processes) -> int:
    """Return what the new agency gets when it asks who it is; 0 if it cannot connect."""
    connection = OpenConnection(processes.homes["FR"].agencies / NEWCOMER, processes.url("FR"))
    try:
        return (await connection.get("/v1/whoami"))[0]
    finally:
        await connection.close()


async def until_status(processes: Processes, wanted: set[int]) -> None:
    end = asyncio.get_running_loop().time() + 60
    while await status_of(processes) not in wanted:
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.1)


@pytest.mark.timeout(240)
async def test_an_agency_is_enrolled_by_two_and_taken_out_by_one(tmp_path: Path) -> None:
    processes = Processes(tmp_path, environment={"FR": ON})
    home = processes.homes["FR"]
    run("keys", "issue-agency", "SECOND", "--role", "operator", "--home", home.path)
    async with processes:
        french = Operators(processes, "FR")
        (quiet,) = await french.json("approval", "list", name="AUDITOR")
        assert (quiet["required"], quiet["operators"], quiet["waiting"]) == (True, 2, [])

        await asyncio.to_thread(run, "keys", "issue-agency", NEWCOMER, "--home", home.path)
        assert await status_of(processes) == 403
        waits = await french.run("approval", "list", "--language", "fr", name="AUDITOR")
        assert waits.exit_code == 1
        assert f"en attente : {NEWCOMER} (agency," in waits.output
        forbidden = await french.run("approval", "propose", "--reason", "Me", name="AUDITOR")
        assert (forbidden.exit_code, "role-not-allowed" in forbidden.output) == (1, True)
        (proposal,) = await french.json("approval", "propose", "--reason", "New agency")

        # Killed in between: the proposal is there, and nobody is enrolled.
        processes.kill("FR")
        processes.start("FR")
        await processes.until_ready("FR")
        assert await status_of(processes) == 403
        approve = ("approval", "approve", proposal["id"], "--reason", "Called", "--digest")
        alone = await french.run(*approve, proposal["digest"])
        assert (alone.exit_code, "second-operator-needed" in alone.output) == (1, True)
        other = await french.run(*approve, "0" * 96, name="SECOND")
        assert (other.exit_code, "proposal-altered" in other.output) == (1, True)
        asked = await french.run("approval", "approve", proposal["id"], "--reason", "Called", name="SECOND")
        assert asked.exit_code == 2  # no terminal to ask at
        done = await french.run(*approve, proposal["digest"], name="SECOND")
        assert (done.exit_code, "approved" in done.output) == (0, True), done.output
        assert await status_of(processes) == 200

        # A stolen key does not wait for two; the second one says afterwards that it was right.
        await asyncio.to_thread(run, "keys", "revoke", NEWCOMER, "--home", home.path)
        await until_status(processes, {0, 403})
        out = await french.run("approval", "list", name="SECOND")
        assert (out.exit_code, f": {NEWCOMER} (agency," in out.output) == (1, True)
        (proposal,) = await french.json("approval", "propose", "--reason", "Stolen", name="SECOND")
        (done_too,) = await french.json(
            "approval", "approve", proposal["id"], "--reason", "Saw it", "--digest", proposal["digest"]
        )
        assert done_too["fate"] == "approved"
        (quiet,) = await french.json("approval", "list")
        assert quiet["unconfirmed"] == quiet["proposals"] == []

        limits = ("quota", "set", "FR.DGDDI.SARC", "--per-minute", "5", "--reason", "They loop")
        waiting = await french.run(*limits)
        assert (waiting.exit_code, "5 a minute, no limit waiting" in waiting.output) == (0, True)
        assert json.loads((await french.run("quota", "list", "--json")).output)["agencies"] == []
        listed = json.loads((await french.run("approval", "list", "--json")).output)
        (proposal,) = listed["proposals"]
        await french.json(
            "approval",
            "approve",
            proposal["id"],
            "--reason",
            "Yes",
            "--digest",
            proposal["digest"],
            name="SECOND",
        )
        (quota,) = json.loads((await french.run("quota", "list", "--json")).output)["agencies"]
        assert (quota["agency"], quota["per_minute"]) == ("FR.DGDDI.SARC", 5)

    verdict = await asyncio.to_thread(run, "audit", "verify", "--home", home.path)
    assert verdict.startswith("VERIFIED")
