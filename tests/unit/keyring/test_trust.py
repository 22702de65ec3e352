"""What the peer published is trusted as a whole, under the pinned root, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.keyring.ceremony import publish_crls
from gateway.keyring.certificates import crl_next_update, read_certificate, verify_crl, verify_issued
from gateway.keyring.demo import make_test_home, plan_for
from gateway.keyring.home import NodeHome, TrustFiles
from gateway.keyring.pins import read_pin, write_pin
from gateway.keyring.refusals import KeyFileError, TrustError
from gateway.keyring.roots import root_digest
from gateway.keyring.statement import next_statement, sign_statement
from gateway.keyring.trust import (
    Published,
    export_trust,
    import_peer,
    needs_comparison,
    read_peer,
    read_published,
    read_published_as_stated,
)
from tests.unit.keyring.helpers import Pair, authorities, present, root_signer

US, FR = "us.gateway.test", "fr.gateway.test"


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> NodeHome:
    """A home that claims the American names under a root of its own."""
    home = NodeHome(path=tmp_path_factory.mktemp("impostor") / "us")
    make_test_home(home, plan_for("US"), now=present())
    return home


def newer(home: NodeHome, *, nation: str) -> Published:
    """The same nation's next statement."""
    published = read_published_as_stated(home.own)
    current, following = published.statement.tls_spki
    statement = next_statement(published.statement, issued=present(), tls_spki=(following, current))
    note = sign_statement(statement, root=root_signer(home, nation=nation))
    return replace(published, statement=statement, statement_note=note)


def test_what_is_exported_is_what_the_peer_imports(own_pair: Pair, tmp_path: Path) -> None:
    exported = export_trust(own_pair.us, tmp_path / "export")
    published = read_published_as_stated(TrustFiles(folder=tmp_path / "export"))

    assert published == exported
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == [
        "node-ca.crl",
        "node-ca.pem",
        "root.pem",
        "root.vkeys",
        "statement.note",
        "us.gateway.test.vkeys",
    ]
    assert list(published.fingerprints()) == [
        "root keys in words",
        "root keys (SHA-384)",
        "root certificate (SHA-384)",
    ]


def test_an_import_pins_root_and_version(own_pair: Pair) -> None:
    pin, published = read_peer(own_pair.fr)

    assert (pin.nation, pin.node, pin.lowest_version) == ("US", US, 1)
    assert pin.root == root_digest(published.root)
    assert own_pair.fr.peer_verifier_keys.read_text() == own_pair.us.own_verifier_keys.read_text()


def test_before_the_import_the_peer_is_nobody(own_pair: Pair) -> None:
    write_pin(own_pair.fr.peer, replace(read_pin(own_pair.fr.peer), root=None))

    with pytest.raises(TrustError, match="not imported yet"):
        read_peer(own_pair.fr)


def test_a_newer_statement_of_the_pinned_root_needs_no_comparison(own_pair: Pair) -> None:
    published = newer(own_pair.us, nation="US")

    assert not needs_comparison(read_pin(own_pair.fr.peer), published)
    assert import_peer(own_pair.fr, published).lowest_version == 2
    assert read_peer(own_pair.fr)[1].statement.version == 2


def test_an_older_statement_is_refused_once_a_newer_one_is_pinned(own_pair: Pair) -> None:
    older = read_published_as_stated(own_pair.us.own)
    import_peer(own_pair.fr, newer(own_pair.us, nation="US"))

    with pytest.raises(TrustError, match="older"):
        import_peer(own_pair.fr, older)
    # Put back on the disk behind our back it is refused as well.
    own_pair.fr.peer.statement.write_bytes(older.statement_note)
    with pytest.raises(TrustError, match="older"):
        read_peer(own_pair.fr)


def test_another_root_needs_a_person_who_says_so(own_pair: Pair, impostor: NodeHome) -> None:
    published = read_published_as_stated(impostor.own)

    assert needs_comparison(read_pin(own_pair.fr.peer), published)
    with pytest.raises(TrustError, match="another root"):
        import_peer(own_pair.fr, published)
    assert read_peer(own_pair.fr)[1] == read_published_as_stated(own_pair.us.own)

    import_peer(own_pair.fr, published, replace_root=True)
    assert read_peer(own_pair.fr)[1] == published


def test_files_swapped_behind_our_back_are_refused(own_pair: Pair, impostor: NodeHome) -> None:
    for path in impostor.own.folder.iterdir():
        shutil.copy2(path, own_pair.fr.peer.folder / path.name)

    with pytest.raises(TrustError, match="pinned"):
        read_peer(own_pair.fr)


def test_the_keys_of_the_wrong_node_are_refused(own_pair: Pair) -> None:
    with pytest.raises(TrustError, match=US):
        import_peer(own_pair.fr, read_published_as_stated(own_pair.fr.own))


