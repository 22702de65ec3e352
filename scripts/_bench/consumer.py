"""The consumer, a process of its own: reads inboxes and acknowledges, as agencies do.

For each agency one connection asks for the inbox with a long wait; what comes is
acknowledged with one call, and then the inbox is asked again from its beginning, as
docs/api.md advises. It remembers every id, so that it can say whether
something came twice.

Run as ``python -m scripts._bench.consumer SETUP``; see `scripts._bench.helper`.
"""

from __future__ import annotations

import gc
import select
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from scripts._bench.helper import answer
from scripts._bench.wire import Answer, Endpoint, Wire, WireError, get_request, post_request

NDJSON = "application/x-ndjson"
PAGE = 500
WAIT_S = 20
RETRY_S = 0.05
QUESTIONS_S = 0.05
COLLECTED = b'{"status":200,'


class Reader:
    """Reads and acknowledges for one agency."""

    def __init__(self, wire: Wire, endpoint: Endpoint) -> None:
        """Connect; `ask` begins."""
        self._wire = wire
        self._connection = wire.connect(endpoint)
        self._request = get_request(f"/v1/inbox?wait={WAIT_S}&limit={PAGE}")
        self.collected: list[str] = []
        self.seen: set[str] = set()
        self.twice = 0

    def ask(self) -> None:
        """Ask for the next page."""
        self._connection.ask(self._request, self._take_page)

    def _take_page(self, reply: Answer) -> None:
        if reply.status != 200:
            self._wire.later(RETRY_S, self.ask)
            return
        ids = [item["message_id"] for item in orjson.loads(reply.body)["messages"]]
        for message_id in ids:
            self.twice += message_id in self.seen
            self.seen.add(message_id)
        if ids:
            self._acknowledge(ids)
        else:
            self.ask()

    def _acknowledge(self, ids: list[str]) -> None:
        body = b"".join(b'{"message_id":"%b"}\n' % message_id.encode("ascii") for message_id in ids)

        def take(reply: Answer) -> None:
            if reply.status != 200:
                wait_s = float(reply.retry_after_s) or RETRY_S
                self._wire.later(wait_s, lambda: self._acknowledge(ids))
                return
            lines = reply.body.splitlines()
            self.collected += [i for i, line in zip(ids, lines, strict=True) if line.startswith(COLLECTED)]
            self.ask()

        self._connection.ask(post_request("/v1/inbox:ack", body, NDJSON), take)


def main(setup: dict[str, Any]) -> None:
    """Begin to read when first asked; then answer each question with how much was read."""
    # Nothing here makes cycles, and to look for them in the values of a page was a third of its time.
    gc.disable()
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
