"""A revocation counts at once, on connections that are open: for agencies, operators and the peer."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.health import ask_health
from gateway.client import AsyncClient
from gateway.keyring.ceremony import (
    issue_peer_certificate,
    issue_server_certificate,
    open_authorities,
    server_names,
)
from gateway.keyring.certificates import read_certificate
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.tls import agency_client
from gateway.keyring.x509_profile import NODE_DAYS, Authority
from tests.integration.test_key_rotation import until_said
from tests.integration.test_running_node import until_received, until_status
from tests.integration.test_two_processes import draft, until_collected
from tests.processes import Processes
from tests.world import AGENCIES

DEADLINE_S = 60.0

pytestmark = pytest.mark.timeout(400)


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    assert result.exit_code == code, result.output
    return result.output


class OpenConnection:
    """One connection to a port, kept open as a client of this system keeps it."""

    def __init__(self, folder: Path, base: str) -> None:
        context = agency_client(folder)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=1))
        self._base = base

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and problem code; status 0 for a connection or handshake that was refused."""
        try:
            async with self._session.get(f"{self._base}{path}") as response:
                document = await response.json(content_type=None)
                return response.status, str(document.get("code", ""))
        except (aiohttp.ClientError, ConnectionError):
            return 0, ""

    async def document(self, path: str) -> dict[str, Any]:
        """Return the answer of a call that has to succeed."""
        async with self._session.get(f"{self._base}{path}") as response:
            assert response.status == 200
            found: dict[str, Any] = await response.json()
            return found

    async def close(self) -> None:
        await self._session.close()


async def until_turned_away(connection: OpenConnection, path: str) -> tuple[int, str]:
    """Return the first answer that is none: a running port looks at its files a hundred times a second."""
    end = time.monotonic() + DEADLINE_S
    while (answer := await connection.get(path))[0] == 200:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    return answer