def test_test_keys_do_not_enter_a_production_home(own_pair: Pair) -> None:
    own = read_published_as_stated(own_pair.fr.own)
    statement = replace(own.statement, test=False, version=2)
    own_pair.fr.own.statement.write_bytes(
        sign_statement(statement, root=root_signer(own_pair.fr, nation="FR"))
    )

    with pytest.raises(TrustError, match="TEST"):
        import_peer(own_pair.fr, read_published_as_stated(own_pair.us.own))


@pytest.mark.parametrize("file", ["root.vkeys", "statement.note", "root.pem", "node-ca.pem", "node-ca.crl"])
def test_a_file_of_another_root_does_not_fit(own_pair: Pair, impostor: NodeHome, file: str) -> None:
    shutil.copy2(impostor.own.folder / file, own_pair.fr.peer.folder / file)

    with pytest.raises(TrustError):
        read_peer(own_pair.fr)


@pytest.mark.parametrize(
    "file", ["root.vkeys", "statement.note", "root.pem", "node-ca.pem", "node-ca.crl", "pin.json"]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:0],
        lambda content: b"\xff" + content,
        lambda content: content + b"nothing of the kind\n",
    ],
    ids=["cut", "empty", "not text", "extended"],
)
def test_a_damaged_file_is_refused(own_pair: Pair, file: str, change: Callable[[bytes], bytes]) -> None:
    path = own_pair.fr.peer.folder / file
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(TrustError):
        read_peer(own_pair.fr)


@pytest.mark.parametrize("file", ["root.pem", "node-ca.pem", "node-ca.crl"])
def test_a_second_certificate_in_a_file_is_found(own_pair: Pair, impostor: NodeHome, file: str) -> None:
    # OpenSSL would trust it, even in the file of the revocation list.
    path = own_pair.fr.peer.folder / file
    path.write_bytes(path.read_bytes() + impostor.own.authority("node-ca").read_bytes())

    with pytest.raises(TrustError):
        read_peer(own_pair.fr)


@pytest.mark.parametrize("file", ["root.vkeys", "statement.note", "node-ca.pem", "pin.json"])
def test_a_file_that_others_may_write_is_refused(own_pair: Pair, file: str) -> None:
    (own_pair.fr.peer.folder / file).chmod(0o666)

    with pytest.raises(KeyFileError):
        read_peer(own_pair.fr)


@pytest.mark.parametrize("file", ["root.vkeys", "statement.note", "root.pem", "node-ca.crl", "pin.json"])
def test_an_absent_file_is_refused(own_pair: Pair, file: str) -> None:
    (own_pair.fr.peer.folder / file).unlink()

    with pytest.raises(KeyFileError):
        read_peer(own_pair.fr)


@pytest.mark.parametrize("file", ["root.vkeys", "statement.note"])
def test_an_export_that_does_not_fit_together_is_not_shown_to_a_person(
    own_pair: Pair, tmp_path: Path, file: str
) -> None:
    export_trust(own_pair.us, tmp_path / "export")
    for content in (b"", b"nothing of the kind\n", (own_pair.fr.own.folder / file).read_bytes()):
        (tmp_path / "export" / file).write_bytes(content)

        with pytest.raises(TrustError):
            read_published_as_stated(TrustFiles(folder=tmp_path / "export"))


def test_a_list_of_another_authority_is_refused(pair: Pair) -> None:
    issuer = read_certificate(pair.fr.own.authority("node-ca"))

    with pytest.raises(TrustError):
        verify_crl(pair.fr.own.crl("agency-ca").read_bytes(), issuer=issuer)
    with pytest.raises(TrustError):
        verify_crl(pair.us.own.crl("node-ca").read_bytes(), issuer=issuer)


def test_a_certificate_of_another_authority_is_refused(pair: Pair) -> None:
    root = read_certificate(pair.fr.own.root)

    verify_issued(read_certificate(pair.fr.own.authority("agency-ca")), issuer=root)
    with pytest.raises(TrustError):
        verify_issued(read_certificate(pair.us.own.authority("agency-ca")), issuer=root)


def test_one_knows_when_a_list_runs_out(own_pair: Pair) -> None:
    before = crl_next_update(own_pair.fr.own.crl("node-ca").read_bytes())
    publish_crls(own_pair.fr, authorities(own_pair.fr, nation="FR"), now=present())

    assert crl_next_update(own_pair.fr.own.crl("node-ca").read_bytes()) >= before
    with pytest.raises(TrustError):
        crl_next_update(b"no list")


def test_the_expected_nation_and_node_are_those_of_the_caller(pair: Pair) -> None:
    assert read_published(pair.us.own, nation="US", node=US).statement.node == US
    for nation, node in (("US", FR), ("FR", US)):
        with pytest.raises(TrustError):
            read_published(pair.us.own, nation=nation, node=node)
