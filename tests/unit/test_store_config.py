"""What the configuration takes for the database: never a password, which `config check` would print."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import unusable
from gateway.config import load_config
from gateway.configured import store_url
from gateway.errors import ConfigError

HOME = """\
[node]
name = "fr.gateway.test"
nation = "FR"
[agency_api]
listen = "127.0.0.1:1"
[peer_api]
listen = "127.0.0.1:2"
[ops_api]
listen = "127.0.0.1:3"
[peers.US]
name = "us.gateway.test"
url = "https://127.0.0.1:4"
[store]
url = "{url}"
"""


@pytest.mark.parametrize(
    "url", ["postgresql://gateway:s3cret@db/entente", "postgresql+asyncpg://gateway:@db/entente"]
)
def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path: Path, url: str) -> None:
    (tmp_path / "gateway.toml").write_text(HOME.format(url=url))
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path)
    assert "store.url" in str(refused.value)
    assert "store.password_file" in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///data/gateway.db",
        "sqlite:////srv/a:b@c/gateway.db",
        "postgresql://gateway@db:5432/entente",
        "postgresql:///entente?host=/run/postgresql",
    ],
)
def test_addresses_without_a_password_are_taken(tmp_path: Path, url: str) -> None:
    (tmp_path / "gateway.toml").write_text(HOME.format(url=url))
    assert load_config(tmp_path).store.url == url


def addressed(home: Path, url: str, more: str = "") -> str:
    (home / "gateway.toml").write_text(HOME.format(url=url) + more)
    return store_url(home, load_config(home))


@pytest.mark.parametrize("path", ["data/gateway.db", "a b/100%.db"])
def test_a_file_of_a_database_lies_in_the_home_unless_its_path_begins_at_the_root(
    tmp_path: Path, path: str
) -> None:
    assert addressed(tmp_path, f"sqlite:///{path}") == f"sqlite:///{tmp_path}/{path}"
    assert addressed(tmp_path, f"sqlite:////srv/{path}") == f"sqlite:////srv/{path}"


def test_the_password_of_a_database_stands_in_a_file_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3:cret@\n")
    found = addressed(tmp_path, "postgresql://gateway@db/entente", 'password_file = "secret"\n')
    assert found == "postgresql://gateway:s3%3Acret%40@db/entente"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_password_that_cannot_be_read_names_its_setting(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=r"store\.password_file"):
        addressed(tmp_path, "postgresql://gateway@db/entente", 'password_file = "secret"\n')
    # `entente config check` says it too, before a node is started.
    (refusal,) = unusable(tmp_path, load_config(tmp_path))
    assert "store.password_file" in str(refusal)


def test_an_address_that_is_none_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store\.url"):
        addressed(tmp_path, "postgresql://gateway@db:port/entente")
