"""A nation replaces its root while both nodes exchange messages: nothing is lost, all stays verifiable."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.keyring.home import NodeHome, TrustFiles
from gateway.keyring.trust import Published, read_peer, read_published_as_stated, write_published
from tests.integration.test_key_rotation import run, traffic, until_said
from tests.integration.test_two_processes import draft, until_collected, verify_everything
from tests.processes import ROOT, Processes
from tests.world import AGENCIES

DEADLINE_S = 90.0


def new_root(home: NodeHome, medium: Path) -> None:
    """Let a new root of the French node wait beside the old one."""
    output = run("keys", "new-root", "--home", home.path, "--authority", medium)
    assert "the new root waits" in output


def bring(processes: Processes, folder: Path, *options: str) -> str:
    """Carry what the French publish to the Americans, as every week."""
    run("keys", "export-trust", folder, "--home", processes.homes["FR"].path)
    return run("keys", "import-peer", folder, "--home", processes.homes["US"].path, *options)


async def more_messages(messages: dict[str, list[str]]) -> None:
    """Wait until agencies of both nations have posted some more."""
    before = {nation: len(ids) for nation, ids in messages.items()}
    end = time.monotonic() + DEADLINE_S
    while any(len(ids) < before[nation] + 3 for nation, ids in messages.items()):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def evidence_of(processes: Processes, message: str, file: Path) -> None:
    """Take evidence of a French message at its own node."""
    fr = processes.homes["FR"]
    agency = fr.agencies / AGENCIES["FR"]
    await asyncio.to_thread(
        run, "evidence", "export", message, "--as", agency, "--url", processes.url("FR"), "--out", file
    )


async def restart(processes: Processes, *nations: str) -> None:
    """Stop nodes and start them again."""
    for nation in nations:
        assert await asyncio.to_thread(processes.stop, nation) == 0
        processes.start(nation)
    for nation in nations:
        await processes.until_ready(nation)


def trust_the_new_root_alone(home: NodeHome) -> None:
    """Do in the end what agencies do: the old root's certificate goes."""
    for path in home.path.glob("*/*/ca.pem"):
        shutil.copy(home.own.root, path)


@pytest.mark.timeout(400)
async def test_a_new_root_loses_nothing_and_both_nations_logs_verify(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        fr, us = processes.homes["FR"], processes.homes["US"]
        old = read_published_as_stated(fr.own)
        async with traffic(processes, pause_s=0.05) as before:
            await more_messages(before.sent)
        first = before.sent["FR"][0]
        await evidence_of(processes, first, tmp_path / "before.zip")
        new_root(fr, tmp_path / "medium")
        # From here on agencies trust both: their clients are opened with that.
        async with traffic(processes, pause_s=0.02) as during:
            # Every week as before: it is offered, and not taken unless somebody says so.
            assert "repeat with --replace-root" in bring(processes, tmp_path / "stick", "--yes")
            assert read_peer(us)[1].root == old.root
            shutil.copytree(us.peer.folder, tmp_path / "peer-before")
            bring(processes, tmp_path / "stick", "--yes", "--replace-root", "--by", "Camille Martin")
            await more_messages(during.sent)
        # In the overlap the Americans start anew: their copy of our log is under the old root.
        await restart(processes, "US")
        # The agency port closes its connections when it takes up a new certificate.
        async with traffic(processes, pause_s=0.02, passing=(OSError,)) as switched:
            await more_messages(switched.sent)
            await asyncio.to_thread(run, "keys", "switch-root", "--home", fr.path, "--yes")
            await until_said(processes, "FR", "keys.changed", 1)
            await more_messages(switched.sent)
        new = read_published_as_stated(fr.own)
        assert new.root != old.root
        assert (new.statement.version, new.former) == (2, (old.root,))
        trust_the_new_root_alone(fr)
        await restart(processes, "FR", "US")
        # The new root states keys, and the peer needs no import for that.
        rotate = ("keys", "rotate", "log", "--home", fr.path, "--authority")
        assert "not the root of this home" in await asyncio.to_thread(run, *rotate, fr.authority.path, code=1)
        await asyncio.to_thread(run, *rotate, tmp_path / "medium")
        await until_said(processes, "FR", "keys.changed", 2)
        async with traffic(processes, pause_s=0.05) as after:
            await more_messages(after.sent)
        await evidence_of(processes, first, tmp_path / "after.zip")
        for nation in processes.homes:
            assert '"pair.frozen"' not in processes.log(nation)
            assert processes.stop(nation) == 0
    assert read_peer(us)[1].statement == read_published_as_stated(fr.own).statement
    await asyncio.to_thread(_look_at_what_auditors_see, processes, tmp_path, old)
    # A trust folder from before the import beside a log from after it: the start says what is missing.
    shutil.copytree(tmp_path / "peer-before", us.peer.folder, dirs_exist_ok=True)
    us.peer.roots.unlink()
    command = [sys.executable, "-m", "gateway", "serve", "--home", str(us.path)]
    started = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True)
    assert started.returncode == 1
    assert "import what the peer exports now" in started.stderr
    bring(processes, tmp_path / "stick", "--yes", "--replace-root")
    verified = await asyncio.to_thread(run, "audit", "verify", "--home", us.path)
    assert verified.startswith("VERIFIED")


