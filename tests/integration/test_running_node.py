"""Queue, maintenance, quotas and a disk that fills up, through the operator port of two real nodes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.health import ask_health
from gateway.client import AsyncClient, ProblemError
from tests.integration.test_operator_commands import Operators
from tests.integration.test_two_processes import draft
from tests.processes import Processes
from tests.world import AGENCIES

pytestmark = pytest.mark.timeout(400)

DEADLINE_S = 60.0
BALLAST = "ballast"


async def until_status(processes: Processes, nation: str, status: str, *codes: str) -> None:
    """Wait until a node calls itself this, for these reasons."""
    socket = processes.homes[nation].health_socket
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await asyncio.to_thread(ask_health, socket)
            if answer["status"] == status and [item["code"] for item in answer["reasons"]] == list(codes):
                return
            await asyncio.sleep(0.05)


async def until_received(client: AsyncClient, message_id: str) -> None:
    """Wait until the peer has received a message."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if (await client.status(message_id)).status == "received":
                return
            await asyncio.sleep(0.1)


async def test_an_operator_sees_what_waits_and_why_and_cancels_it(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        french = Operators(processes, "FR")
        client = await processes.client(AGENCIES["FR"])
        await until_status(processes, "FR", "ready")
        nothing = await french.run("queue", "list", name="AUDITOR")
        assert (nothing.exit_code, "Nothing that needs anybody." in nothing.stdout) == (0, True)
        quiet = await french.run("incidents", name="AUDITOR")
        assert (quiet.exit_code, quiet.stdout) == (0, "No incidents.\n")

        # A node is ready before it has met its peer, and one that has nobody to send to looks for it
        # once a minute.
        await until_received(client, (await client.send(draft("FR"))).message_id)

        processes.kill("US")
        first = (await client.send(draft("FR"))).message_id
        await until_status(processes, "FR", "degraded", "peer-away")
        # The first may have entered the log before the line was known to be cut; the second cannot.
        second = (await client.send(draft("FR"))).message_id
        waiting = await french.json("queue", "list", "--condition", "waiting", "--language", "fr")
        assert {item["message_id"] for item in waiting} == {first, second}
        assert {item["cause"]["code"] for item in waiting} == {"peer-away"}
        shown = await french.run("queue", "show", second, "--language", "fr", name="AUDITOR")
        assert "Le nœud partenaire ne répond pas" in shown.stdout
        retried = await french.run("queue", "retry", "--reason", "Just try")
        assert "[unavailable]" in retried.stdout

        (cancelled,) = await french.json("queue", "cancel", second, "--reason", "Sent by mistake")
        assert cancelled == {"message_id": second, "status": "withdrawn"}
        assert (await client.status(second)).status == "withdrawn"
        forbidden = await french.run("queue", "cancel", first, "--reason", "No", name="AUDITOR")
        assert (forbidden.exit_code, "role-not-allowed" in forbidden.output) == (1, True)
        over = await french.run("queue", "retry", second, "--reason", "Please")
        assert (over.exit_code, "not-waiting" in over.output) == (1, True)
        wrong = await french.run("queue", "list", "--condition", "odd")
        assert wrong.exit_code == 2


async def test_maintenance_drains_outlives_a_restart_and_ends(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        french = Operators(processes, "FR")
        client = await processes.client(AGENCIES["FR"])
        await until_status(processes, "FR", "ready")
        accepted = (await client.send(draft("FR"))).message_id
        drained = await french.run("maintenance", "start", "--reason", "New disks", "--wait", "60")
        assert (drained.exit_code, "drained" in drained.stdout) == (0, True), drained.output
        assert (await client.status(accepted)).status in {"delivered", "received"}
        with pytest.raises(ProblemError) as refused:
            await client.send(draft("FR"))
        assert (refused.value.status, refused.value.problem) == (503, "maintenance")

        assert processes.stop("FR") == 0
        processes.start("FR")
        await processes.until_live("FR")
        await until_status(processes, "FR", "not-ready", "maintenance")
        status = await french.run("maintenance", "status", name="AUDITOR")
        assert "New disks" in status.stdout
        ended = await french.run("maintenance", "end", "--reason", "Done")
        assert "new messages are accepted" in ended.stdout
        await client.send(draft("FR"))
        again = await french.run("maintenance", "end", "--reason", "Done")
        assert (again.exit_code, "not-in-maintenance" in again.output) == (1, True)


async def test_a_quota_holds_one_agency_at_once_and_is_taken_back(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        french = Operators(processes, "FR")
        client = await processes.client(AGENCIES["FR"])
        await processes.until_ready("FR")
        reason = ("--reason", "Their system loops")
        (found,) = await french.json("quota", "set", AGENCIES["FR"], "--per-minute", "2", *reason)
        assert found["agencies"][0]["per_minute"] == 2
        results = await client.send_batch([draft("FR") for _ in range(4)])
        codes = [result.problem for result in results if isinstance(result, ProblemError)]
        assert codes.count("quota") == 2, results
        listed = await french.run("quota", "list", name="AUDITOR")
        assert "Their system loops" in listed.stdout
        await french.json("quota", "clear", AGENCIES["FR"], "--reason", "Mended")
        await client.send(draft("FR"))
        unknown = await french.run("quota", "clear", AGENCIES["FR"], "--reason", "Mended")
        assert (unknown.exit_code, "not-found" in unknown.output) == (1, True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m,mode=0700", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def leave_free(disk: Path, free_bytes: int) -> None:
    """Fill a disk but for so many bytes."""
    ballast = disk / BALLAST
    ballast.unlink(missing_ok=True)
    room = os.statvfs(disk)
    size = room.f_bavail * room.f_frsize - free_bytes
    with ballast.open("wb") as file:
        for _ in range(size // 65_536):
            file.write(bytes(65_536))


async def test_a_real_disk_that_fills_up_closes_the_door_and_room_opens_it_again(
    tmp_path: Path, small_disk: Path
) -> None:
    where = {"ENTENTE_STORE__URL": f"sqlite:///{small_disk}/gateway.db"}
    async with Processes(tmp_path, environment={"FR": where}) as processes:
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        await until_status(processes, "FR", "ready")
        await clients["FR"].send(draft("FR"))

        leave_free(small_disk, 10 * 2**20)
        await until_status(processes, "FR", "not-ready", "disk-low")
        with pytest.raises(ProblemError) as refused:
            await clients["FR"].send(draft("FR"))
        assert (refused.value.status, refused.value.problem) == (507, "disk-low")
        # The peer's messages are still taken in: there is a reserve for them.
        arriving = (await clients["US"].send(draft("US"))).message_id
        await until_received(clients["US"], arriving)

        (small_disk / BALLAST).unlink()
        await until_status(processes, "FR", "ready")
        await clients["FR"].send(draft("FR"))
        assert processes.process("FR").poll() is None
        said = processes.log("FR")
        assert '"event":"disk.low"' in said.replace(": ", ":")
        assert '"event":"disk.enough"' in said.replace(": ", ":")
