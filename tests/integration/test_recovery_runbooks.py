"""The runbooks of docs/operating.md, followed literally on two real nodes.

Every command that a runbook names is run here as it stands there, with this machine's folders and
ports in place of the examples'; a test looks that the document still says it.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.app import open_home
from gateway.cli import app
from gateway.configured import store_url
from gateway.core.bundle import Bundle
from gateway.core.checkpoint import Checkpoint
from gateway.core.cosignature import sign_checkpoint
from gateway.core.entries import VoidEntry, encode_entry
from gateway.core.merkle import append, hash_leaf
from gateway.errors import PairFrozenError
from gateway.keyring.tls import peer_client
from gateway.link.client import HttpPeerLink
from gateway.storage.highwater import FileHighWater
from gateway.storage.store import SqlStore
from tests.databases import tampering
from tests.integration.test_key_rotation import until_said
from tests.integration.test_two_processes import draft
from tests.processes import ROOT, Processes
from tests.world import AGENCIES, other

pytestmark = pytest.mark.timeout(300)

GUIDE = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
COMMANDS = {
    "show": "entente pair show --as operators/OPERATOR --url https://… --save notes",
    "compare": "entente audit notes notes/fork-1-a notes/fork-1-b --trust trust",
    "resume": 'entente pair resume --reason "Case 7" --as operators/OPERATOR --url https://…',
    "give up": 'entente pair resume --reason "Case 7" --home <home>',
    "override": 'entente pair override --reason "Line down until Monday" --as operators/OPERATOR --url https://…',
    "logs": "entente log list --home <home>",
    "verify": "entente audit verify --home <home>",
    "doctor": "entente doctor --home <home>",
}


@pytest.mark.parametrize("what", COMMANDS)
def test_the_guide_names_every_command_that_is_run_here(what: str) -> None:
    assert COMMANDS[what] in re.sub(r"\s*\\\n\s*", " ", GUIDE)


@dataclass(slots=True)
class Duty:
    """An operator at one node, with the guide open."""

    processes: Processes
    nation: str
    folder: Path

    @property
    def home(self) -> Path:
        return self.processes.homes[self.nation].path

    @property
    def database(self) -> Path:
        return self.home / "data/gateway.db"

    async def run(self, what: str, *more: str, language: str = "en") -> Result:
        """Run a command of the guide."""
        operators = self.processes.homes[self.nation].operators
        url = f"https://127.0.0.1:{self.processes.ports[self.nation].operator}"
        words = re.findall(r'"[^"]*"|\S+', COMMANDS[what])[1:]
        places = {
            "<home>": str(self.home),
            "operators/OPERATOR": str(operators / "OPERATOR"),
            "https://…": url,
            "notes": str(self.folder / "notes"),
            "notes/fork-1-a": str(self.folder / "notes/fork-1-a"),
            "notes/fork-1-b": str(self.folder / "notes/fork-1-b"),
            "trust": str(self.home / "trust"),
        }
        arguments = [places.get(word, word.strip('"')) for word in words]
        if words[0] == "audit" and words[1] == "notes":
            arguments[1] = "notes"
        if language == "fr":
            arguments += ["--language", "fr"]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, [*arguments, *more]))

    def back_up(self) -> Path:
        """Copy the database of a stopped node."""
        copy = self.folder / f"backup-{self.nation}"
        shutil.copy(self.database, copy)
        return copy

    def put_back(self, copy: Path) -> None:
        """Put an old copy of the database back; the node is stopped."""
        for suffix in ("-wal", "-shm"):
            self.database.with_name(self.database.name + suffix).unlink(missing_ok=True)
        shutil.copy(copy, self.database)

    def serve_once(self) -> subprocess.CompletedProcess[str]:
        """Start the node in the foreground and wait until it has stopped by itself."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", "serve", "--home", str(self.home)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def phase(self, wanted: str) -> None:
        """Wait until the node is in a phase."""
        result = None
        for _ in range(400):
            result = await self.run("show", "--json")
            if result.exit_code == 0 and f'"phase": "{wanted}"' in result.stdout.replace('":"', '": "'):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(result and result.output)


