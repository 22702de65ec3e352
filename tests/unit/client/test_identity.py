"""The folder of an agency."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from gateway.client import AsyncClient, Client, IdentityError, open_context, stored_url
from tests.certificates import Authority


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Authority(tmp_path, "agencies").leaf("agency").folder


def test_a_folder_gives_mutual_tls_of_the_newest_version(folder: Path) -> None:
    context = open_context(folder)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("name", ["client.pem", "client.key", "ca.pem"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(IdentityError, match=name):
        open_context(folder)


@pytest.mark.parametrize("name", ["client.pem", "client.key", "ca.pem"])
def test_a_file_of_another_kind_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("not PEM")
    with pytest.raises(IdentityError, match=name.removesuffix("x")):
        open_context(folder)


def test_another_certificates_key_is_refused(folder: Path) -> None:
    other = Authority(folder / "other", "others").leaf("other")
    (folder / "client.key").write_bytes(other.key.read_bytes())
    with pytest.raises(IdentityError):
        open_context(folder)


def test_an_encrypted_key_is_refused_rather_than_asked_for(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (folder / "client.key").write_bytes(sealed)
    with pytest.raises(IdentityError):
        open_context(folder)


def test_the_address_comes_from_the_caller_or_from_the_folder(folder: Path) -> None:
    assert stored_url(folder) is None
    with pytest.raises(IdentityError, match="address"):
        AsyncClient.from_folder(folder)
    with pytest.raises(IdentityError, match="address"):
        Client.from_folder(folder)
    (folder / "url").write_text("https://127.0.0.1:9441\n")
    assert stored_url(folder) == "https://127.0.0.1:9441"
    AsyncClient.from_folder(folder)
    Client.from_folder(folder, url="https://127.0.0.1:1").close()


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9441",
        "127.0.0.1:9441",
        "https://",
        "https://:9441",
        "https://127.0.0.1:99999",
        "https://127.0.0.1:0",
        "https://127.0.0.1:9441/v1",
        "https://127.0.0.1:9441?x",
        "https://agency@127.0.0.1:9441",
        "https://127.0.0.1:9441\nhttps://127.0.0.1:9442",
        "the node",
    ],
)
def test_an_address_is_scheme_host_and_port(folder: Path, address: str) -> None:
    with pytest.raises(IdentityError, match="https://host:port"):
        Client.from_folder(folder, url=address)
    (folder / "url").write_text(address)
    with pytest.raises(IdentityError, match="https://host:port"):
        AsyncClient.from_folder(folder)


@pytest.mark.parametrize("address", ["https://127.0.0.1:9441/", "https://[::1]:9441", "https://node.example"])
def test_a_slash_or_no_port_does_no_harm(folder: Path, address: str) -> None:
    AsyncClient.from_folder(folder, url=address)


def test_an_address_saved_by_an_editor_of_windows_is_read(folder: Path) -> None:
    (folder / "url").write_bytes(b"\xef\xbb\xbfhttps://127.0.0.1:9441\r\n")
    assert stored_url(folder) == "https://127.0.0.1:9441"


def test_a_closed_client_can_be_closed_again(folder: Path) -> None:
    client = Client.from_folder(folder, url="https://127.0.0.1:1")
    client.close()
    client.close()
