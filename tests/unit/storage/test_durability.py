"""kill -9 in the middle of writes: whatever was acknowledged is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.merkle import RightEdge, append, hash_leaf
from gateway.core.states import State
from gateway.ports import LogHead, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import LYON, OWN, identifier

ROOT = Path(__file__).resolve().parents[3]

# Eight tasks write without end; each prints a line once its write has returned.
PROGRAM = """
import asyncio, itertools, sys
from gateway.ports import Step
from gateway.storage.store import SqlStore
from tests.contract.builders import OWN, grow, outgoing

numbers = itertools.count(int(sys.argv[2]))

async def post(store):
    while True:
        number = next(numbers)
        def work(tx):
            tx.outbox.insert([outgoing(number, ciphertext=bytes(3000))])
            return grow(tx, OWN, [str(number).encode()]).edge.size - 1
        index = await store.write(Step.ACCEPTED, work)
        print(number, index, flush=True)

async def main():
    store = SqlStore.open(sys.argv[1])
    await asyncio.gather(*(post(store) for _ in range(8)))

asyncio.run(main())
"""


def write_and_kill(path: Path, first: int, *, lines: int) -> dict[int, int]:
    """Let a process write, kill it after so many lines; return index by number as it said."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, f"sqlite:///{path}", str(first)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        # What was printed before the kill took effect counts as well.
        said += child.stdout.readlines()
    return {int(n): int(i) for n, i in (line.split() for line in said if line.endswith("\n"))}


@pytest.mark.parametrize("rounds", [3])
async def test_kill_nine_loses_no_acknowledged_write(path: Path, rounds: int) -> None:
    acknowledged: dict[int, int] = {}
    for round_ in range(rounds):
        acknowledged |= write_and_kill(path, round_ * 1_000_000, lines=60 + 17 * round_)

        store = SqlStore.open(f"sqlite:///{path}", wait_s=5)

        def look(tx: Transaction) -> tuple[set[bytes], LogHead | None, list[bytes], int, int]:
            head = tx.logs.head(OWN)
            assert head is not None
            rows = tx.outbox.listing(LYON, after=0, limit=1_000_000)
            return (
                {row.message_id for row in rows},
                head,
                tx.logs.entries(OWN, 0, head.size),
                tx.outbox.count(State.ACCEPTED),
                len(rows),
            )

        held, head, entries, count, rows = await store.read(look)
        assert {identifier(number) for number in acknowledged} <= held
        # Message, entry, head and counter stand or fall together.
        assert head is not None
        assert count == rows == len(entries) == head.size
        assert head.edge == append(RightEdge.empty(), [hash_leaf(entry) for entry in entries]).edge
        for number, index in acknowledged.items():
            assert entries[index] == str(number).encode()
        await store.write(Step.SETUP, lambda tx: tx.facts.put("alive", "yes"))
        await store.close()
