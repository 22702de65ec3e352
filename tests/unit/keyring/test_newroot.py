"""A new root beside the old one: what waits, what is put in force, and what either of them may say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import SignatureInvalidError
from gateway.keyring import files as file_calls
from gateway.keyring import trust
from gateway.keyring.carrying import carry_in, carry_out, sign_on_stick, unsigned_statement
from gateway.keyring.ceremony import open_root_signer, publish_crls, publish_statement
from gateway.keyring.certificates import read_anchor
from gateway.keyring.demo import make_demo_homes
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.newroot import (
    Prepared,
    is_prepared,
    prepare_root,
    read_prepared,
    switch_root,
)
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.pins import read_pin
from gateway.keyring.refusals import CeremonyError, KeyFileError, TrustError
from gateway.keyring.roots import root_digest
from gateway.keyring.rotation import (
    STAGES,
    renew_authorities,
    rotate_peer_tls,
    rotate_signing_keys,
)
from gateway.keyring.statement import StatementRefusedError, next_statement, sign_statement
from gateway.keyring.transcript import People
from gateway.keyring.trust import export_trust, import_peer, offered, read_peer, read_published_as_stated
from gateway.keyring.x509_profile import Authority
from tests.unit.keyring.helpers import (
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
)


@pytest.fixture
def medium(tmp_path: Path) -> AuthorityHome:
    return AuthorityHome(path=tmp_path / "medium")


def prepare(home: NodeHome, medium: AuthorityHome) -> Prepared:
    people = People(custodians=("Camille Martin", "Dominique Petit"), witness="Claude Durand")
    return prepare_root(home, medium, PASSPHRASE, now=present(), people=people)


def tell(pair: Pair, stick: Path, *, replace_root: bool = False) -> None:
    """Bring what the French publish to the Americans."""
    export_trust(pair.fr, stick)
    import_peer(pair.us, offered(pair.us, stick, replace_root=replace_root), replace_root=replace_root)


def contents(home: NodeHome) -> dict[Path, bytes]:
    paths = [path for path in home.path.rglob("*") if path.is_file() and path.name != "ca.pem"]
    return {path: path.read_bytes() for path in paths if home.own.next.folder not in path.parents}


def test_what_a_new_root_has_made_waits_and_nothing_has_changed(
    own_pair: Pair, medium: AuthorityHome
) -> None:
    home = own_pair.fr
    before, old = contents(home), read_published_as_stated(home.own)

    prepared = prepare(home, medium)

    assert contents(home) == before
    assert is_prepared(home)
    made = read_published_as_stated(home.own.next)
    assert (made.former, made.statement.version) == ((old.root,), 2)
    assert made.root != old.root
    same = replace(
        made.statement,
        version=1,
        issued=old.statement.issued,
        root_certificate=old.statement.root_certificate,
        ceremony=old.statement.ceremony,
    )
    assert same == old.statement
    text = prepared.transcript.decode()
    assert "Camille Martin" in text
    assert root_digest(made.root).hex()[:4] in text
    assert keyring(home).own_statement == old.statement


def test_nobody_is_refused_before_during_and_after_the_change(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    first = keyring(home).statement

    def look(*, newest: bytes) -> None:
        assert are_linked(own_pair)
        assert is_served(home)
        american = keyring(own_pair.us)
        # Its mirror begins under the first root, whatever is pinned by now.
        american.accept_peer_statement(first)
        assert american.peer_statement == newest

    prepare(home, medium)
    look(newest=first)
    tell(own_pair, tmp_path / "stick")
    look(newest=first)
    tell(own_pair, tmp_path / "stick", replace_root=True)
    new = read_published_as_stated(home.own.next).statement_note
    look(newest=new)
    # Lists go on being made, and are imported without a question, until it is in force.
    publish_crls(home, authorities(home, nation="FR"), now=present())
    tell(own_pair, tmp_path / "stick")
    assert own_pair.us.peer.crl("node-ca").read_bytes() == home.own.crl("node-ca").read_bytes()
    look(newest=new)
    running = keyring(home)
    switch_root(home)
    assert running.reload_own() is True
    assert running.statement == new
    look(newest=new)
    keyring(own_pair.us).accept_peer_statement(new, after=first)
    tell(own_pair, tmp_path / "stick")
    look(newest=new)
    shutil.copy(home.own.root, home.agencies / "FR.SCL" / "ca.pem")
    assert is_served(home)


def test_an_agency_with_the_old_root_alone_is_served_until_the_switch(
    own_pair: Pair, medium: AuthorityHome
) -> None:
    home = own_pair.fr
    old = home.own.root.read_bytes()
    prepare(home, medium)
    (home.agencies / "FR.SCL" / "ca.pem").write_bytes(old)
    assert is_served(home)

    switch_root(home)

    assert not is_served(home)


def test_the_paper_of_the_first_ceremony_is_kept_beside_the_new_one(
    own_pair: Pair, medium: AuthorityHome
) -> None:
    home = own_pair.fr
    first = home.ceremony_record.read_bytes()
    prepared = prepare(home, medium)

    switch_root(home)

    assert home.ceremony_record.read_bytes() == prepared.transcript
    assert (home.trust / "ceremony-before-v2.txt").read_bytes() == first
    assert not home.own.next.folder.exists()


@pytest.mark.parametrize("writes", range(12))
def test_a_switch_that_is_interrupted_is_run_again(
    own_pair: Pair, medium: AuthorityHome, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    home = own_pair.fr
    prepared = prepare(home, medium)
    first = home.ceremony_record.read_bytes()
    done = 0
    write = file_calls._write

    def write_or_die(path: Path, content: bytes, *, mode: int, replace: bool) -> None:
        nonlocal done
        done += 1
        if done > writes:
            raise OSError
        write(path, content, mode=mode, replace=replace)

    with monkeypatch.context() as patch:
        patch.setattr(file_calls, "_write", write_or_die)
        if writes < 11:
            with pytest.raises(OSError):  # noqa: PT011 - the power is gone, whatever it was doing
                switch_root(home)
        else:
            switch_root(home)
    if is_prepared(home):
        switch_root(home)

    found = read_published_as_stated(home.own)
    assert found == replace(prepared.published, node_crl=found.node_crl)
    assert (home.trust / "ceremony-before-v2.txt").read_bytes() == first
    assert keyring(home).own_statement == prepared.published.statement


def test_while_it_waits_the_old_root_states_nothing(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home, stick = own_pair.fr, NodeHome(path=tmp_path / "stick")
    old = root_signer(home, nation="FR")
    carry_out(home, stick, staged=STAGES["log"](home, folder(home), now=present()))
    statement, _ = unsigned_statement(stick)
    sign_on_stick(stick, statement, old)
    prepare(home, medium)
    nodes = authorities(home, nation="FR")[Authority.NODES]

    for forbidden in (
        lambda: rotate_signing_keys("log", home, folder(home), old, now=present()),
        lambda: rotate_signing_keys("cosigner", home, folder(home), old, now=present()),
        lambda: rotate_peer_tls(home, folder(home), nodes, old, now=present()),
        lambda: carry_in(home, stick, folder(home), now=present()),
        lambda: prepare(home, AuthorityHome(path=tmp_path / "another")),
    ):
        with pytest.raises(CeremonyError, match="a new root waits"):
            forbidden()
    assert read_published_as_stated(home.own).statement.version == 1


def test_afterwards_the_new_root_states_and_certifies_and_the_old_one_nothing(
    own_pair: Pair, medium: AuthorityHome
) -> None:
    home = own_pair.fr
    old = root_signer(home, nation="FR")
    passphrase = read_passphrase_file(home.authority.root_passphrase)
    prepare(home, medium)
    switch_root(home)
    before = contents(home)
    statement = next_statement(read_published_as_stated(home.own).statement, issued=present())

    with pytest.raises(TrustError, match="not the root of this home"):
        publish_statement(home, statement, root=old)
    with pytest.raises(TrustError, match="not the root of this home"):
        renew_authorities(home, home.authority, passphrase, now=present())
    assert contents(home) == before

    renew_authorities(home, medium, PASSPHRASE, now=present())
    new = open_root_signer(medium, PASSPHRASE, nation="FR")
    assert rotate_signing_keys("log", home, folder(home), new, now=present()).version == 3
    assert keyring(home).own_statement.version == 3


def test_a_root_that_was_replaced_vouches_for_its_past_alone(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    old = root_signer(home, nation="FR")
    first = read_published_as_stated(home.own)
    prepare(home, medium)
    tell(own_pair, tmp_path / "stick", replace_root=True)
    new = read_published_as_stated(home.own.next)
    american = keyring(own_pair.us)
    american.accept_peer_statement(new.statement_note, after=first.statement_note)

    # Who has stolen it states a thief's keys: later, of the same version, or as a past that never was.
    thief = replace(first.statement, tls_spki=(bytes(32), bytes([1]) * 32))
    for forged in (
        replace(thief, version=3),
        replace(thief, version=2),
        replace(thief, root_certificate=new.statement.root_certificate),
    ):
        with pytest.raises(SignatureInvalidError):
            american.accept_peer_statement(sign_statement(forged, root=old))
    past = sign_statement(thief, root=old)
    with pytest.raises(StatementRefusedError, match="contradicts"):
        american.accept_peer_statement(past, after=first.statement_note)
    with pytest.raises(StatementRefusedError, match="older"):
        american.accept_peer_statement(past, after=new.statement_note)
    assert american.peer_statement == new.statement_note
    # Nor does an import under it need no question any more.
    home.own.statement.write_bytes(sign_statement(replace(thief, version=9), root=old))
    shutil.rmtree(home.own.next.folder)
    for replace_root in (False, True):
        with pytest.raises(TrustError, match="a root that was replaced"):
            tell(own_pair, tmp_path / "thief", replace_root=replace_root)


def test_a_peer_that_imports_late_finds_no_way_back_among_the_versions_between(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    old, first = root_signer(home, nation="FR"), keyring(home).statement
    prepare(home, medium)
    switch_root(home)
    second = keyring(home).statement
    new = open_root_signer(medium, PASSPHRASE, nation="FR")
    rotate_signing_keys("log", home, folder(home), new, now=present())
    rotate_signing_keys("cosigner", home, folder(home), new, now=present())
    tell(own_pair, tmp_path / "stick", replace_root=True)
    assert read_pin(own_pair.us.peer).former[0].below_version == 4
    american = keyring(own_pair.us)

    american.accept_peer_statement(first)
    american.accept_peer_statement(second, after=first)
    stated = read_published_as_stated(home.own).statement
    # He cannot name the certificate of the new root, whose statements are verified by its keys.
    forged = replace(stated, version=3, root_certificate=bytes(48))

    with pytest.raises(StatementRefusedError, match="contradicts"):
        american.accept_peer_statement(sign_statement(forged, root=old), after=second)
    american.accept_peer_statement(keyring(home).statement, after=second)


def test_a_root_may_be_replaced_again(own_pair: Pair, medium: AuthorityHome, tmp_path: Path) -> None:
    home = own_pair.fr
    notes = [keyring(home).statement]
    for number in (1, 2):
        prepare(home, AuthorityHome(path=tmp_path / f"medium-{number}"))
        tell(own_pair, tmp_path / "stick", replace_root=True)
        switch_root(home)
        notes.append(keyring(home).statement)
    pin, published = read_peer(own_pair.us)

    assert [item.below_version for item in pin.former] == [2, 3]
    assert len(published.former) == 2
    american = keyring(own_pair.us)
    for before, note in zip([None, *notes], notes, strict=False):
        american.accept_peer_statement(note, after=before)
    assert len((home.trust / "own" / "roots.vkeys").read_text().splitlines()) == 6


def test_a_node_that_was_made_anew_has_no_former_roots(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    prepare(own_pair.fr, medium)
    tell(own_pair, tmp_path / "stick", replace_root=True)
    anew = make_demo_homes(tmp_path / "anew", now=present())["FR"]

    import_peer(own_pair.us, read_published_as_stated(anew.own), replace_root=True)

    pin, published = read_peer(own_pair.us)
    assert (pin.former, published.former) == ((), ())
    assert published == read_published_as_stated(anew.own)


def test_an_import_that_was_interrupted_is_repeated(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(own_pair.fr, medium)

    def die(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(trust, "write_pin", die)
        with pytest.raises(OSError):  # noqa: PT011 - the power is gone, whatever it was doing
            tell(own_pair, tmp_path / "stick", replace_root=True)

    tell(own_pair, tmp_path / "stick", replace_root=True)

    assert [item.below_version for item in read_peer(own_pair.us)[0].former] == [2]
    tell(own_pair, tmp_path / "stick")
    assert [item.below_version for item in read_peer(own_pair.us)[0].former] == [2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[2:])),
        lambda path: path.write_text(path.read_text() * 2),
        lambda path: path.write_text(""),
    ],
    ids=["absent", "the old root is not in it", "twice", "empty"],
)
def test_pinned_roots_of_before_have_to_be_there(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    prepare(own_pair.fr, medium)
    tell(own_pair, tmp_path / "stick", replace_root=True)

    damage(own_pair.us.peer.roots)

    with pytest.raises(TrustError, match=r"roots\.vkeys|root keys"):
        read_peer(own_pair.us)


@pytest.mark.parametrize(
    "file",
    ["root.pem", "root.vkeys", "roots.vkeys", "statement.note", "ceremony.txt"]
    + [f"{kind}.pem" for kind in ("node-ca", "agency-ca", "operator-ca")],
)
@pytest.mark.parametrize("how", ["the old one's", "cut", "absent"])
def test_what_waits_is_verified_before_anything_changes(
    own_pair: Pair, medium: AuthorityHome, file: str, how: str
) -> None:
    home = own_pair.fr
    prepare(home, medium)
    path = home.own.next.folder / file
    if how == "absent":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        source = home.ceremony_record if file == "ceremony.txt" else home.own.folder / file
        path.write_bytes(source.read_bytes() if source.exists() else home.own.root_keys.read_bytes())
    before = contents(home)

    with pytest.raises((TrustError, KeyFileError, CeremonyError)):
        switch_root(home)

    assert contents(home) == before


def test_it_waits_no_longer_for_a_home_whose_keys_were_stated_anew(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    prepare(home, medium)
    away = tmp_path / "away"
    home.own.next.folder.rename(away)
    rotate_signing_keys("log", home, folder(home), root_signer(home, nation="FR"), now=present())
    away.rename(home.own.next.folder)

    with pytest.raises(CeremonyError, match="stated anew"):
        switch_root(home)


def test_a_medium_that_holds_a_root_is_not_used_again(own_pair: Pair, medium: AuthorityHome) -> None:
    prepare(own_pair.fr, medium)
    switch_root(own_pair.fr)

    with pytest.raises(KeyFileError, match="exists already"):
        prepare(own_pair.fr, medium)
    with pytest.raises(CeremonyError, match="no new root waits"):
        switch_root(own_pair.fr)
    with pytest.raises(KeyFileError, match="passphrase is wrong"):
        open_root_signer(medium, OTHER_PASSPHRASE, nation="FR")


def test_it_is_made_where_the_node_is_not_and_comes_on_a_stick(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home, stick = own_pair.fr, NodeHome(path=tmp_path / "stick")
    carry_out(home, stick)
    prepared = prepare(stick, medium)

    assert carry_in(home, stick, None, now=present()) == ["trust/own/next"]
    assert read_prepared(home, home.own.next) == prepared
    assert (home.own.next.folder / "ca.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2
    assert carry_in(home, stick, None, now=present()) == []
    switch_root(home)
    carry_out(home, stick)
    assert not is_prepared(stick)


def test_a_root_that_was_prepared_for_another_home_is_refused(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    stick = NodeHome(path=tmp_path / "stick")
    carry_out(own_pair.us, stick)
    prepare(stick, medium)
    own = NodeHome(path=tmp_path / "own")
    carry_out(own_pair.fr, own)
    shutil.copytree(stick.own.next.folder, own.own.next.folder)

    with pytest.raises(CeremonyError, match="stated anew"):
        carry_in(own_pair.fr, own, None, now=present())
    assert not is_prepared(own_pair.fr)


def test_a_home_that_was_restored_from_before_says_which_files_are_missing(
    own_pair: Pair, medium: AuthorityHome, tmp_path: Path
) -> None:
    home = own_pair.fr
    shutil.copytree(home.own.folder, tmp_path / "before")
    prepare(home, medium)
    switch_root(home)
    stated = keyring(home).statement
    now_published = {path.name for path in home.own.folder.iterdir()}
    for name in now_published - {path.name for path in (tmp_path / "before").iterdir()}:
        (home.own.folder / name).unlink()
    shutil.copytree(tmp_path / "before", home.own.folder, dirs_exist_ok=True)

    with pytest.raises(TrustError, match="put back trust/own"):
        keyring(home).take_up_own(stated)


def test_statements_of_a_former_root_of_ours_are_ours(own_pair: Pair, medium: AuthorityHome) -> None:
    home = own_pair.fr
    first = keyring(home).statement
    prepare(home, medium)
    switch_root(home)

    # As the newest in our log, between the switch and the node's next look at its files.
    assert keyring(home).take_up_own(first) is False


def test_the_authorities_keep_their_keys(own_pair: Pair, medium: AuthorityHome) -> None:
    home = own_pair.fr
    before = {kind: read_anchor(home.own.authority(kind)) for kind in Authority}
    prepare(home, medium)
    switch_root(home)

    for kind, certificate in before.items():
        renewed = read_anchor(home.own.authority(kind))
        assert renewed.public_key() == certificate.public_key()
        assert renewed.subject == certificate.subject
        assert renewed.issuer == certificate.issuer
        assert renewed != certificate
