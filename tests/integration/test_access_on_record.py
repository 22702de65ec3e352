"""Who came to the three ports of a real node, and who was turned away, as an auditor finds it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.keyring.certificates import read_certificate
from gateway.keyring.tls import agency_client
from tests.integration.test_revocation import run
from tests.processes import Processes
from tests.world import AGENCIES

CANARY = "ZKANARYZ"
DEADLINE_S = 60.0


def spki(folder: Path) -> str:
    key = read_certificate(folder / "client.pem").public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def without_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def with_certificate(folder: Path) -> ssl.SSLContext:
    """Return a context that shows a certificate to whatever server there is."""
    context = agency_client(folder)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def knock(url: str, context: ssl.SSLContext) -> int:
    """Return the status of an answer, or 0 for a handshake or connection that was refused."""
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(url) as answer,
        ):
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, ConnectionError):
        return 0


async def read(url: str, context: ssl.SSLContext) -> str:
    """Return the text of an answer."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
        session.get(url) as answer,
    ):
        return await answer.text()


async def say_the_canary_everywhere(agency: str, context: ssl.SSLContext) -> str:
    """Send the canary in a path, query, header, method and body; return all that was answered."""
    answered = ""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for method, path, body in (
            ("GET", f"/{CANARY}", None),
            ("GET", f"/v1/inbox/{CANARY}", None),
            ("GET", f"/v1/types/{CANARY}", None),
            ("GET", f"/v1/messages?{CANARY}={CANARY}", None),
            (CANARY, "/v1/whoami", None),
            ("POST", "/v1/messages", f'{{"{CANARY}": "{CANARY}"}}'),
            ("POST", "/v1/messages:batch", f'{{"type": "{CANARY}"}}\n{CANARY}\n'),
        ):
            headers = {"Idempotency-Key": CANARY, "Accept-Language": CANARY}
            async with session.request(method, f"{agency}{path}", data=body, headers=headers) as answer:
                answered += await answer.text()
                answered += str(answer.headers)
    return answered


async def speak_nonsense(port: int) -> None:
    """Send what is no handshake to a port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /{CANARY} HTTP/1.1\r\nHost: {CANARY}\r\n\r\n".encode())
    await reader.read()
    writer.close()


def found(folder: Path, trust: Path, *question: str) -> list[dict[str, Any]]:
    answers = run("audit", "find", folder, *question, "--trust", trust, "--json")
    document = json.loads(answers)
    entries: list[dict[str, Any]] = document["answers"]
    return entries


def denied(answers: Iterable[dict[str, Any]]) -> set[str]:
    """Return the causes: the word behind the name of the event."""
    return {item["text"].split("access.denied ")[1].split(" ")[0] for item in answers}


async def test_every_way_in_and_every_refusal_is_found_in_the_audit_log(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    fr, ports = processes.homes["FR"], processes.ports["FR"]
    # As people leave it who have compared the fingerprints of the peer.
    fr.import_record.write_text("Record of an exchange of trust\n", encoding="utf-8")
    async with processes:
        agency_folder = fr.agencies / AGENCIES["FR"]
        agency, operator, peer = (
            f"https://127.0.0.1:{number}" for number in (ports.agency, ports.operator, ports.peer)
        )
        own, auditor = with_certificate(agency_folder), with_certificate(fr.operators / "AUDITOR")
        # An agency at its own port, and asking for a message that is not its own.
        assert await knock(f"{agency}/v1/whoami", own) == 200
        stranger = "01a20847-0135-7993-b063-b5d5cb27d3ff"
        assert await knock(f"{agency}/v1/inbox/{stranger}", own) == 404
        # Nobody, an agency at the other ports, and what is no handshake at all.
        assert await knock(f"{agency}/v1/whoami", without_certificate()) == 0
        assert await knock(f"{operator}/health/live", own) == 0
        assert await knock(f"{peer}/peer/v1/view", own) == 0
        await speak_nonsense(ports.operator)
        # An auditor may look, and change nothing.
        assert await knock(f"{operator}/health/live", auditor) == 200
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=auditor)) as session,
            session.post(f"{operator}/ops/v1/maintenance:start", json={"reason": CANARY}) as answer,
        ):
            assert answer.status == 403
        # What somebody wrote comes back in no answer, and becomes no label of a metric.
        answered = await say_the_canary_everywhere(agency, own)
        assert answered.count('"code"') > 5
        assert CANARY not in answered
        metrics = await read(f"{operator}/metrics", auditor)
        assert "entente_http_requests_total" in metrics
        assert CANARY not in metrics
        # A certificate that has left the registry and was revoked.
        await asyncio.to_thread(run, "keys", "revoke", AGENCIES["FR"], "--home", fr.path)
        end = time.monotonic() + DEADLINE_S
        while await knock(f"{agency}/v1/whoami", own) != 0:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        assert processes.stop("FR") == 0
        folder = tmp_path / "audit"
        await asyncio.to_thread(run, "log", "export", "--home", fr.path, "--log", "audit", folder)

        assert denied(found(folder, fr.trust, "--event", "access.denied")) >= {
            "certificate-absent",
            "certificate-untrusted",
            "certificate-revoked",
            "tls-refused",
            "role-not-allowed",
            "not-found",
        }
        granted = found(folder, fr.trust, "--event", "access.granted")
        roles = {item["text"].split(" by ")[1].split(" ")[0] for item in granted}
        assert roles == {"agency", "auditor", "operator", "peer"}
        # The thief of a certificate is found by it, whether let in or turned away.
        mine = found(folder, fr.trust, "--actor", spki(agency_folder))
        assert {item["text"].split(" ")[1] for item in mine} >= {"access.granted", "access.denied"}
        # What the operator did to the files is on record, and so is what they were at the start.
        for event in (
            "config.changed",
            "trust.changed",
            "ceremony.held",
            "peer.imported",
            "kem.announced",
            "node.stopped",
        ):
            assert found(folder, fr.trust, "--event", event), event
        assert len(found(folder, fr.trust, "--event", "registry.changed")) == 2
        stored = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert CANARY.encode() not in stored
        assert CANARY not in processes.log("FR")


async def test_a_flood_of_strangers_writes_a_handful_of_events(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        fr, ports = processes.homes["FR"], processes.ports["FR"]
        nobody = without_certificate()
        for _ in range(10):
            await asyncio.gather(
                *(knock(f"https://127.0.0.1:{ports.agency}/v1/whoami", nobody) for _ in range(20))
            )
        assert processes.stop("FR") == 0
        folder = tmp_path / "audit"
        await asyncio.to_thread(run, "log", "export", "--home", fr.path, "--log", "audit", folder)
        answers = found(folder, fr.trust, "--event", "access.denied")
        assert 1 <= len([item for item in answers if "certificate-absent" in item["text"]]) <= 10
