"""Keys change without a moment in which the two sides disagree, also when interrupted."""

from __future__ import annotations

import shutil
import ssl
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.keyring import tls
from gateway.keyring.ceremony import server_names
from gateway.keyring.certificates import read_certificate
from gateway.keyring.expiry import Sort, endings
from gateway.keyring.home import TLS_PEER_KEY, TLS_PEER_NEXT_KEY, NodeHome
from gateway.keyring.keyfile import Purpose
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.refusals import CeremonyError, KeyFileError, TrustError
from gateway.keyring.registry import Holder, Role, read_registry, spki_of_key, write_registry
from gateway.keyring.rotation import (
    REASONS,
    renew_authorities,
    renew_node_certificates,
    revoke,
    rotate_peer_tls,
    rotate_server_tls,
    rotate_signing_keys,
)
from gateway.keyring.statement import KeyStatement, StatementRefusedError
from gateway.keyring.trust import import_peer, read_published_as_stated
from gateway.keyring.x509_profile import AUTHORITY_DAYS, Authority, Leaf
from gateway.link.pinning import NotThePeerError, verify_pinned
from gateway.web.identity import certificate_of
from tests.unit.keyring.helpers import (
    Pair,
    authorities,
    folder,
    keyring,
    present,
    root_signer,
    shake_hands,
)

US, FR = "us.gateway.test", "fr.gateway.test"
NEW_KEY = "tls-peer-new.key"


def rotate(home: NodeHome) -> KeyStatement:
    return rotate_peer_tls(
        home,
        folder(home),
        authorities(home, nation="FR")[Authority.NODES],
        root_signer(home, nation="FR"),
        now=present(),
    )


def link(pair: Pair) -> bool:
    """Return whether the American node accepts the French one's key on a new connection."""
    french, american = keyring(pair.fr), keyring(pair.us)
    server = tls.peer_server(pair.us, american.peer_identity())
    server_end, _ = shake_hands(server, tls.peer_client(pair.fr, french.peer_identity()), name=US)
    try:
        verify_pinned(certificate_of(server_end), american.peer_pins())
    except NotThePeerError:
        return False
    return True


def spki(home: NodeHome, file: str) -> bytes:
    return spki_of_key(folder(home).open_p384(file, purpose=Purpose.TLS).public_key())


def test_the_next_key_comes_into_use_and_another_one_follows(own_pair: Pair) -> None:
    before = keyring(own_pair.fr).own_statement

    after = rotate(own_pair.fr)

    assert after.version == before.version + 1
    assert after.tls_spki[0] == before.tls_spki[1]
    assert after.tls_spki[1] not in before.tls_spki
    assert (spki(own_pair.fr, TLS_PEER_KEY), spki(own_pair.fr, TLS_PEER_NEXT_KEY)) == after.tls_spki
    assert keyring(own_pair.fr).own_statement == after
    assert not (own_pair.fr.keys / NEW_KEY).exists()


def test_the_peer_that_has_the_old_statement_still_accepts_the_first_rotation(own_pair: Pair) -> None:
    rotate(own_pair.fr)
    assert link(own_pair)

    rotate(own_pair.fr)
    assert not link(own_pair)

    import_peer(own_pair.us, read_published_as_stated(own_pair.fr.own))
    assert link(own_pair)


@pytest.mark.parametrize("step", ["new key", "statement", "certificate", "old key gone", "key in use"])
def test_a_rotation_that_was_interrupted_goes_on_where_it_stopped(own_pair: Pair, step: str) -> None:
    home = own_pair.fr
    before = keyring(home).own_statement
    saved = {
        path: path.read_bytes() for path in (home.own.statement, home.own_verifier_keys, home.own.peer_chain)
    }
    keys = {file: (home.keys / file).read_bytes() for file in (TLS_PEER_KEY, TLS_PEER_NEXT_KEY)}
    after = rotate(home)

    def put(file: str, content: bytes) -> None:
        (home.keys / file).write_bytes(content)
        (home.keys / file).chmod(0o600)

    # Wind back to what a crash after the step would have left.
    new = (home.keys / TLS_PEER_NEXT_KEY).read_bytes()
    put(NEW_KEY, new)
    if step == "key in use":
        (home.keys / TLS_PEER_NEXT_KEY).unlink()
    else:
        for file, content in keys.items():
            put(file, content)
        if step == "old key gone":
            (home.keys / TLS_PEER_KEY).unlink()
    if step in ("new key", "statement"):
        home.own.peer_chain.write_bytes(saved[home.own.peer_chain])
    if step == "new key":
        home.own.statement.write_bytes(saved[home.own.statement])

    again = rotate(home)

    assert again.tls_spki == after.tls_spki
    assert again.version == before.version + 1
    assert (spki(home, TLS_PEER_KEY), spki(home, TLS_PEER_NEXT_KEY)) == after.tls_spki
    assert link(own_pair)


