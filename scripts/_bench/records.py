"""What the nodes wrote down themselves: times, states and bundles, read after a run.

The times of each message stand in the nodes' own databases, so following a run costs it
nothing. Both nodes run on one machine and read one clock.

- **accepted**: ``arrived_ms``, taken when the transaction begins that the 202 waits for.
- **decided**: the receiver's decision, as its receipt states it.
- **received**: the receipt is verified at the sender: the time of the note under which the
  sender mirrored the receipt's entry, taken just before the commit that shows it.
- **collected**: the addressee's acknowledgement, at the receiver.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway.core.states import State
from scripts._bench.quantiles import summary

ON_THE_WAY = (State.ACCEPTED, State.SENT, State.DELIVERED)


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a node's database to read, beside the node."""
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


class Progress:
    """Follows how far the messages of one sender are: one small row, however many there are."""

    def __init__(self, database: Path) -> None:
        """Open the sender's database."""
        self._connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=10)

    def states(self) -> dict[State, int]:
        """Return how many messages are in each state."""
        rows = self._connection.execute("SELECT state, messages FROM counts").fetchall()
        return {State(state): count for state, count in rows}

    def unfinished(self, *, collecting: bool = True) -> int:
        """Return how many messages are not received yet or, if ``collecting``, not collected."""
        states = self.states()
        waited_for = (*ON_THE_WAY, State.RECEIVED) if collecting else ON_THE_WAY
        return sum(states.get(state, 0) for state in waited_for)

    def newest(self) -> int:
        """Return the number of the newest message, either direction; 0 for none."""
        (number,) = self._connection.execute("SELECT max(number) FROM messages").fetchone()
        return int(number or 0)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Journey:
    """Times of one message, in UTC milliseconds; 0 where it did not come so far.

    Attributes:
        message_id: UUID.
        rank: Number of its precedence, 0 is FLASH.
        log_index: Index of its newest entry in the sender's log; -1 before it is sent.
        accepted_ms: Accepted.
        sent_ms: Its bundle was made.
        decided_ms: The receiver decided.
        received_ms: Its receipt was verified at the sender.
        collected_ms: The first addressee acknowledged it.
        state: Where it is.
    """

    message_id: str
    rank: int
    log_index: int
    accepted_ms: int
    sent_ms: int
    decided_ms: int
    received_ms: int
    collected_ms: int
    state: State


def journeys(sender: Path, receiver: Path, *, after: int) -> list[Journey]:
    """Return the journeys of the messages that a node accepted, in order of acceptance.

    Args:
        sender: Database of the sending node.
        receiver: Database of the other one.
        after: Number of the newest message before the run.
    """
    with reading(receiver) as connection:
        collected: dict[bytes, int] = dict(
            connection.execute(
                "SELECT message_id, max(collected_ms) FROM messages JOIN inbox USING (number)"
                " WHERE NOT outgoing AND collected_ms IS NOT NULL GROUP BY number"
            )
        )
    with reading(sender) as connection:
        notes = connection.execute(
            "SELECT notes.size, min(at_ms) FROM notes JOIN logs ON logs.id = notes.log_id"
            " WHERE logs.kind = 'mirror' AND NOT cosigned GROUP BY notes.size ORDER BY notes.size"
        ).fetchall()
        rows = connection.execute(
            "SELECT message_id, rank, log_index, arrived_ms, sent_ms, decided_ms, receipt_index, state"
            " FROM messages"
            " WHERE outgoing AND number > ? ORDER BY number",
            (after,),
        ).fetchall()
    sizes = [size for size, _ in notes]
    return [
        Journey(
            message_id=str(UUID(bytes=message_id)),
            rank=rank,
            log_index=-1 if index is None else index,
            accepted_ms=accepted,
            sent_ms=sent or 0,
            decided_ms=decided or 0,
            received_ms=_mirrored_at(notes, sizes, receipt),
            collected_ms=collected.get(message_id, 0),
            state=State(state),
        )
        for message_id, rank, index, accepted, sent, decided, receipt, state in rows
    ]


def _mirrored_at(notes: Sequence[tuple[int, int]], sizes: Sequence[int], index: int | None) -> int:
    """Return when the entry with this index was mirrored: the first note of a greater size says it."""
    if index is None:
        return 0
    position = bisect_right(sizes, index)
    return notes[position][1] if position < len(notes) else 0


def way_of(found: Sequence[Journey], *, started_ms: float, due_ms: Mapping[str, float]) -> dict[str, Any]:
    """Return rates and latencies of a run.

    Args:
        found: Its journeys.
        started_ms: When the first request was sent, UTC milliseconds.
        due_ms: Due time of each message of an open load, by id.
    """
    result: dict[str, Any] = {"messages": len(found)}
    for step in ("accepted", "received", "collected"):
        times = [value for item in found if (value := getattr(item, f"{step}_ms"))]
        result[step] = len(times)
        elapsed_s = (max(times) - started_ms) / 1_000 if times else 0.0
        result[f"{step}_per_s"] = len(times) / elapsed_s if elapsed_s > 0 else None
    received = [item for item in found if item.received_ms]
    result["accepted_to_received_ms"] = summary([item.received_ms - item.accepted_ms for item in received])
    # Where that time goes: in the outbox, to the peer and through its checks, and back.
    result["stages_ms"] = {
        "accepted_to_sent": summary([item.sent_ms - item.accepted_ms for item in received]),
        "sent_to_decided": summary([item.decided_ms - item.sent_ms for item in received]),
        "decided_to_received": summary([item.received_ms - item.decided_ms for item in received]),
        "decided_to_collected": summary(
            [item.collected_ms - item.decided_ms for item in received if item.collected_ms]
        ),
    }
    due = [item.received_ms - due_ms[item.message_id] for item in received if item.message_id in due_ms]
    if due:
        result["due_to_received_ms"] = summary(due)
    return result


def bundles_of(node: Path, *, since_ms: float, until_ms: float) -> dict[str, Any]:
    """Return what a node signed and sent in a span of time.

    Returns:
        ``per_s``: bundles a second, each of them a signature; ``messages``: how many
        messages those held that held any; the others carry receipts and collections only.
    """
    with reading(node) as connection:
        rows = connection.execute(
            "SELECT messages FROM bundles WHERE sequenced_ms BETWEEN ? AND ?", (since_ms, until_ms)
        ).fetchall()
    return {
        "per_s": 1_000 * len(rows) / max(until_ms - since_ms, 1),
        "messages": summary([count for (count,) in rows if count]),
    }


def ciphertext_bytes(database: Path) -> int:
    """Return the lengths of all ciphertexts that a node holds, together."""
    with reading(database) as connection:
        (total,) = connection.execute("SELECT coalesce(sum(length(ciphertext)), 0) FROM contents").fetchone()
    return int(total)
