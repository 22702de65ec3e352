"""What commands refuse is said in the language of whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.refusal_words import FILES, TOKENS
from gateway.cli.refusals import told
from gateway.errors import ConfigError
from gateway.keyring.refusals import KeyFileError, Refusal, TokenError, TokenRefusal


@pytest.mark.parametrize("refusal", Refusal)
def test_each_refusal_of_a_file_has_a_sentence_in_both_languages(refusal: Refusal) -> None:
    words = told(KeyFileError(Path("keys/storage.key"), refusal))
    assert words.en == f"storage.key {refusal.value} [keys/storage.key]"
    assert words.fr == f"storage.key {FILES[refusal]} [keys/storage.key]"
    assert FILES[refusal] != refusal.value


@pytest.mark.parametrize("refusal", TokenRefusal)
@pytest.mark.parametrize("about", ["", "CKR_DEVICE_REMOVED"])
def test_each_refusal_of_a_token_has_a_sentence_in_both_languages(refusal: TokenRefusal, about: str) -> None:
    words = told(TokenError(refusal, about=about))
    bracketed = f" [{about}]" if about else ""
    assert words.en == f"{refusal.value}{bracketed}"
    assert words.fr == f"{TOKENS[refusal]}{bracketed}"
    assert TOKENS[refusal] != refusal.value


def test_of_other_refusals_french_says_the_kind_and_what_was_found() -> None:
    words = told(ConfigError("gateway.toml is not TOML: it is not UTF-8"))
    assert words.fr == (
        "la configuration est inutilisable : gateway.toml n'est pas du TOML : ce n'est pas de l'UTF-8"
    )