def test_a_rotation_without_a_next_key_destroys_nothing(own_pair: Pair) -> None:
    (own_pair.fr.keys / TLS_PEER_NEXT_KEY).unlink()

    with pytest.raises(KeyFileError):
        rotate(own_pair.fr)

    assert (own_pair.fr.keys / TLS_PEER_KEY).exists()


def test_a_new_server_key_keeps_its_names_and_leaves_the_statement_alone(own_pair: Pair) -> None:
    home = own_pair.us
    names = server_names(home)
    before, statement = home.own.server_chain.read_bytes(), home.own.statement.read_bytes()
    nodes = authorities(home, nation="US")[Authority.NODES]

    assert rotate_server_tls(home, folder(home), nodes, now=present()) == names

    assert server_names(home) == names
    assert names.dns_names == (US, "localhost")
    assert home.own.server_chain.read_bytes() != before
    assert home.own.statement.read_bytes() == statement
    server = tls.agency_server(home, keyring(home).server_identity())
    shake_hands(server, tls.agency_client(home.agencies / "US.CBP"), name="localhost")


def test_a_server_rotation_that_was_interrupted_goes_on(own_pair: Pair) -> None:
    home = own_pair.us
    nodes = authorities(home, nation="US")[Authority.NODES]
    old = (home.keys / "tls-server.key").read_bytes()
    rotate_server_tls(home, folder(home), nodes, now=present())
    shutil.move(home.keys / "tls-server.key", home.keys / "tls-server-new.key")
    (home.keys / "tls-server.key").write_bytes(old)
    (home.keys / "tls-server.key").chmod(0o600)

    rotate_server_tls(home, folder(home), nodes, now=present())

    keyring(home).server_identity()
    assert not (home.keys / "tls-server-new.key").exists()


def test_certificates_are_renewed_for_the_same_keys(own_pair: Pair) -> None:
    home = own_pair.fr
    before = read_certificate(home.own.peer_chain)
    renew_node_certificates(
        home, folder(home), authorities(home, nation="FR")[Authority.NODES], now=present()
    )
    after = read_certificate(home.own.peer_chain)

    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    assert link(own_pair)


@pytest.mark.parametrize("by", ["name", "serial", "spki"])
def test_a_certificate_is_revoked_by_any_of_its_names(own_pair: Pair, by: str) -> None:
    home = own_pair.fr
    opened = authorities(home, nation="FR")
    (issued,) = [item for item in opened[Authority.AGENCIES].record().issued if item.name == "FR.SCL"]
    wanted = {"name": "fr.scl", "serial": f"{issued.serial:X}", "spki": issued.spki.hex()}[by]

    (revoked,) = revoke(home, opened, wanted, reason=REASONS["superseded"], now=present())

    assert revoked.issued.serial == issued.serial
    assert revoked.authority is Authority.AGENCIES
    assert "FR.SCL" not in [holder.code for holder in read_registry(home.registry).holders]


@pytest.mark.parametrize("left", ["registry and lists", "lists", "nothing"])
def test_a_revocation_that_was_interrupted_once_it_was_recorded_is_finished_when_it_is_said_again(
    own_pair: Pair, left: str
) -> None:
    home = own_pair.fr
    before = _files(home.trust)
    opened = authorities(home, nation="FR")
    (first,) = revoke(home, opened, "FR.SCL", reason=REASONS["key-compromise"], now=present())
    # As a full disk, a lost stick or a kill leaves it: the authority's record says it, the home does not.
    for path, content in before.items():
        if left != "nothing" and (path != home.registry or left != "lists"):
            path.write_bytes(content)

    (again,) = revoke(home, opened, "FR.SCL", reason=REASONS["superseded"], now=present())

    assert again.issued.serial == first.issued.serial
    assert again.issued.reason is REASONS["key-compromise"]
    assert "FR.SCL" not in [holder.code for holder in read_registry(home.registry).holders]
    listed = x509.load_pem_x509_crl(home.own.crl(Authority.AGENCIES).read_bytes())
    assert listed.get_revoked_certificate_by_serial_number(first.issued.serial) is not None


