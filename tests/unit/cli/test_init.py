"""`entente init` makes a home or both, and says in one line why it does not."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.init import app
from gateway.config import load_config
from gateway.keyring.home import NodeHome
from gateway.keyring.keyring import FileKeyring
from gateway.keyring.passphrase import read_passphrase_file

NAMES = ["--nation", "FR", "--node", "fr.gateway.example"]
NAMES += ["--peer-nation", "US", "--peer-node", "us.gateway.example"]


def run(*arguments: str | Path, code: int = 0, typed: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(item) for item in arguments], input=typed)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def phrases(tmp_path: Path) -> list[str | Path]:
    options: list[str | Path] = []
    for number, option in enumerate(
        (
            "--passphrase-file",
            "--root-passphrase-file",
            "--root-passphrase-file",
            "--issuing-passphrase-file",
        )
    ):
        path = tmp_path / f"phrase-{number}"
        path.write_text(f"words {number} for {option}\n")
        path.chmod(0o600)
        options += [option, path]
    return options


def test_the_demo_has_both_homes(tmp_path: Path) -> None:
    made = json.loads(run("--demo", "--home", tmp_path / "demo", "--port-base", "11440", "--json"))

    assert set(made) == {"FR", "US"}
    assert all(home["test"] for home in made.values())
    assert load_config(tmp_path / "demo" / "us").agency_api.port == 11_451


def test_a_test_home_needs_no_passphrase(tmp_path: Path) -> None:
    output = run("--home", tmp_path / "fr", *NAMES, "--mode", "test")
    home = NodeHome(path=tmp_path / "fr")

    assert "TEST KEYS" in output
    opened = FileKeyring.open(home.path, passphrase=read_passphrase_file(home.passphrase), production=False)
    assert (opened.node, opened.peer_node) == ("fr.gateway.example", "us.gateway.example")
    assert load_config(home.path).peer.url == "https://us.gateway.example:9452"


def test_a_production_home_opens_in_production(tmp_path: Path, phrases: list[str | Path]) -> None:
    home = tmp_path / "fr"
    output = run("--home", home, "--authority", tmp_path / "offline", *NAMES, *phrases)

    config = load_config(home)
    assert "root keys, SHA-384" in output
    assert "TEST" not in output
    assert config.node.mode == "production"
    opened = FileKeyring.open(
        home, passphrase=read_passphrase_file(config.keys.passphrase_file), production=True
    )
    assert opened.node == "fr.gateway.example"


@pytest.mark.parametrize("authority", [None, "home/authority", "home"])
def test_a_production_authority_lies_outside_the_home(
    tmp_path: Path, phrases: list[str | Path], authority: str | None
) -> None:
    options: list[str | Path] = ["--authority", tmp_path / authority] if authority else []
    output = run("--home", tmp_path / "home", *options, *NAMES, *phrases, code=1)

    assert "offline" in output
    assert not (tmp_path / "home").exists()


def test_without_a_terminal_a_passphrase_comes_from_a_file(tmp_path: Path) -> None:
    output = run(
        "--home", tmp_path / "fr", "--authority", tmp_path / "a", *NAMES, code=1, typed="typed in\n" * 6
    )

    assert "a passphrase for the node's keys is needed" in output
    assert not (tmp_path / "fr").exists()


def test_a_short_passphrase_is_refused_before_anything_is_made(
    tmp_path: Path, phrases: list[str | Path]
) -> None:
    Path(phrases[3]).write_text("short\n")
    output = run("--home", tmp_path / "fr", "--authority", tmp_path / "a", *NAMES, *phrases, code=1)

    assert "fewer than 12 characters" in output
    assert not (tmp_path / "fr").exists()


def test_a_root_in_production_has_two_custodians(tmp_path: Path, phrases: list[str | Path]) -> None:
    where: list[str | Path] = ["--home", tmp_path / "fr", "--authority", tmp_path / "a", *NAMES]
    one = [item for index, item in enumerate(phrases) if index not in (4, 5)]
    assert "two custodians" in run(*where, *one, code=1)
    assert "give --custodian twice" in run(*where, *phrases, "--custodian", "Camille Martin", code=1)
    Path(phrases[5]).write_bytes(Path(phrases[3]).read_bytes())
    assert "the same half" in run(*where, *phrases, code=1)
    assert not (tmp_path / "fr").exists()


def test_the_transcript_is_printed_with_names_words_and_its_own_digest(
    tmp_path: Path, phrases: list[str | Path]
) -> None:
    people = ["--custodian", "Camille Martin", "--custodian", "Dominique Petit", "--witness", "Claude Durand"]
    home = NodeHome(path=tmp_path / "fr")
    output = run("--home", home.path, "--authority", tmp_path / "a", *NAMES, *phrases, *people)

    assert "custodian 2 / dépositaire 2   Dominique Petit" in output
    digest = hashlib.sha384(home.ceremony_record.read_bytes()).hexdigest()
    assert " ".join(digest[start : start + 4] for start in range(0, 96, 4)) in output
    assert f"ceremony-sha384 {digest}".encode() in home.own.statement.read_bytes()


def test_a_home_is_made_once(tmp_path: Path) -> None:
    run("--home", tmp_path / "fr", *NAMES, "--mode", "test")

    assert "exists already" in run("--home", tmp_path / "fr", *NAMES, "--mode", "test", code=1)


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    output = run("--home", tmp_path / "fr", "--mode", "test", "--nation", "fr", code=1)

    assert "two capital letters" in output
    assert not (tmp_path / "fr").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--nation", "DE", "node.nation"),
        ("--peer-nation", "DE", "peers.DE"),
        ("--peer-url", "http://us.gateway.example:9452", "peers.US.url: expected https://host:port"),
        ("--host", "Le Havre", "agency_api.listen: expected address:port"),
        ("--name", "gateway.douane.été", "a host name in ASCII"),
        ("--name", "two words", "a host name in ASCII"),
    ],
)
def test_what_the_node_would_refuse_is_refused_before_the_ceremony(
    tmp_path: Path, phrases: list[str | Path], option: str, value: str, said: str
) -> None:
    where: list[str | Path] = ["--home", tmp_path / "fr", "--authority", tmp_path / "a"]
    output = run(*where, *NAMES, *phrases, option, value, code=1)

    assert said in output
    assert not (tmp_path / "fr").exists()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("taken", ["home", "authority"])
def test_where_no_folder_can_be_made_nothing_is(
    tmp_path: Path, phrases: list[str | Path], taken: str
) -> None:
    folders = {"home": tmp_path / "fr", "authority": tmp_path / "a"}
    folders[taken].write_text("a file\n")
    output = run("--home", folders["home"], "--authority", folders["authority"], *NAMES, *phrases, code=1)

    assert "is not a folder" in output
    assert "half-way" not in output
    assert not list(tmp_path.rglob("*.key"))


def test_a_second_ceremony_in_one_place_makes_nothing_anywhere(
    tmp_path: Path, phrases: list[str | Path]
) -> None:
    run("--home", tmp_path / "fr", "--authority", tmp_path / "a", *NAMES, *phrases)
    for home, authority in (("fr", "b"), ("de", "a")):
        output = run("--home", tmp_path / home, "--authority", tmp_path / authority, *NAMES, *phrases, code=1)
        assert "exists already" in output
        assert "destroy" not in output
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "de").exists()


def test_a_ceremony_that_stops_half_way_says_what_to_destroy(
    tmp_path: Path, phrases: list[str | Path]
) -> None:
    home = NodeHome(path=tmp_path / "fr")
    # Where its last file but one belongs there is a folder: it cannot be written.
    home.registry.mkdir(parents=True)
    where: list[str | Path] = ["--home", home.path, "--authority", tmp_path / "a"]
    output = run(*where, *NAMES, *phrases, code=1)

    assert "agencies.json cannot be written" in output
    assert f"destroy {home.keys}, {tmp_path / 'a' / 'root'}, {tmp_path / 'a' / 'issuing'}" in output
    for folder in (home.keys, tmp_path / "a" / "root", tmp_path / "a" / "issuing", home.registry):
        shutil.rmtree(folder)
    run(*where, *NAMES, *phrases)


def test_another_mode_is_wrong_usage(tmp_path: Path) -> None:
    run("--home", tmp_path / "fr", *NAMES, "--mode", "demo", code=2)


def test_help_shows_an_example() -> None:
    assert "entente init --demo --home var/demo" in run("--help")
