"""A nation replaces its issuing authorities under traffic; a thief of the old ones gets in nowhere."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.keyring.ceremony import open_authorities, peer_leaf
from gateway.keyring.demo import OPERATORS
from gateway.keyring.home import NodeHome
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.registry import Role
from gateway.keyring.tls import agency_client
from gateway.keyring.trust import read_peer, read_published_as_stated
from gateway.keyring.x509_profile import Authority, Leaf
from tests.integration.test_key_rotation import run, traffic, until_said
from tests.integration.test_new_root import bring, more_messages, restart
from tests.integration.test_two_processes import draft, until_collected, verify_everything
from tests.processes import Processes
from tests.world import AGENCIES


def rotate(home: NodeHome, medium: Path) -> None:
    """Let new authorities of the French wait beside those in force."""
    output = run("keys", "rotate", "authorities", "--home", home.path, "--new-keys", medium)
    assert "those in force and these are good" in output


def reissue_all(home: NodeHome, medium: Path) -> None:
    """Let every holder of a nation have a certificate of the new authorities for the key that it has."""
    said = ""
    for folder in sorted((*home.agencies.iterdir(), *home.operators.iterdir())):
        key = load_pem_private_key((folder / "client.key").read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA384())
        request = folder / "request.csr"
        request.write_bytes(csr.public_bytes(Encoding.PEM))
        role = OPERATORS.get(folder.name, Role.AGENCY)
        said = run(
            *("keys", "issue-agency", folder.name, "--role", role.value, "--csr", request),
            *("--out", folder / "client.pem", "--home", home.path, "--authority", medium),
        )
    assert "still without" not in said


def forge(home: NodeHome, kind: Authority, leaf: Leaf, folder: Path) -> Path:
    """Make a certificate for a key of one's own with the authority that was stolen."""
    key = ec.generate_private_key(ec.SECP384R1())
    passphrase = read_passphrase_file(home.authority.issuing_passphrase)
    stolen = open_authorities(home, home.authority, passphrase, nation="FR")[kind]
    certificate = stolen.issue(key.public_key(), leaf, name="nobody", now=datetime.now(UTC))
    folder.mkdir()
    (folder / "client.pem").write_bytes(certificate)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "client.key").write_bytes(pem)
    return folder


async def knock(processes: Processes, nation: str, port: int, holder: Path) -> int | None:
    """Ask a port of a node with a certificate; return the status, or None if no handshake comes about."""
    context = agency_client(holder)
    context.check_hostname = False
    url = f"https://127.0.0.1:{port}/v1/inbox"
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(url) as response,
        ):
            return response.status
    except (aiohttp.ClientError, ssl.SSLError, ConnectionError):
        return None


