"""The crew of a node, with real processes: it works, dies, is replaced, and never outlives its node."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import orjson
import pytest

from gateway.app import MEMBER
from gateway.client import Accepted, AsyncClient
from gateway.core.message.reference_lists import NO_LISTS
from gateway.errors import GatewayError, UnavailableError
from gateway.node.crew import LEAST, Crew, CrewConfig, CrewLostError
from gateway.node.posts import Submission
from gateway.node.second_stage import Acceptance
from tests.processes import Processes
from tests.world import AGENCIES, World, make_draft

DEADLINE_S = 60.0
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def world_with(crew: CrewConfig) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="world-", dir=MEMORY) as folder:
        async with World(Path(folder), crew=crew) as world:
            yield world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Two nodes, each with one process beside it that is there."""
    async with world_with(CrewConfig(size=1, command=MEMBER)) as world:
        for nation in AGENCIES:
            await until(partial(members, world, nation))
        yield world


async def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.02)


def crew_of(world: World, nation: str) -> Crew:
    return world.node(nation)._crew


def members(world: World, nation: str) -> list[int]:
    return [member.pid for member in crew_of(world, nation)._present]


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in {"Z", "X"}


# --- an exchange -------------------------------------------------------------------------


async def test_batches_and_bundles_go_to_the_crew_and_everything_arrives(world: World) -> None:
    before = {nation: cpu_ticks(members(world, nation)[0]) for nation in AGENCIES}

    ids = [await world.send_many("FR", 200) for _ in range(3)]
    await world.settle()

    assert await world.received("US") == [item for part in ids for item in part]
    await world.check()
    for nation in AGENCIES:
        # Each has examined, or opened, 600 messages: at least some 30 ms of work.
        assert cpu_ticks(members(world, nation)[0]) > before[nation]


async def test_each_message_of_a_batch_hears_of_itself(world: World) -> None:
    posts = [Submission(body=orjson.dumps(world.draft("FR"))) for _ in range(LEAST)]
    posts[3] = Submission(body=b"{")
    outcomes = await world.node("FR").admission.submit(world.principal("FR"), posts)

    kinds = [isinstance(outcome, Acceptance) for outcome in outcomes]
    assert kinds == [place != 3 for place in range(LEAST)]
    assert isinstance(outcomes[3], GatewayError)
    assert outcomes[3].code == "message-unreadable"


async def test_lists_that_are_renewed_count_at_the_crew_with_the_next_batch(world: World) -> None:
    draft = world.draft("FR")
    draft["payload"]["place"] = {"unlocode": "FRQ99"}
    posts = [Submission(body=orjson.dumps(draft)) for _ in range(LEAST)]

    async def warnings() -> set[str]:
        outcomes = await world.node("FR").admission.submit(world.principal("FR"), posts)
        assert all(isinstance(outcome, Acceptance) for outcome in outcomes), outcomes
        return {item.warning for outcome in outcomes for item in getattr(outcome, "warnings", ())}

    assert await warnings() == {"W-LOCODE"}
    world.node("FR").use_lists(NO_LISTS)
    assert await warnings() == set()


async def test_a_member_that_dies_over_a_batch_costs_its_caller_a_repeat_and_is_replaced(
    world: World,
) -> None:
    (pid,) = members(world, "FR")
    posts = [Submission(body=orjson.dumps(world.draft("FR")), key=f"key-{n}") for n in range(LEAST)]
    os.kill(pid, signal.SIGSTOP)
    posting = asyncio.create_task(world.node("FR").admission.submit(world.principal("FR"), posts))
    await until(lambda: len(crew_of(world, "FR")._working) == 1)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(UnavailableError) as refused:
        await posting
    assert refused.value.code == "crew-lost"

    # Nothing of it was accepted; the node takes it itself until another one is there.
    outcomes = await world.node("FR").admission.submit(world.principal("FR"), posts)
    assert all(isinstance(outcome, Acceptance) for outcome in outcomes)
    world.clock.advance(60)
    await until(lambda: members(world, "FR") not in ([], [pid]))
    await world.send_many("FR", 50)
    await world.settle()
    assert len(await world.received("US")) == LEAST + 50
    await world.check()


