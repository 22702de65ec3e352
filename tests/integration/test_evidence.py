"""Evidence of real messages, from both nodes, over the agency API and from a node home."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from gateway.audit.evidence import EvidenceReport, verify_evidence
from gateway.audit.trust import read_trust
from gateway.client import ProblemError
from gateway.core.evidence import parse_evidence
from tests.agency_site import AgencySite, open_site
from tests.unit.audit.homes import write_home

SENDER, ADDRESSEE = "FR.DGDDI.SARC", "US.CBP.NTC"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AgencySite]:
    async with open_site(tmp_path) as site:
        yield site


async def sent(site: AgencySite) -> str:
    """Send a message, wait until the receipt and the cosignature are there, and return its id."""
    message_id = await site.world.send("FR")
    await site.world.until_state("FR", message_id, "received")
    await site.world.settle()
    return str(UUID(bytes=message_id))


def judge(site: AgencySite, folder: Path, data: bytes) -> EvidenceReport:
    """Verify evidence with nothing but the keys of the two national roots."""
    home = folder / "home"
    if not home.exists():
        write_home(site.world, "US", home)
    roots = [home / "trust" / whose / "root.vkeys" for whose in ("own", "peer")]
    return verify_evidence(data, trust=read_trust(*roots))


async def test_sender_and_addressee_prove_the_same_message(site: AgencySite, tmp_path: Path) -> None:
    message_id = await sent(site)
    proven = []
    for agency in (SENDER, ADDRESSEE):
        async with site.client(agency) as client:
            report = judge(site, tmp_path, await client.evidence(message_id))
            assert report.headline == f"VERIFIED evidence of {message_id}: origin, delivery, acceptance"
            assert report.message is None
            proven.append(dict(report.facts)["logged"].split(" of ")[0])
    assert proven[0] == proven[1]


async def test_a_disclosed_key_opens_this_message_and_no_other(site: AgencySite, tmp_path: Path) -> None:
    first, second = await sent(site), await sent(site)
    async with site.client(ADDRESSEE) as client:
        received = await client.read(first)
        data = await client.evidence(first, disclose=True)
        other = parse_evidence(await client.evidence(second, disclose=True))
    report = judge(site, tmp_path, data)
    assert report.message is not None
    assert json.loads(report.message) == received.message
    evidence = parse_evidence(data)
    assert evidence.content_key != other.content_key
    mixed = evidence.__class__(
        **{name: getattr(evidence, name) for name in evidence.__slots__ if name != "content_key"},
        content_key=other.content_key,
    )
    assert not judge(site, tmp_path, mixed.encode()).is_verified


async def test_the_audit_log_knows_who_took_evidence_and_who_disclosed(site: AgencySite) -> None:
    message_id = await sent(site)
    async with site.client(SENDER) as client:
        await client.evidence(message_id)
        await client.evidence(message_id, disclose=True)
    events = await site.world.events("FR")
    mine = [event.event for event in events if event.event.startswith("evidence.")]
    assert mine == ["evidence.exported", "evidence.disclosed"]
    assert all(event.actor for event in events if event.event.startswith("evidence."))


async def test_strangers_get_nothing_and_what_is_not_logged_cannot_be_proven(site: AgencySite) -> None:
    message_id = await sent(site)
    await site.world.cut_off("US")
    waiting = str(UUID(bytes=await site.world.send("FR")))
    for agency, wanted, status, code in (
        ("FR.DGDDI.DNRED", message_id, 404, "not-found"),
        ("US.ICE.HSI", message_id, 404, "not-found"),
        (ADDRESSEE, waiting, 404, "not-found"),
        (SENDER, waiting, 409, "not-logged-yet"),
    ):
        async with site.client(agency) as client:
            with pytest.raises(ProblemError) as refused:
                await client.evidence(wanted)
        assert (refused.value.status, refused.value.problem) == (status, code)


async def test_evidence_is_exported_disclosed_and_verified_by_commands(
    site: AgencySite, tmp_path: Path
) -> None:
    message_id = await sent(site)
    home = write_home(site.world, "FR", tmp_path / "fr")
    agency = ("--as", site.leaves[SENDER].folder, "--url", site.url("FR"))
    sealed, opened, taken = tmp_path / "sealed.zip", tmp_path / "opened.zip", tmp_path / "taken.zip"
    assert (await run("export", message_id, *agency, "-o", sealed)).returncode == 0
    assert (await run("disclose", message_id, *agency, "-o", opened, "--json")).returncode == 0
    assert (await run("export", message_id, "--home", home, "-o", taken)).returncode == 0
    assert parse_evidence(taken.read_bytes()).content_key is None
    assert opened.stat().st_mode & 0o777 == 0o600
    for file in (sealed, opened, taken):
        found = await run("verify", file, "--trust", home / "trust")
        assert found.returncode == 0, found.stdout + found.stderr
        assert found.stdout.startswith(f"VERIFIED evidence of {message_id}: origin, delivery, acceptance")
    text = tmp_path / "message.json"
    assert (await run("verify", opened, "--home", home, "--extract", text, "--json")).returncode == 0
    assert json.loads(text.read_bytes())["header"]["message_id"] == message_id
    assert (await run("verify", sealed, "--home", home, "--extract", tmp_path / "none")).returncode == 1
    data = opened.read_bytes()
    opened.write_bytes(data[:900] + bytes([data[900] ^ 1]) + data[901:])
    refused = await run("verify", opened, "--home", home)
    assert (refused.returncode, refused.stdout.split(":")[0]) == (1, "NOT VERIFIED evidence of a message")


async def test_wrong_usage_and_unknown_messages_are_told(site: AgencySite, tmp_path: Path) -> None:
    await sent(site)
    home = write_home(site.world, "FR", tmp_path / "fr")
    unknown = "01a20847-0135-7993-b063-b5d5cb27d3ff"
    assert (await run("export", "no-id", "--home", home)).returncode == 2
    assert (await run("export", unknown)).returncode == 2
    assert (await run("verify", tmp_path / "absent.zip", "--home", home)).returncode == 2
    assert (await run("verify", home / "gateway.toml")).returncode == 2
    found = await run("export", unknown, "--home", home)
    assert (found.returncode, found.stderr) == (1, "not-found: this node knows no such message\n")


async def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `entente evidence` in a process of its own, beside the nodes in this one."""
    command = [sys.executable, "-m", "gateway", "evidence", *map(str, arguments)]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
