"""What the configuration refuses is said in words, by the name of the key and without the value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.config import OTHER_VARIABLES, load_config
from gateway.configured import make_folder
from gateway.errors import ConfigError
from tests.unit.test_store_config import HOME

ROOT = Path(__file__).resolve().parents[2]
GOOD = HOME.format(url="sqlite:///data/gateway.db")


def refusal(home: Path, old: str, new: str) -> str:
    """Return how a configuration is refused in which one text is another."""
    assert old in GOOD
    (home / "gateway.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as refused:
        load_config(home)
    return str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("127.0.0.1:1", "here", "agency_api.listen", "expected address:port, such as"),
        ("127.0.0.1:1", "127.0.0.1:99999", "agency_api.listen", "the port is a number up to 65535"),
        ("https://127.0.0.1:4", "http://peer:4", "peers.US.url", "expected https://host:port"),
        ("fr.gateway.test", "Le Havre", "node.name", "expected a lower-case name with dots"),
        ('nation = "FR"\n', "", "node.nation", "is missing"),
        ('nation = "FR"', 'nation = "FR"\ncolour = 1', "node.colour", "unknown key"),
        ("127.0.0.1:3", "127.0.0.1:1", "ops_api.listen", "an address and port of agency_api.listen"),
        ("127.0.0.1:2", "10.0.0.7,127.0.0.1:1", "peer_api.listen", "an address and port of agency_api"),
        ("sqlite:///data/gateway.db", "mysql://db/entente", "store.url", "expected sqlite:///PATH or"),
        ("sqlite:///data/gateway.db", "/srv/gateway.db", "store.url", "expected sqlite:///PATH or"),
        (
            "[peer_api]",
            'certificate_file = "x.pem"\n[peer_api]',
            "agency_api.certificate_file",
            "unknown key",
        ),
    ],
)
def test_each_refusal_names_its_key_and_what_is_expected(
    tmp_path: Path, old: str, new: str, key: str, expected: str
) -> None:
    text = refusal(tmp_path, old, new)

    assert f"{key}: " in text
    assert expected in text
    assert "^" not in text
    assert new not in text or new == ""


def test_two_ports_that_the_system_chooses_are_two(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        GOOD.replace("127.0.0.1:1", "[::]:0").replace("127.0.0.1:2", "[::]:0")
    )
    assert load_config(tmp_path).peer_api.port == 0


def test_a_file_in_another_encoding_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_bytes(b"\xff\xfe" + GOOD.encode("utf-16-le"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_config(tmp_path)


def test_the_check_tells_of_every_named_file_that_cannot_be_used(tmp_path: Path) -> None:
    more = (
        '[agreement]\ncatalogue = "nowhere"\n[stamps]\nurl = "http://tsa/"\ncertificate_file = "gone.pem"\n'
    )
    (tmp_path / "gateway.toml").write_text(GOOD + more)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders").write_text("no order\n")

    result = CliRunner().invoke(app, ["config", "check", "--home", str(tmp_path)])

    assert result.exit_code == 1
    assert [line.rpartition("[")[2] for line in result.output.splitlines()] == [
        "catalogue-invalid]",
        "config-invalid]",
        "orders]",
    ]


def test_a_folder_that_cannot_be_made_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(ConfigError, match=r"store\.url: the folder .* cannot be made"):
        make_folder(tmp_path / "data", "store.url")
    make_folder(tmp_path / "new" / "data", "store.url")
    make_folder(tmp_path / "new" / "data", "store.url")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ENTENTE_LOG_LEVEL", "ENTENTE_LOG__<KEY>"),
        ("ENTENTE_AGENCY_API_LISTEN", "ENTENTE_AGENCY_API__<KEY>"),
        ("ENTENTE_APPROVALS", "ENTENTE_APPROVALS__<KEY>"),
        ("entente_log_level", "ENTENTE_LOG__<KEY>"),
        ("ENTENTE_COLOUR", "ENTENTE_<SECTION>__<KEY>, with two underscores"),
        ("ENTENTE_COLOUR__DARK", "ENTENTE_<SECTION>__<KEY>, with two underscores"),
        ("ENTENTE_PEERS", "ENTENTE_PEERS__<KEY>"),
    ],
)
def test_a_misspelt_variable_is_refused_by_its_name_and_never_by_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setenv(name, "some-value")
    text = refusal(tmp_path, "127.0.0.1:1", "127.0.0.1:1")

    assert expected in text
    assert "some-value" not in text
    assert name in text


def test_every_misspelt_variable_is_named_beside_what_the_file_has_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTENTE_LOG_LEVEL", "debug")
    monkeypatch.setenv("ENTENTE_LOGS__LEVEL", "debug")
    text = refusal(tmp_path, 'nation = "FR"\n', "")

    for line in ("node.nation: is missing", "ENTENTE_LOG_LEVEL: unknown", "ENTENTE_LOGS__LEVEL: unknown"):
        assert line in text


@pytest.mark.parametrize("language", ["de", "FR", "en "])
def test_a_language_that_the_health_check_would_refuse_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("ENTENTE_LANGUAGE", language)
    assert "ENTENTE_LANGUAGE: expected en or fr" in refusal(tmp_path, "127.0.0.1:1", "127.0.0.1:1")


def test_variables_of_commands_and_containers_stop_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = set(re.findall(r"\bENTENTE_[A-Z_]+[A-Z]\b", (ROOT / "docker-compose.yml").read_text()))
    used |= set(re.findall(r"\bENTENTE_[A-Z_]+[A-Z]\b", (ROOT / "Dockerfile").read_text()))
    for source in (ROOT / "gateway").rglob("*.py"):
        used |= set(re.findall(r'envvar="(ENTENTE_[A-Z_]+)"', source.read_text()))
    assert {name for name in used if "__" not in name} == OTHER_VARIABLES
    kubernetes = {"ENTENTE_PORT", "ENTENTE_FR_SERVICE_HOST", "ENTENTE_FR_PORT_9442_TCP_ADDR"}
    for name in OTHER_VARIABLES | kubernetes:
        monkeypatch.setenv(name, "fr")
    (tmp_path / "gateway.toml").write_text(GOOD)

    assert load_config(tmp_path).node.nation == "FR"