async def send(processes: Processes, nation: str) -> str:
    """Send a message and wait until its addressee has collected it."""
    sender = await processes.client(AGENCIES[nation])
    reader = await processes.client(AGENCIES[other(nation)])
    message_id = (await sender.send(draft(nation))).message_id
    for _ in range(100):
        async for received in reader.inbox(wait_s=1.0):
            await reader.ack(received.message_id)
            if received.message_id == message_id:
                return message_id
    raise AssertionError


def duties(processes: Processes, folder: Path) -> dict[str, Duty]:
    for nation in processes.homes:
        (folder / nation).mkdir()
    return {nation: Duty(processes, nation, folder / nation) for nation in processes.homes}


async def end(processes: Processes, *found: Duty) -> None:
    """Stop both nodes; every log of both verifies."""
    for nation in processes.homes:
        processes.stop(nation)
    for duty in found:
        result = await duty.run("verify")
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("VERIFIED ")


async def test_restored_from_an_old_backup_with_the_peer_there(tmp_path: Path) -> None:
    async with Processes(tmp_path / "homes") as processes:
        (tmp_path / "duty").mkdir()
        found = duties(processes, tmp_path / "duty")
        us = found["US"]
        await send(processes, "US")
        processes.stop("US")
        copy = us.back_up()
        processes.start("US")
        await processes.until_ready("US")
        await send(processes, "US")
        await send(processes, "FR")
        processes.stop("US")

        us.put_back(copy)
        processes.start("US")
        await processes.until_ready("US")

        await send(processes, "US")
        logs = await us.run("logs")
        assert re.search(r"^audit/2 ", logs.stdout, re.MULTILINE), logs.output
        said = processes.log("US")
        assert "log.recovered" in said
        assert "audit.rolled_back" in said
        await until_signed(us, "audit/2")
        checked = await us.run("verify")
        assert checked.exit_code == 0, checked.output
        assert "rolled back: us.gateway.test/audit was closed at" in checked.stdout, checked.stdout
        doctor = await us.run("doctor")
        assert re.search(r"^ok +database ", doctor.stdout, re.MULTILINE), doctor.output
        await end(processes, *found.values())
        await check_questions(found, tmp_path / "case")


async def until_signed(duty: Duty, name: str) -> None:
    """Wait until a log has its first signature, a second after it has grown."""
    for _ in range(300):
        lines = (await duty.run("logs")).stdout.splitlines()
        if any(line.startswith(f"{name} ") and "signed up to" in line for line in lines):
            return
        await asyncio.sleep(0.1)
    raise AssertionError


async def check_questions(found: dict[str, Duty], case: Path) -> None:
    """Export every generation of every log; all the auditor's commands take them."""
    for nation, duty in found.items():
        names = [line.split()[0] for line in (await duty.run("logs")).stdout.splitlines()]
        for name in names:
            folder = case / nation / name.replace("/", "-")
            folder.parent.mkdir(parents=True, exist_ok=True)
            done = await run("log", "export", "--home", str(duty.home), "--log", name, str(folder))
            assert done.exit_code == 0, done.output
    trust = str(found["FR"].home / "trust")
    american = sorted(str(folder) for folder in (case / "US").iterdir())
    verified = await run("audit", "verify", *american, "--trust", trust)
    assert verified.exit_code == 0, verified.output
    both = await run("audit", "reconcile", str(case / "FR"), str(case / "US"), "--trust", trust)
    assert both.exit_code == 0, both.output
    asked = await run("audit", "find", *american, "--trust", trust, "--event", "node.started")
    assert asked.exit_code == 0, asked.output
    assert "audit/2" in asked.output or "exchange" in " ".join(american)
    page = case / "report.html"
    report = await run(
        "audit",
        "report",
        *american,
        "--trust",
        trust,
        "--out",
        str(page),
        "--from",
        "2026-01-01",
        "--to",
        "2100-01-01",
    )
    assert report.exit_code == 0, report.output


async def run(*arguments: str) -> Result:
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(arguments)))


async def start_without_peer(processes: Processes, nation: str) -> None:
    """Start a node whose peer is down, and wait until it knows that it has to wait."""
    tried = processes.log(nation).count('"recovery.waiting"')
    processes.start(nation)
    await processes.until_live(nation)
    await until_said(processes, nation, "recovery.waiting", tried + 1)