def test_what_was_revoked_before_takes_out_nobody_whose_key_has_a_valid_certificate(own_pair: Pair) -> None:
    home = own_pair.fr
    opened = authorities(home, nation="FR")
    (old,) = revoke(home, opened, "FR.SCL", reason=REASONS["superseded"], now=present())
    certificate = x509.load_pem_x509_certificate((home.agencies / "FR.SCL" / "client.pem").read_bytes())
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    opened[Authority.AGENCIES].issue(key, Leaf(common_name="FR.SCL"), name="FR.SCL", now=present())
    holder = Holder(role=Role.AGENCY, code="FR.SCL", spki=old.issued.spki)
    write_registry(home.registry, read_registry(home.registry).with_holder(holder))

    revoke(home, opened, f"{old.issued.serial:x}", reason=REASONS["superseded"], now=present())

    assert "FR.SCL" in [item.code for item in read_registry(home.registry).holders]


def test_a_home_without_a_registry_is_found_out_before_anything_is_recorded(own_pair: Pair) -> None:
    home = own_pair.fr
    opened = authorities(home, nation="FR")
    home.registry.unlink()

    with pytest.raises(KeyFileError):
        revoke(home, opened, "FR.SCL", reason=REASONS["key-compromise"], now=present())

    (issued,) = [item for item in opened[Authority.AGENCIES].record().issued if item.name == "FR.SCL"]
    assert issued.revoked is None


def _renew_authorities(home: NodeHome, *, now: datetime) -> datetime:
    passphrase = read_passphrase_file(home.authority.root_passphrase)
    return renew_authorities(home, home.authority, passphrase, now=now)


def _doors(pair: Pair) -> dict[str, tuple[ssl.SSLContext, ssl.SSLContext, str]]:
    """Return both ends of each way into and out of the French node, with the name that is asked for."""
    french, american = keyring(pair.fr), keyring(pair.us)
    server = french.server_identity()
    return {
        "agency": (tls.agency_server(pair.fr, server), tls.agency_client(pair.fr.agencies / "FR.SCL"), FR),
        "operator": (
            tls.operator_server(pair.fr, server),
            tls.agency_client(pair.fr.operators / "OPERATOR"),
            FR,
        ),
        "from the peer": (
            tls.peer_server(pair.fr, french.peer_identity()),
            tls.peer_client(pair.us, american.peer_identity()),
            FR,
        ),
        "to the peer": (
            tls.peer_server(pair.us, american.peer_identity()),
            tls.peer_client(pair.fr, french.peer_identity()),
            US,
        ),
    }


def test_authorities_that_have_ended_are_renewed_and_all_that_they_issued_is_good_again(
    own_pair: Pair,
) -> None:
    home = own_pair.fr
    issued = (home.agencies / "FR.SCL" / "client.pem").read_bytes()
    ended = _renew_authorities(home, now=present() - timedelta(days=AUTHORITY_DAYS, hours=1))
    import_peer(own_pair.us, read_published_as_stated(home.own))
    assert ended < present()
    for server, client, name in _doors(own_pair).values():
        with pytest.raises(ssl.SSLError):
            shake_hands(server, client, name=name)
    assert {item.file for item in endings(home) if item.stage(present()) == 0} == {
        f"own/{kind}.pem" for kind in Authority
    }

    ends = _renew_authorities(home, now=present())
    import_peer(own_pair.us, read_published_as_stated(home.own))

    assert (ends - present()).days >= AUTHORITY_DAYS - 1
    for server, client, name in _doors(own_pair).values():
        shake_hands(server, client, name=name)
    # Nobody was issued anything: keys, names, lists and the statement are what they were.
    assert (home.agencies / "FR.SCL" / "client.pem").read_bytes() == issued
    assert read_published_as_stated(home.own).statement.version == 1
    assert all(item.stage(present()) is None for item in endings(home, sort=Sort.CERTIFICATE))


def test_another_root_renews_no_authority(own_pair: Pair) -> None:
    before = own_pair.fr.own.authority(Authority.NODES).read_bytes()
    passphrase = read_passphrase_file(own_pair.us.authority.root_passphrase)

    with pytest.raises(TrustError, match="not the root of this home"):
        renew_authorities(own_pair.fr, own_pair.us.authority, passphrase, now=present())

    assert own_pair.fr.own.authority(Authority.NODES).read_bytes() == before


