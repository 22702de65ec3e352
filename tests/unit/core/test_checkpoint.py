"""A checkpoint is three lines in one form."""

from __future__ import annotations

from base64 import b64encode

import pytest

from gateway.core.checkpoint import Checkpoint, format_checkpoint, is_origin, parse_checkpoint
from gateway.core.merkle import EMPTY_ROOT, Hash
from gateway.errors import MalformedError

ORIGIN = "fr.gateway.test/exchange/us"
ROOT = Hash(bytes(range(32)))
ROOT_TEXT = b64encode(ROOT).decode()
GOOD = f"{ORIGIN}\n257\n{ROOT_TEXT}\n"


def test_a_checkpoint_is_origin_size_and_root() -> None:
    checkpoint = Checkpoint(origin=ORIGIN, size=257, root=ROOT)

    assert format_checkpoint(checkpoint) == GOOD
    assert parse_checkpoint(GOOD) == checkpoint


def test_an_empty_log_has_the_root_of_rfc_6962() -> None:
    text = f"{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"

    assert parse_checkpoint(text) == Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)


@pytest.mark.parametrize(
    "size",
    [
        "0257",
        "2_57",
        " 257",
        "257 ",
        "+257",
        "-257",
        "-0",
        "",
        "0x10",
        "25.7",
        "1e3",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "\N{FULLWIDTH DIGIT FIVE}",
        "9223372036854775808",
        "99999999999999999999",
        "9" * 5_000,
    ],
)
def test_a_size_in_another_form_is_refused(size: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(f"{ORIGIN}\n{size}\n{ROOT_TEXT}\n")


def test_the_largest_size_is_accepted() -> None:
    assert parse_checkpoint(f"{ORIGIN}\n{2**63 - 1}\n{ROOT_TEXT}\n").size == 2**63 - 1


@pytest.mark.parametrize(
    "root",
    [
        "",
        b64encode(bytes(31)).decode(),
        b64encode(bytes(33)).decode(),
        b64encode(bytes(64)).decode(),
        ROOT_TEXT[:-1],
        ROOT_TEXT + "=",
        " " + ROOT_TEXT,
        ROOT_TEXT[:-2] + "9=",
        ROOT_TEXT.replace("A", "_", 1),
        ROOT_TEXT.replace("A", "A ", 1),
        bytes(32).hex(),
    ],
)
def test_a_root_in_another_form_is_refused(root: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(f"{ORIGIN}\n257\n{root}\n")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "fr.gateway.test",
        "fr.gateway.test/",
        "/audit",
        "fr.gateway.test//us",
        "FR.gateway.test/audit",
        "fr.gateway.test/Audit",
        "fr.gateway.test/audit ",
        "fr gateway/audit",
        "fr.gateway.test/a+b",
        "fr.gateway.test/../us",
        "fr_gateway/audit",
        "fr.gateway.test/aud\u0131t",
        "cosignature/v1",
        "a" * 250 + "/audit",
    ],
)
def test_an_origin_that_is_no_log_is_refused(origin: str) -> None:
    assert not is_origin(origin)
    with pytest.raises(MalformedError):
        parse_checkpoint(f"{origin}\n257\n{ROOT_TEXT}\n")
    with pytest.raises(MalformedError):
        Checkpoint(origin=origin, size=257, root=ROOT)


@pytest.mark.parametrize(
    "origin", ["fr.gateway.test/audit", "fr.gateway.test/exchange/us/2", "a/b", "a" * 249 + "/audit"]
)
def test_origins_of_logs_are_accepted(origin: str) -> None:
    assert is_origin(origin)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        GOOD[:-1],
        GOOD + "\n",
        GOOD + "extension\n",
        "\n" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\u2028"),
        GOOD + GOOD,
        f"{ORIGIN}\n257\n",
        f"{ORIGIN}\n0\n{ROOT_TEXT}\n",
    ],
)
def test_every_other_text_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(text)


@pytest.mark.parametrize(("size", "root"), [(-1, ROOT), (2**63, ROOT), (1, Hash(bytes(31))), (0, ROOT)])
def test_no_checkpoint_is_made_that_no_log_can_have(size: int, root: Hash) -> None:
    with pytest.raises(MalformedError):
        Checkpoint(origin=ORIGIN, size=size, root=root)
