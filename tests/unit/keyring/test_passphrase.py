"""A passphrase is one line from a private file or a descriptor, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.keyring.passphrase import (
    MAX_PASSPHRASE_BYTES,
    Passphrase,
    check_new_passphrase,
    parse_passphrase,
    read_passphrase_descriptor,
    read_passphrase_file,
    write_generated_passphrase,
)
from gateway.keyring.refusals import KeyFileError, Refusal
from tests.unit.keyring.helpers import private_file

SOURCE = Path("passphrase")


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_the_line_ending_does_not_belong_to_it(tmp_path: Path, ending: bytes) -> None:
    path = private_file(tmp_path / "p", " mot de passe é ".encode() + ending)

    assert read_passphrase_file(path) == " mot de passe é ".encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Refusal.EMPTY),
        (b"\n", Refusal.EMPTY),
        (b"one\ntwo\n", Refusal.PASSPHRASE_FORM),
        (b"one\rtwo", Refusal.PASSPHRASE_FORM),
        (b"nul\0", Refusal.PASSPHRASE_FORM),
        (b"\xff\xfe", Refusal.PASSPHRASE_FORM),
        (b"x" * (MAX_PASSPHRASE_BYTES + 1), Refusal.PASSPHRASE_FORM),
    ],
)
def test_anything_else_is_refused(content: bytes, reason: Refusal) -> None:
    with pytest.raises(KeyFileError) as caught:
        parse_passphrase(content, source=SOURCE)

    assert caught.value.refusal is reason


def test_a_passphrase_file_is_private_like_a_key(tmp_path: Path) -> None:
    path = private_file(tmp_path / "p", b"secret words here\n")
    path.chmod(0o644)

    with pytest.raises(KeyFileError) as caught:
        read_passphrase_file(path)

    assert caught.value.refusal is Refusal.SHARED


def test_a_descriptor_delivers_one_and_is_closed() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe\n")
    os.close(writing)

    assert read_passphrase_descriptor(reading) == b"through a pipe"
    with pytest.raises(KeyFileError) as caught:
        read_passphrase_descriptor(reading)
    assert caught.value.refusal is Refusal.UNREADABLE


def test_a_descriptor_that_delivers_too_much_is_refused() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x" * 5_000)
    os.close(writing)

    with pytest.raises(KeyFileError) as caught:
        read_passphrase_descriptor(reading)

    assert caught.value.refusal is Refusal.PASSPHRASE_FORM


def test_a_new_one_has_twelve_characters_whatever_their_bytes() -> None:
    check_new_passphrase(Passphrase(b"a" * 12), source=SOURCE)
    with pytest.raises(KeyFileError) as caught:
        check_new_passphrase(Passphrase("é".encode() * 11), source=SOURCE)

    assert caught.value.refusal is Refusal.PASSPHRASE_SHORT


def test_a_generated_one_is_written_privately_and_never_twice(tmp_path: Path) -> None:
    passphrase = write_generated_passphrase(tmp_path / "p")

    assert read_passphrase_file(tmp_path / "p") == passphrase
    assert len(passphrase) == 32
    assert write_generated_passphrase(tmp_path / "q") != passphrase
    with pytest.raises(KeyFileError):
        write_generated_passphrase(tmp_path / "p")


def test_an_error_never_repeats_it() -> None:
    with pytest.raises(KeyFileError) as caught:
        parse_passphrase(b"my secret\nmy other secret", source=SOURCE)

    assert "secret" not in str(caught.value)
