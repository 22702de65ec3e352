"""What tests of keys share: names, openings, and a handshake in memory."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.core.signature import HybridSigner
from gateway.keyring import tls
from gateway.keyring.ceremony import open_authorities, open_root_signer
from gateway.keyring.home import NodeHome
from gateway.keyring.issuing import IssuingAuthority
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.keyring import FileKeyring
from gateway.keyring.passphrase import Passphrase, read_passphrase_file
from gateway.keyring.x509_profile import Authority

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
FR = "fr.gateway.test"
PASSPHRASE = Passphrase(b"correct horse battery staple")
OTHER_PASSPHRASE = Passphrase(b"tr0ub4dor and 3 more words")


@dataclass(frozen=True)
class Pair:
    fr: NodeHome
    us: NodeHome


def present() -> datetime:
    """OpenSSL has no other clock than the machine's."""
    return datetime.now(UTC)


def keyring(home: NodeHome) -> FileKeyring:
    return FileKeyring.open(home.path, passphrase=read_passphrase_file(home.passphrase), production=False)


def folder(home: NodeHome) -> KeyFolder:
    return KeyFolder.open(home.keys, passphrase=read_passphrase_file(home.passphrase), allow_test=True)


def authorities(home: NodeHome, *, nation: str) -> dict[Authority, IssuingAuthority]:
    passphrase = read_passphrase_file(home.authority.issuing_passphrase)
    return open_authorities(home, home.authority, passphrase, nation=nation)


def root_signer(home: NodeHome, *, nation: str) -> HybridSigner:
    return open_root_signer(
        home.authority, read_passphrase_file(home.authority.root_passphrase), nation=nation
    )


def private_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, *, name: str
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return both ends of a connection through memory, after the handshake of both."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    done = [False, False]
    for _ in range(8):
        for index, end in enumerate(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            done[index] = True
        if all(done):
            return ends[1], ends[0]
    message = "the handshake does not end"
    raise AssertionError(message)


def are_linked(pair: Pair) -> bool:
    """Return whether each node takes the other for its peer, whichever of them connects."""
    rings = {"fr": keyring(pair.fr), "us": keyring(pair.us)}
    for one, two in (("fr", "us"), ("us", "fr")):
        client, server = rings[one], rings[two]
        ends = shake_hands(
            tls.peer_server(server.home, server.peer_identity()),
            tls.peer_client(client.home, client.peer_identity()),
            name=server.node,
        )
        assert all(end.version() == "TLSv1.3" for end in ends)
        if not set(client.own_statement.tls_spki) <= set(server.peer_pins()):
            return False
    return True


def is_served(home: NodeHome) -> bool:
    """Return whether an agency takes the node for its own."""
    server = tls.agency_server(home, keyring(home).server_identity())
    try:
        shake_hands(server, tls.agency_client(home.agencies / "FR.SCL"), name=FR)
    except ssl.SSLCertVerificationError:
        return False
    return True
