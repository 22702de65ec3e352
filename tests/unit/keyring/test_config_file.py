"""A new home's configuration is one that the node reads, whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config import TOKEN_TIMEOUT_S, load_config
from gateway.keyring.ceremony import NodePlan
from gateway.keyring.config_file import Addresses, Ports, config_text, write_config
from gateway.keyring.home import NodeHome
from gateway.keyring.token import TokenSettings, token_settings

PLAN = NodePlan(
    nation="US",
    node="us.gateway.example",
    peer_nation="FR",
    peer_node="fr.gateway.example",
    test=False,
)


@pytest.mark.parametrize("passphrase_file", ["keys/passphrase", '/run/"odd"\\name', "/sécurité/phrase"])
def test_what_is_written_is_what_the_node_reads(tmp_path: Path, passphrase_file: str) -> None:
    home = NodeHome(path=tmp_path)
    write_config(
        home,
        config_text(
            PLAN,
            Ports.from_base(9_440, "US"),
            peer_url="https://fr.gateway.example:9442",
            addresses=Addresses(agency="10.0.0.7", peer="192.0.2.1,192.0.2.2", operator="[::1],ops.example"),
            passphrase_file=passphrase_file,
        ),
    )

    config = load_config(tmp_path)

    assert config.node.mode == "production"
    assert (config.agency_api.host, config.agency_api.port) == ("10.0.0.7", 9_451)
    assert (config.peer_api.host, config.peer_api.port) == ("192.0.2.1,192.0.2.2", 9_452)
    assert (config.ops_api.host, config.ops_api.port) == ("::1,ops.example", 9_453)
    assert config.peer_nation == "FR"
    assert config.peer.name == "fr.gateway.example"
    assert str(config.keys.passphrase_file) == passphrase_file


def test_ports_are_counted_from_the_base() -> None:
    assert Ports.from_base(9_440, "FR") == Ports(agency=9_441, peer=9_442, operator=9_443)
    assert Ports.from_base(9_440, "US") == Ports(agency=9_451, peer=9_452, operator=9_453)
    assert Ports.from_base(9_440, "DE") == Ports(agency=9_441, peer=9_442, operator=9_443)


def test_a_token_that_is_written_is_the_one_that_the_node_reads(tmp_path: Path) -> None:
    home = NodeHome(path=tmp_path)
    token = TokenSettings(
        module=Path("/usr/lib/mäker/lib.so"),
        label='fr "1"',
        pin_file=Path("/run/secrets/pin"),
        refused_file=home.token_pin_refused,
        timeout_s=TOKEN_TIMEOUT_S,
    )
    write_config(
        home, config_text(PLAN, Ports.from_base(9_440, "US"), peer_url="https://fr.example:1", token=token)
    )

    assert token_settings(tmp_path, load_config(tmp_path)) == token


def test_without_a_token_there_is_none(tmp_path: Path) -> None:
    write_config(
        NodeHome(path=tmp_path),
        config_text(PLAN, Ports.from_base(9_440, "US"), peer_url="https://fr.example:1"),
    )

    assert token_settings(tmp_path, load_config(tmp_path)) is None
    # Sections that are absent are printed as such.
    printed = CliRunner().invoke(app, ["config", "check", "--home", str(tmp_path)])
    assert printed.exit_code == 0
    assert "keys.token = None" in printed.output
    assert "stamps = None" in printed.output


@pytest.mark.parametrize(
    "given", [("--token-module", "m.so"), ("--token-label", "t"), ("--token-pin-file", "p")]
)
def test_a_ceremony_takes_all_that_a_token_needs_or_nothing(tmp_path: Path, given: tuple[str, str]) -> None:
    names = ("--nation", "FR", "--node", "fr.gateway.test", "--peer-nation", "US")
    done = CliRunner().invoke(
        app,
        [
            "init",
            "--home",
            str(tmp_path / "fr"),
            *names,
            "--peer-node",
            "us.gateway.test",
            "--mode",
            "test",
            *given,
        ],
    )
    assert done.exit_code == 1
    assert "a token needs all three" in done.output
    assert not (tmp_path / "fr").exists()
