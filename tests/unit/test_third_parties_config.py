"""Third parties, as an operator writes them down: off by default, and never trusted by the system's keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import third_parties
from gateway.audit.stamps import AuthorityUnreadableError
from gateway.config import load_config
from gateway.errors import ConfigError
from gateway.keyring.ceremony import NodePlan
from gateway.keyring.config_file import Ports, config_text, write_config
from gateway.keyring.home import NodeHome
from tests.outsiders import OpensslAuthority, SpecWitness
from tests.unit.audit.making import FR_US, signer

PLAN = NodePlan(
    nation="FR",
    node="fr.gateway.example",
    peer_nation="US",
    peer_node="us.gateway.example",
    test=False,
)
LOG_KEY = signer(FR_US).verifier.verifier_keys(cosigner=False)[0].encode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    write_config(
        NodeHome(path=home),
        config_text(PLAN, Ports.from_base(9_440, "FR"), peer_url="https://us.gateway.example:9452"),
    )
    (home / "tsa.pem").write_bytes(OpensslAuthority(tmp_path / "tsa").certificates)
    key = SpecWitness(name="witness.example/a", log_key=LOG_KEY).vkey
    (home / "a.witnesses").write_text(f"{key}\n", encoding="utf-8")
    return home


def write(home: Path, text: str) -> None:
    with (home / "gateway.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")


STAMPS = '[stamps]\nurl = "http://tsa.example/tsr"\ncertificate_file = "tsa.pem"'
WITNESS = '[witnesses.a]\nurl = "http://witness.example/x"\nkey_file = "a.witnesses"'


def test_nobody_is_asked_unless_the_operator_names_somebody(home: Path) -> None:
    assert third_parties(home, load_config(home)) == ()


def test_each_third_party_is_asked_by_itself_as_often_as_it_says(home: Path) -> None:
    write(home, f"{STAMPS}\nevery_s = 60\n{WITNESS}")
    stamps, witness = third_parties(home, load_config(home))
    assert (len(stamps.authorities), stamps.witnesses, stamps.every_s) == (1, (), 60)
    assert [(item.name, item.key.name) for item in witness.witnesses] == [("a", "witness.example/a")]
    assert witness.every_s == 3_600


@pytest.mark.parametrize(
    "text",
    [
        STAMPS.replace("http:", "https:"),
        STAMPS.replace("http:", "ftp:"),
        STAMPS + "\nevery_s = 0",
        WITNESS.replace("http:", "https:"),
        WITNESS.replace("witnesses.a", "witnesses.A_b"),
        '[stamps]\nurl = "http://tsa.example"',
    ],
)
def test_what_cannot_be_meant_is_refused(home: Path, text: str) -> None:
    write(home, text)
    with pytest.raises(ConfigError, match=r"stamps|witnesses"):
        load_config(home)


def test_https_needs_an_authority_and_trusts_that_one_alone(home: Path) -> None:
    write(home, STAMPS.replace("http:", "https:") + '\nca_file = "tsa.pem"')
    assert len(third_parties(home, load_config(home))) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (STAMPS.replace("tsa.pem", "absent.pem"), "stamps.certificate_file cannot be read"),
        (WITNESS.replace("a.witnesses", "absent"), "witnesses.a.key_file cannot be read"),
        (WITNESS.replace("a.witnesses", "tsa.pem"), "witnesses.a.key_file holds no verifier key"),
        (WITNESS + '\nca_file = "a.witnesses"', "witnesses.a.ca_file is no PEM file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(home: Path, text: str, why: str) -> None:
    write(home, text)
    with pytest.raises(ConfigError, match=why):
        third_parties(home, load_config(home))


def test_certificates_that_are_none_are_refused(home: Path) -> None:
    write(home, STAMPS.replace("tsa.pem", "a.witnesses"))
    with pytest.raises(AuthorityUnreadableError):
        third_parties(home, load_config(home))
