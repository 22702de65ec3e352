"""An agency system in a container of its own: posts, reads, acknowledges, and keeps a journal.

Run by the image's Python with the client that agencies use. The journal is one JSON object a
line: ``sent`` and ``refused`` (by the node, at once), ``got`` and ``acked``. It stops posting
when the file ``stop`` appears beside its journal, and reads on.

    agency.py JOURNAL NATION PEER-AGENCY
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.client import AsyncClient, ProblemError
from gateway.errors import GatewayError

INTERVAL_S = 0.25
AGAIN_S = 0.2
Note = Callable[..., None]


def draft(nation: str, addressee: str) -> dict[str, Any]:
    """Return a draft of a small type; every value is made up."""
    ahead = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    return {
        "type": "alert.urgent/1",
        "header": {
            "to": [{"nation": addressee.partition(".")[0], "agency": addressee}],
            "language": "fr" if nation == "FR" else "en",
            "precedence": "IMMEDIATE",
            "evaluation": {"scheme": "EU4X4", "source": "B", "information": "2"},
            "purpose": {"code": "CARGO_TARGETING", "areas": ["NARCOTICS"]},
            "reply_by": ahead,
        },
        "payload": {
            "kind": "TOXIC_SUBSTANCE",
            "headline": "Synthetic test alert",
            "narrative": "A synthetic narrative for tests.",
            "act_before": ahead,
            "requested_action": "Examine the synthetic consignment.",
        },
    }


async def post_on(client: AsyncClient, nation: str, addressee: str, stop: Path, note: Note) -> None:
    """Post one message after the other, each until the node answers, always with the same key."""
    number, run = 0, secrets.token_hex(4)
    while not await asyncio.to_thread(stop.exists):
        number += 1
        document, key = draft(nation, addressee), f"{nation}-{run}-{number}"
        while True:
            try:
                note(sent=(await client.send(document, key=key)).message_id)
            except ProblemError as problem:
                if problem.status < 429:
                    note(refused=problem.problem, rules=[item.rule for item in problem.errors])
                    break
                await asyncio.sleep(AGAIN_S)
            except GatewayError:
                await asyncio.sleep(AGAIN_S)
            else:
                break
        await asyncio.sleep(INTERVAL_S)


async def read_on(client: AsyncClient, note: Note) -> None:
    """Read and acknowledge for ever: stored first, acknowledged then."""
    while True:
        try:
            async for received in client.inbox(wait_s=5.0):
                note(got=received.message_id)
                await client.ack(received.message_id)
                note(acked=received.message_id)
        except GatewayError:
            await asyncio.sleep(AGAIN_S)


async def main(journal: Path, nation: str, addressee: str) -> None:
    """Post and read until the container is stopped."""
    with journal.open("a", buffering=1) as file:

        def note(**fact: object) -> None:
            file.write(json.dumps(fact) + "\n")

        url, folder = os.environ["ENTENTE_URL"], Path(os.environ["ENTENTE_AS"])
        async with AsyncClient.from_folder(folder, url=url) as client:
            await asyncio.gather(
                post_on(client, nation, addressee, journal.with_name("stop"), note), read_on(client, note)
            )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