@pytest.mark.timeout(400)
async def test_a_root_in_force_before_the_peer_has_it_holds_messages_up_and_loses_none(
    tmp_path: Path,
) -> None:
    """What happens to an operator who says yes too soon: the import is all that is missing."""
    async with Processes(tmp_path) as processes:
        fr = processes.homes["FR"]
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        first = [(await clients[nation].send(draft(nation))).message_id for nation in clients]
        new_root(fr, tmp_path / "medium")
        run("keys", "switch-root", "--home", fr.path, "--yes")
        trust_the_new_root_alone(fr)
        await until_said(processes, "FR", "keys.changed", 1)
        await until_said(processes, "US", "bundle.refused", 1)
        french, american = await processes.client(AGENCIES["FR"]), clients["US"]
        held_up = (await french.send(draft("FR"))).message_id
        await asyncio.sleep(2.0)
        assert (await french.status(held_up)).status in {"accepted", "sent"}

        bring(processes, tmp_path / "stick", "--yes", "--replace-root")

        async with traffic(processes, pause_s=0.2) as messages:
            await more_messages(messages.sent)
            await until_collected(french, [held_up, first[0]])
            await until_collected(american, [first[1]])
        for nation in processes.homes:
            assert '"pair.frozen"' not in processes.log(nation)
            assert processes.stop(nation) == 0
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")


def _look_at_what_auditors_see(processes: Processes, folder: Path, old: Published) -> None:
    """Verify logs and evidence of before and after with the keys that auditors may have."""
    verify_everything(processes, folder / "export")
    fr, us = processes.homes["FR"], processes.homes["US"]
    for home in processes.homes.values():
        assert run("audit", "verify", "--home", home.path).startswith("VERIFIED")
    # Who has nothing but the roots: those of both nations, of the French the old one, the new one, or both.
    keys = {name: folder / f"keys-{name}" for name in ("old", "new", "both")}
    for path in keys.values():
        path.mkdir()
        shutil.copy(us.own.root_keys, path / "us.vkeys")
    write_published(TrustFiles(folder=folder / "old"), old)
    shutil.copy(folder / "old" / "root.vkeys", keys["old"] / "fr.vkeys")
    shutil.copy(fr.own.root_keys, keys["new"] / "fr.vkeys")
    shutil.copy(fr.own.roots, keys["both"] / "fr.vkeys")
    for file, known in (("before", "old"), ("before", "both"), ("after", "new"), ("after", "both")):
        output = run("evidence", "verify", folder / f"{file}.zip", "--trust", keys[known])
        assert output.startswith("VERIFIED"), output
        assert ("by a root that was replaced" in output) is (file == "before" and known == "both")
    # What the new root has stated is nothing to somebody who knows the old one alone, and the reverse.
    for file, known in (("before", "new"), ("after", "old")):
        assert "NOT VERIFIED" in run(
            "evidence", "verify", folder / f"{file}.zip", "--trust", keys[known], code=1
        )
    shutil.copy(fr.own_verifier_keys, keys["old"] / "fr-logs.vkeys")
    exported = folder / "export" / "FR" / "exchange-us"
    output = run("audit", "verify", exported, "--trust", keys["old"], code=1)
    assert "national root" in output
