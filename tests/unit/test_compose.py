"""What docker-compose.yml promises, as far as it can be read without Docker; tests/acceptance runs it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.keyring.ceremony import Passphrases, hold_ceremony
from gateway.keyring.demo import NODES, plan_for
from gateway.keyring.home import AuthorityHome, NodeHome
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import CeremonyError
from scripts._dev_keys import make_compose_homes, write_environment

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def aliases(network: str) -> list[str]:
    """Return the names that nodes have in one network."""
    found = re.findall(rf"^      {network}: \{{aliases: \[([^\]]*)\]\}}$", COMPOSE, re.MULTILINE)
    return [name for names in found for name in names.split(", ")]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NodeHome]:
    base = tmp_path_factory.mktemp("compose")
    make_compose_homes(base, now=datetime.now(UTC))
    made = {nation: NodeHome(path=base / nation.lower()) for nation in NODES}
    if os.geteuid() == 0:
        for home in made.values():
            for path in (home.path, *home.path.rglob("*")):
                os.chown(path, 0, 0)
    return made


@pytest.mark.parametrize("nation", NODES)
def test_each_port_listens_where_compose_gives_it_a_name(homes: dict[str, NodeHome], nation: str) -> None:
    config = load_config(homes[nation].path)
    networks = {
        "agency": {f"{nation.lower()}-agencies", f"{nation.lower()}-host"},
        "operator": {f"{nation.lower()}-operators", f"{nation.lower()}-host"},
        "peer": {"peer-link"},
    }
    ports = {"agency": config.agency_api, "operator": config.ops_api, "peer": config.peer_api}
    for name, port in ports.items():
        for host in port.host.split(","):
            # A name of several networks would open the port in whichever Docker names first.
            assert COMPOSE.count(f"{host}]") == 1, host
            assert [network for network in networks[name] if host in aliases(network)], host
        assert len(port.host.split(",")) == len(networks[name])


@pytest.mark.parametrize("nation", NODES)
def test_compose_publishes_agency_and_operator_port_on_loopback_and_no_peer_port(
    homes: dict[str, NodeHome], nation: str
) -> None:
    config = load_config(homes[nation].path)
    published = {int(target) for target in re.findall(r'"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:(\d+)"', COMPOSE)}
    assert {config.agency_api.port, config.ops_api.port} <= published
    assert config.peer_api.port not in published
    assert len(re.findall(r"^    ports:", COMPOSE, re.MULTILINE)) == len(NODES)
    assert len(published) == 2 * len(NODES)


def test_each_node_finds_its_peer_by_a_name_of_the_peer_link(homes: dict[str, NodeHome]) -> None:
    for nation, node in NODES.items():
        other = next(item for item in NODES if item != nation)
        peer = load_config(homes[other].path).peer
        port = load_config(homes[nation].path).peer_api.port
        assert peer.url == f"https://{node}:{port}"
        assert re.search(rf"peer-link: \{{aliases: \[{re.escape(node)}, ", COMPOSE)


def test_dev_keys_made_twice_are_the_same_keys(homes: dict[str, NodeHome]) -> None:
    base = homes["FR"].path.parent
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    make_compose_homes(base, now=datetime.now(UTC))
    assert {path: path.read_bytes() for path in base.rglob("*") if path.is_file()} == before


def test_dev_keys_touch_no_home_that_was_not_made_for_tests(
    tmp_path: Path,
) -> None:
    home = NodeHome(path=tmp_path / "fr")
    plan = replace(plan_for("FR"), test=False)
    phrase = Passphrase(b"a passphrase of a test")
    phrases = Passphrases(node=phrase, root=phrase, issuing=phrase)
    hold_ceremony(home, AuthorityHome(path=tmp_path / "offline"), plan, phrases, now=datetime.now(UTC))

    with pytest.raises(CeremonyError, match="nothing was touched"):
        make_compose_homes(tmp_path, now=datetime.now(UTC))
    assert not home.config.exists()
    assert not (tmp_path / "us").exists()


def test_the_environment_keeps_what_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write_environment(path, {"ENTENTE_UID": "1"})
    path.write_text(path.read_text() + "ENTENTE_CPUS=2.0\n")
    write_environment(path, {"ENTENTE_UID": "1000", "ENTENTE_GID": "1000"})
    assert path.read_text().splitlines() == ["ENTENTE_CPUS=2.0", "ENTENTE_UID=1000", "ENTENTE_GID=1000"]


def test_nothing_enters_the_image_but_what_is_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert not [
        line for line in lines if line.startswith(("!keys", "!var/", "!.")) and line != "!var/wheelhouse"
    ]
    assert "syntax=" not in (ROOT / "Dockerfile").read_text()
