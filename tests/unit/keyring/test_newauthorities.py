"""New authorities beside the old ones: who gets in while they wait, and who once they are in force."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

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

from gateway.keyring import files as file_calls
from gateway.keyring import tls
from gateway.keyring.access import Doorkeeper, NotAdmittedError, RevocationWatch
from gateway.keyring.anchors import authorities_wait
from gateway.keyring.carrying import NEW_AUTHORITIES, carry_in, carry_out
from gateway.keyring.ceremony import open_authorities, peer_leaf, publish_crls, server_leaf, server_names
from gateway.keyring.certificates import read_anchor, read_certificate
from gateway.keyring.expiry import endings
from gateway.keyring.holders import NewHolder, issue_for_request, without_certificate
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.issuing import IssuingAuthority
from gateway.keyring.newauthorities import prepare_authorities, switch_authorities
from gateway.keyring.newroot import prepare_root, switch_root
from gateway.keyring.passphrase import Passphrase, read_passphrase_file
from gateway.keyring.refusals import CeremonyError, KeyFileError, TrustError
from gateway.keyring.registry import Role, read_registry, spki_sha256
from gateway.keyring.rotation import (
    REASONS,
    renew_authorities,
    revoke,
    rotate_peer_tls,
    rotate_server_tls,
    rotate_signing_keys,
)
from gateway.keyring.trust import export_trust, import_peer, offered, read_published_as_stated
from gateway.keyring.x509_profile import Authority, Leaf
from tests.unit.keyring.helpers import (
    FR,
    OTHER_PASSPHRASE,
    PASSPHRASE,
    Pair,
    are_linked,
    authorities,
    folder,
    is_served,
    keyring,
    present,
    root_signer,
    shake_hands,
)

SCL = NewHolder(code="FR.SCL", role=Role.AGENCY)


class PowerIsGoneError(BaseException):
    """What a machine does between two steps; nobody's handler catches it."""


@pytest.fixture
def medium(tmp_path: Path) -> AuthorityHome:
    return AuthorityHome(path=tmp_path / "medium")


def prepare(home: NodeHome, medium: AuthorityHome, *, root_of: NodeHome | None = None) -> None:
    root = (root_of or home).authority
    opens = read_passphrase_file(root.root_passphrase)
    prepare_authorities(home, root, opens, medium, PASSPHRASE, now=present())


def new_ones(home: NodeHome, medium: AuthorityHome) -> dict[Authority, IssuingAuthority]:
    return open_authorities(home, medium, PASSPHRASE, nation="FR")


def tell(pair: Pair, stick: Path, *, replace_root: bool = False) -> None:
    """Bring what the French publish to the Americans."""
    export_trust(pair.fr, stick)
    import_peer(pair.us, offered(pair.us, stick, replace_root=replace_root), replace_root=replace_root)