async def test_restored_from_an_old_backup_while_the_peer_is_away(tmp_path: Path) -> None:
    async with Processes(tmp_path / "homes") as processes:
        (tmp_path / "duty").mkdir()
        found = duties(processes, tmp_path / "duty")
        us = found["US"]
        await send(processes, "US")
        processes.stop("US")
        copy = us.back_up()
        processes.start("US")
        await processes.until_ready("US")
        await send(processes, "US")
        processes.stop("US")
        processes.stop("FR")
        us.put_back(copy)
        await start_without_peer(processes, "US")

        shown = await us.run("show")
        assert "waits for its peer" in shown.stdout, shown.output
        assert "attend son pair" in (await us.run("show", language="fr")).stdout
        refused = await us.run("override")
        assert (refused.exit_code, "unproven-history" in refused.output) == (1, True)
        client = await processes.client(AGENCIES["US"])
        waiting = (await client.send(draft("US"))).message_id

        processes.start("FR")
        await processes.until_ready("US")
        for _ in range(600):
            if (await client.status(waiting)).status in {"received", "collected"}:
                break
            await asyncio.sleep(0.1)
        assert (await client.status(waiting)).status in {"received", "collected"}
        await end(processes, *found.values())


async def test_a_whole_node_signs_without_its_peer_if_an_operator_vouches(tmp_path: Path) -> None:
    async with Processes(tmp_path / "homes") as processes:
        (tmp_path / "duty").mkdir()
        found = duties(processes, tmp_path / "duty")
        await send(processes, "US")
        for nation in ("US", "FR"):
            processes.stop(nation)
        await start_without_peer(processes, "US")
        await found["US"].phase("starting")

        done = await found["US"].run("override")

        assert done.exit_code == 0, done.output
        await processes.until_ready("US")
        processes.start("FR")
        await processes.until_ready("FR")
        await send(processes, "US")
        await end(processes, *found.values())


async def test_rows_that_were_edited_stop_the_node_and_both_languages_say_what_to_do(tmp_path: Path) -> None:
    async with Processes(tmp_path / "homes") as processes:
        (tmp_path / "duty").mkdir()
        found = duties(processes, tmp_path / "duty")
        us = found["US"]
        await send(processes, "US")
        processes.stop("US")
        copy = us.back_up()
        with tampering(us.database) as database:
            database.execute("UPDATE entries SET entry = zeroblob(length(entry)) WHERE leaf_index = 1")

        stopped = us.serve_once()

        assert stopped.returncode == 1
        assert "log-damaged" in stopped.stderr
        assert "somebody or something has changed its database" in stopped.stderr
        assert "a modifié sa base de données" in stopped.stderr
        us.put_back(copy)
        processes.start("US")
        await processes.until_ready("US")
        await send(processes, "US")
        await end(processes, *found.values())


async def test_a_second_node_on_one_database_does_not_start(tmp_path: Path) -> None:
    async with Processes(tmp_path / "homes") as processes:
        (tmp_path / "duty").mkdir()
        found = duties(processes, tmp_path / "duty")
        await send(processes, "US")

        second = await asyncio.to_thread(found["US"].serve_once)

        assert second.returncode == 1
        assert "another process" in second.stderr, second.stderr
        await send(processes, "US")
        await end(processes, *found.values())


async def fork(processes: Processes) -> None:
    """Sign a second history of the American log with its true keys, and show both to the French node."""
    home = processes.homes["US"].path
    opened = open_home(home)
    store = SqlStore.open(store_url(home, opened.config), read_only=True)
    try:
        origin = "us.gateway.test/exchange/fr"
        head = await store.read(lambda tx: tx.logs.head(origin))
    finally:
        await store.close()
    assert head is not None
    bundles = []
    for number in (1, 2):
        entry = encode_entry(
            VoidEntry(conversation_id=bytes([number]) * 16, agency="US.CBP.NTC", numbers=(1,))
        )
        edge = append(head.edge, [hash_leaf(entry)]).edge
        note = sign_checkpoint(
            Checkpoint(origin=origin, size=edge.size, root=edge.root()),
            signer=opened.keyring.log_signer(origin, opened.keyring.statement),
            time_s=int(datetime.now(UTC).timestamp()),
        )
        bundles.append(Bundle(start=head.size, entries=(entry,), boxes=(), ciphertexts=(), note=note))
    link = HttpPeerLink(
        url=opened.config.peer.url,
        context=peer_client(opened.home, opened.keyring.peer_identity()),
        pins=opened.keyring.peer_pins,
        server_name=opened.config.peer.name,
    )
    async with link:
        await link.post_bundle(bundles[0].encode())
        with pytest.raises(PairFrozenError):
            await link.post_bundle(bundles[1].encode())