async def test_a_revoked_agency_gets_nothing_more_not_even_what_it_waits_for(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        fr = processes.homes["FR"]
        agency = AGENCIES["FR"]
        sender = await processes.client(AGENCIES["US"])
        sent = (await sender.send(draft("US"))).message_id
        connection = OpenConnection(fr.agencies / agency, processes.url("FR"))
        await until_received(sender, sent)
        assert (await connection.get("/v1/inbox?limit=1"))[0] == 200
        waiting = OpenConnection(fr.agencies / agency, processes.url("FR"))
        # Behind the message that is there: this call waits for what comes next.
        cursor = (await waiting.document("/v1/inbox?limit=100"))["next"]
        poll = asyncio.create_task(waiting.get(f"/v1/inbox?wait=30&after={cursor}"))
        await asyncio.sleep(0.3)
        assert not poll.done()

        # The registry first, within a hundredth of a second; the lists and the connections within a second.
        await asyncio.to_thread(
            run, "keys", "revoke", agency, "--home", fr.path, "--reason", "key-compromise"
        )
        status, code = await until_turned_away(connection, "/v1/inbox?limit=1")
        assert (status, code) in {(403, "certificate-unknown"), (403, "certificate-revoked"), (0, "")}
        await sender.send(draft("US"))
        status, code = await poll
        assert (status, code) in {(403, "certificate-unknown"), (403, "certificate-revoked"), (0, "")}
        # Nor is there another connection to be had.
        end = time.monotonic() + DEADLINE_S
        while (await connection.get("/v1/whoami"))[0] != 0:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        await connection.close()
        await waiting.close()


async def test_a_list_alone_revokes_and_a_revoked_operator_is_out(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        fr = processes.homes["FR"]
        base = f"https://127.0.0.1:{processes.ports['FR'].operator}"
        connection = OpenConnection(fr.operators / "OPERATOR", base)
        auditor = OpenConnection(fr.operators / "AUDITOR", base)
        assert (await connection.get("/health/live"))[0] == 200
        registry = fr.registry.read_bytes()

        await asyncio.to_thread(run, "keys", "revoke", "OPERATOR", "--home", fr.path)
        # As if the list had come from elsewhere: the registry knows the certificate still.
        fr.registry.write_bytes(registry)
        status, code = await until_turned_away(connection, "/health/live")
        assert (status, code) in {(403, "certificate-revoked"), (0, "")}
        end = time.monotonic() + DEADLINE_S
        while (await auditor.get("/health/live"))[0] != 200:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        assert (await connection.get("/health/live"))[0] in {0, 403}
        await connection.close()
        await auditor.close()


async def test_a_revoked_peer_certificate_ends_the_link_and_a_new_one_mends_it(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        fr, us = processes.homes["FR"], processes.homes["US"]
        first = (await clients["FR"].send(draft("FR"))).message_id
        await until_received(clients["FR"], first)

        def bring(source: Path, target: Path) -> None:
            folder = tmp_path / "stick"
            run("keys", "export-trust", folder, "--home", source)
            run("keys", "import-peer", folder, "--home", target)

        failures = processes.log("FR").count('"peer.failed"')
        # France revokes its own peer certificate, as after a theft, and brings the list to America.
        await asyncio.to_thread(run, "keys", "revoke", "fr.gateway.test/peer", "--home", fr.path)
        await asyncio.to_thread(bring, fr.path, us.path)
        await until_said(processes, "US", "trust.renewed", 1)
        second = (await clients["FR"].send(draft("FR"))).message_id
        await until_said(processes, "FR", "peer.failed", failures + 1)
        assert (await clients["FR"].status(second)).status in {"accepted", "sent"}

        # The next key was never on the wire: it comes into use, with a certificate of its own.
        await asyncio.to_thread(run, "keys", "rotate", "tls-peer", "--home", fr.path)
        await asyncio.to_thread(bring, fr.path, us.path)
        reader = asyncio.create_task(_collect_both(clients["US"]))
        await until_collected(clients["FR"], [second])
        await reader


@pytest.mark.parametrize("what", ["tls-peer", "tls-server"])
async def test_a_certificate_that_has_ended_is_told_by_health_and_a_new_one_mends_it(
    tmp_path: Path, what: str
) -> None:
    async with Processes(tmp_path) as processes:
        home = processes.homes["FR"]
        for nation in processes.homes:
            await processes.until_ready(nation)
        await asyncio.to_thread(_reissue, home, ended=timedelta(minutes=1), what=what)
        # The peer keeps the connections that it has; it is away as well once they are gone.
        answer = await _until_named(home, "trust-ended")
        assert answer["status"] == "degraded"
        assert answer["reasons"][0]["do"].startswith("entente doctor names the file.")
        if what == "tls-peer":
            # Who connects to it anew is told what is wrong, not that nobody answers.
            looked = await asyncio.to_thread(run, "doctor", "--home", processes.homes["US"].path, code=1)
            assert re.search(r"^fail +peer .*\[peer-identity\]\n +see certificates", looked, re.MULTILINE), (
                looked
            )

        await asyncio.to_thread(run, "keys", "rotate", what, "--home", home.path)
        await until_status(processes, "FR", "ready")


async def test_no_connection_outlives_the_certificate_that_it_was_opened_with(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        for nation in processes.homes:
            await processes.until_ready(nation)
        home = processes.homes["FR"]
        await asyncio.to_thread(_reissue, home, ended=timedelta(seconds=-20), what="tls-peer")
        await until_said(processes, "FR", "trust.renewed", 1)
        ends = read_certificate(home.own.peer_chain).not_valid_after_utc
        # Both directions have a connection that was opened under it.
        for nation, client in clients.items():
            await until_received(client, (await client.send(draft(nation))).message_id)
        await asyncio.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()))

        # Said by health at once, not within a minute.
        assert (await _until_named(home, "trust-ended"))["status"] == "degraded"
        assert (datetime.now(UTC) - ends).total_seconds() < DEADLINE_S
        waiting = {
            nation: (await client.send(draft(nation))).message_id for nation, client in clients.items()
        }
        await until_said(processes, "FR", "own-certificate-ended", 1)
        await until_said(processes, "US", "peer-identity", 1)
        assert (await _until_named(processes.homes["US"], "peer-away"))["status"] == "degraded"
        for nation, message_id in waiting.items():
            assert (await clients[nation].status(message_id)).status in {"accepted", "sent"}
        assert '"reason": "certificate-expired"' in processes.log("US")
        looked = await asyncio.to_thread(run, "doctor", "--home", home.path, code=1)
        assert re.search(r"^fail +peer .*\[own-certificate-ended\]\n +see certificates", looked, re.MULTILINE)

        await asyncio.to_thread(run, "keys", "rotate", "tls-peer", "--home", home.path)
        for nation, message_id in waiting.items():
            await until_received(clients[nation], message_id)


def _reissue(home: NodeHome, *, ended: timedelta, what: str) -> None:
    """Let the certificate of a port be one whose time is over, under the same key."""
    passphrase = read_passphrase_file(home.authority.issuing_passphrase)
    nodes = open_authorities(home, home.authority, passphrase, nation="FR")[Authority.NODES]
    keys = KeyFolder.open(home.keys, passphrase=read_passphrase_file(home.passphrase), allow_test=True)
    key = keys.open_p384(f"{what}.key", purpose=Purpose.TLS).public_key()
    issued = datetime.now(UTC) - ended - timedelta(days=NODE_DAYS)
    if what == "tls-peer":
        issue_peer_certificate(home, nodes, key, node="fr.gateway.test", now=issued)
    else:
        issue_server_certificate(home, nodes, key, server_names(home), node="fr.gateway.test", now=issued)


async def _until_named(home: NodeHome, code: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S * 2):
        while True:
            answer: dict[str, Any] = await asyncio.to_thread(ask_health, home.health_socket)
            if code in {item["code"] for item in answer["reasons"]}:
                return answer
            await asyncio.sleep(0.1)


async def _collect_both(client: AsyncClient) -> None:
    done = 0
    async for received in client.inbox(wait_s=1.0):
        await client.ack(received.message_id)
        done += 1
        if done == 2:
            return
