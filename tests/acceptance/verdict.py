"""What must hold after any drill: nothing lost, nothing twice, every log verifies."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from gateway.audit.crosscheck import compare_logs
from gateway.audit.folder import LogFolder
from gateway.audit.trust import read_trust
from gateway.audit.verify import verify_log
from gateway.client import AsyncClient
from gateway.keyring.demo import NODES
from tests.acceptance.stack import AGENCIES, HOME, Stack, other

EXPORT = """\
import subprocess, sys
for log in sys.argv[2:]:
    target = f"/export/{log.replace('/', '-')}"
    subprocess.run(["entente", "log", "export", "--log", log, "--home", sys.argv[1], target], check=True)
"""


def count(stack: Stack, *, at_least: int = 50) -> None:
    """Let the agencies end, wait for what is on its way, and count every message at both ends.

    Args:
        stack: Both nodes run.
        at_least: Messages that each agency has sent.
    """
    (stack.journals / "stop").touch()
    refused = {nation: _refused(stack, nation) for nation in NODES}
    for nation in NODES:
        due = set(stack.sent(nation)) - refused[nation]
        stack.until(
            lambda due=due, nation=nation: due <= set(stack.got(other(nation))),  # type: ignore[misc]
            f"what {nation} sent has arrived",
        )
    for nation in NODES:
        sent = stack.sent(nation)
        assert len(sent) == len(set(sent)) > at_least
        peer = other(nation)
        due = set(sent) - refused[nation]
        assert set(stack.got(peer)) == due
        assert not [number for number in Counter(stack.acked(peer)).values() if number != 1]
        assert not _read_after_acknowledgement(stack, peer)
        states = asyncio.run(until_final(stack, nation, [*due]))
        assert set(states.values()) == {"collected"}


def verify_logs(stack: Stack, folder: Path) -> None:
    """Stop both nodes, export their logs and verify them, alone and against each other."""
    for nation in NODES:
        assert stack.stop(nation) == 0
    verified = []
    for nation, home in stack.homes.items():
        logs = (f"exchange/{other(nation).lower()}", f"mirror/{other(nation).lower()}", "audit")
        target = folder / nation
        target.mkdir()
        target.chmod(0o777)
        stack.compose(
            *("run", "--rm", "--no-deps", "-T", "-v", f"{target}:/export", "--entrypoint", "python"),
            *(nation.lower(), "-c", EXPORT, HOME, *logs),
        )
        for log in logs:
            exported = LogFolder(target / log.replace("/", "-"))
            found = verify_log(exported, title=f"{nation} {log}", trust=read_trust(home.trust))
            assert found.report.is_verified, found.report
            verified.append(found)
    everybody = read_trust(*(home.trust for home in stack.homes.values()))
    together = compare_logs(verified, title="both nations", trust=everybody)
    assert together.is_verified, together


async def until_final(stack: Stack, nation: str, ids: list[str]) -> dict[str, str]:
    """Ask a node, from outside its container, how messages ended."""
    folder = stack.homes[nation].agencies / AGENCIES[nation]
    url = f"https://127.0.0.1:{stack.published[nation][0]}"
    states: dict[str, str] = {}
    async with AsyncClient.from_folder(folder, url=url) as client, asyncio.timeout(180):
        for message_id in ids:
            async for tracked in client.watch(message_id):
                states[message_id] = tracked.status
    return states


def _refused(stack: Stack, nation: str) -> set[str]:
    """Return the messages that the peer refused: those of the time when a clock was wrong."""
    arrived = set(stack.got(other(nation)))
    missing = [message_id for message_id in stack.sent(nation) if message_id not in arrived]
    states = asyncio.run(until_final(stack, nation, missing))
    return {message_id for message_id, state in states.items() if state == "refused"}


def _read_after_acknowledgement(stack: Stack, nation: str) -> list[str]:
    """Return messages that came again although their acknowledgement had been answered."""
    acked: set[str] = set()
    again = []
    for fact in stack.facts(nation):
        if "acked" in fact:
            acked.add(fact["acked"])
        elif fact.get("got") in acked:
            again.append(fact["got"])
    return again
