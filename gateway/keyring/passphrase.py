"""Where passphrases come from: a private file, a descriptor, or a person at a terminal.

Never an argument and never the environment: both are shown to other processes and end up
in histories and crash reports.

Spec: docs/spec/keys.md, "Passphrases".
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final, NewType

from gateway.keyring.files import read_private, write_private
from gateway.keyring.refusals import KeyFileError, Refusal

Passphrase = NewType("Passphrase", bytes)
"""UTF-8 bytes of one line, 1 to 1,024 of them, without the line ending."""

MAX_PASSPHRASE_BYTES: Final = 1_024
MIN_NEW_PASSPHRASE_CHARACTERS: Final = 12

_GENERATED_BYTES: Final = 24


def read_passphrase_file(path: Path) -> Passphrase:
    """Return the passphrase that a private file holds as its only line.

    Raises:
        KeyFileError: The file is not private, or holds something else.
    """
    return parse_passphrase(read_private(path), source=path)


def read_passphrase_descriptor(descriptor: int) -> Passphrase:
    """Return the passphrase that an open descriptor delivers up to its end, and close it.

    Raises:
        KeyFileError: It holds something else, or is not open.
    """
    source = Path(f"/dev/fd/{descriptor}")
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_PASSPHRASE_BYTES + 3)
    except OSError as error:
        raise KeyFileError(source, Refusal.UNREADABLE) from error
    return parse_passphrase(content, source=source)


def parse_passphrase(content: bytes, *, source: Path) -> Passphrase:
    """Return the passphrase of one line.

    Args:
        content: The line, with or without its ending.
        source: Named in the error.

    Raises:
        KeyFileError: Empty, more than one line, too long, or not UTF-8.
    """
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise KeyFileError(source, Refusal.EMPTY)
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KeyFileError(source, Refusal.PASSPHRASE_FORM) from error
    if len(line) > MAX_PASSPHRASE_BYTES or any(character in text for character in "\n\r\0"):
        raise KeyFileError(source, Refusal.PASSPHRASE_FORM)
    return Passphrase(line)


def join_halves(first: Passphrase, second: Passphrase) -> Passphrase:
    """Return the passphrase of which two custodians know one half each: both with a space between."""
    return Passphrase(first + b" " + second)


def check_new_passphrase(passphrase: Passphrase, *, source: Path) -> None:
    """Refuse a passphrase that is too short to seal new keys with.

    Raises:
        KeyFileError: Fewer than 12 characters.
    """
    if len(passphrase.decode("utf-8")) < MIN_NEW_PASSPHRASE_CHARACTERS:
        raise KeyFileError(source, Refusal.PASSPHRASE_SHORT)


def write_generated_passphrase(path: Path) -> Passphrase:
    """Write a random passphrase of 192 bits to a new private file and return it.

    For test homes only: a passphrase beside the keys it opens protects nothing.
    """
    passphrase = Passphrase(secrets.token_urlsafe(_GENERATED_BYTES).encode())
    write_private(path, passphrase + b"\n")
    return passphrase