@pytest.mark.timeout(400)
async def test_new_authorities_lose_nothing_and_what_a_thief_of_the_old_ones_makes_opens_nothing(
    tmp_path: Path,
) -> None:
    async with Processes(tmp_path) as processes:
        fr, us = processes.homes["FR"], processes.homes["US"]
        agency, medium = fr.agencies / AGENCIES["FR"], tmp_path / "medium"
        ports = {nation: processes.ports[nation] for nation in processes.homes}
        code = AGENCIES["FR"].lower()
        forged = forge(
            fr,
            Authority.AGENCIES,
            Leaf(common_name=AGENCIES["FR"], uri=f"urn:entente:fr:agency:{code}"),
            tmp_path / "thief",
        )
        node = forge(fr, Authority.NODES, peer_leaf("fr.gateway.test"), tmp_path / "thief-node")
        shutil.copy(fr.own.root, forged / "ca.pem")
        shutil.copy(us.own.root, node / "ca.pem")
        shutil.copytree(agency, tmp_path / "before")
        statement = read_published_as_stated(fr.own).statement
        # Agencies go on with the certificates that they have.
        async with traffic(processes, pause_s=0.02, passing=(OSError,)) as during:
            await more_messages(during.sent)
            await asyncio.to_thread(rotate, fr, medium)
            await until_said(processes, "FR", "trust.renewed", 2)
            await more_messages(during.sent)
            await asyncio.to_thread(bring, processes, tmp_path / "stick")
            await until_said(processes, "US", "trust.renewed", 1)
            await more_messages(during.sent)
        # The key is in no registry, and is not pinned: the thief is nobody, also where both are good.
        assert await knock(processes, "FR", ports["FR"].agency, forged) == 403
        assert await knock(processes, "US", ports["US"].peer, node) == 403
        await restart(processes, "FR", "US")
        refused = ("keys", "rotate", "tls-peer", "--home", fr.path)
        assert "switch-authorities" in await asyncio.to_thread(run, *refused, code=1)
        await asyncio.to_thread(reissue_all, fr, medium)
        async with traffic(processes, pause_s=0.02, passing=(OSError,)) as switched:
            await more_messages(switched.sent)
            seen = processes.log("FR").count('"trust.renewed"')
            await asyncio.to_thread(run, "keys", "switch-authorities", "--home", fr.path, "--yes")
            await until_said(processes, "FR", "trust.renewed", seen + 3)
            await more_messages(switched.sent)
            seen = processes.log("US").count('"trust.renewed"')
            await asyncio.to_thread(bring, processes, tmp_path / "stick")
            await until_said(processes, "US", "trust.renewed", seen + 1)
            await more_messages(switched.sent)
        # What the old ones have issued is over, before the theft and after it.
        assert await knock(processes, "FR", ports["FR"].agency, agency) == 200
        for holder in (tmp_path / "before", forged):
            assert await knock(processes, "FR", ports["FR"].agency, holder) is None
        assert await knock(processes, "US", ports["US"].peer, node) is None
        await restart(processes, "FR", "US")
        # From here on the new ones do what the old ones did.
        for what in (("rotate", "crl"), ("rotate", "tls-server")):
            await asyncio.to_thread(run, "keys", *what, "--home", fr.path, "--authority", medium)
        async with traffic(processes, pause_s=0.05, passing=(OSError,)) as after:
            await more_messages(after.sent)
        for nation in processes.homes:
            assert '"pair.frozen"' not in processes.log(nation)
            assert processes.stop(nation) == 0
    # No statement was needed: the root vouches for authorities by certificates alone.
    assert read_published_as_stated(fr.own).statement == statement
    assert read_peer(us)[1].node_authority == read_published_as_stated(fr.own).node_authority
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")
    for home in processes.homes.values():
        assert (await asyncio.to_thread(run, "audit", "verify", "--home", home.path)).startswith("VERIFIED")


@pytest.mark.timeout(400)
async def test_authorities_in_force_before_the_peer_has_them_hold_messages_up_and_lose_none(
    tmp_path: Path,
) -> None:
    """What happens to an operator who says yes too soon: the import is all that is missing."""
    async with Processes(tmp_path) as processes:
        fr, medium = processes.homes["FR"], tmp_path / "medium"
        clients = {nation: await processes.client(agency) for nation, agency in AGENCIES.items()}
        first = [(await clients[nation].send(draft(nation))).message_id for nation in clients]
        rotate(fr, medium)
        reissue_all(fr, medium)
        run("keys", "switch-authorities", "--home", fr.path, "--yes")
        await until_said(processes, "FR", "trust.renewed", 3)
        french, american = await processes.client(AGENCIES["FR"]), clients["US"]
        held_up = [
            (await client.send(draft(nation))).message_id
            for nation, client in (("FR", french), ("US", american))
        ]
        await until_said(processes, "FR", "peer.failed", 1)
        assert (await french.status(held_up[0])).status in {"accepted", "sent"}

        bring(processes, tmp_path / "stick")

        async with traffic(processes, pause_s=0.2) as messages:
            await more_messages(messages.sent)
            await until_collected(french, [held_up[0], first[0]])
            await until_collected(american, [held_up[1], first[1]])
        for nation in processes.homes:
            assert '"pair.frozen"' not in processes.log(nation)
            assert processes.stop(nation) == 0
    await asyncio.to_thread(verify_everything, processes, tmp_path / "export")
