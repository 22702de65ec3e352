from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import bitcoin

from gateway.core.message.crypto_addresses import is_crypto_address

# BIP 173 and BIP 350, addresses of the main network and what they list as invalid.
SEGWIT_GOOD = [
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
    "BC1SW50QGDZ25J",
    "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
]
SEGWIT_BAD = {
    "the Bech32 code for version 1": "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "the Bech32m code for version 0": "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KEMEAWH",
    "a character outside the alphabet": "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
    "version 17": "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
    "a program of one byte": "bc1pw5dgrnzv",
    "a program of 41 bytes": "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
    "a version 0 program of 16 bytes": "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
    "more than four bits of padding": "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
    "padding that is not zero": "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
    "no data": "bc1gmk9yu",
    "mixed case": "bc1pW508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
    "another network": "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
}


@pytest.mark.parametrize("address", SEGWIT_GOOD)
def test_the_addresses_of_bip_350_are_good(address: str) -> None:
    assert is_crypto_address(address, chain="BTC")


@pytest.mark.parametrize("address", SEGWIT_BAD.values(), ids=list(SEGWIT_BAD))
def test_what_bip_350_calls_invalid_is_refused(address: str) -> None:
    assert not is_crypto_address(address, chain="BTC")


@pytest.mark.parametrize("address", SEGWIT_GOOD)
def test_one_wrong_character_is_found(address: str) -> None:
    for place in range(3, len(address)):
        wrong = "q" if address[place].lower() != "q" else "p"
        slip = address[:place] + (wrong.upper() if address.isupper() else wrong) + address[place + 1 :]
        assert not is_crypto_address(slip, chain="BTC")


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58check(version: int, body: bytes) -> str:
    octets = bytes([version]) + body
    octets += hashlib.sha256(hashlib.sha256(octets).digest()).digest()[:4]
    number, text = int.from_bytes(octets, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return "1" * (len(octets) - len(octets.lstrip(b"\0"))) + text


def test_older_bitcoin_addresses_agree_with_stdnum() -> None:
    chance = random.Random(58)  # noqa: S311 - values to try, nothing secret
    addresses = [
        base58check(chance.choice((0, 5, 111)), chance.randbytes(chance.choice((20, 20, 19, 21))))
        for _ in range(500)
    ]
    addresses += [address[:-1] + chance.choice(BASE58) for address in addresses]
    addresses += [base58check(0, bytes(19) + b"\1"), base58check(5, bytes(20)), base58check(0, bytes(20))]

    ours = [is_crypto_address(address, chain="BTC") for address in addresses]

    assert ours == [bitcoin.is_valid(address) for address in addresses]
    assert 100 < sum(ours) < len(ours) - 100


def test_tron_addresses_have_their_own_version() -> None:
    body = bytes(range(20))

    assert is_crypto_address(base58check(0x41, body), chain="TRON")
    assert not is_crypto_address(base58check(0x42, body), chain="TRON")
    assert not is_crypto_address(base58check(0x41, body), chain="BTC")
    assert not is_crypto_address(base58check(0, body), chain="TRON")


# EIP-55, test cases.
EIP55 = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", EIP55)
def test_the_capitals_of_an_ethereum_address_are_its_checksum(address: str) -> None:
    assert is_crypto_address(address, chain="ETH")
    for place in range(2, 42):
        slip = address[:place] + address[place].swapcase() + address[place + 1 :]
        assert is_crypto_address(slip, chain="ETH") is (slip == address)


@pytest.mark.parametrize(
    "address",
    [
        EIP55[4].lower(),
        "0x" + EIP55[4][2:].upper(),
        EIP55[4][2:],
        "0X" + EIP55[4][2:],
        EIP55[4][:-1],
        EIP55[4] + "0",
        EIP55[4] + "\n",
    ],
)
def test_other_spellings_of_an_ethereum_address_are_refused(address: str) -> None:
    assert not is_crypto_address(address, chain="ETH")


@given(text=st.one_of(st.text(max_size=100), st.text(alphabet="bc1qpBC0xFf\n", max_size=100)))
@pytest.mark.parametrize("chain", ["BTC", "ETH", "TRON", "another"])
def test_any_text_is_answered_and_none_raises(chain: str, text: str) -> None:
    assert is_crypto_address(text, chain=chain) in (True, False)


def test_a_very_long_text_costs_nothing() -> None:
    for chain in ("BTC", "ETH", "TRON"):
        assert not is_crypto_address("1" * 1_000_000, chain=chain)
        assert not is_crypto_address("bc1" + "q" * 1_000_000, chain=chain)


def test_an_unknown_chain_has_no_good_address() -> None:
    assert not is_crypto_address(EIP55[4], chain="another")
