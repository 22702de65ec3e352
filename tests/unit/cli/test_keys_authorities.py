"""`entente keys rotate authorities --new-keys, switch-authorities`: what a person is told at each step."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gateway.keyring.anchors import authorities_wait
from gateway.keyring.demo import AGENCIES, make_demo_homes
from gateway.keyring.home import NodeHome
from tests.unit.cli.test_keys import run


@pytest.fixture
def fr(tmp_path: Path) -> NodeHome:
    return make_demo_homes(tmp_path / "homes", now=datetime.now(UTC))["FR"]


def rotate(home: NodeHome, medium: Path, *options: str, code: int = 0) -> str:
    command = ("rotate", "authorities", "--home", home.path, "--authority", home.authority.path)
    return run(*command, "--new-keys", medium, *options, code=code)


def issue(home: NodeHome, medium: Path, name: str, *options: str) -> str:
    """Issue a certificate for the key that an agency has, as from its request."""
    key = load_pem_private_key((home.agencies / name / "client.key").read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA384())
    request = home.agencies / name / "request.csr"
    request.write_bytes(csr.public_bytes(Encoding.PEM))
    target = home.agencies / name / "client.pem"
    command = ("issue-agency", name, "--csr", request, "--out", target, "--home", home.path)
    return run(*command, "--authority", medium, *options)


def test_each_step_says_which_is_next(fr: NodeHome, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    us = NodeHome(path=fr.path.parent / "us")

    said = rotate(fr, medium)
    assert "entente keys switch-authorities" in said
    # Again, as after an interruption.
    assert rotate(fr, medium) == said
    listed = json.loads(run("list", "--home", fr.path, "--json"))
    files = [row["file"] for row in listed["certificates"] + listed["revocation_lists"]]
    assert "next-authorities/agency-ca.pem" in files
    assert "own/next-authorities/agency-ca.crl" in files
    # Lists are those of the medium that is named.
    before = fr.own.crl("agency-ca").read_bytes()
    run("rotate", "crl", "--home", fr.path, "--authority", medium)
    assert fr.own.crl("agency-ca").read_bytes() == before
    run("export-trust", tmp_path / "trust", "--home", fr.path)
    run("import-peer", tmp_path / "trust", "--home", us.path)
    peer = [row["file"] for row in json.loads(run("list", "--home", us.path, "--json"))["revocation_lists"]]
    assert "peer/next-authorities/node-ca.crl" in peer

    left = sorted(AGENCIES["FR"])
    while left:
        told = issue(fr, medium, left.pop(0))
        expected = f"still without a certificate of this authority: {', '.join(left)}" if left else ""
        assert told.strip() == expected
    asked = run("switch-authorities", "--home", fr.path, typed="n\n", code=1)
    assert "Has the peer imported the new authorities" in asked
    assert authorities_wait(fr.own)
    assert "a new root follows" in run("switch-authorities", "--home", fr.path, typed="yes\n")
    refused = run("switch-authorities", "--home", fr.path, "--yes", code=1)
    assert "no new authorities wait" in refused
    assert "is not the certificate of" in run("rotate", "crl", "--home", fr.path, code=1)


def test_over_a_stick(fr: NodeHome, tmp_path: Path) -> None:
    stick = NodeHome(path=tmp_path / "stick")
    run("carry-out", stick.path, "--home", fr.path)
    command = ("rotate", "authorities", "--home", stick.path, "--authority", fr.authority.path)
    run(*command, "--new-keys", tmp_path / "medium")

    assert "installed trust/own/next-authorities" in run("carry-in", stick.path, "--home", fr.path)
    assert authorities_wait(fr.own)
    assert "nothing on the stick is newer" in run("carry-in", stick.path, "--home", fr.path)


def test_new_keys_are_of_authorities_alone(fr: NodeHome, tmp_path: Path) -> None:
    for kind in ("crl", "tls-peer", "log"):
        refused = run("rotate", kind, "--home", fr.path, "--new-keys", tmp_path / "medium", code=2)
        assert "--new-keys is for authorities" in " ".join(refused.replace("│", " ").split())
    assert not (tmp_path / "medium").exists()


def test_a_medium_inside_the_home_is_refused_with_a_passphrase_of_its_own(
    fr: NodeHome, tmp_path: Path
) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text("a passphrase of the issuing authorities\n")
    phrase.chmod(0o600)

    inside = rotate(fr, fr.path / "medium", "--issuing-passphrase-file", str(phrase), code=1)
    assert "a folder outside the home" in inside
    rotate(fr, tmp_path / "medium", "--issuing-passphrase-file", str(phrase))
    crl = ("rotate", "crl", "--home", fr.path, "--authority", tmp_path / "medium")
    run(*crl, "--issuing-passphrase-file", phrase)


def test_a_holder_of_whom_no_record_is_left_is_revoked(fr: NodeHome, tmp_path: Path) -> None:
    rotate(fr, tmp_path / "medium")
    shutil.rmtree(fr.authority.issuing)
    revoke = ("revoke", "FR.SCL", "--home", fr.path, "--authority", tmp_path / "medium")

    assert run(*revoke).startswith("out of the registry")
    assert "FR.SCL" not in run("list", "--home", fr.path)
    assert "no certificate of that name" in run(*revoke, code=1)


def test_they_speak_french(fr: NodeHome, tmp_path: Path) -> None:
    french = ("--language", "fr")
    assert "de nouvelles autorités attendent" in rotate(fr, tmp_path / "medium", *french)
    refused = run("rotate", "tls-server", "--home", fr.path, *french, code=1)
    assert "mettez-les d'abord en vigueur" in refused
    refused = run("new-root", "--home", fr.path, "--authority", tmp_path / "root", *french, code=1)
    assert "mettez-les d'abord en vigueur" in refused
    assert "encore sans certificat" in issue(fr, tmp_path / "medium", "FR.SCL", *french)
    out = run("revoke", "FR.ONAF", "--home", fr.path, "--authority", tmp_path / "medium", *french)
    assert out.startswith("retiré du registre")
    refused = run("switch-authorities", "--home", fr.path, *french, typed="non\n", code=1)
    assert "Le pair a-t-il importé les nouvelles autorités" in refused
    assert "n'ouvrent plus rien" in run("switch-authorities", "--home", fr.path, "--yes", *french)


def test_it_has_an_example() -> None:
    assert "Example: entente keys" in run("switch-authorities", "--help")