async def test_a_bundle_whose_member_dies_is_sent_again_and_received_once(world: World) -> None:
    (pid,) = members(world, "US")
    os.kill(pid, signal.SIGSTOP)
    ids = await world.send_many("FR", 100)
    await until(lambda: len(crew_of(world, "US")._working) > 0)
    os.kill(pid, signal.SIGKILL)

    await world.settle()

    assert await world.received("US") == ids
    await world.check()


async def test_a_node_does_without_a_crew_that_does_not_start() -> None:
    for command in (("/no/such/program",), ("/bin/false",)):
        async with world_with(CrewConfig(size=2, command=command)) as world:
            ids = await world.send_many("FR", 50)
            await world.settle()
            assert await world.received("US") == ids
            assert members(world, "FR") == []


# --- the crew by itself ------------------------------------------------------------------


async def test_an_answer_that_nobody_waited_for_is_not_given_to_the_next_one(world: World) -> None:
    crew = crew_of(world, "FR")
    (pid,) = members(world, "FR")
    posts = [Submission(body=orjson.dumps(world.draft("FR"))) for _ in range(LEAST)]
    os.kill(pid, signal.SIGSTOP)
    gone = asyncio.create_task(world.node("FR").admission.submit(world.principal("FR"), posts))
    await until(lambda: len(crew._working) == 1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    waiting = asyncio.create_task(world.node("FR").admission.submit(world.principal("FR"), posts[:-1] * 2))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGCONT)

    assert len(await waiting) == 2 * (LEAST - 1)
    assert members(world, "FR") == [pid]


async def test_whoever_waits_for_a_member_is_told_when_the_last_one_is_lost(world: World) -> None:
    crew = crew_of(world, "FR")
    (pid,) = members(world, "FR")
    posts = [Submission(body=orjson.dumps(world.draft("FR"))) for _ in range(LEAST)]
    os.kill(pid, signal.SIGSTOP)
    first, second = (
        asyncio.create_task(world.node("FR").admission.submit(world.principal("FR"), posts)) for _ in range(2)
    )
    await until(lambda: len(crew._waiting) == 1)
    os.kill(pid, signal.SIGKILL)

    for posting in (first, second):
        with pytest.raises(CrewLostError):
            await posting


async def test_a_crew_ends_with_its_node(world: World) -> None:
    pids = [pid for nation in AGENCIES for pid in members(world, nation)]
    for nation in AGENCIES:
        await world.stop(nation)
    assert all(is_gone(pid) for pid in pids)


# --- two programs ------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(item) for task in tasks.iterdir() for item in (task / "children").read_text("ascii").split()]


async def post_batch(client: AsyncClient, count: int) -> list[str]:
    now = int(time.time() * 1_000)
    results = await client.send_batch([make_draft("FR", now) for _ in range(count)])
    return [result.message_id for result in results if isinstance(result, Accepted)]


async def test_a_crew_is_set_in_the_configuration_and_ends_with_a_node_that_is_killed(tmp_path: Path) -> None:
    crew = {"ENTENTE_CREW__PROCESSES": "1"}
    async with Processes(tmp_path, environment=dict.fromkeys(AGENCIES, crew)) as processes:
        await until(lambda: all('"crew.joined"' in processes.log(nation) for nation in AGENCIES))
        pids = {nation: children(processes.process(nation).pid) for nation in AGENCIES}
        assert [len(found) for found in pids.values()] == [1, 1]
        command = Path(f"/proc/{pids['FR'][0]}/cmdline").read_bytes()
        assert command.split(b"\0")[1:-1] == [item.encode() for item in MEMBER[1:]]

        sender = await processes.client(AGENCIES["FR"])
        reader = await processes.client(AGENCIES["US"])
        ids = await post_batch(sender, 60)
        seen: list[str] = []
        while len(seen) < len(ids):
            async for received in reader.inbox(wait_s=5.0):
                seen.append(received.message_id)
                await reader.ack(received.message_id)
                if len(seen) == len(ids):
                    break
        assert seen == ids

        processes.kill("FR")
        await until(lambda: is_gone(pids["FR"][0]))
        assert processes.stop("US") == 0
        assert is_gone(pids["US"][0])
