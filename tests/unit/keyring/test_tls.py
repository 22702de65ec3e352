"""Each port lets in whom it is for, and turns everybody else away during the handshake."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keyring import tls
from gateway.keyring.ceremony import publish_crls
from gateway.keyring.home import NodeHome
from gateway.keyring.refusals import TrustError
from gateway.keyring.registry import SpkiDigest
from gateway.keyring.rotation import REASONS, revoke
from gateway.keyring.trust import import_peer, read_published_as_stated
from gateway.keyring.x509_profile import Authority, Leaf
from gateway.link.pinning import NotThePeerError, verify_pinned
from gateway.web.identity import certificate_of
from tests.unit.keyring.helpers import Pair, authorities, folder, keyring, present, shake_hands

US = "us.gateway.test"
Server = Callable[[NodeHome], ssl.SSLContext]


def agency_server(home: NodeHome) -> ssl.SSLContext:
    return tls.agency_server(home, keyring(home).server_identity())


def operator_server(home: NodeHome) -> ssl.SSLContext:
    return tls.operator_server(home, keyring(home).server_identity())


def peer_server(home: NodeHome) -> ssl.SSLContext:
    return tls.peer_server(home, keyring(home).peer_identity())


def peer_client(home: NodeHome) -> ssl.SSLContext:
    return tls.peer_client(home, keyring(home).peer_identity())


def no_certificate(home: NodeHome) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=home.own.root)
    return context


@pytest.fixture(scope="module")
def american_ports(pair: Pair) -> dict[str, ssl.SSLContext]:
    return {
        "agency": agency_server(pair.us),
        "operator": operator_server(pair.us),
        "peer": peer_server(pair.us),
    }


@pytest.fixture(scope="module")
def clients(pair: Pair) -> dict[str, ssl.SSLContext]:
    return {
        "own agency": tls.agency_client(pair.us.agencies / "US.CBP"),
        "own operator": tls.agency_client(pair.us.operators / "OPERATOR"),
        "own auditor": tls.agency_client(pair.us.operators / "AUDITOR"),
        "own node": _with_anchor(tls.peer_client(pair.us, keyring(pair.us).peer_identity()), pair.us),
        "their agency": _with_anchor(tls.agency_client(pair.fr.agencies / "FR.SCL"), pair.us),
        "their operator": _with_anchor(tls.agency_client(pair.fr.operators / "OPERATOR"), pair.us),
        "their node": _with_anchor(peer_client(pair.fr), pair.us),
        "nobody": no_certificate(pair.us),
    }


def _with_anchor(context: ssl.SSLContext, home: NodeHome) -> ssl.SSLContext:
    """Let a client accept the server, so that what refuses is the server."""
    context.load_verify_locations(cafile=home.own.root)
    context.verify_flags &= ~ssl.VERIFY_CRL_CHECK_LEAF
    return context


@pytest.mark.parametrize(
    ("port", "client"),
    [
        ("agency", "own agency"),
        ("operator", "own operator"),
        ("operator", "own auditor"),
        ("peer", "their node"),
    ],
)
def test_a_port_lets_in_whom_it_is_for(
    american_ports: dict[str, ssl.SSLContext], clients: dict[str, ssl.SSLContext], port: str, client: str
) -> None:
    server_end, client_end = shake_hands(american_ports[port], clients[client], name=US)

    assert server_end.version() == client_end.version() == "TLSv1.3"
    assert server_end.getpeercert(binary_form=True)


@pytest.mark.parametrize(
    ("port", "client"),
    [
        ("agency", "own operator"),
        ("agency", "own auditor"),
        ("agency", "own node"),
        ("agency", "their agency"),
        ("agency", "their node"),
        ("agency", "nobody"),
        ("operator", "own agency"),
        ("operator", "own node"),
        ("operator", "their operator"),
        ("operator", "their node"),
        ("operator", "nobody"),
        ("peer", "own agency"),
        ("peer", "own operator"),
        ("peer", "own node"),
        ("peer", "their agency"),
        ("peer", "their operator"),
        ("peer", "nobody"),
    ],
)
def test_a_port_turns_everybody_else_away(
    american_ports: dict[str, ssl.SSLContext], clients: dict[str, ssl.SSLContext], port: str, client: str
) -> None:
    with pytest.raises(ssl.SSLError):
        shake_hands(american_ports[port], clients[client], name=US)


def test_both_ends_of_the_peer_link_find_the_pinned_key(pair: Pair) -> None:
    french, american = keyring(pair.fr), keyring(pair.us)
    server_end, client_end = shake_hands(peer_server(pair.us), peer_client(pair.fr), name=US)

    verify_pinned(certificate_of(client_end), french.peer_pins()[:1])
    verify_pinned(certificate_of(server_end), american.peer_pins()[:1])


def test_another_key_under_the_right_name_is_refused(pair: Pair) -> None:
    server_end, client_end = shake_hands(peer_server(pair.us), peer_client(pair.fr), name=US)

    for pins in ((), (SpkiDigest(bytes(32)), SpkiDigest(b"\1" * 32))):
        for end in (server_end, client_end):
            with pytest.raises(NotThePeerError):
                verify_pinned(certificate_of(end), pins)


def test_who_shows_no_certificate_is_not_the_peer(pair: Pair) -> None:
    server = tls.agency_server(pair.us, keyring(pair.us).server_identity())
    server.verify_mode = ssl.CERT_NONE
    server_end, _ = shake_hands(server, no_certificate(pair.us), name=US)

    with pytest.raises(NotThePeerError):
        verify_pinned(certificate_of(server_end), keyring(pair.us).peer_pins())


@pytest.mark.parametrize("name", ["fr.gateway.test", "gateway.test", "127.0.0.1", "localhost"])
def test_the_peer_has_to_bear_the_name_of_its_node(pair: Pair, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(peer_server(pair.us), peer_client(pair.fr), name=name)


@pytest.mark.parametrize("name", [US, "localhost", "127.0.0.1"])
def test_an_agency_reaches_the_demo_under_each_of_its_names(pair: Pair, name: str) -> None:
    shake_hands(agency_server(pair.us), tls.agency_client(pair.us.agencies / "US.CBP"), name=name)


def test_the_agency_port_cannot_pose_as_the_peer(pair: Pair) -> None:
    # Its certificate has the right name and authority; its key is not pinned.
    server = tls.peer_server(pair.us, keyring(pair.us).server_identity())
    _, client_end = shake_hands(server, peer_client(pair.fr), name=US)

    with pytest.raises(NotThePeerError):
        verify_pinned(certificate_of(client_end), keyring(pair.fr).peer_pins())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_older_versions_are_refused(pair: Pair, version: ssl.TLSVersion) -> None:
    client = tls.agency_client(pair.us.agencies / "US.CBP")
    client.minimum_version = client.maximum_version = version

    with pytest.raises(ssl.SSLError):
        shake_hands(agency_server(pair.us), client, name=US)


def test_no_session_is_resumed(pair: Pair) -> None:
    server, client = agency_server(pair.us), tls.agency_client(pair.us.agencies / "US.CBP")
    server_end, _ = shake_hands(server, client, name=US)

    assert server.num_tickets == 0
    assert server.session_stats()["hits"] == 0
    assert not server_end.session_reused


def test_a_revoked_certificate_is_refused_by_a_new_context_only(own_pair: Pair) -> None:
    home = own_pair.us
    client = tls.agency_client(home.agencies / "US.CBP")
    old = agency_server(home)
    files = tls.context_files(home.own, Authority.AGENCIES, home.own.server_chain)
    stamp = tls.trust_stamp(files)

    revoke(home, authorities(home, nation="US"), "US.CBP", reason=REASONS["key-compromise"], now=present())

    # This is why whoever serves watches the stamp and builds a new context.
    shake_hands(old, client, name=US)
    assert tls.trust_stamp(files) != stamp
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake_hands(agency_server(home), client, name=US)
    shake_hands(agency_server(home), tls.agency_client(home.agencies / "US.CBP.NTC"), name=US)


def test_a_revoked_node_is_refused_once_its_list_is_imported(own_pair: Pair) -> None:
    fr, us = own_pair.fr, own_pair.us
    wanted = f"{US}/peer"
    revoke(us, authorities(us, nation="US"), wanted, reason=REASONS["superseded"], now=present())
    import_peer(fr, read_published_as_stated(us.own))

    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        shake_hands(peer_server(us), peer_client(fr), name=US)


def test_a_list_that_has_run_out_lets_nobody_in(own_pair: Pair) -> None:
    home = own_pair.us
    publish_crls(home, authorities(home, nation="US"), now=present() - timedelta(days=8))

    with pytest.raises(ssl.SSLCertVerificationError, match="CRL has expired"):
        shake_hands(agency_server(home), tls.agency_client(home.agencies / "US.CBP"), name=US)


def test_an_expired_certificate_is_refused(own_pair: Pair) -> None:
    home = own_pair.us
    issuer = authorities(home, nation="US")[Authority.NODES]
    identity = keyring(home).peer_identity()
    past = present() - timedelta(days=100)
    leaf = Leaf(common_name=US, dns_names=(US,), server=True, days=90)
    expired = issuer.issue(identity.key.public_key(), leaf, name="expired", now=past)
    home.own.peer_chain.write_bytes(expired + issuer.certificate.public_bytes(Encoding.PEM))

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(peer_server(home), peer_client(own_pair.fr), name=US)


@pytest.mark.parametrize("port", [agency_server, operator_server, peer_server])
def test_without_its_list_a_port_does_not_open(own_pair: Pair, port: Server) -> None:
    for files in (own_pair.us.own, own_pair.us.peer):
        for kind in Authority:
            if files.crl(kind.value).exists():
                files.crl(kind.value).write_bytes(b"not a list")

    with pytest.raises(TrustError):
        port(own_pair.us)


def test_a_key_is_never_left_readable_on_a_disk(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder(pair.us)

    agency_server(pair.us)

    assert list(tmp_path.iterdir()) == []


def test_a_text_about_an_identity_does_not_hold_its_key(pair: Pair) -> None:
    assert repr(keyring(pair.us).peer_identity()) == f"TlsIdentity({pair.us.own.peer_chain})"