def request_of(client: Path) -> bytes:
    """Return a request for the key that a holder has."""
    key = load_pem_private_key((client / "client.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA384())
    return csr.public_bytes(Encoding.PEM)


def reissue(home: NodeHome, medium: AuthorityHome, target: Path, *, code: NewHolder = SCL) -> None:
    """Let a holder have a certificate of the new authority for the key that it has."""
    client = home.agencies / SCL.code
    if not target.exists():
        shutil.copytree(client, target)
    authority = new_ones(home, medium)[Authority.AGENCIES]
    certificate = issue_for_request(home, authority, code, request_of(client), now=present())
    (target / "client.pem").write_bytes(certificate)


def is_admitted(home: NodeHome, client: Path) -> bool:
    """Return whether the agency port takes a certificate, and knows who it is."""
    server = tls.agency_server(home, keyring(home).server_identity())
    try:
        end, _ = shake_hands(server, tls.agency_client(client), name=FR)
    except ssl.SSLError:
        return False
    shown = end.getpeercert(binary_form=True)
    assert shown is not None
    try:
        return Doorkeeper(home, Authority.AGENCIES).admit(shown, now=present()).code == SCL.code
    except NotAdmittedError:
        return False


def starts(home: NodeHome) -> bool:
    """Return whether a node finds everything it needs for its ports."""
    ring = keyring(home)
    tls.agency_server(home, ring.server_identity())
    tls.operator_server(home, ring.server_identity())
    tls.peer_server(home, ring.peer_identity())
    tls.peer_client(home, ring.peer_identity())
    for authority in Authority:
        RevocationWatch(home.own, authority)
    RevocationWatch(home.peer, Authority.NODES)
    return bool(endings(home))


def contents(home: NodeHome) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()}


@contextmanager
def power_for(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let so many writes, renames and removals happen; whoever wants one more is killed."""
    left = steps

    def spend() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerIsGoneError

    def before(call: Callable[..., object]) -> Callable[..., object]:
        def spending(*positional: object, **named: object) -> object:
            spend()
            return call(*positional, **named)

        return spending

    with monkeypatch.context() as patch:
        patch.setattr(file_calls, "_write", before(file_calls._write))
        patch.setattr(Path, "rename", before(Path.rename))
        patch.setattr(shutil, "rmtree", before(shutil.rmtree))
        patch.setattr(os, "unlink", before(os.unlink))
        yield


def until_it_ends(
    do: Callable[[], object], look: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> int:
    """Do something that is killed a step later each time, and look at what is left; return how often."""
    for steps in range(100):
        try:
            with power_for(steps, monkeypatch):
                do()
        except PowerIsGoneError:
            look()
        else:
            look()
            return steps
    message = "it never ends"
    raise AssertionError(message)


def test_while_they_wait_certificates_of_both_are_good_and_nothing_else_has_changed(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home, client = own_pair.fr, own_pair.fr.agencies / SCL.code
    before = contents(home)

    prepare(home, medium)

    waiting = home.own.next_authorities.folder
    assert {path: text for path, text in contents(home).items() if waiting not in path.parents} == before
    reissue(home, medium, tmp_path / "renewed")
    assert contents(home).items() >= before.items()
    assert is_admitted(home, client)
    assert is_admitted(home, tmp_path / "renewed")
    assert is_served(home)
    assert are_linked(own_pair)
    tell(own_pair, tmp_path / "stick")
    assert are_linked(own_pair)
    assert starts(own_pair.us)


def test_in_force_they_are_alone(own_pair: Pair, medium: AuthorityHome, tmp_path: Path) -> None:
    home, client = own_pair.fr, own_pair.fr.agencies / SCL.code
    old = authorities(home, nation="FR")
    stated = read_published_as_stated(home.own).statement_note
    prepare(home, medium)
    reissue(home, medium, tmp_path / "renewed")
    tell(own_pair, tmp_path / "stick")
    spki = read_certificate(home.own.peer_chain).public_key()

    switch_authorities(home, now=present())

    assert not authorities_wait(home.own)
    assert starts(home)
    assert are_linked(own_pair)
    assert is_admitted(home, tmp_path / "renewed")
    assert not is_admitted(home, client)
    shutil.copy(tmp_path / "renewed" / "client.pem", client)
    assert is_served(home)
    # Keys of the node and what the root has stated of them are as they were.
    assert read_certificate(home.own.peer_chain).public_key() == spki
    assert read_published_as_stated(home.own).statement_note == stated
    for kind in Authority:
        assert read_anchor(home.own.authority(kind)).public_key() != old[kind].certificate.public_key()
    # The next export takes the old one from the peer as well.
    tell(own_pair, tmp_path / "stick")
    assert not authorities_wait(own_pair.us.peer)
    assert are_linked(own_pair)
    # From here on everything is made by the new ones.
    publish_crls(home, new_ones(home, medium), now=present())
    rotate_server_tls(home, folder(home), new_ones(home, medium)[Authority.NODES], now=present())
    assert is_admitted(home, tmp_path / "renewed")
    with pytest.raises(TrustError, match="not the certificate of"):
        authorities(home, nation="FR")


def test_a_peer_that_has_not_imported_is_linked_again_once_it_has(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    prepare(own_pair.fr, medium)
    switch_authorities(own_pair.fr, now=present())
    with pytest.raises(ssl.SSLCertVerificationError):
        are_linked(own_pair)

    tell(own_pair, tmp_path / "stick")

    assert are_linked(own_pair)


def forge(old: IssuingAuthority, folder: Path, *, anchor: Path, leaf: Leaf) -> Path:
    """Make what a thief makes of a stolen authority: a certificate for a key of his own."""
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = old.issue(key.public_key(), leaf, name="nobody", now=present())
    folder.mkdir()
    (folder / "client.pem").write_bytes(certificate + old.certificate.public_bytes(Encoding.PEM))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "client.key").write_bytes(pem)
    shutil.copy(anchor, folder / "ca.pem")
    return folder


def test_what_a_thief_issues_opens_nothing_while_they_wait_and_no_handshake_afterwards(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    old = authorities(home, nation="FR")
    thief = forge(old[Authority.AGENCIES], tmp_path / "thief", anchor=home.own.root, leaf=SCL.leaf("FR"))
    node = forge(old[Authority.NODES], tmp_path / "node", anchor=own_pair.us.own.root, leaf=peer_leaf(FR))
    american = keyring(own_pair.us)

    def shown_to_the_peer() -> bytes | None:
        server = tls.peer_server(own_pair.us, american.peer_identity())
        return shake_hands(server, tls.agency_client(node), name=american.node)[0].getpeercert(True)

    prepare(home, medium)
    tell(own_pair, tmp_path / "stick")
    assert not is_admitted(home, thief)
    shown = shown_to_the_peer()
    assert shown is not None
    assert spki_sha256(shown) not in american.peer_pins()

    switch_authorities(home, now=present())
    tell(own_pair, tmp_path / "stick")

    assert not is_admitted(home, thief)
    server = tls.agency_server(home, keyring(home).server_identity())
    with pytest.raises(ssl.SSLError):
        shake_hands(server, tls.agency_client(thief), name=FR)
    with pytest.raises(ssl.SSLError):
        shown_to_the_peer()


def test_agencies_are_safe_from_a_stolen_node_authority_once_they_trust_a_new_root_alone(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    leaf = server_leaf(FR, server_names(home))
    nodes = authorities(home, nation="FR")[Authority.NODES]
    thief = forge(nodes, tmp_path / "thief", anchor=home.own.root, leaf=leaf)
    prepare(home, medium)
    reissue(home, medium, home.agencies / SCL.code)
    switch_authorities(home, now=present())

    def is_fooled() -> bool:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(thief / "client.pem", thief / "client.key")
        try:
            shake_hands(server, tls.agency_client(home.agencies / SCL.code), name=FR)
        except ssl.SSLCertVerificationError:
            return False
        return True

    # The root has certified the stolen one, and agencies trust the root: that is what is left to do.
    assert is_fooled()
    prepare_root(home, AuthorityHome(path=tmp_path / "root"), PASSPHRASE, now=present())
    switch_root(home)
    shutil.copy(home.own.root, home.agencies / SCL.code / "ca.pem")
    assert not is_fooled()
    assert is_served(home)
    assert is_admitted(home, home.agencies / SCL.code)


def test_making_them_can_be_interrupted_anywhere_and_run_again(
    own_pair: Pair, medium: AuthorityHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = own_pair.fr

    def look() -> None:
        assert starts(home)
        assert is_admitted(home, home.agencies / SCL.code)

    assert until_it_ends(lambda: prepare(home, medium), look, monkeypatch) > 10

    made = contents(home)
    prepare(home, medium)
    assert contents(home) == made
    reissue(home, medium, tmp_path / "renewed")
    assert is_admitted(home, tmp_path / "renewed")
    switch_authorities(home, now=present())
    assert is_admitted(home, tmp_path / "renewed")


def test_the_switch_can_be_interrupted_anywhere_and_run_again_and_a_node_starts_in_between(
    own_pair: Pair, medium: AuthorityHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = own_pair.fr
    prepare(home, medium)
    reissue(home, medium, tmp_path / "renewed")
    tell(own_pair, tmp_path / "stick")

    def look() -> None:
        assert starts(home)
        assert is_admitted(home, tmp_path / "renewed")
        assert are_linked(own_pair)

    def switch() -> None:
        # Killed behind the last step it is not run again: nothing waits.
        if authorities_wait(home.own):
            switch_authorities(home, now=present())

    assert until_it_ends(switch, look, monkeypatch) > 5
    assert not is_admitted(home, home.agencies / SCL.code)


@pytest.mark.parametrize("imported", [False, True])
def test_an_import_can_be_interrupted_anywhere_and_the_peers_node_starts(
    own_pair: Pair,
    medium: AuthorityHome,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    imported: bool,
) -> None:
    """Of an export with authorities that wait, and of one behind the switch, whether or not both came."""
    home, american = own_pair.fr, own_pair.us
    prepare(home, medium)

    def take() -> None:
        import_peer(american, offered(american, tmp_path / "stick", replace_root=False))

    def look() -> None:
        assert starts(american)

    if imported:
        export_trust(home, tmp_path / "stick")
        assert until_it_ends(take, look, monkeypatch) > 3
        assert are_linked(own_pair)
    switch_authorities(home, now=present())
    export_trust(home, tmp_path / "stick")
    assert until_it_ends(take, look, monkeypatch) > 3
    assert are_linked(own_pair)
    assert not authorities_wait(american.peer)


def test_what_would_be_made_under_the_old_ones_is_refused_while_they_wait(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    root, nodes = root_signer(home, nation="FR"), authorities(home, nation="FR")[Authority.NODES]
    opens_root = read_passphrase_file(home.authority.root_passphrase)
    stick = NodeHome(path=tmp_path / "stick")
    carry_out(home, stick)
    prepare_root(stick, AuthorityHome(path=tmp_path / "root"), PASSPHRASE, now=present())
    prepare(home, medium)
    before = contents(home)

    for forbidden in (
        lambda: rotate_peer_tls(home, folder(home), nodes, root, now=present()),
        lambda: rotate_server_tls(home, folder(home), nodes, now=present()),
        lambda: renew_authorities(home, home.authority, opens_root, now=present()),
        lambda: prepare_root(home, AuthorityHome(path=tmp_path / "root-2"), PASSPHRASE, now=present()),
        lambda: prepare(home, AuthorityHome(path=tmp_path / "another")),
        lambda: carry_in(home, stick, folder(home), now=present()),
        lambda: switch_root(home),
    ):
        with pytest.raises(CeremonyError, match="new authorities wait"):
            forbidden()
    assert contents(home) == before

    # What the root states of log and cosigner keys does not touch them.
    rotate_signing_keys("log", home, folder(home), root, now=present())
    switch_authorities(home, now=present())
    assert keyring(home).own_statement.version == 2


def test_wrong_media_are_refused(own_pair: Pair, medium: AuthorityHome, tmp_path: Path) -> None:
    home = own_pair.fr
    opens_root = read_passphrase_file(home.authority.root_passphrase)
    opens_issuing = read_passphrase_file(home.authority.issuing_passphrase)
    before = contents(home)

    def make(root: NodeHome, medium: AuthorityHome, opens: Passphrase = PASSPHRASE) -> None:
        opened = read_passphrase_file(root.authority.root_passphrase)
        prepare_authorities(home, root.authority, opened, medium, opens, now=present())

    with pytest.raises(CeremonyError, match="authorities that are in force"):
        make(home, home.authority, opens_issuing)
    with pytest.raises(TrustError, match="not the root of this home"):
        make(own_pair.us, medium)
    other = read_passphrase_file(own_pair.us.authority.issuing_passphrase)
    with pytest.raises(TrustError, match="authorities of another nation"):
        make(home, own_pair.us.authority, other)
    prepare_authorities(home, home.authority, opens_root, medium, PASSPHRASE, now=present())
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        make(home, medium, OTHER_PASSPHRASE)
    shutil.rmtree(home.own.next_authorities.folder)
    assert contents(home) == before


def test_they_are_not_made_while_a_new_root_waits(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    prepare_root(own_pair.fr, AuthorityHome(path=tmp_path / "root"), PASSPHRASE, now=present())

    with pytest.raises(CeremonyError, match="a new root waits"):
        prepare(own_pair.fr, medium)
    assert not medium.path.exists()


def test_nothing_is_put_in_force_that_does_not_wait(own_pair: Pair) -> None:
    with pytest.raises(CeremonyError, match="no new authorities wait"):
        switch_authorities(own_pair.fr, now=present())


def test_a_holder_keeps_its_key_and_its_line_in_the_registry(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    registry = read_registry(home.registry)
    prepare(home, medium)
    agencies = new_ones(home, medium)[Authority.AGENCIES]
    assert SCL.code in without_certificate(home, agencies)

    reissue(home, medium, tmp_path / "renewed")
    # The stick with it was lost.
    reissue(home, medium, tmp_path / "renewed")

    assert read_registry(home.registry) == registry
    assert SCL.code not in without_certificate(home, agencies)
    with pytest.raises(TrustError, match=r"already, as FR\.SCL"):
        reissue(home, medium, tmp_path / "renewed", code=NewHolder(code="FR.ONAF", role=Role.AGENCY))
    with pytest.raises(TrustError, match="a new certificate needs a new key"):
        issue_for_request(
            home,
            authorities(home, nation="FR")[Authority.AGENCIES],
            SCL,
            request_of(tmp_path / "renewed"),
            now=present(),
        )
    switch_authorities(home, now=present())
    # Who comes late gets one as well; from then on a new certificate needs a new key.
    with pytest.raises(TrustError, match="a new certificate needs a new key"):
        reissue(home, medium, tmp_path / "renewed")


def test_who_comes_late_gets_a_certificate_behind_the_switch(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    prepare(home, medium)
    switch_authorities(home, now=present())

    reissue(home, medium, tmp_path / "renewed")

    assert is_admitted(home, tmp_path / "renewed")


def test_a_holder_is_revoked_though_nobody_has_the_record_of_its_certificate(
    own_pair: Pair, medium: AuthorityHome
) -> None:
    """The old medium is lost: its list cannot be made any more, but the registry is at hand."""
    home = own_pair.fr
    prepare(home, medium)

    found = revoke(home, new_ones(home, medium), "fr.scl", reason=REASONS["key-compromise"], now=present())

    assert found == []
    assert not is_admitted(home, home.agencies / SCL.code)
    with pytest.raises(CeremonyError, match="no certificate of that name"):
        revoke(home, new_ones(home, medium), "fr.scl", reason=REASONS["superseded"], now=present())


def test_each_list_is_that_of_its_own_authority_and_ends_for_itself(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    prepare(home, medium)
    reissue(home, medium, tmp_path / "renewed")
    week_ago = present() - timedelta(days=8)

    # The old medium is lost, and the last list that it has made runs out.
    publish_crls(home, authorities(home, nation="FR"), now=week_ago)
    assert not is_admitted(home, home.agencies / SCL.code)
    assert is_admitted(home, tmp_path / "renewed")

    # Nobody has made lists of the new ones for a week: nothing is put in force that lets nobody in.
    publish_crls(home, authorities(home, nation="FR"), now=present())
    publish_crls(home, new_ones(home, medium), now=week_ago)
    assert is_admitted(home, home.agencies / SCL.code)
    assert not is_admitted(home, tmp_path / "renewed")
    assert "own/next-authorities/agency-ca.crl" in [item.file for item in endings(home)]
    with pytest.raises(CeremonyError, match="what waits has run out"):
        switch_authorities(home, now=present())
    publish_crls(home, new_ones(home, medium), now=present())
    switch_authorities(home, now=present())
    assert is_admitted(home, tmp_path / "renewed")


def test_over_a_stick_everything_is_made_and_nothing_is_believed(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home, stick = own_pair.fr, NodeHome(path=tmp_path / "stick")
    carry_out(home, stick)
    prepare(stick, medium, root_of=home)
    agencies = new_ones(stick, medium)[Authority.AGENCIES]
    client = tmp_path / "renewed"
    shutil.copytree(home.agencies / SCL.code, client)
    (client / "client.pem").write_bytes(
        issue_for_request(stick, agencies, SCL, request_of(client), now=present())
    )

    def come_back() -> list[str]:
        return carry_in(home, stick, folder(home), now=present())

    assert come_back() == [NEW_AUTHORITIES]
    assert come_back() == []
    assert is_admitted(home, client)
    # Every few days, for as long as they wait.
    carry_out(home, stick)
    publish_crls(stick, new_ones(stick, medium), now=present())
    assert come_back() == [f"next-authorities/{kind.value}.crl number 2" for kind in Authority]
    before = contents(home)
    elsewhere = NodeHome(path=tmp_path / "elsewhere")
    shutil.rmtree(home.own.next_authorities.folder)
    carry_out(home, elsewhere)
    shutil.copytree(stick.own.next_authorities.folder, home.own.next_authorities.folder)
    prepare(elsewhere, AuthorityHome(path=tmp_path / "another"), root_of=home)
    with pytest.raises(CeremonyError, match="new authorities wait"):
        carry_in(home, elsewhere, folder(home), now=present())
    assert contents(home) == before
    switch_authorities(home, now=present())
    with pytest.raises(TrustError, match="carry out again"):
        come_back()
    carry_out(home, stick)
    assert come_back() == []


def test_a_stick_that_was_exchanged_brings_no_other_key_of_a_port(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home, stick = own_pair.fr, NodeHome(path=tmp_path / "stick")
    carry_out(home, stick)
    nodes = authorities(home, nation="FR")[Authority.NODES]
    leaf = server_leaf(FR, server_names(home))
    thief = forge(nodes, tmp_path / "thief", anchor=home.own.root, leaf=leaf)
    shutil.copy(thief / "client.pem", stick.own.server_chain)
    prepare(stick, medium, root_of=home)
    before = contents(home)

    with pytest.raises(TrustError, match=r"tls-server\.pem that waits is not the certificate of the key"):
        carry_in(home, stick, folder(home), now=present())
    assert contents(home) == before


def test_an_authority_of_one_kind_does_not_wait_for_the_place_of_another(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    """Certificates of one port must not open another."""
    home, stick = own_pair.fr, NodeHome(path=tmp_path / "stick")
    carry_out(home, stick)
    prepare(stick, medium, root_of=home)
    waiting = stick.own.next_authorities
    for suffix in ("pem", "crl"):
        content = (waiting.folder / f"agency-ca.{suffix}").read_bytes()
        (waiting.folder / f"operator-ca.{suffix}").write_bytes(content)

    with pytest.raises(TrustError, match="bears another name"):
        carry_in(home, stick, folder(home), now=present())
    assert not authorities_wait(home.own)


def test_authorities_that_were_replaced_do_not_come_back(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    """The root has certified them once; whoever has stolen them brings them on a stick, or as an export."""
    home = own_pair.fr
    export_trust(home, tmp_path / "kept")
    old = {path.name: path.read_bytes() for path in home.own.folder.iterdir() if path.is_file()}
    later = present() + timedelta(seconds=2)
    opens_root = read_passphrase_file(home.authority.root_passphrase)
    prepare_authorities(home, home.authority, opens_root, medium, PASSPHRASE, now=later)
    switch_authorities(home, now=present())
    tell(own_pair, tmp_path / "stick")
    before = contents(home), contents(own_pair.us)

    with pytest.raises(TrustError, match="ask for a newer export"):
        import_peer(own_pair.us, offered(own_pair.us, tmp_path / "kept", replace_root=False))
    stick = NodeHome(path=tmp_path / "planted")
    carry_out(home, stick)
    stick.own.next_authorities.folder.mkdir()
    for name, content in old.items():
        (stick.own.next_authorities.folder / name).write_bytes(content)
    with pytest.raises(TrustError, match="older than the one in force"):
        carry_in(home, stick, folder(home), now=present())

    assert (contents(home), contents(own_pair.us)) == before


def test_the_peer_believes_no_authority_that_the_root_has_not_certified(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    prepare(own_pair.fr, medium)
    export_trust(own_pair.fr, tmp_path / "stick")
    planted = tmp_path / "stick" / "next-authorities"
    shutil.copy(own_pair.us.own.authority("node-ca"), planted)
    shutil.copy(own_pair.us.own.crl("node-ca"), planted)
    before = contents(own_pair.us)

    with pytest.raises(TrustError, match="not issued by the authority"):
        offered(own_pair.us, tmp_path / "stick", replace_root=False)
    assert contents(own_pair.us) == before


def test_a_running_port_sees_them_come_and_go(own_pair: Pair, medium: AuthorityHome) -> None:
    home = own_pair.fr
    files = tls.context_files(home.own, Authority.AGENCIES, home.own.server_chain)
    watch = RevocationWatch(home.own, Authority.AGENCIES)
    stamps = [tls.trust_stamp(files)]
    prepare(home, medium)
    stamps.append(tls.trust_stamp(files))
    assert watch.current().number == 1
    publish_crls(home, new_ones(home, medium), now=present() + timedelta(minutes=1))
    stamps.append(tls.trust_stamp(files))
    assert watch.current().number == 2
    switch_authorities(home, now=present())
    stamps.append(tls.trust_stamp(files))
    assert len(set(stamps)) == len(stamps)
    assert watch.current().number == 2
