"""What the configuration takes for the database: never a password, which `config check` would print."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load_config
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