def test_the_root_renews_no_key_that_it_has_not_certified(own_pair: Pair) -> None:
    """Who writes to the copy of the home that goes to the root would else have an authority of his own."""
    home, planted = own_pair.fr, own_pair.us.own.authority(Authority.AGENCIES).read_bytes()
    home.own.authority(Authority.AGENCIES).write_bytes(planted)
    before = home.own.authority(Authority.NODES).read_bytes()

    with pytest.raises(TrustError, match="was not issued by the authority"):
        _renew_authorities(home, now=present())

    assert home.own.authority(Authority.AGENCIES).read_bytes() == planted
    assert home.own.authority(Authority.NODES).read_bytes() == before


@pytest.mark.parametrize("wanted", ["FR.SCL.X", "", "0", "../x", "US.CBP"])
def test_who_is_not_there_is_not_revoked(own_pair: Pair, wanted: str) -> None:
    before = _files(own_pair.fr.trust)

    with pytest.raises(CeremonyError):
        revoke(
            own_pair.fr,
            authorities(own_pair.fr, nation="FR"),
            wanted,
            reason=REASONS["unspecified"],
            now=present(),
        )

    assert _files(own_pair.fr.trust) == before


def test_a_revoked_node_does_not_reach_its_peer(own_pair: Pair) -> None:
    fr = own_pair.fr
    revoke(fr, authorities(fr, nation="FR"), f"{FR}/peer", reason=REASONS["key-compromise"], now=present())
    import_peer(own_pair.us, read_published_as_stated(fr.own))

    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        link(own_pair)


def _files(path: Path) -> dict[Path, bytes]:
    return {item: item.read_bytes() for item in path.rglob("*") if item.is_file()}


def later(home: NodeHome, what: str) -> KeyStatement:
    return rotate_signing_keys(what, home, folder(home), root_signer(home, nation="FR"), now=present())


@pytest.mark.parametrize("what", ["log", "cosigner"])
def test_new_signing_keys_are_stated_and_nothing_else_changes(own_pair: Pair, what: str) -> None:
    before = keyring(own_pair.fr).own_statement

    after = later(own_pair.fr, what)

    assert after.version == before.version + 1
    assert after.tls_spki == before.tls_spki
    assert (after.logs == before.logs) is (what == "cosigner")
    assert (after.cosigner == before.cosigner) is (what == "log")
    assert [log.name for log in after.logs] == [log.name for log in before.logs]
    assert keyring(own_pair.fr).own_statement == after


@pytest.mark.parametrize("what", ["log", "cosigner"])
def test_a_new_signing_key_that_no_statement_names_yet_is_taken_up_again(own_pair: Pair, what: str) -> None:
    home = own_pair.fr
    saved = {path: path.read_bytes() for path in (home.own.statement, home.own_verifier_keys)}
    first = later(home, what)
    for path, content in saved.items():  # as a crash before the statement leaves it
        path.write_bytes(content)
    keyring(home)

    again = later(home, what)

    assert (again.version, again.logs, again.cosigner) == (first.version, first.logs, first.cosigner)


def test_each_statement_names_the_keys_that_sign_below_it(own_pair: Pair) -> None:
    origin = "fr.gateway.test/exchange/us"
    old = keyring(own_pair.fr)
    notes = [old.statement]
    for what in ("log", "cosigner", "log"):
        later(own_pair.fr, what)
        notes.append(keyring(own_pair.fr).statement)
    opened = keyring(own_pair.fr)

    signers = [opened.log_signer(origin, note).verifier for note in notes]
    assert signers[0] == old.own_verifiers(origin)[0]
    assert signers[1] == signers[2]
    assert opened.own_verifiers(origin) == (signers[3], signers[1], signers[0])
    assert [key.name for key in opened.own_verifiers(f"{origin}/2")] == [f"{origin}/2"] * 3
    successor = opened.log_signer(f"{origin}/2", notes[0])
    assert successor.verifier.ed25519 == signers[0].ed25519

    assert opened.cosigner.verifier == opened.own_statement.cosigner
    opened.use_cosigner_of(notes[0])
    assert opened.cosigner.verifier == old.own_statement.cosigner


