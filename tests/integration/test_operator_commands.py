"""Erasing and holding through the operator port of two real nodes; every log verifies afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from tests.integration.test_two_processes import draft, until_collected, verify_everything
from tests.processes import Processes
from tests.world import AGENCIES


class Operators:
    """The commands of one nation's operators."""

    def __init__(self, processes: Processes, nation: str) -> None:
        self._folder = processes.homes[nation].operators
        self._url = f"https://127.0.0.1:{processes.ports[nation].operator}"

    async def run(self, *arguments: str, name: str = "OPERATOR") -> Result:
        where = ["--as", str(self._folder / name), "--url", self._url]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, [*arguments, *where]))

    async def json(self, *arguments: str, name: str = "OPERATOR") -> Any:
        result = await self.run(*arguments, "--json", name=name)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.timeout(400)
async def test_an_operator_holds_and_erases_and_both_nations_logs_verify(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        message_id = (await clients["US"].send(draft("US"))).message_id
        async for received in clients["FR"].inbox(wait_s=1.0):
            assert received.message_id == message_id
            break
        french = Operators(processes, "FR")

        (held,) = await french.json("hold", "set", message_id, "--reason", "Trial 7")
        assert held == {"message_id": message_id, "kept": 1}
        refused = await french.run("erase", message_id, "--reason", "Order 12")
        assert (refused.exit_code, "on-hold" in refused.output) == (1, True)
        (listed,) = await french.json("hold", "list", name="AUDITOR")
        assert (listed["message_id"], listed["reason"]) == (message_id, "Trial 7")
        forbidden = await french.run("hold", "lift", message_id, "--reason", "No", name="AUDITOR")
        assert (forbidden.exit_code, "role-not-allowed" in forbidden.output) == (1, True)
        await french.json("hold", "lift", message_id, "--reason", "Trial over")
        (erased,) = await french.json("erase", message_id, "--reason", "Order 12")
        assert (erased["status"], erased["ground"]) == ("erased", "order")

        page = await clients["FR"].inbox_page()
        assert [item.message for item in page.messages] == [None]
        await clients["FR"].ack(message_id)
        await until_collected(clients["US"], [message_id])
        unknown = await french.run("erase", "01a20847-0135-7993-b063-b5d5cb27d3ff", "--reason", "x")
        assert (unknown.exit_code, "not-found" in unknown.output) == (1, True)
        wrong = await french.run("hold", "set", "--reason", "x")
        assert wrong.exit_code == 2
        for nation in processes.homes:
            assert processes.stop(nation) == 0
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")
