"""`entente keys`: each command does one thing, and says in one line why it does not."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from gateway.cli.keys import app
from gateway.keyring.ceremony import ServerNames, server_names
from gateway.keyring.demo import make_demo_homes
from gateway.keyring.home import NodeHome
from gateway.keyring.keyring import FileKeyring
from gateway.keyring.passphrase import Passphrase, read_passphrase_file
from gateway.keyring.pins import read_pin, write_pin
from gateway.keyring.registry import read_registry
from gateway.keyring.roots import root_digest
from gateway.keyring.statement import grouped
from gateway.keyring.trust import read_peer, read_published_as_stated


def run(*arguments: str | Path, code: int = 0, typed: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(item) for item in arguments], input=typed)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("homes")
    make_demo_homes(base, now=datetime.now(UTC))
    return base


@pytest.fixture
def base(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "homes")
    return tmp_path / "homes"


@pytest.fixture
def fr(base: Path) -> NodeHome:
    return NodeHome(path=base / "fr")


@pytest.fixture
def us(base: Path) -> NodeHome:
    return NodeHome(path=base / "us")


def opened(home: NodeHome, passphrase: Passphrase | None = None) -> FileKeyring:
    return FileKeyring.open(
        home.path, passphrase=passphrase or read_passphrase_file(home.passphrase), production=False
    )


def test_the_list_shows_keys_without_a_passphrase(fr: NodeHome) -> None:
    kem, _ = opened(fr).create_kem_key(1_773_480_413_000)
    fr.passphrase.unlink()
    listed = json.loads(run("list", "--home", fr.path, "--json"))

    assert {row["file"] for row in listed["keys"]} == {
        "unlock.key",
        "storage.key",
        "cosigner.key",
        "log-audit.key",
        "log-exchange-us.key",
        "tls-peer.key",
        "tls-peer-next.key",
        "tls-server.key",
        f"kem/{kem.hex()}.key",
    }
    assert all(row["test"] for row in listed["keys"])
    assert listed["peer"][0]["node"] == "us.gateway.test"
    assert len(listed["certificates"]) == 6
    assert len(listed["revocation_lists"]) == 4
    assert len(listed["holders"]) == 8


def test_the_list_is_readable_by_people(fr: NodeHome) -> None:
    output = run("list", "--home", fr.path)

    assert "purpose=cosigner" in output
    assert "REVOCATION LISTS" in output


def test_the_list_of_a_home_that_is_none_says_so(tmp_path: Path) -> None:
    assert "does not exist" in run("list", "--home", tmp_path, code=1)


def test_the_list_says_that_the_peer_is_not_imported(fr: NodeHome) -> None:
    pin = read_pin(fr.peer)
    write_pin(fr.peer, type(pin)(nation="US", node=pin.node, root=None, lowest_version=1))

    assert json.loads(run("list", "--home", fr.path, "--json"))["peer"] == [
        {"nation": "US", "node": "us.gateway.test", "imported": False}
    ]


def test_rotating_the_peer_key_makes_a_new_statement(fr: NodeHome) -> None:
    before = opened(fr).own_statement

    assert "version 2" in run("rotate", "tls-peer", "--home", fr.path)
    assert opened(fr).own_statement.tls_spki[0] == before.tls_spki[1]


def test_rotating_the_server_key_replaces_its_certificate(fr: NodeHome) -> None:
    before = fr.own.server_chain.read_bytes()

    run("rotate", "tls-server", "--home", fr.path)

    assert fr.own.server_chain.read_bytes() != before
    opened(fr).server_identity()


def test_the_names_of_the_agency_port_change_with_its_key(fr: NodeHome) -> None:
    output = run(
        "rotate", "tls-server", "--home", fr.path, "--name", "gateway.douane.example", "--name", "192.0.2.7"
    )

    assert "for fr.gateway.test, gateway.douane.example, 192.0.2.7" in output
    assert server_names(fr) == ServerNames(
        dns_names=("fr.gateway.test", "gateway.douane.example"), addresses=(IPv4Address("192.0.2.7"),)
    )
    run("rotate", "tls-server", "--home", fr.path)
    assert server_names(fr).dns_names == ("fr.gateway.test", "gateway.douane.example")


def test_a_name_that_cannot_be_and_one_for_another_kind_change_nothing(fr: NodeHome) -> None:
    before = fr.own.server_chain.read_bytes()

    assert "a host name in ASCII" in run(
        "rotate", "tls-server", "--home", fr.path, "--name", "https://gateway.example", code=1
    )
    assert "--name is for tls-server" in run(
        "rotate", "tls-peer", "--home", fr.path, "--name", "gateway.example", code=2
    )
    assert fr.own.server_chain.read_bytes() == before
    assert not (fr.keys / "tls-server-new.key").exists()


def test_rotating_log_keys_keeps_the_old_ones_in_the_folder_and_in_the_file_for_auditors(
    fr: NodeHome,
) -> None:
    before = opened(fr).own_statement
    vkeys = fr.own_verifier_keys.read_text()

    assert "version 2" in run("rotate", "log", "--home", fr.path)
    assert "version 3" in run("rotate", "cosigner", "--home", fr.path)

    after = opened(fr).own_statement
    public = {key.ed25519 for stated in (before, after) for key in (*stated.logs, stated.cosigner)}
    assert len(public) == 6
    assert fr.own_verifier_keys.read_text().startswith(vkeys)
    assert len(fr.own_verifier_keys.read_text().splitlines()) == 12
    assert {path.name for path in fr.keys.glob("*-v*.key")} == {
        "log-audit-v2.key",
        "log-exchange-us-v2.key",
        "cosigner-v3.key",
    }
    assert before.log("fr.gateway.test/audit") in opened(fr).own_verifiers("fr.gateway.test/audit")


def test_lists_are_made_anew(fr: NodeHome) -> None:
    before = fr.own.crl("agency-ca").read_bytes()

    run("rotate", "crl", "--home", fr.path)

    assert fr.own.crl("agency-ca").read_bytes() != before


def test_a_new_passphrase_comes_through_a_descriptor(fr: NodeHome) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a new passphrase\n")
    os.close(writing)

    run("rotate", "passphrase", "--home", fr.path, "--new-passphrase-fd", str(reading))

    assert opened(fr, Passphrase(b"a new passphrase")).node == "fr.gateway.test"
    # The file still holds the old one.
    assert "passphrase is wrong" in run("rotate", "tls-server", "--home", fr.path, code=1)


def test_a_short_new_passphrase_is_refused(fr: NodeHome) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"short\n")
    os.close(writing)

    output = run("rotate", "passphrase", "--home", fr.path, "--new-passphrase-fd", str(reading), code=1)

    assert "fewer than 12" in output
    assert opened(fr).node == "fr.gateway.test"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("kem", "daily"),
        ("storage", "not supported"),
    ],
)
def test_what_cannot_be_rotated_here_is_said_plainly(fr: NodeHome, kind: str, reason: str) -> None:
    assert reason in run("rotate", kind, "--home", fr.path, code=1)


def test_another_kind_is_wrong_usage(fr: NodeHome) -> None:
    run("rotate", "everything", "--home", fr.path, code=2)


def test_an_agency_is_revoked_and_issued_anew(fr: NodeHome) -> None:
    before = {holder.spki for holder in read_registry(fr.registry).holders if holder.code == "FR.SCL"}

    assert "revoked FR.SCL" in run("revoke", "FR.SCL", "--home", fr.path, "--reason", "key-compromise")
    assert not [holder for holder in read_registry(fr.registry).holders if holder.code == "FR.SCL"]
    run("issue-agency", "FR.SCL", "--home", fr.path)

    after = {holder.spki for holder in read_registry(fr.registry).holders if holder.code == "FR.SCL"}
    assert len(after) == 1
    assert after != before


def test_only_of_whom_the_registry_names_are_two_operators_asked_to_confirm_a_revocation(
    fr: NodeHome,
) -> None:
    fr.config.write_text(fr.config.read_text() + "\n[approvals]\ntwo_operators = true\n")

    assert "two operators" not in run("revoke", "fr.gateway.test/server", "--home", fr.path)
    assert "two operators have to confirm it" in run("revoke", "FR.SCL", "--home", fr.path)


def test_revoking_nobody_is_refused(fr: NodeHome) -> None:
    assert "no certificate of that name" in run("revoke", "FR.NOBODY", "--home", fr.path, code=1)
    run("revoke", "FR.SCL", "--home", fr.path, "--reason", "boredom", code=2)


def test_a_request_gets_a_certificate_in_a_file(fr: NodeHome, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA384())
    (tmp_path / "onaf.csr").write_bytes(csr.public_bytes(Encoding.PEM))

    run(
        "issue-agency",
        "FR.ONAF",
        "--csr",
        tmp_path / "onaf.csr",
        "--out",
        tmp_path / "onaf.pem",
        "--home",
        fr.path,
    )

    certificate = x509.load_pem_x509_certificate((tmp_path / "onaf.pem").read_bytes())
    assert certificate.public_key() == key.public_key()


def test_nobody_is_enrolled_whose_certificate_cannot_be_written(fr: NodeHome, tmp_path: Path) -> None:
    csr = _request(tmp_path)
    before = fr.registry.read_bytes()
    arguments: list[str | Path] = ["issue-agency", "FR.ONAF", "--csr", csr, "--home", fr.path, "--out"]

    assert "cannot be written" in run(*arguments, tmp_path / "nowhere" / "onaf.pem", code=1)
    assert fr.registry.read_bytes() == before
    # The same request goes through once there is a place for the certificate.
    run(*arguments, tmp_path / "onaf.pem")


def test_a_key_that_is_enrolled_already_is_named_by_its_holder(fr: NodeHome, tmp_path: Path) -> None:
    csr = _request(tmp_path)
    run("issue-agency", "FR.ONAF", "--csr", csr, "--home", fr.path)

    refused = run("issue-agency", "FR.SCL", "--csr", csr, "--home", fr.path, code=1)
    assert "has this key already, as FR.ONAF (agency)" in refused


def _request(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP384R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA384())
    path = folder / "request.csr"
    path.write_bytes(csr.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("command", ["crl", "log"])
def test_without_its_medium_the_authority_is_asked_for(fr: NodeHome, tmp_path: Path, command: str) -> None:
    refused = run("rotate", command, "--home", fr.path, "--authority", tmp_path / "nowhere", code=1)
    assert "--authority names the medium" in refused


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_an_export_that_finds_no_place_says_so(fr: NodeHome, tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("a file")
    folder = tmp_path / "taken" if place == "a file" else tmp_path / "taken" / "trust"
    assert "is not a folder" in run("export-trust", folder, "--home", fr.path, code=1)


def test_another_nations_agency_gets_nothing(fr: NodeHome) -> None:
    assert "begins with FR." in run("issue-agency", "US.CBP", "--home", fr.path, code=1)


def test_an_import_of_a_known_root_asks_nothing(fr: NodeHome, us: NodeHome, tmp_path: Path) -> None:
    run("rotate", "tls-peer", "--home", us.path)
    run("export-trust", tmp_path / "us-trust", "--home", us.path)

    output = run("import-peer", tmp_path / "us-trust", "--home", fr.path)

    assert "TEST KEYS" in output
    assert read_peer(fr)[1].statement.version == 2


@pytest.mark.parametrize(
    ("answer", "imported"),
    [("y\n", True), ("Oui\n", True), ("n\n", False), ("\n", False), ("hm\nnon\n", False), ("", False)],
)
def test_an_import_of_a_new_root_asks(
    fr: NodeHome, us: NodeHome, tmp_path: Path, answer: str, imported: bool
) -> None:
    pin = read_pin(fr.peer)
    write_pin(fr.peer, type(pin)(nation="US", node=pin.node, root=None, lowest_version=1))
    exported = json.loads(run("export-trust", tmp_path / "us-trust", "--home", us.path, "--json"))

    output = run("import-peer", tmp_path / "us-trust", "--home", fr.path, code=1 - imported, typed=answer)

    assert exported["fingerprints"]["root keys (SHA-384)"] in output
    assert fr.import_record.exists() is imported
    assert (read_pin(fr.peer).root is not None) is imported


def test_a_script_that_compared_says_yes(fr: NodeHome, us: NodeHome, tmp_path: Path) -> None:
    pin = read_pin(fr.peer)
    write_pin(fr.peer, type(pin)(nation="US", node=pin.node, root=None, lowest_version=1))
    run("export-trust", tmp_path / "us-trust", "--home", us.path)

    run("import-peer", tmp_path / "us-trust", "--home", fr.path, "--yes", "--by", "Camille Martin")

    assert read_peer(fr)[1].statement.node == "us.gateway.test"
    assert "Camille Martin" in fr.import_record.read_text()


def test_yes_does_not_replace_a_root(fr: NodeHome, us: NodeHome, tmp_path: Path) -> None:
    make_demo_homes(tmp_path / "others", now=datetime.now(UTC))
    run("export-trust", tmp_path / "trust", "--home", tmp_path / "others" / "us")
    before = read_pin(fr.peer)

    output = run("import-peer", tmp_path / "trust", "--home", fr.path, "--yes", code=1)

    assert "another root" in output
    assert read_pin(fr.peer) == before
    run("import-peer", tmp_path / "trust", "--home", fr.path, "--yes", "--replace-root")
    assert read_pin(fr.peer) != before


def test_nobody_compares_fingerprints_of_a_node_that_is_not_the_peer(fr: NodeHome, tmp_path: Path) -> None:
    pin = read_pin(fr.peer)
    write_pin(fr.peer, type(pin)(nation="US", node=pin.node, root=None, lowest_version=1))
    exported = json.loads(run("export-trust", tmp_path / "own-trust", "--home", fr.path, "--json"))

    output = run("import-peer", tmp_path / "own-trust", "--home", fr.path, code=1, typed="y\n")

    assert "these are not the keys of us.gateway.test of US" in output
    assert exported["fingerprints"]["root keys (SHA-384)"] not in output


def test_an_export_that_was_altered_is_refused(fr: NodeHome, us: NodeHome, tmp_path: Path) -> None:
    run("export-trust", tmp_path / "us-trust", "--home", us.path)
    note = tmp_path / "us-trust" / "statement.note"
    note.write_bytes(note.read_bytes().replace(b"version 1", b"version 9"))

    assert "trust-refused" in run("import-peer", tmp_path / "us-trust", "--home", fr.path, "--yes", code=1)


def test_commands_have_examples() -> None:
    for command in (
        *("list", "rotate", "revoke", "issue-agency", "export-trust", "import-peer"),
        *("new-root", "switch-root"),
    ):
        assert "Example: entente keys" in run(command, "--help")


def test_the_commands_speak_french_where_that_is_asked_for(fr: NodeHome, tmp_path: Path) -> None:
    french = ("--language", "fr")
    assert "LISTES DE RÉVOCATION" in run("list", "--home", fr.path, *french)
    assert run("rotate", "crl", "--home", fr.path, *french).startswith("nouvelles listes de révocation ;")
    assert run("revoke", "FR.SCL", "--home", fr.path, *french).startswith("révoqué FR.SCL ")
    assert "lisez ceci à voix haute" in run("export-trust", tmp_path / "trust", "--home", fr.path, *french)
    assert "déclaration de clés version 2" in run("rotate", "tls-peer", "--home", fr.path, *french)
    assert "clés racine, en mots" in run("export-trust", tmp_path / "trust", "--home", fr.path, *french)
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase\n")
    wrong.chmod(0o600)
    refused = run("rotate", "log", "--home", fr.path, "--passphrase-file", wrong, *french, code=1)
    assert refused.startswith("key-file-refused: unlock.key ne s'ouvre pas : la phrase secrète est fausse [")
    assert "les clés KEM" in run("rotate", "kem", "--home", fr.path, *french, code=1)
    assert "fichiers dans" in run("carry-out", tmp_path / "stick", "--home", fr.path, *french)
    refused = run("revoke", "FR.NOBODY", "--home", fr.path, *french, code=1)
    assert refused.startswith("ceremony-refused: la cérémonie ne peut pas se faire ainsi : ")
    run("list", "--home", fr.path, "--language", "de", code=2)


def test_where_two_operators_are_needed_the_commands_say_what_is_left_to_do(fr: NodeHome) -> None:
    with fr.config.open("a", encoding="utf-8") as file:
        file.write("\n[approvals]\ntwo_operators = true\n")

    assert "once two operators have agreed" in run("issue-agency", "FR.NEWCOMER", "--home", fr.path)
    revoked = run("revoke", "FR.NEWCOMER", "--home", fr.path, "--language", "fr")
    assert "effet immédiat, à confirmer par deux exploitants" in revoked


def test_a_new_root_is_offered_to_the_peer_and_put_in_force(
    fr: NodeHome, us: NodeHome, tmp_path: Path
) -> None:
    made = run("new-root", "--home", fr.path, "--authority", tmp_path / "medium")
    assert "entente keys switch-root" in made
    assert "in_force=False" in run("list", "--home", fr.path)
    exported = json.loads(run("export-trust", tmp_path / "trust", "--home", fr.path, "--json"))
    new = exported["next_fingerprints"]["root keys in words"]
    assert "a new root, which is not in force yet" in run(
        "export-trust", tmp_path / "trust", "--home", fr.path
    )

    # What is in force is imported as ever; the new root is named, and taken when somebody has compared it.
    import_ = ("import-peer", tmp_path / "trust", "--home", us.path)
    assert "the other nation has a new root" in run(*import_)
    refused = run(*import_, "--replace-root", typed="n\n", code=1)
    assert new in refused
    assert read_peer(us)[1] == read_published_as_stated(fr.own)
    assert new in run(*import_, "--replace-root", "--by", "Camille Martin", typed="y\n")
    assert "version 2" in us.import_record.read_text()
    assert "the other nation has a new root" not in run(*import_)

    assert "not put in force" in run("switch-root", "--home", fr.path, typed="n\n", code=1)
    assert new in run("switch-root", "--home", fr.path, typed="oui\n")
    assert read_peer(us)[1].statement == read_published_as_stated(fr.own).statement
    assert "no new root waits" in run("switch-root", "--home", fr.path, "--yes", code=1)
    old_medium = run("rotate", "log", "--home", fr.path, code=1)
    assert "not the root of this home" in old_medium
    run("rotate", "log", "--home", fr.path, "--authority", tmp_path / "medium")
    run("export-trust", tmp_path / "trust", "--home", fr.path)
    assert not (tmp_path / "trust" / "next").exists()
    assert "imported" in run(*import_)


def test_a_new_root_speaks_french(fr: NodeHome, us: NodeHome, tmp_path: Path) -> None:
    french = ("--language", "fr")
    made = run("new-root", "--home", fr.path, "--authority", tmp_path / "medium", *french)
    assert "la nouvelle racine attend" in made
    refused = run("rotate", "tls-peer", "--home", fr.path, *french, code=1)
    assert "mettez-la d'abord en vigueur" in refused
    assert "pas encore en vigueur" in run("export-trust", tmp_path / "trust", "--home", fr.path, *french)
    offered = run("import-peer", tmp_path / "trust", "--home", us.path, *french)
    assert "l'autre nation a une nouvelle racine" in offered
    refused = run("switch-root", "--home", fr.path, *french, typed="non\n", code=1)
    assert "Le pair a-t-il importé cette racine" in refused
    assert "en vigueur, déclaration de clés version 2" in run(
        "switch-root", "--home", fr.path, "--yes", *french
    )


def test_a_new_root_that_comes_on_a_stick_is_shown_for_comparison(fr: NodeHome, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    run("carry-out", stick, "--home", fr.path)
    made = run("new-root", "--home", stick, "--authority", tmp_path / "medium")

    shown = run("carry-in", stick, "--home", fr.path)

    assert "compare it with the transcript" in shown
    digits = root_digest(read_published_as_stated(fr.own.next).root).hex()
    assert all(grouped(digits) in text for text in (made, shown))
    assert "nothing on the stick is newer" in run("carry-in", stick, "--home", fr.path)


def test_nobody_is_asked_for_a_passphrase_of_a_root_that_cannot_be_made(fr: NodeHome, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    run("new-root", "--home", fr.path, "--authority", medium)
    assert "a new root waits" in run("new-root", "--home", fr.path, "--authority", tmp_path / "two", code=1)
    assert not (tmp_path / "two").exists()
