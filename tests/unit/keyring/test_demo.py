"""Both homes at once, complete, marked, and renewed when something runs out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.catalogue import read_catalogue
from gateway.config import load_config
from gateway.keyring.certificates import crl_next_update, read_certificate
from gateway.keyring.demo import AGENCIES, make_demo_homes, make_test_home, plan_for
from gateway.keyring.home import NodeHome
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.registry import Role, read_registry
from gateway.keyring.trust import read_peer, read_published_as_stated
from tests.unit.keyring.helpers import Pair, keyring, present


def test_each_nation_trusts_the_other(pair: Pair) -> None:
    french, american = keyring(pair.fr), keyring(pair.us)

    assert french.peer_statement == american.statement
    assert american.peer_statement == french.statement


def test_every_agency_of_the_catalogue_has_a_certificate(pair: Pair) -> None:
    for nation, home in (("FR", pair.fr), ("US", pair.us)):
        agencies = {
            holder.code for holder in read_registry(home.registry).holders if holder.role is Role.AGENCY
        }
        assert agencies == set(AGENCIES[nation])
        assert {path.name for path in home.agencies.iterdir()} == agencies
        for folder in (*home.agencies.iterdir(), *home.operators.iterdir()):
            assert {path.name for path in folder.iterdir()} == {
                "ca.pem",
                "client.key",
                "client.p12",
                "client.pem",
            }
        assert {path.name for path in home.operators.iterdir()} == {"OPERATOR", "AUDITOR"}


def test_the_configuration_is_one_that_a_node_reads(pair: Pair) -> None:
    french, american = load_config(pair.fr.path), load_config(pair.us.path)

    assert (french.node.name, french.node.nation, french.node.mode) == ("fr.gateway.test", "FR", "test")
    assert [french.agency_api.port, french.peer_api.port, french.ops_api.port] == [9_441, 9_442, 9_443]
    assert [american.agency_api.port, american.peer_api.port, american.ops_api.port] == [9_451, 9_452, 9_453]
    assert french.peer.url == f"https://127.0.0.1:{american.peer_api.port}"
    assert french.agency_api.host == "127.0.0.1"


def test_a_second_run_keeps_everything_but_the_ports(own_pair: Pair) -> None:
    base = own_pair.fr.path.parent
    before = _files(base)

    make_demo_homes(base, now=present(), port_base=10_440)

    changed = {path.name for path, content in _files(base).items() if before.get(path) != content}
    assert changed == {"gateway.toml"}
    assert load_config(own_pair.us.path).peer_api.port == 10_452


def test_lists_that_run_out_are_made_anew_and_exchanged(own_pair: Pair) -> None:
    later = present() + timedelta(days=5)

    make_demo_homes(own_pair.fr.path.parent, now=later)

    for home, other in ((own_pair.fr, own_pair.us), (own_pair.us, own_pair.fr)):
        for name in ("node-ca", "agency-ca", "operator-ca"):
            assert crl_next_update(home.own.crl(name).read_bytes()) > later + timedelta(days=6)
        assert read_peer(home)[1] == read_published_as_stated(other.own)


def test_certificates_that_run_out_are_renewed_for_the_same_keys(own_pair: Pair) -> None:
    later = present() + timedelta(days=70)
    before = read_certificate(own_pair.fr.own.peer_chain)

    make_demo_homes(own_pair.fr.path.parent, now=later)

    after = read_certificate(own_pair.fr.own.peer_chain)
    assert after.not_valid_after_utc > later + timedelta(days=80)
    assert after.public_key() == before.public_key()
    assert keyring(own_pair.fr).own_statement.version == 1


def test_a_home_that_is_half_made_is_said_to_be_so(tmp_path: Path) -> None:
    make_test_home(NodeHome(path=tmp_path / "fr"), plan_for("FR"), now=present())

    with pytest.raises(CeremonyError, match="half made"):
        make_demo_homes(tmp_path, now=present())


def test_the_agencies_are_those_of_the_agreement() -> None:
    nations = read_catalogue().agreement.agency_nation

    assert {code: nation for nation, codes in AGENCIES.items() for code in codes} == nations


def _files(path: Path) -> dict[Path, bytes]:
    return {item: item.read_bytes() for item in path.rglob("*") if item.is_file()}
