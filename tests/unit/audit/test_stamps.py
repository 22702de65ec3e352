"""Stamps of an authority that is OpenSSL: believed for one text, under one root, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.audit.stamps import (
    AuthorityUnreadableError,
    read_authority,
    stamp_request,
    verify_stamp,
)
from gateway.errors import SignatureInvalidError
from tests.outsiders import OpensslAuthority

TEXT = b"fr.gateway.test/audit\n3\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("tsa") / "tsa")


def test_a_stamp_says_who_saw_the_text_and_when(openssl: OpensslAuthority) -> None:
    authority = read_authority(openssl.certificates)
    request = stamp_request(TEXT)
    found = verify_stamp(openssl.reply(request.body), TEXT, authority=authority, nonce=request.nonce)
    assert found.authority == "CN=Test time-stamp authority"
    assert found.time_s > 1_700_000_000
    assert found.serial > 0


def test_openssl_verifies_what_was_stamped(openssl: OpensslAuthority, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    (tmp_path / "stamp").write_bytes(openssl.reply(stamp_request(TEXT).body))
    command: list[str | Path] = [
        "openssl",
        "ts",
        "-verify",
        "-data",
        tmp_path / "text",
        "-in",
        tmp_path / "stamp",
    ]
    command += ["-CAfile", openssl.folder / "root.pem", "-untrusted", openssl.folder / "tsa.pem"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "Verification: OK" in found.stdout + found.stderr


def test_another_text_another_nonce_and_another_authority_are_refused(
    openssl: OpensslAuthority, tmp_path: Path
) -> None:
    authority = read_authority(openssl.certificates)
    request = stamp_request(TEXT)
    stamp = openssl.reply(request.body)
    other = OpensslAuthority(tmp_path / "other")
    for text, trusted, nonce in (
        (TEXT + b"\n", authority, None),
        (TEXT, authority, request.nonce + 1),
        (TEXT, read_authority(other.certificates), None),
    ):
        with pytest.raises(SignatureInvalidError):
            verify_stamp(stamp, text, authority=trusted, nonce=nonce)
    assert verify_stamp(stamp, TEXT, authority=authority).serial > 0


def test_a_certificate_for_another_purpose_stamps_nothing(tmp_path: Path) -> None:
    # OpenSSL refuses to stamp with it, so a stamp of the right one is given its place.
    good, wrong = OpensslAuthority(tmp_path / "good"), OpensslAuthority(tmp_path / "wrong", may_stamp=False)
    with pytest.raises(subprocess.CalledProcessError):
        wrong.reply(stamp_request(TEXT).body)
    stamp = good.reply(stamp_request(TEXT).body)
    with pytest.raises(SignatureInvalidError):
        verify_stamp(stamp, TEXT, authority=read_authority(wrong.certificates))


def test_no_altered_byte_of_a_stamp_says_something_else(openssl: OpensslAuthority) -> None:
    authority = read_authority(openssl.certificates)
    stamp = openssl.reply(stamp_request(TEXT).body)
    whole = verify_stamp(stamp, TEXT, authority=authority)
    for at in range(0, len(stamp), 3):
        altered = stamp[:at] + bytes([stamp[at] ^ 0x55]) + stamp[at + 1 :]
        try:
            found = verify_stamp(altered, TEXT, authority=authority)
        except SignatureInvalidError:
            continue
        # What is not signed (the status text, an unused certificate) may change; what is said may not.
        assert found == whole


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"\x30\x80", bytes(100), b"\xff" * 70_000])
def test_what_is_no_stamp_is_refused(openssl: OpensslAuthority, data: bytes) -> None:
    with pytest.raises(SignatureInvalidError):
        verify_stamp(data, TEXT, authority=read_authority(openssl.certificates))


def test_a_refusal_of_the_authority_is_no_stamp(openssl: OpensslAuthority) -> None:
    refused = openssl.reply(b"no request")
    assert b"Bad request format" in refused
    with pytest.raises(SignatureInvalidError):
        verify_stamp(refused, TEXT, authority=read_authority(openssl.certificates))


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(AuthorityUnreadableError):
        read_authority(pem)


def test_an_authority_without_a_root_is_refused(openssl: OpensslAuthority) -> None:
    with pytest.raises(AuthorityUnreadableError, match="signs itself"):
        read_authority((openssl.folder / "tsa.pem").read_bytes())