def test_a_running_node_reads_its_new_keys_and_refuses_a_statement_whose_keys_are_not_there(
    own_pair: Pair,
) -> None:
    running = keyring(own_pair.fr)
    assert running.reload_own() is False
    later(own_pair.fr, "log")
    hidden = own_pair.fr.keys / "log-audit-v2.key"
    away = hidden.with_suffix(".away")
    hidden.rename(away)

    with pytest.raises(TrustError, match="log-audit"):
        running.reload_own()
    assert running.own_statement.version == 1

    away.rename(hidden)
    assert running.reload_own() is True
    assert running.own_statement.version == 2


def test_a_home_that_was_restored_takes_up_what_its_log_states(own_pair: Pair) -> None:
    home = own_pair.fr
    saved = {path: path.read_bytes() for path in (home.own.statement, home.own_verifier_keys)}
    later(home, "log")
    stated = keyring(home).statement
    for path, content in saved.items():
        path.write_bytes(content)
    restored = keyring(home)
    assert restored.own_statement.version == 1

    assert restored.take_up_own(stated) is True

    assert restored.statement == stated
    origin = "fr.gateway.test/exchange/us"
    assert restored.log_signer(origin, stated).verifier == restored.own_statement.log(origin)
    assert keyring(home).statement == stated
    assert len(home.own_verifier_keys.read_text().splitlines()) == 10
    # It never goes back, and takes nothing that is not its own root's, or whose keys are not there.
    assert restored.take_up_own(saved[home.own.statement]) is False
    with pytest.raises(TrustError, match="another root"):
        restored.take_up_own(keyring(own_pair.us).statement)
    for path, content in saved.items():
        path.write_bytes(content)
    (home.keys / "log-audit-v2.key").unlink()
    with pytest.raises(TrustError, match="log-audit"):
        keyring(home).take_up_own(stated)


def test_the_peer_accepts_new_keys_and_never_goes_back(own_pair: Pair) -> None:
    origin = "fr.gateway.test/exchange/us"
    first = keyring(own_pair.fr)
    later(own_pair.fr, "log")
    later(own_pair.fr, "cosigner")
    newest = keyring(own_pair.fr)
    peer = keyring(own_pair.us)

    peer.accept_peer_statement(newest.statement, after=first.statement)

    assert peer.peer_statement == newest.statement
    assert peer.peer_log_verifier(origin, first.statement) == first.own_verifiers(origin)[0]
    assert peer.peer_log_verifier(origin, newest.statement) == newest.own_verifiers(origin)[0]
    assert peer.peer_cosigners == (newest.own_statement.cosigner, first.own_statement.cosigner)
    assert set(peer.peer_log_verifiers(origin)) == set(newest.own_verifiers(origin))
    with pytest.raises(StatementRefusedError, match="older than the one before it"):
        peer.accept_peer_statement(first.statement, after=newest.statement)
    # As the beginning of a mirror that is filled again it is history.
    peer.accept_peer_statement(first.statement)
    assert peer.peer_statement == newest.statement
    vkeys = own_pair.us.peer_verifier_keys.read_text()
    assert len(vkeys.splitlines()) == 12


def test_an_import_beside_a_running_node_is_taken_up(own_pair: Pair) -> None:
    running = keyring(own_pair.us)
    rotate(own_pair.fr)
    published = read_published_as_stated(own_pair.fr.own)
    import_peer(own_pair.us, published)
    assert running.peer_pins() != published.statement.tls_spki

    running.reload_peer()

    assert running.peer_pins() == published.statement.tls_spki


def test_a_peers_keys_count_where_the_trust_folder_cannot_be_written(own_pair: Pair) -> None:
    first = keyring(own_pair.fr)
    later(own_pair.fr, "log")
    newest = keyring(own_pair.fr)
    peer = keyring(own_pair.us)
    # A folder in the place of the file is as little writable as a read-only file system.
    written = own_pair.us.peer.statement.read_bytes()
    own_pair.us.peer.statement.unlink()
    own_pair.us.peer.statement.mkdir()

    peer.accept_peer_statement(newest.statement, after=first.statement)

    assert peer.peer_statement == newest.statement
    # Nor does an import that knows less, such as one of a newer revocation list, take them back.
    own_pair.us.peer.statement.rmdir()
    own_pair.us.peer.statement.write_bytes(written)
    peer.reload_peer()
    assert peer.peer_statement == newest.statement
