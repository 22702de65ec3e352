"""Is this an address that a wallet of Bitcoin, Ethereum or TRON could show?

Each chain hides a checksum in its addresses: Base58Check and the two Bech32 codes in
Bitcoin's, the capitals in Ethereum's. The functions take any text and never raise.

Spec: docs/spec/rules.md, rule ID-CRYPTO.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import reduce
from operator import xor

from gateway.core.message.keccak import keccak_256


def is_crypto_address(text: str, *, chain: str) -> bool:
    """Tell whether ``text`` is an address of the chain: BTC, ETH or TRON.

    Returns:
        False also for a chain that is none of the three.

    Spec: BIP 13, 173 and 350; EIP-55; TRON "Account address format".
    """
    match chain:
        case "BTC":
            is_segwit_like = text[:3].lower() == "bc1"
            return _is_segwit(text) if is_segwit_like else _base58check_version(text) in (0, 5)
        case "ETH":
            return _is_ethereum(text)
        case "TRON":
            return _base58check_version(text) == 0x41
        case _:
            return False


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_VALUES = {character: value for value, character in enumerate(_BASE58)}
_BASE58_ADDRESS = re.compile(f"[{_BASE58}]{{25,40}}")


def _base58check_version(text: str) -> int | None:
    """Return the version byte of a Base58Check text of 21 bytes, or None if it is none."""
    if _BASE58_ADDRESS.fullmatch(text) is None:
        return None
    number = 0
    for character in text:
        number = number * 58 + _BASE58_VALUES[character]
    # Leading zero bytes are written as leading ones, so the text tells the exact length.
    zeros = len(text) - len(text.lstrip("1"))
    octets = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(octets) != 25:
        return None
    checksum = hashlib.sha256(hashlib.sha256(octets[:21]).digest()).digest()[:4]
    return octets[0] if checksum == octets[21:] else None


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_VALUES = {character: value for value, character in enumerate(_BECH32)}
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
# What the five bits that leave the checksum take along: the generators of those that are set.
_BECH32_STEPS = tuple(
    reduce(xor, (generator for place, generator in enumerate(_BECH32_GENERATOR) if top >> place & 1), 0)
    for top in range(32)
)
_SEGWIT = re.compile(f"bc1[{_BECH32}]{{8,87}}")


def _bech32_checksum(values: Sequence[int]) -> int:
    """Return what the Bech32 code leaves of ``values``: 1 for Bech32, 0x2bc830a3 for Bech32m."""
    checksum = 1
    for value in values:
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value ^ _BECH32_STEPS[checksum >> 25]
    return checksum


def _is_segwit(text: str) -> bool:
    """Tell whether ``text`` is a SegWit address of Bitcoin's main network (BIP 173, BIP 350)."""
    # One case throughout: a QR code may hold the capital form, a mixture is a typing error.
    lower = text.lower()
    if text not in (lower, text.upper()) or _SEGWIT.fullmatch(lower) is None:
        return False
    data = [_BECH32_VALUES[character] for character in lower[3:]]
    # The human-readable part "bc" as the code expands it: high bits, zero, low bits.
    checksum = _bech32_checksum([3, 3, 0, 2, 3, *data])
    version, program = data[0], data[1:-6]
    if version > 16 or checksum != (1 if version == 0 else 0x2BC830A3):
        return False
    length, spare_bits = divmod(5 * len(program), 8)
    padding = program[-1] & ((1 << spare_bits) - 1) if program else 0
    return spare_bits < 5 and padding == 0 and (length in (20, 32) if version == 0 else 2 <= length <= 40)


_ETHEREUM = re.compile(r"0x[0-9a-fA-F]{40}")


def _is_ethereum(text: str) -> bool:
    """Tell whether the capitals of an Ethereum address are exactly those of EIP-55."""
    if _ETHEREUM.fullmatch(text) is None:
        return False
    lower = text[2:].lower()
    digest = keccak_256(lower.encode()).hex()
    return text[2:] == "".join(
        character.upper() if nibble in "89abcdef" else character
        for character, nibble in zip(lower, digest, strict=False)
    )