async def test_a_frozen_pair_is_resumed_by_both_operators(tmp_path: Path) -> None:
    async with Processes(tmp_path / "homes") as processes:
        (tmp_path / "duty").mkdir()
        found = duties(processes, tmp_path / "duty")
        await send(processes, "US")
        await send(processes, "FR")
        processes.stop("US")
        await fork(processes)
        processes.start("US")
        await processes.until_live("US")
        await found["FR"].phase("frozen")
        client = await processes.client(AGENCIES["US"])
        waiting = (await client.send(draft("US"))).message_id

        shown = await found["FR"].run("show")
        assert "two signed histories" in shown.stdout, shown.output
        assert "deux historiques signés" in (await found["FR"].run("show", language="fr")).stdout
        compared = await found["FR"].run("compare")
        assert compared.exit_code == 1, compared.output
        assert compared.stdout.startswith("NOT VERIFIED"), compared.output
        first = await found["FR"].run("resume")
        assert "This node has signed off" in first.stdout, first.output
        asked = await found["US"].run("show")
        assert "have signed off, you have not" in asked.stdout, asked.output
        assert (await found["US"].run("resume")).exit_code == 0

        for nation in ("FR", "US"):
            await found[nation].phase("running")
        reader = await processes.client(AGENCIES["FR"])
        for _ in range(600):
            for received in (await reader.inbox_page()).messages:
                await reader.ack(received.message_id)
            if (await client.status(waiting)).status == "collected":
                break
            await asyncio.sleep(0.1)
        assert (await client.status(waiting)).status == "collected"
        await send(processes, "FR")
        names = (await found["US"].run("logs")).stdout
        assert re.search(r"^exchange/fr/2 ", names, re.MULTILINE)
        assert re.search(r"^mirror/fr/2 ", names, re.MULTILINE)
        await end(processes, *found.values())
        await check_questions(found, tmp_path / "case")


async def test_what_cannot_be_proven_is_given_up_by_both_operators(tmp_path: Path) -> None:
    async with Processes(tmp_path / "homes") as processes:
        (tmp_path / "duty").mkdir()
        found = duties(processes, tmp_path / "duty")
        us = found["US"]
        await send(processes, "US")
        processes.stop("US")
        # What was signed last is nowhere: neither in this database nor at the peer.
        marks = FileHighWater(us.home / "data/high-water")
        origin = "us.gateway.test/exchange/fr"
        size, root = marks.read()[origin]
        await marks.record({origin: (size + 3, root)})
        marks.close()
        stopped = us.serve_once()
        assert stopped.returncode == 1
        assert "unproven-history" in stopped.stderr
        assert "entente pair resume" in stopped.stderr
        assert "C'est à vous, exploitant de ce nœud, d'agir" in stopped.stderr

        done = await us.run("give up")
        assert done.exit_code == 0, done.output
        processes.start("US")
        await processes.until_live("US")
        await us.phase("frozen")
        asked = await found["FR"].run("show")
        assert "have signed off, you have not" in asked.stdout, asked.output
        assert (await found["FR"].run("resume")).exit_code == 0

        for nation in ("FR", "US"):
            await found[nation].phase("running")
        await send(processes, "US")
        await send(processes, "FR")
        for nation in processes.homes:
            processes.stop(nation)
        assert (await found["FR"].run("verify")).exit_code == 0
        # What was signed and is lost is not proven any more, and said to be given up by both.
        lost = await us.run("verify")
        assert lost.exit_code == 0, lost.output
        assert "not checked  high water of us.gateway.test/exchange/fr" in " ".join(lost.stdout.split("\n"))
