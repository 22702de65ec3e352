"""The consumer, a process of its own: reads inboxes and acknowledges, as agencies do.

For each agency one connection asks for the inbox with a long wait; what comes is
acknowledged over further connections, and then the inbox is asked again from its
beginning, as docs/api.md advises. It remembers every id, so that it can say whether
something came twice.

Run as ``python -m scripts._bench.consumer SETUP``; see `scripts._bench.helper`.
"""

from __future__ import annotations

import select
import sys
from collections import deque
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from scripts._bench.helper import answer
from scripts._bench.wire import Answer, Connection, Endpoint, Wire, WireError, get_request, post_request

PAGE = 200
WAIT_S = 20
ACK_CONNECTIONS = 32
RETRY_S = 0.05
QUESTIONS_S = 0.05


class Reader:
    """Reads and acknowledges for one agency."""

    def __init__(self, wire: Wire, endpoint: Endpoint) -> None:
        """Connect; `ask` begins."""
        self._wire = wire
        self._polling = wire.connect(endpoint)
        self._acknowledging = [wire.connect(endpoint) for _ in range(ACK_CONNECTIONS)]
        self._request = get_request(f"/v1/inbox?wait={WAIT_S}&limit={PAGE}")
        self._due: deque[str] = deque()
        self._unanswered = 0
        self.collected: list[str] = []
        self.seen: set[str] = set()
        self.twice = 0

    def ask(self) -> None:
        """Ask for the next page."""
        self._polling.ask(self._request, self._take_page)

    def _take_page(self, reply: Answer) -> None:
        if reply.status != 200:
            self._wire.later(RETRY_S, self.ask)
            return
        ids = [item["message_id"] for item in orjson.loads(reply.body)["messages"]]
        for message_id in ids:
            self.twice += message_id in self.seen
            self.seen.add(message_id)
        self._due.extend(ids)
        self._unanswered = len(ids)
        if not ids:
            self.ask()
        for connection in self._acknowledging:
            self._acknowledge(connection)

    def _acknowledge(self, connection: Connection) -> None:
        if not self._due:
            return
        message_id = self._due.popleft()

        def take(reply: Answer) -> None:
            if reply.status == 200:
                self.collected.append(message_id)
                self._unanswered -= 1
                self._acknowledge(connection)
                if not self._unanswered:
                    self.ask()
            else:
                self._due.append(message_id)
                self._wire.later(float(reply.retry_after_s) or RETRY_S, lambda: self._acknowledge(connection))

        connection.ask(post_request(f"/v1/inbox/{message_id}:ack"), take)


def main(setup: dict[str, Any]) -> None:
    """Begin to read when first asked; then answer each question with how much was read."""
    began = orjson.loads(sys.stdin.buffer.readline())
    wire = Wire()
    readers = [
        Reader(wire, Endpoint(Path(item["folder"]), item["port"]))
        for agency, item in setup["agencies"].items()
        if agency[:2] in began["nations"]
    ]
    for reader in readers:
        reader.ask()
    answer({"ready": True})
    collected = Path(setup["collected"])
    looked = monotonic()
    while True:
        wire.turn(QUESTIONS_S)
        if monotonic() - looked < QUESTIONS_S:
            continue
        looked = monotonic()
        if not select.select([sys.stdin], [], [], 0)[0]:
            continue
        if not sys.stdin.buffer.readline():
            return
        with collected.open("w", encoding="ascii") as file:
            file.writelines(f"{message_id}\n" for reader in readers for message_id in reader.collected)
        answer(
            {
                "collected": sum(len(reader.collected) for reader in readers),
                "twice": sum(reader.twice for reader in readers),
            }
        )


if __name__ == "__main__":
    try:
        main(orjson.loads(Path(sys.argv[1]).read_bytes()))
    except (WireError, OSError) as problem:
        answer({"error": str(problem)})
